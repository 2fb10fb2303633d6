"""How a command of the command line is run: its options, its exit code, what it prints.

Exit codes: 0 done, 2 bad usage or configuration, 3 data refused, 4 gate refused, 1 anything else.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts import night
from contracts.errors import NightshiftError
from contracts.night import Program
from jobs.running import console
from jobs.running.private_files import closed_to_others
from jobs.running.program import hide_secrets, say_error
from jobs.running.settings import Settings, load_settings

Cutoff = Annotated[
    str, typer.Option(help="First day that the model may not see.", metavar="YYYY-MM-DD")
]
Since = Annotated[
    str | None,
    typer.Option(help="First day to read, for a bulk load.", metavar="YYYY-MM-DD"),
]
Config = Annotated[
    Path | None, typer.Option(help="Default: $NIGHTSHIFT_CONFIG or configs/nightshift.yaml.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON document.")]
AirflowPort = Annotated[int, typer.Option(help="Port of Airflow's pages.")]
MlflowPort = Annotated[int, typer.Option(help="Port of MLflow's pages.")]


def run_night_program(
    program: Program,
    cutoff: str | None,
    config: Path | None,
    as_json: bool,
    arguments: list[str] | None = None,
    *,
    devices: int = 1,
) -> None:
    def body(settings: Settings) -> tuple[int, dict[str, Any]]:
        told = night.night_arguments(cutoff) if cutoff else ["--json"]
        given = [*told, *(arguments or [])]
        result = console.run_shown(program, given, settings, devices=devices, as_json=as_json)
        return result.exit_code, result.summary

    run_body(program.name, config, as_json, body, is_shown=True)


def run_body(
    job: str,
    config: Path | None,
    as_json: bool,
    body: Callable[[Settings], tuple[int, dict[str, Any]]],
    *,
    is_shown: bool = False,
) -> None:
    """Run a command's body, print what it says, and exit with its code.

    ``is_shown``: a person has already seen on the way all that the summary says.
    """
    settings = None
    try:
        settings = load_settings(config)
        hide_secrets(settings)
        with closed_to_others():
            code, summary = body(settings)
    except NightshiftError as error:
        raise typer.Exit(say_error(job, error, settings, as_json=as_json)) from None
    except KeyboardInterrupt:
        print(f"{job}: interrupted", file=sys.stderr)
        raise typer.Exit(130) from None
    if summary and (as_json or not (code or is_shown)):
        console.show_summary(summary, as_json=as_json)
    raise typer.Exit(code)


def given(flag: str, value: str | int | float | None) -> list[str]:
    return [] if value is None else [flag, str(value)]
