"""Passwords planted wherever one may stand, and a search of all that programs say and write."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from contracts.errors import ConfigError
from jobs import cli, review_promotion, rollback, write_raw
from jobs.running import console
from jobs.running.program import hide_secrets
from jobs.running.settings import PROJECT, Settings, load_settings

PLANTED = "Zebra7/f@x"  # as nobody should write it into a URI, and as many do
PIECES = ("Zebra7", "f@x", "Zebra7%2Ff%40x")
WAREHOUSE = f"postgresql://ann:{PLANTED}@127.0.0.1:9/warehouse"
CATALOG = (
    f"postgresql+psycopg2://ann:{PLANTED.replace('/', '%2F').replace('@', '%40')}@127.0.0.1:9/c"
)
MLFLOW = f"http://ann:{PLANTED.replace('/', '%2F').replace('@', '%40')}@127.0.0.1:9"


def shows(text: str) -> list[str]:
    return [piece for piece in PIECES if piece in text]


def with_values(settings: Settings, **sections: dict[str, object]) -> Path:
    """The same configuration with other values."""
    values = yaml.safe_load(settings.file.read_text())
    for name, section in sections.items():
        values[name] |= section
    file = settings.file.with_name("planted.yaml")
    file.write_text(yaml.safe_dump(values))
    return file


COMMANDS = (
    ["-m", "jobs.cli", "status"],
    ["-m", "jobs.publish", "--cutoff", "2017-11-29", "--json"],
    ["-m", "jobs.rollback", "--json"],
)


@pytest.mark.slow
def test_no_program_says_or_writes_a_password(settings, tmp_path):
    """Nothing that these URIs name answers: each program says so, and no word of the password."""
    catalog = {"catalog": {"type": "sql", "uri": CATALOG, "s3.secret-access-key": "Zebra7-key"}}
    file = with_values(
        settings, lake=catalog, mlflow={"tracking_uri": MLFLOW},
        warehouse={"uri": WAREHOUSE, "reader_role": "reader"},
    )  # fmt: skip
    running = [
        subprocess.Popen(
            [sys.executable, *command, "--config", str(file)],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command in COMMANDS
    ]
    commands = [" ".join(psutil.Process(process.pid).cmdline()) for process in running]
    said = [process.communicate()[0] for process in running]
    written = [each.read_text(errors="replace") for each in tmp_path.rglob("*") if each.is_file()]

    assert all(process.returncode for process in running[1:])
    assert [shows(one) for one in said] == [[]] * len(COMMANDS), said
    assert not [shows(one) for one in commands if shows(one)]
    assert len([one for one in written if shows(one)]) == 1  # the configuration itself
    assert ["127.0.0.1:9" in one for one in said] == [True] * len(COMMANDS), said


@pytest.mark.parametrize("scheme", ["postgress", "postgres+x", "mysql", "snowflake"])
def test_a_misspelt_warehouse_is_named_without_its_password(settings, scheme):
    """A message is pasted into a chat sooner than a configuration is."""
    file = with_values(settings, warehouse={"uri": f"{scheme}://ann:{PLANTED}@host/db"})
    with pytest.raises(ConfigError) as caught:
        load_settings(file)

    assert shows(str(caught.value)) == []
    assert f"{scheme}://ann@host/db" in str(caught.value)


def test_a_section_of_another_shape_is_not_quoted(settings):
    """It may hold a key beside what is wrong with it."""
    file = with_values(settings, lake={"catalog": [{"s3.secret-access-key": "Zebra7"}]})
    with pytest.raises(ConfigError) as caught:
        load_settings(file)

    assert shows(str(caught.value)) == []
    assert caught.value.found == "a list of 1"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("NIGHTSHIFT__LAKE__CATALOG__TOKEN", "%Zebra7: ["),
        ("NIGHTSHIFT__LAKE", "{catalog: {s3.secret-access-key: @Zebra7}}"),
        ("NIGHTSHIFT__LAKE__CATALOG", "{s3.secret-access-key: *Zebra7}"),
    ],
)
def test_a_secret_in_the_environment_is_not_quoted(settings, monkeypatch, name, text):
    """Also where the variable's own name says nothing of a secret."""
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigError) as caught:
        load_settings(settings.file)

    assert shows(str(caught.value)) == []
    assert caught.value.found.startswith("no YAML in line 1, column ")


def test_an_error_that_nobody_expected_hides_what_the_settings_know(settings, monkeypatch, capsys):
    """A library may quote an address in a traceback of its own."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    hide_secrets(load_settings(with_values(settings, mlflow={"tracking_uri": MLFLOW})))
    try:
        raise RuntimeError(f"GET {MLFLOW}/api failed")
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    said = capsys.readouterr().err

    assert shows(said) == []
    assert "RuntimeError: GET http://ann@127.0.0.1:9/api failed" in said


@pytest.mark.parametrize(
    ("program", "step", "arguments"),
    [
        (rollback, "open_registry", []),
        (write_raw, "write_raw", []),
        (review_promotion, "open_registry", ["--cutoff", "2017-11-28"]),
        (cli, "run_shown", ["promote", "--cutoff", "2017-11-28"]),
    ],
)
def test_every_program_guards_what_it_makes_and_what_it_says(
    settings, monkeypatch, capsys, program, step, arguments
):
    """Also one that takes no cutoff: its traceback quotes no secret, its files are not for all."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    file = with_values(settings, mlflow={"tracking_uri": MLFLOW})
    masks = []

    def fail(*_: object, **__: object) -> None:
        masks.append(os.umask(0o077))
        os.umask(masks[0])
        raise RuntimeError(f"GET {MLFLOW}/api failed")

    monkeypatch.setattr(console if program is cli else program, step, fail)
    run = program.app if program is cli else program.main
    with pytest.raises(RuntimeError) as failed:
        run([*arguments, "--config", str(file)])
    sys.excepthook(failed.type, failed.value, failed.tb)

    assert masks[0] & 0o007 == 0o007
    assert shows(capsys.readouterr().err) == []
