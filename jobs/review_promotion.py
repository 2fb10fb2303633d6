"""Show what a promotion would change: of the users' model and of the demand forecaster together.

reads   registry  the signed verdicts of the versions evaluated at the cutoff, and the champions
        reports/evaluation-YYYY-MM-DD.json, for the differences
writes  nothing: the summary's ``question`` is Markdown for whoever has to agree

    python -m jobs.review_promotion --cutoff 2017-11-28 --json
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.promotion_choice import Choice, choose
from jobs.registries import open_registry, verdict_key
from jobs.running.program import run
from jobs.running.settings import Settings
from models.demand.judging import MEASURES
from models.judging.rule import NAMES, GateRule
from models.registry.registry import ModelVersion, Registry

PAGE = "NIGHTSHIFT_MLFLOW_PAGE"  # environment: MLflow's address for a browser, if it is another
HEADER = ("measure", "new version", "compared with", "its value", "better by", "interval")


def main(argv: Sequence[str] | None = None) -> int:
    return run(
        "review_promotion",
        body,
        argv,
        description="Show what a promotion would change.",
        is_kept=False,
    )


def body(options: argparse.Namespace, settings: Settings) -> Mapping[str, Any]:
    cutoff, key = options.cutoff, verdict_key(settings)
    users = open_registry(settings)
    forecasters = open_registry(settings, settings.demand.model)
    choices = {
        "users": choose(users, key=key, cutoff=cutoff),
        "demand": choose(forecasters, key=key, cutoff=cutoff, newest_alone=True),
    }
    report = settings.reports_folder / f"evaluation-{cutoff}.json"
    changing = [choice for choice in choices.values() if choice.would_move]
    return {
        "changes": bool(changing),
        "subject": " and ".join(
            f"{choice.model} version {choice.winner.version}"
            for choice in changing
            if choice.winner
        ),
        "question": "\n\n".join(
            [
                *_of_model(choices["users"], users, _of_users(choices["users"], settings, report)),
                *_of_model(choices["demand"], forecasters, _of_demand(choices["demand"])),
            ]
        ),
        **{
            name: {
                "version": choice.winner.version if choice.winner else None,
                "champion": choice.champion.version if choice.champion else None,
                "would_move": choice.would_move,
            }
            for name, choice in choices.items()
        },
    }


def _of_model(choice: Choice, registry: Registry, table: Sequence[str]) -> list[str]:
    """What a person is told of one model."""
    now = f"version {choice.champion.version}" if choice.champion else "no version"
    if choice.winner is None:
        reasons = "\n".join(f"- {reason}" for reason in choice.reasons)
        return [f"## {choice.model}: nothing changes", f"{now} stays champion.", reasons]
    if not choice.would_move:
        return [
            f"## {choice.model}: nothing changes",
            f"The champion, {now}, is the best admitted version.",
        ]
    winner = choice.winner
    return [
        f"## {choice.model}: version {winner.version} ({winner.encoder}) instead of {now}",
        *table,
        *(f"- {reason}" for reason in ([] if table else choice.reasons)),
        links(registry, winner),
    ]


def _of_users(choice: Choice, settings: Settings, report: Path) -> list[str]:
    """The differences that decide, with their intervals; nothing where there is no report."""
    if choice.winner is None or not report.is_file():
        return []
    document = json.loads(report.read_text())
    compared = document["comparisons"].get(choice.winner.version, [])
    rows = [
        _row(f"{one['head']} {one['measure']}", NAMES[one["against"]], one)
        for one in compared
        if _decides(one, settings.gate)
    ]
    confidence = f"Better by: more is better, with the {settings.gate.confidence:.0%} interval."
    return [_table(rows), f"{confidence} The report: `{report}`."]


def _decides(one: Mapping[str, Any], gate: GateRule) -> bool:
    rule = gate.by_head.get(one["head"])
    if rule is None or one["measure"] != rule.measure:
        return False
    return one["against"] in ("champion", rule.not_worse_than)


def _of_demand(choice: Choice) -> list[str]:
    """What the forecaster gains on the best rule and on the champion, on the weeks that judged."""
    rows = [
        _row(f"{one['cell']} {MEASURES[one['measure']]}", one["against"].replace("_", " "), one)
        for one in choice.facts.get("comparisons", [])
        if one["measure"] in ("wape", "p90_loss")  # what is expected, and what is ordered for
    ]
    if not rows:
        return []
    return [_table(rows), "Errors are shares of what was sold; an interval is over days."]


def links(registry: Registry, version: ModelVersion) -> str:
    """To the version, its card and its figures, where MLflow is a server; else where they are."""
    page = os.environ.get(PAGE, registry.tracking_uri).rstrip("/")
    run = registry.client.get_run(version.run_id).info
    if not page.startswith("http"):
        return f"Run `{run.run_id}` in MLflow: card, figures and verdict."
    of_run = f"{page}/#/experiments/{run.experiment_id}/runs/{run.run_id}"
    of_version = f"{page}/#/models/{version.name}/versions/{version.version}"
    return (
        f"[Version]({of_version}) · [model card]({of_run}/artifacts/model_card.md) · "
        f"[figures and verdict]({of_run}/artifacts)"
    )


def _row(measure: str, against: str, one: Mapping[str, Any]) -> Sequence[str]:
    """One comparison, in the order of `HEADER`."""
    return (
        measure,
        _number(one["value"]),
        against,
        _number(one["against_value"]),
        _number(one["difference"], sign="+"),
        f"{_number(one['low'], sign='+')} to {_number(one['high'], sign='+')}",
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [HEADER, ["---"] * len(HEADER), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float | None, *, sign: str = "") -> str:
    """Without a value where it is no number."""
    return "–" if value is None else f"{value:{sign}.4g}"


if __name__ == "__main__":
    sys.exit(main())
