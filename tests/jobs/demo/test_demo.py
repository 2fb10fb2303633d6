"""The demo: what is already there is not done again, and its last page shows what was found."""

import json
from datetime import date
from pathlib import Path

import pytest

from contracts.night import INGEST, SESSIONS, Program
from jobs.demo.demo import Demo, run_data_night
from jobs.demo.page import show_metrics, show_seconds
from jobs.running import console
from jobs.running.steps import Result
from jobs.services.memory import PeakMemory, deployment
from jobs.standing import Standing


class Done(Standing):
    """A deployment where some programs have already committed the night."""

    def __init__(self, settings, done: set[Program]) -> None:
        super().__init__(settings)
        self.done = done

    def has_written(self, program: Program, day: date) -> bool:
        return program in self.done


@pytest.fixture
def ran(monkeypatch):
    """Which programs were started; each ends at once, the sessions' with a refusal."""
    started: list[str] = []

    def run(program, arguments, settings, **_):
        started.append(program.name)
        code = 3 if program is SESSIONS else 0
        return Result(program, code, 1.0, Path("x.log"), {"message": "x"} if code else {})

    monkeypatch.setattr(console, "run_program", run)
    return started


def test_what_is_committed_is_not_done_again_and_a_failure_ends_the_part(settings, ran, capsys):
    """Running the demo again goes on where things stand."""
    demo = Demo(settings, Done(settings, {INGEST}))
    code = run_data_night(demo)

    assert code == 3
    assert ran == ["build_sessions"]
    assert "already done  ingest 2017-11-28" in capsys.readouterr().err


def test_the_metrics_page_shows_the_models_first_then_the_baselines(settings, capsys):
    """Beside each other, on the measure that decides."""
    document = {
        "versions": {"1": {"encoder": "lstm"}},
        "verdicts": {"1": {"admitted": False}},
        "table": [
            {
                "head": "churn",
                "metric": "auroc",
                "higher_is_better": True,
                "decides": True,
                "values": {"lightgbm": 0.9, "1": 0.8, "base_rate": None},
            },
            {"head": "churn", "metric": "ece", "decides": False, "values": {}},
        ],
    }
    settings.reports_folder.mkdir(parents=True)
    (settings.reports_folder / "evaluation-2017-11-28.json").write_text(json.dumps(document))
    lines = show_metrics(settings, date(2017, 11, 28))
    said = capsys.readouterr().out

    assert len(lines) == 1
    assert "churn     auroc    lstm v1 0.8000  base_rate –  lightgbm 0.9000" in said
    assert "gate: lstm v1 refused" in said


def test_the_seconds_of_every_step_are_shown(capsys):
    """And of all of it, with the peak of memory."""
    show_seconds({"seconds_per_step": {"ingest": 3.25}, "seconds": 9.0, "peak_memory_gib": 1.5})
    said = capsys.readouterr().out

    assert "3.2" in said
    assert "9.0" in said
    assert "Peak memory of everything together: 1.5 GiB" in said


def test_memory_is_measured_while_it_runs(tmp_path):
    """This process alone has a size."""
    memory = PeakMemory(lambda: deployment(tmp_path), every_seconds=0.01)
    memory.start()
    while not memory.peak_bytes:
        pass

    assert memory.end() > 0
