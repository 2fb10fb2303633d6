"""How far a program is: asked for by a console, silent elsewhere."""

import sys

import pytest

from contracts.night import TRAIN
from jobs.running import console, steps
from jobs.running.progress import ASKED, Pause, Progress, Reporter, progress_in, time_left

HALF = Progress(done=12, total=24, speed="15,200 events/s", seconds_left=40.2)
TALK = f"""
import os, sys
print({HALF.line()!r}, file=sys.stderr, flush=True)
print("train: epoch 1/2", os.environ.get({ASKED!r}), file=sys.stderr, flush=True)
"""


@pytest.fixture
def talking(monkeypatch):
    """A program that says how far it is, whether it was asked or not."""
    command = [sys.executable, "-c", TALK]
    monkeypatch.setattr(steps, "command_of", lambda *_, **__: command)


def test_a_line_of_progress_says_what_it_was_made_of():
    """Whole seconds are enough for a bar; any other line says nothing of progress."""
    found = progress_in(HALF.line() + "\n")

    assert found == Progress(12, 24, "15,200 events/s", 40.0)
    assert progress_in("train: epoch 1/2: purchase AUROC 0.8") is None
    assert progress_in("progress is slow") is None


def test_nothing_is_said_where_nobody_asked(monkeypatch, capsys):
    """In a scheduler's log there is no line for every half second of a night."""
    monkeypatch.delenv(ASKED, raising=False)

    Reporter().say(HALF)

    assert capsys.readouterr().err == ""


def test_who_asked_hears_the_first_and_the_last_and_few_between(monkeypatch, capsys):
    """A step takes milliseconds, a reader half a second; the end is always said."""
    monkeypatch.setenv(ASKED, "1")
    reporter = Reporter()

    for done in range(1, 101):
        reporter.say(Progress(done, 100, "9 events/s", 100 - done))

    said = [progress_in(line) for line in capsys.readouterr().err.splitlines()]
    assert [said[0].done, said[-1].done] == [1, 100]
    assert len(said) < 50


def test_progress_is_heard_and_kept_out_of_the_log(talking, settings):
    """A bar for who watches; the log keeps what the program had to say."""
    heard: list[str] = []

    result = steps.run_program(TRAIN, [], settings, listen=heard.append, is_watched=True)

    assert progress_in(heard[0]) is not None
    assert heard[1] == "train: epoch 1/2 1"
    assert result.log.read_text() == "train: epoch 1/2 1\n"


def test_a_terminal_shows_speed_and_time_left(talking, settings, monkeypatch, capsys):
    """The bar moves with the steps, and says how long they will go on."""
    drawn: list[dict] = []

    class Bar(console.Progress):
        def update(self, task, **values):
            drawn.append(values)
            super().update(task, **values)

    monkeypatch.setattr(console, "Progress", Bar)
    monkeypatch.setattr(console, "err", console.Console(force_terminal=True, file=sys.stderr))

    console.run_shown(TRAIN, [], settings, as_json=False)

    assert "train: epoch 1/2 1" in capsys.readouterr().err  # above the bar, which keeps its own
    assert drawn[-1]["said"].endswith("left")
    assert {"completed": 12, "total": 24, "said": "15,200 events/s, 40 s left"} in drawn


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "0 s"), (89, "89 s"), (90, "2 min"), (3000, "50 min"), (12600, "3.5 h")],
)
def test_time_is_said_as_people_say_it(seconds, said):
    """Seconds of a short wait, minutes of a longer one."""
    assert time_left(seconds) == said


def test_a_pause_lets_the_first_through_and_then_one_in_so_many_seconds(monkeypatch):
    """A log gets a line at once, and one every half minute."""
    now = iter([100.0, 101.0, 129.9, 130.0, 140.0])
    monkeypatch.setattr("jobs.running.progress.time.monotonic", lambda: next(now))
    pause = Pause(30)

    assert [pause.is_over() for _ in range(5)] == [True, False, False, True, False]
