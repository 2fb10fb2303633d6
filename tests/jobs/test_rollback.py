"""Rollback: the champion before, at once."""

import json
from datetime import UTC, datetime

import pytest

from contracts.errors import NoChampionError, NoPreviousChampionError
from jobs import rollback as program
from jobs.rollback import rollback
from models.registry.registry import Registry

NOW = datetime(2017, 11, 29, 9, tzinfo=UTC)


def champions(registry: Registry, *previous: str) -> None:
    """One version for each, each promoted after the one that it names."""
    registry.client.create_registered_model(registry.model)
    for before in previous:
        tags = {
            "encoder": "gru",
            "training_cutoff": "2017-11-28",
            "status": "retired",
            "previous_champion": before,
        }
        made = registry.client.create_model_version(registry.model, "file:///none", tags=tags)
        registry.set_alias("champion", str(made.version))


def test_the_champion_before_is_restored_and_the_tags_tell_by_whom(registry):
    """What was served before is served again; the version that left is marked."""
    champions(registry, "", "1")

    found = rollback(registry, by="Ada", now=NOW)
    restored, left = registry.resolve("champion"), registry.resolve("2")

    assert found == {"version": "1", "encoder": "gru", "rolled_back": "2", "by": "Ada"}
    assert (restored.version, restored.tags["status"]) == ("1", "champion")
    assert restored.tags["restored_by"] == "Ada"
    assert (left.tags["status"], left.tags["rolled_back_by"]) == ("rolled_back", "Ada")


def test_two_rollbacks_go_back_two_champions(registry):
    """The chain of champions is followed, never a toggle between two."""
    champions(registry, "", "1", "2")

    rollback(registry, by="Ada", now=NOW)
    rollback(registry, by="Ada", now=NOW)

    assert registry.resolve("champion").version == "1"


def test_the_first_champion_has_none_before_it(registry):
    """The alias stays: no champion at all would stop the nights."""
    champions(registry, "")

    with pytest.raises(NoPreviousChampionError) as refused:
        rollback(registry, by="Ada", now=NOW)

    assert str(refused.value) == (
        "nightshift version 1: found no champion before it, expected one to go back to. "
        "Promote another version with `nightshift promote`, or `nightshift train-demand` "
        "for demand; the alias champion did not move."
    )
    assert registry.resolve("champion").version == "1"


def test_the_program_ends_with_4_without_a_champion(registry, settings, capsys):
    """Nothing was ever promoted."""
    registry.client.create_registered_model(registry.model)

    code = program.main(["--config", str(settings.file), "--json"])

    assert code == NoChampionError.exit_code == 4
    assert json.loads(capsys.readouterr().out)["error"] == "NoChampionError"


def test_the_program_says_what_it_did(registry, settings, capsys):
    """One line of JSON for whoever called it."""
    champions(registry, "", "1")

    code = program.main(["--config", str(settings.file), "--json", "--by", "Ada"])

    assert code == 0
    assert json.loads(capsys.readouterr().out) == {
        "job": "rollback",
        "version": "1",
        "encoder": "gru",
        "rolled_back": "2",
        "by": "Ada",
        "models": {},
    }


def test_the_forecasters_have_a_champion_of_their_own_to_go_back_to(registry, settings, capsys):
    """The users' model stays who it is."""
    forecasters = Registry(registry.tracking_uri, settings.demand.model, settings.artifacts_uri)
    champions(registry, "", "1")
    champions(forecasters, "", "1")

    code = program.main(["--config", str(settings.file), "--json", "--by", "Ada", "--demand"])

    assert code == 0
    assert json.loads(capsys.readouterr().out)["rolled_back"] == "2"
    assert forecasters.resolve("champion").version == "1"
    assert registry.resolve("champion").version == "2"
