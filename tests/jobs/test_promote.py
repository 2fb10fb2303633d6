"""Promotion: by the written rule, or not at all."""

import itertools
import json
from datetime import UTC, date, datetime

import pytest

from contracts.errors import NoChampionError, NotAdmittedError, PromotionRefusedError
from jobs import promote as program
from jobs.promote import promote
from jobs.registries import signing_key
from jobs.running.settings import Settings
from jobs.warehouse.warehouse import open_warehouse
from models.registry.registry import Registry

from .admitted import bare_version, judge
from .warehouse.one_night import publication, publish

CUTOFF = date(2017, 11, 28)
NUMBERS = itertools.count()
NOW = datetime(2017, 11, 28, 5, tzinfo=UTC)


def evaluated(
    settings: Settings,
    registry: Registry,
    *,
    admitted: bool,
    gain: float = 0.0,
    champion: str | None = None,
    reasons: tuple[str, ...] = ("purchase: auroc 0.8 against 0.7",),
    status: str = "challenger",
) -> str:
    """A registered version with the verdict that `jobs.evaluate` would have left on it."""
    tags = {
        "status": status,
        "encoder": "lstm",
        "training_cutoff": str(CUTOFF),
        "evaluated_cutoff": str(CUTOFF),
    }
    version = bare_version(registry, settings.home / f"version-{next(NUMBERS)}", tags)
    said = {"admitted": admitted, "reasons": list(reasons), "gain": gain}
    return judge(settings, registry, version, champion=champion, **said).version


def promoted(settings: Settings, registry: Registry, by: str = "Ada", now: datetime = NOW) -> dict:
    return promote(registry, key=signing_key(settings), cutoff=CUTOFF, by=by, now=now)


def test_the_best_admitted_version_becomes_champion_and_says_by_whom(settings, registry):
    """The greatest gain wins; the tags tell who, when, and what was champion before."""
    evaluated(settings, registry, admitted=True, gain=0.01)
    best = evaluated(settings, registry, admitted=True, gain=0.03)
    evaluated(settings, registry, admitted=False, gain=0.50)

    found = promoted(settings, registry)
    champion = registry.resolve("champion")

    assert found["is_promoted"]
    assert champion.version == found["version"] == best
    assert champion.tags["promoted_by"] == "Ada"
    assert champion.tags["promoted_at"] == "2017-11-28T05:00:00+00:00"
    assert champion.tags["previous_champion"] == ""
    assert champion.tags["status"] == "champion"


def test_none_admitted_is_refused_with_every_reason_and_nothing_moves(settings, registry):
    """The alias stays where it was: here, nowhere."""
    evaluated(settings, registry, admitted=False, reasons=("churn: worse", "spend: worse"))
    evaluated(settings, registry, admitted=False, reasons=("behaviour: it sees the future",))

    with pytest.raises(PromotionRefusedError) as refused:
        promoted(settings, registry)

    assert str(refused.value) == (
        "nightshift: found version 1 (lstm): churn: worse; version 1 (lstm): spend: worse; "
        "version 2 (lstm): behaviour: it sees the future, expected the promotion rule to hold for "
        "every head. The champion alias did not move. Read the evaluation report, train again, "
        "and evaluate the new candidate."
    )
    with pytest.raises(NoChampionError):
        registry.resolve("champion")


def test_nothing_evaluated_is_refused(settings, registry):
    """What nobody has judged is not promoted."""
    with pytest.raises(PromotionRefusedError, match="found no version evaluated at 2017-11-28"):
        promoted(settings, registry)


def test_a_second_promotion_changes_nothing(settings, registry):
    """The champion that is the best already stays, with its first date."""
    evaluated(settings, registry, admitted=True, gain=0.02)
    promoted(settings, registry)
    first = registry.resolve("champion").tags

    again = promoted(settings, registry, "Bob", datetime(2018, 1, 1, tzinfo=UTC))

    assert not again["is_promoted"]
    assert again["why"] == "the champion is the best admitted version"
    assert registry.resolve("champion").tags == first


def test_a_verdict_against_another_champion_does_not_count(settings, registry):
    """A version must have been compared with the champion that it would replace."""
    evaluated(settings, registry, admitted=True, gain=0.02)
    promoted(settings, registry)
    evaluated(settings, registry, admitted=True, gain=0.05, champion=None)

    with pytest.raises(PromotionRefusedError, match="was compared with no champion, and version 1"):
        promoted(settings, registry)
    assert registry.resolve("champion").version == "1"


def test_the_champion_before_is_retired(settings, registry):
    """One version at a time has the status of champion."""
    evaluated(settings, registry, admitted=True, gain=0.02)
    promoted(settings, registry)
    better = evaluated(settings, registry, admitted=True, gain=0.05, champion="1")

    found = promoted(settings, registry)

    assert (found["version"], found["previous_champion"]) == (better, "1")
    assert registry.resolve("1").tags["status"] == "retired"


def test_a_version_that_was_rolled_back_is_not_promoted_again(settings, registry):
    """Who took it out knew why."""
    evaluated(settings, registry, admitted=True, gain=0.02, status="rolled_back")

    with pytest.raises(PromotionRefusedError, match=r"version 1 \(lstm\): it was rolled back"):
        promoted(settings, registry)


def test_the_program_ends_with_4_when_the_gate_refuses(registry, settings, capsys):
    """Airflow and the command line tell a refusal from a failure by its exit code."""
    evaluated(settings, registry, admitted=False, reasons=("churn: worse",))

    code = program.main(["--cutoff", str(CUTOFF), "--config", str(settings.file), "--json"])
    said = json.loads(capsys.readouterr().out.splitlines()[-1])

    assert code == said["exit_code"] == 4
    assert said["error"] == "PromotionRefusedError"
    assert "churn: worse" in said["message"]


def test_an_evaluation_of_another_cutoff_admits_nothing(settings, registry):
    """Put back over a later refusal by who writes to MLflow: its signature is a good one."""
    version = evaluated(settings, registry, admitted=True)
    old = judge(settings, registry, registry.resolve(version), cutoff="2017-11-21", admitted=True)
    admitting = {name: old.tags[name] for name in ("evaluation", "evaluation_signature")}
    judge(settings, registry, old, cutoff=str(CUTOFF), admitted=False, reasons=["churn: worse"])
    with pytest.raises(PromotionRefusedError):
        promoted(settings, registry)
    registry.set_tags(version, admitting)
    with pytest.raises(NotAdmittedError) as refused:
        promoted(settings, registry)

    assert f"version {version}: found evaluation of 2017-11-21 in the place of that of" in str(
        refused.value
    )
    with pytest.raises(NoChampionError):
        registry.resolve("champion")


@pytest.mark.parametrize("version", ["", " ", "best", "-1"])
def test_what_names_no_version_promotes_nothing(registry, settings, capsys, version):
    """Least of all an empty text, which a template makes where it finds nothing."""
    evaluated(settings, registry, admitted=True)

    with pytest.raises(SystemExit, match="2"):
        program.main(
            ["--cutoff", str(CUTOFF), "--config", str(settings.file), f"--version={version}"]
        )
    assert f"found {version!r}, expected a version or 'none'" in capsys.readouterr().err
    with pytest.raises(NoChampionError):
        registry.resolve("champion")


def test_a_refusal_stays_one_where_no_version_was_agreed_to(registry, settings, capsys):
    """Nothing was admitted, then as now: the task is red with every reason."""
    evaluated(settings, registry, admitted=False, reasons=("churn: worse",))
    arguments = ["--cutoff", str(CUTOFF), "--config", str(settings.file), "--version", "none"]

    assert program.main(arguments) == 4
    assert "churn: worse" in capsys.readouterr().err


def test_the_verdicts_are_in_the_warehouse_at_once(registry, settings, capsys):
    """Of who was promoted and of who was refused, before either has scored a night."""
    warehouse = open_warehouse(settings)
    publish(warehouse, CUTOFF)
    arguments = ["--cutoff", str(CUTOFF), "--config", str(settings.file), "--json"]
    evaluated(settings, registry, admitted=True, gain=0.02)
    evaluated(settings, registry, admitted=False, reasons=("churn: worse",))
    code = program.main([*arguments, "--by", "Ada"])
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    asked = "SELECT version, promoted_by, verdict FROM models ORDER BY version"
    rows = warehouse.query(asked).to_pylist()

    assert code == 0
    assert said["models"] == {"written": warehouse.address}
    assert [(row["version"], row["promoted_by"]) for row in rows] == [("1", "Ada"), ("2", None)]
    assert json.loads(rows[1]["verdict"])["reasons"] == ["churn: worse"]


def test_a_warehouse_that_cannot_be_written_undoes_no_promotion(registry, settings, capsys):
    """The reason is in the summary; the next night that the version scores brings its row."""
    publish(open_warehouse(settings), CUTOFF)
    evaluated(settings, registry, admitted=True, gain=0.02)
    meanwhile: list[int] = []

    def promote_now(staged: object) -> None:
        meanwhile.append(program.main(arguments))

    arguments = ["--cutoff", str(CUTOFF), "--config", str(settings.file), "--json"]
    open_warehouse(settings).publish(publication(CUTOFF, "run-2"), check=promote_now)
    said = json.loads(capsys.readouterr().out.splitlines()[-1])

    assert meanwhile == [0]
    assert "(run-2) publishing" in said["models"]["not_written"]
    assert registry.resolve("champion").version == "1"
