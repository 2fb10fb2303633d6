"""How the command line shows a program at work: a moving line on a terminal, else its one line."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from contracts.night import Program
from contracts.printable import printable
from jobs.running.progress import progress_in, time_left
from jobs.running.settings import Settings
from jobs.running.steps import Result, run_program

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True, highlight=False)
MOST_SHOWN = 20  # entries of what is nested: a year's files are for the machine


def run_shown(
    program: Program,
    arguments: Sequence[str],
    settings: Settings,
    *,
    devices: int = 1,
    as_json: bool,
    title: str | None = None,
) -> Result:
    """Run a program, show it while it runs, and say how it ended.

    With a title it is one step of many, and its line is for people wherever it is printed.
    """
    if title is not None and not err.is_terminal:
        result = run_program(program, arguments, settings, devices=devices)
        err.print(line_of(result, title))
    elif as_json or not err.is_terminal:
        result = run_program(
            program,
            arguments,
            settings,
            devices=devices,
            listen=lambda line: _forward(program, line),
        )
    else:
        result = _run_with_progress(program, arguments, settings, devices=devices, title=title)
    is_said = not (err.is_terminal or title) and "message" in result.summary
    if result.exit_code and not is_said:
        err.print(f"[red]{program.name}:[/] ", end="")
        err.print(printable(result.message), markup=False)
    if result.exit_code:
        err.print(f"{program.name}: everything it said is in {result.log}", markup=False)
    return result


def _run_with_progress(
    program: Program,
    arguments: Sequence[str],
    settings: Settings,
    *,
    devices: int,
    title: str | None,
) -> Result:
    """A spinner with the latest line; once the program says how far it is, a bar with its speed
    and the time left, and what it says of itself stands above."""
    bar = BarColumn(bar_width=24)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), bar
    with Progress(*columns, TextColumn("[dim]{task.fields[said]}"), console=err) as progress:
        task = progress.add_task(f"{title or program.name:<24}", total=None, said="")

        def listen(line: str) -> None:
            found = progress_in(line)
            if found is None and progress.tasks[0].total is None:
                progress.update(task, said=_clip(line))
            if found is None and title is None and line.startswith(f"{program.name}:"):
                progress.console.print(printable(line), style="dim", markup=False, highlight=False)
            if found is None:
                return
            said = f"{found.speed}, {time_left(found.seconds_left)} left"
            progress.update(task, completed=found.done, total=found.total, said=said)

        result = run_program(
            program, arguments, settings, devices=devices, listen=listen, is_watched=True
        )
        progress.remove_task(task)
    err.print(line_of(result, title or program.name))
    return result


def line_of(result: Result, title: str) -> str:
    """One line about an ended program: how it ended, how long it took, what it counted."""
    mark = "[red]failed[/]" if result.exit_code else "[green]done[/]  "
    said = "" if result.exit_code else f"  [dim]{plain(counts_of(result.summary))}[/]"
    return f"{mark} {title:<24} {result.seconds:6.1f} s{said}"


def say_task(task: str, state: str, seconds: float) -> None:
    """One line about a task of Airflow whose state has changed."""
    colour = {"success": "green", "failed": "red", "upstream_failed": "red"}.get(state, "dim")
    took = f"{seconds:6.1f} s" if state in ("success", "failed") else ""
    err.print(f"[{colour}]{state:<16}[/] {task:<16} {took}")


def plain(text: str) -> str:
    """Text of a log, a file or another program, within markup of ours: it stays text."""
    return escape(printable(text))


def counts_of(summary: Mapping[str, Any]) -> str:
    """The scalars of a summary that a reader wants to see, as ``key=value``."""
    hidden = {"job", "cutoff", "seconds", "run_key", "error", "message", "exit_code"}
    shown = {
        key: value
        for key, value in summary.items()
        if key not in hidden and isinstance(value, str | int | float)
    }
    return " ".join(f"{key}={value}" for key, value in shown.items())


def show_summary(summary: Mapping[str, Any], *, as_json: bool) -> None:
    """The machine's form on stdout, or a readable list of the same facts."""
    if as_json:
        print(json.dumps(summary, default=str), flush=True)
    else:
        for key, value in summary.items():
            if isinstance(value, Mapping):
                is_long = len(value) > MOST_SHOWN
                value = f"{len(value)}: see --json" if is_long else json.dumps(value, default=str)
            if isinstance(value, list):
                value = "\n".join(["", *(f"    {one}" for one in value)]) if value else "nothing"
            out.print(f"  [dim]{key:<16}[/] ", end="")
            out.print(printable(str(value)), markup=False)


def _forward(program: Program, line: str) -> None:
    """Pass on what the program itself says, and leave its libraries' talk to the log."""
    if line.startswith(("timestamp=", f"{program.name}:")):
        print(line, file=sys.stderr, flush=True)


def _clip(line: str) -> str:
    return printable(line).replace("[", "(").replace("]", ")")[: max(20, err.width - 40)]
