"""The command line: what it offers, how it ends, what it prints for machines."""

import json
import re

import pytest
from typer.testing import CliRunner

from contracts.night import PROGRAMS
from jobs.cli import app

RUNNER = CliRunner()
COMMANDS = {
    "ingest", "sessions", "sequences", "series", "score", "demand", "publish", "report",
    "train", "evaluate", "promote", "rollback", "night", "demo", "up", "down", "status", "doctor",
    "replay", "vacuum", "train-demand", "promotions", "review",
}  # fmt: skip
WITHOUT_CUTOFF = {"rollback", "demo", "up", "down", "status", "doctor", "vacuum"}
WITH_CUTOFF = COMMANDS - WITHOUT_CUTOFF - {"replay"}  # which takes it without a flag


def test_the_command_line_offers_every_program():
    """What a DAG starts can be started by hand; the raw logs are the demo's own affair."""
    assert {command.name or command.callback.__name__ for command in app.registered_commands} == (
        COMMANDS
    )
    assert {program.command for program in PROGRAMS} - {"raw"} <= COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_takes_config_and_json_and_explains_itself(command):
    """One way to ask for another deployment, one way to read the answer by machine."""
    said = RUNNER.invoke(app, [command, "--help"], env={"COLUMNS": "120"})
    options = re.findall(r"--[a-z-]+", said.output)

    assert said.exit_code == 0
    assert {"--config", "--json"} <= {*options}
    assert ("--cutoff" in options) == (command in WITH_CUTOFF)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["ingest"],
        ["ingest", "--cutof", "2017-11-29"],
        ["train", "--cutoff", "2017-11-28", "--encoder", "rnn"],
        ["train", "--cutoff", "2017-11-28", "--epochs", "many"],
    ],
    ids=" ".join,
)
def test_bad_usage_ends_with_2(arguments):
    """A scheduler can tell a wrong call from a wrong night."""
    assert RUNNER.invoke(app, arguments).exit_code == 2


def test_a_configuration_that_is_not_there_ends_with_2_and_says_so(tmp_path):
    """The message is the error's own, for people and for machines."""
    file = tmp_path / "none.yaml"
    said = RUNNER.invoke(app, ["status", "--config", str(file), "--json"])

    assert said.exit_code == 2
    assert json.loads(said.stdout) == {
        "job": "status",
        "error": "ConfigError",
        "message": f"{file}: found no such file, expected a configuration. "
        "Give --config, or set NIGHTSHIFT_CONFIG.",
        "exit_code": 2,
    }


@pytest.mark.slow
def test_the_exit_code_of_a_program_passes_through(settings):
    """`nightshift publish` ends as jobs.publish ended, and prints what it printed."""
    arguments = ["publish", "--cutoff", "2999-01-01", "--config", str(settings.file), "--json"]
    said = RUNNER.invoke(app, arguments)

    assert said.exit_code == 2
    assert json.loads(said.stdout)["error"] == "CutoffError"


@pytest.mark.slow
def test_a_night_without_raw_logs_ends_with_3_and_names_the_step(settings):
    """The first program that the data stops ends the night."""
    settings.raw_folder.mkdir(parents=True)
    arguments = ["night", "--cutoff", "2017-11-29", "--config", str(settings.file), "--json"]
    said = RUNNER.invoke(app, arguments)
    found = json.loads(said.stdout)

    assert said.exit_code == 3
    assert found["failed"] == "ingest_events"
    assert found["steps"]["ingest_events"]["error"] == "MissingRawError"
    assert "ingest_events: MissingRawError: " in said.stderr


def test_an_empty_deployment_has_a_status(settings):
    """Before the first night there is nothing, and saying so is no error."""
    said = RUNNER.invoke(app, ["status", "--config", str(settings.file), "--json"])
    found = json.loads(said.stdout)

    assert said.exit_code == 0
    assert found["events"] == "nothing yet"
    assert found["champion"] == "none: nothing was promoted yet"
    assert found["warehouse"] == {}


def test_the_version_is_the_package_s():
    """`nightshift --version` names what is installed."""
    said = RUNNER.invoke(app, ["--version"])

    assert said.exit_code == 0
    assert re.fullmatch(r"nightshift \d+\.\d+\.\d+\n", said.output)
