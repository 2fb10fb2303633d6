"""What the command line shows of a run's summary."""

import json

from jobs.running.console import show_summary

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
