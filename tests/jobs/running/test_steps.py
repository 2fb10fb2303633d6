"""Starting programs as processes: their answers, their exit codes, their logs."""

import sys

import pytest

from contracts.night import INGEST, PUBLISH, TRAIN
from jobs.running.settings import PROJECT
from jobs.running.steps import command_of, environment, open_log, run_program


def test_each_kind_of_program_is_started_in_its_own_way(settings):
    """Spark programs by spark-submit, training by torchrun, the rest by this Python."""
    spark = command_of(INGEST, ["--cutoff", "2017-11-29"], settings)
    torchrun = command_of(TRAIN, ["--cutoff", "2017-11-29"], settings, devices=2)
    python = command_of(PUBLISH, ["--cutoff", "2017-11-29"], settings)

    assert spark[:5] == ["spark-submit", "--master", "local[1]", "--driver-memory", "1g"]
    assert spark[-3:] == [str(PROJECT / "jobs/ingest_events.py"), "--cutoff", "2017-11-29"]
    assert torchrun[:3] == [sys.executable, "-m", "torch.distributed.run"]
    assert torchrun[torchrun.index("--nproc-per-node") + 1] == "2"
    assert torchrun[-4:] == ["-m", "jobs.train", "--cutoff", "2017-11-29"]
    assert python == [sys.executable, "-m", "jobs.publish", "--cutoff", "2017-11-29"]


def test_a_program_finds_the_settings_that_it_was_started_with(settings):
    """The same file, this Python, and Spark on the loopback only where it is local."""
    found = environment(settings)

    assert found["NIGHTSHIFT_CONFIG"] == str(settings.file)
    assert found["PYSPARK_PYTHON"] == sys.executable
    assert found["SPARK_LOCAL_IP"] == "127.0.0.1"


@pytest.mark.slow
def test_a_failing_program_gives_its_message_and_its_exit_code(settings):
    """A cutoff that is no date: exit code 2, and the error's own words."""
    heard: list[str] = []
    result = run_program(PUBLISH, ["--cutoff", "soon", "--json"], settings, listen=heard.append)

    assert result.exit_code == 2
    assert result.message == (
        "--cutoff: found 'soon', expected a date written YYYY-MM-DD. "
        "Give the first day that the model may not see."
    )
    assert heard[-1] == f"publish: CutoffError: {result.message}"


@pytest.mark.slow
@pytest.mark.spark
def test_spark_submit_changes_neither_the_message_nor_the_exit_code(settings):
    """spark-submit mixes its program's outputs: the summary is found all the same."""
    settings.raw_folder.mkdir(parents=True)
    arguments = ["--cutoff", "2017-11-29", "--json"]
    result = run_program(INGEST, arguments, settings)

    assert result.exit_code == 3
    assert result.summary["error"] == "MissingRawError"
    assert "ingest_date=2017-11-28" in result.message
    assert f"ingest_events: MissingRawError: {result.message}" in result.log.read_text()


def test_a_program_that_dies_without_a_word_is_told_by_its_last_lines(settings, monkeypatch):
    """A crash has no summary: its exit code and the end of its log have to do."""
    code = "import os; print('so far', flush=True); os.kill(os.getpid(), 9)"
    monkeypatch.setattr(
        "jobs.running.steps.command_of", lambda *_, **__: [sys.executable, "-c", code]
    )
    result = run_program(PUBLISH, ["--cutoff", "2017-11-29"], settings)

    assert result.exit_code == 137
    assert result.message == "publish ended with exit code 137:\nso far"
    assert result.log.name == "publish-2017-11-29.log"


@pytest.mark.slow
@pytest.mark.torch
def test_torchrun_does_not_hide_why_a_training_was_refused(settings):
    """torchrun itself always ends with 1: the program's own exit code counts."""
    arguments = ["--cutoff", "2017-11-28", "--json", "--encoder", "lstm"]
    result = run_program(TRAIN, arguments, settings)

    assert result.exit_code == 3
    assert result.summary["error"] == "MissingPartitionError"


def test_two_runs_at_once_write_two_logs_and_a_later_one_empties_the_first(tmp_path):
    """Two trainings of one cutoff would overwrite each other's lines in one file."""
    with open_log(tmp_path, "train-2017-11-28") as first:
        first.write("of the first\n")
        with open_log(tmp_path, "train-2017-11-28") as second:
            second.write("of the second\n")
        first.write("still of the first\n")
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    with open_log(tmp_path, "train-2017-11-28") as third:
        third.write("later\n")

    assert written == {
        "train-2017-11-28.log": "of the first\nstill of the first\n",
        "train-2017-11-28.2.log": "of the second\n",
    }
    assert (tmp_path / "train-2017-11-28.log").read_text() == "later\n"
