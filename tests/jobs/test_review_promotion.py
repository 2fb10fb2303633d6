"""What a person is shown before two promotions, or that there is nothing to agree to."""

import json
from datetime import UTC, date, datetime

import pytest

from contracts.errors import NoChampionError, PromotionRefusedError
from jobs import promote as promotion
from jobs import review_promotion as program
from jobs.registries import signing_key
from jobs.running.settings import Settings
from models.registry.registry import Registry

from .admitted import bare_version, judge, make_champion

CUTOFF = date(2017, 11, 28)
NOW = datetime(2017, 11, 28, 5, tzinfo=UTC)
EVALUATED = {"training_cutoff": str(CUTOFF), "evaluated_cutoff": str(CUTOFF), "status": "x"}
OF_DEMAND = {
    "cell": "items/28d", "measure": "wape", "against": "weekday_median_8w", "value": 0.61,
    "against_value": 0.8, "difference": 0.19, "low": 0.12, "high": 0.26,
}  # fmt: skip


def forecasters_of(settings: Settings, registry: Registry) -> Registry:
    return Registry(registry.tracking_uri, settings.demand.model, settings.artifacts_uri)


def add(settings: Settings, registry: Registry, **facts: object) -> str:
    """A version evaluated at the cutoff."""
    number = len(registry.versions())
    version = bare_version(registry, settings.home / registry.model / f"v{number}", EVALUATED)
    return judge(settings, registry, version, **facts).version


def review(settings: Settings, capsys) -> dict:
    capsys.readouterr()
    assert program.main(["--cutoff", str(CUTOFF), "--config", str(settings.file), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out.splitlines()[-1]))


def comparison(against: str, measure: str = "auroc") -> dict:
    return {
        "head": "purchase", "measure": measure, "against": against, "value": 0.83,
        "against_value": 0.82, "difference": 0.01, "low": -0.0012, "high": 0.0212,
    }  # fmt: skip


def test_the_question_shows_both_models_with_differences_and_links(
    settings, registry, capsys, monkeypatch
):
    """By the measures that decide, with their intervals; nothing of the others."""
    monkeypatch.setenv(program.PAGE, "http://localhost:5000/")
    version = add(settings, registry, gain=0.02)
    add(settings, forecasters_of(settings, registry), comparisons=[OF_DEMAND])
    settings.reports_folder.mkdir(parents=True)
    compared = [comparison("champion"), comparison("lightgbm"), comparison("recency", "brier")]
    report = settings.reports_folder / f"evaluation-{CUTOFF}.json"
    report.write_text(json.dumps({"comparisons": {version: compared}}))
    found = review(settings, capsys)
    run = registry.client.get_run(registry.resolve(version).run_id).info

    assert found["changes"]
    assert found["subject"] == "nightshift version 1 and nightshift-demand version 1"
    assert found["users"] == {"version": "1", "champion": None, "would_move": True}
    lines = found["question"].splitlines()
    assert "## nightshift: version 1 (gru) instead of no version" in lines
    assert "| purchase auroc | 0.83 | the champion | 0.82 | +0.01 | -0.0012 to +0.0212 |" in lines
    assert "| purchase auroc | 0.83 | LightGBM | 0.82 | +0.01 | -0.0012 to +0.0212 |" in lines
    assert "recency" not in found["question"]
    of_demand = "| items/28d absolute error of p50 | 0.61 | weekday median 8w | 0.8 |"
    assert f"{of_demand} +0.19 | +0.12 to +0.26 |" in lines
    assert f"The report: `{report}`." in found["question"]
    assert "[Version](http://localhost:5000/#/models/nightshift/versions/1)" in found["question"]
    card = f"/#/experiments/{run.experiment_id}/runs/{run.run_id}/artifacts/model_card.md)"
    assert f"[model card](http://localhost:5000{card}" in found["question"]


def test_where_nothing_would_change_nobody_need_be_asked(settings, registry, capsys):
    """The champion is the best admitted version, and no forecaster was admitted."""
    champion = add(settings, registry, gain=0.02)
    make_champion(settings, registry, champion)
    add(settings, registry, admitted=False, reasons=["churn: worse"], champion=champion)
    forecasters = forecasters_of(settings, registry)
    add(settings, forecasters, admitted=False, reasons=["items/7d: WAPE"])
    found = review(settings, capsys)

    assert not found["changes"]
    assert found["subject"] == ""
    assert "The champion, version 1, is the best admitted version." in found["question"]
    assert "- version 1 (gru): items/7d: WAPE" in found["question"]


def test_only_the_version_that_was_agreed_to_is_promoted(settings, registry):
    """A better one that came meanwhile has to be asked for again."""
    first = add(settings, registry, gain=0.02)
    better = add(settings, registry, gain=0.03)
    options = {"key": signing_key(settings), "cutoff": CUTOFF, "by": "Ada", "now": NOW}
    try:
        promotion.promote(registry, agreed=first, **options)
        reason = "promoted"
    except PromotionRefusedError as refused:
        reason = str(refused)
    found = promotion.promote(registry, agreed=better, **options)

    assert "found version 2 is the best now, agreed was version 1, expected" in reason
    assert found["is_promoted"]
    assert registry.resolve("champion").version == better


def test_where_the_review_showed_no_version_none_that_came_since_is_promoted(
    settings, registry, capsys
):
    """Of the one model an answer was asked for; of the other nobody has agreed to anything."""
    add(settings, registry, admitted=False, reasons=["churn: worse"])
    add(settings, forecasters_of(settings, registry))
    reviewed = review(settings, capsys)
    add(settings, registry, gain=0.02)
    arguments = ["--cutoff", str(CUTOFF), "--config", str(settings.file), "--json", "--by", "Ada"]
    code = promotion.main([*arguments, "--version", "none"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])

    assert (reviewed["changes"], reviewed["users"]["version"]) == (True, None)
    assert (code, found["is_promoted"], found["version"]) == (0, False, "2")
    assert found["why"] == "the review showed no version; version 2, admitted since, needs its own"
    with pytest.raises(NoChampionError):
        registry.resolve("champion")


def test_a_forecaster_that_was_held_is_promoted_by_its_own_verdict(settings, registry, capsys):
    """The newest one alone; refused, it ends with 4 and every reason."""
    forecasters = forecasters_of(settings, registry)
    add(settings, forecasters, comparisons=[OF_DEMAND])
    arguments = ["--cutoff", str(CUTOFF), "--config", str(settings.file), "--json", "--demand"]

    assert promotion.main([*arguments, "--by", "Ada", "--version", "1"]) == 0
    assert forecasters.resolve("champion").tags["promoted_by"] == "Ada"
    add(settings, forecasters, admitted=False, reasons=["items/7d: WAPE"], champion="1")
    assert promotion.main(arguments) == 4
    assert "items/7d: WAPE" in json.loads(capsys.readouterr().out.splitlines()[-1])["message"]
    assert forecasters.resolve("champion").version == "1"
