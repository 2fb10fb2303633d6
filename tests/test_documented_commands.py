"""Commands of README, CONTRIBUTING and docs: each runs in a fresh shell as it is written.

Fresh: nothing of this environment but HOME and the system's PATH. What takes minutes or changes a
deployment is run dry: `make` prints what it would do, and a program reads its arguments, with
`--help` behind them. The commands of a served model run for real, in
`tests/models/registry/test_serve_command.py`.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from jobs.cli import app

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", PROJECT / "SECURITY.md"]
PAGES += sorted((PROJECT / "docs").rglob("*.md"))
# Functions come before programs: these find the program by the shell's own PATH, and run it dry.
DRY = """
nightshift() { command nightshift "$@" --help > /dev/null; }
python() { command python "$@" --help > /dev/null; }
set -e
"""
FOR_REAL = "mlflow models serve"


def blocks() -> Iterator[tuple[str, str]]:
    """Each block of shell: its place, its text."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.M | re.S):
            line = text[: found.start()].count("\n") + 1
            yield f"{page.relative_to(PROJECT)}:{line}", found[1]


BLOCKS = [(place, text) for place, text in blocks() if FOR_REAL not in text]


def run_fresh(script: str, cwd: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    """In a new bash that knows HOME and the system's folders alone."""
    environment = {"HOME": os.environ["HOME"], "PATH": os.defpath, "MAKEFLAGS": "n"}
    return subprocess.run(
        ["bash", "-c", script], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_the_blocks_are_found():
    """The list is not empty by accident, and but for one block every one is in it."""
    assert len(BLOCKS) >= 15
    assert len([*blocks()]) == len(BLOCKS) + 1


@pytest.mark.parametrize(("place", "text"), BLOCKS, ids=[place for place, _ in BLOCKS])
def test_a_block_runs_in_a_fresh_shell_as_it_is_written(place, text):
    """No program is missing (127), no target, no command, no option."""
    ended = run_fresh(DRY + text)

    assert ended.returncode == 0, f"{place}: {ended.stderr[-2000:]}"


def test_a_fresh_shell_does_not_know_the_environment():
    """Else the tests above would prove nothing; an option that is none is refused, too."""
    activated = DRY + "source .venv/bin/activate\n"

    assert run_fresh(DRY + "nightshift status").returncode == 127
    assert run_fresh(DRY + "make nonsense").returncode == 2
    assert run_fresh(activated + "nightshift status --nonsense").returncode == 2


def inline() -> Iterator[tuple[str, list[str]]]:
    """`nightshift …` within a sentence: its page, its words."""
    for page in PAGES:
        for found in re.finditer(r"`nightshift ([a-z][^`]*)`", page.read_text(encoding="utf-8")):
            yield str(page.relative_to(PROJECT)), shlex.split(found[1])


def test_a_command_within_a_sentence_is_one_with_options_that_it_has():
    """A page may leave values out; what it names is there."""
    root = typer.main.get_command(app)
    named = [*inline()]

    assert len(named) >= 20
    for page, words in named:
        command = root
        while words and hasattr(command, "commands"):  # a group of them
            assert words[0] in command.commands, f"{page}: nightshift {words[0]}"
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, f"{page}: {words}"
