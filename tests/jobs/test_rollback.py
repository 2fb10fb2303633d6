"""Rollback: the champion before, at once."""

import json
from datetime import UTC, datetime

import pytest

from contracts.errors import (
    DamagedModelError,
    NoChampionError,
    NoPreviousChampionError,
    NotAdmittedError,
)
from jobs import rollback as program
from jobs.registries import verdict_key
from jobs.rollback import rollback
from jobs.running.settings import Settings
from models.registry.registry import Registry

from .admitted import bare_version, make_champion

NOW = datetime(2017, 11, 29, 9, tzinfo=UTC)


def champions(settings: Settings, registry: Registry, *previous: str) -> None:
    """One version for each, each promoted after the one that it names."""
    for number, before in enumerate(previous):
        tags = {
            "training_cutoff": "2017-11-28",
            "status": "retired",
            "previous_champion": before,
        }
        folder = settings.home / "versions" / registry.model / str(number)
        make_champion(settings, registry, bare_version(registry, folder, tags).version)


def test_the_champion_before_is_restored_and_the_tags_tell_by_whom(settings, registry):
    """What was served before is served again; the version that left is marked."""
    champions(settings, registry, "", "1")

    found = rollback(registry, key=verdict_key(settings), by="Ada", now=NOW)
    restored, left = registry.resolve("champion"), registry.resolve("2")

    assert found == {"version": "1", "encoder": "gru", "rolled_back": "2", "by": "Ada"}
    assert (restored.version, restored.tags["status"]) == ("1", "champion")
    assert restored.tags["restored_by"] == "Ada"
    assert (left.tags["status"], left.tags["rolled_back_by"]) == ("rolled_back", "Ada")


def test_two_rollbacks_go_back_two_champions(settings, registry):
    """The chain of champions is followed, never a toggle between two."""
    champions(settings, registry, "", "1", "2")

    rollback(registry, key=verdict_key(settings), by="Ada", now=NOW)
    rollback(registry, key=verdict_key(settings), by="Ada", now=NOW)

    assert registry.resolve("champion").version == "1"


def test_the_first_champion_has_none_before_it(settings, registry):
    """The alias stays: no champion at all would stop the nights."""
    champions(settings, registry, "")

    with pytest.raises(NoPreviousChampionError) as refused:
        rollback(registry, key=verdict_key(settings), by="Ada", now=NOW)

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
    champions(settings, registry, "", "1")

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
    champions(settings, registry, "", "1")
    champions(settings, forecasters, "", "1")

    code = program.main(["--config", str(settings.file), "--json", "--by", "Ada", "--demand"])

    assert code == 0
    assert json.loads(capsys.readouterr().out)["rolled_back"] == "2"
    assert forecasters.resolve("champion").version == "1"
    assert registry.resolve("champion").version == "2"


def test_a_champion_that_nothing_admits_is_not_restored(settings, registry):
    """Not by a tag that names it, nor where its files are others now: the alias stays."""
    champions(settings, registry, "", "1")
    tags = {"training_cutoff": "2017-11-28"}
    stranger = bare_version(registry, settings.home / "stranger", tags).version
    registry.set_tags("2", {"previous_champion": stranger})
    with pytest.raises(NotAdmittedError) as refused:
        rollback(registry, key=verdict_key(settings), by="Ada", now=NOW)
    registry.set_tags("2", {"previous_champion": "1"})
    first = settings.home / "versions" / registry.model / "0"
    (first / "data" / "model" / "manifest.json").write_text("{ }")
    with pytest.raises(DamagedModelError) as damaged:
        rollback(registry, key=verdict_key(settings), by="Ada", now=NOW)

    assert str(refused.value) == (
        "nightshift version 3: found no admission, expected a version that the gate admitted and a "
        "promotion signed. An alias alone admits nothing. Run `nightshift evaluate` and "
        "`nightshift promote` (`nightshift train-demand` for demand), or `nightshift rollback`."
    )
    assert str(damaged.value).startswith(
        "nightshift version 1: found data/model/manifest.json changed, expected the files that "
        "were judged, byte for byte."
    )
    assert registry.resolve("champion").version == "2"
