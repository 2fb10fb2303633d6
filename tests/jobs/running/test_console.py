"""What the command line shows of a run's summary."""

import json
from pathlib import Path

from contracts.night import INGEST
from jobs.running.console import line_of, out, plain, show_summary
from jobs.running.steps import Result

SUMMARY = {
    "events": 2,
    "tables": {"events": {"rows": 2}},
    "files": {f"f{n}": {} for n in range(21)},
}


def test_a_long_list_of_files_is_for_the_machine(capsys):
    """A person reads how many there are; `--json` holds each."""
    show_summary(SUMMARY, as_json=False)
    shown = capsys.readouterr().out
    show_summary(SUMMARY, as_json=True)

    assert [line.split(maxsplit=1) for line in shown.splitlines()] == [
        ["events", "2"],
        ["tables", '{"events": {"rows": 2}}'],
        ["files", "21: see --json"],
    ]
    assert json.loads(capsys.readouterr().out) == SUMMARY


HOSTILE = "[/bold]x[link=https://evil.example]y\x1b]0;title\x07\u202e"


def test_text_of_a_log_is_no_markup_and_moves_no_cursor(capsys):
    """An item id may be `[/bold]`, which ended the demo, or hold a terminal's own commands."""
    out.print(f"[bold]{plain(HOSTILE)}[/]")
    result = Result(INGEST, 0, 1.0, Path("x.log"), {"by": HOSTILE})
    out.print(line_of(result, "ingest"))
    show_summary({"reason": HOSTILE}, as_json=False)
    shown = capsys.readouterr().out

    assert shown.count("[/bold]x[link=https://evil.example]y\ufffd]0;title\ufffd\ufffd") == 3
    assert "\x1b" not in shown
