"""Write the page of a night: what was published, by which model, and how far it can be trusted.

reads   warehouse  what was published for the cutoff
reads   registry   the version whose scores these are, and its training curves
reads   lake       `series` for past demand, `sessions` for visits
reads   reports/   the evaluation that this version was promoted by
reads   summaries/ what each program of the night said of itself
writes  reports/YYYY-MM-DD/index.html, whole or not at all

    python -m jobs.report --cutoff 2017-11-29

A part that cannot be had is named in the page with its reason: a report never fails a night.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import NightshiftError
from contracts.night import NIGHT
from contracts.tables import PUBLISHED, REFUSED, SERIES, SESSIONS
from contracts.windows import history_window, one_day
from jobs.lake.lake import open_lake
from jobs.registries import open_registry
from jobs.running.program import run
from jobs.running.settings import Settings
from jobs.running.summaries import read_summaries
from jobs.standing import Standing
from jobs.warehouse.warehouse import Warehouse, open_warehouse
from models.pages.night import ItemDemand, Missing, Page, Scores, Sessions, render
from models.pages.parts import Attempts
from models.registry.registry import ModelVersion, Registry
from models.whole_files import write_whole

NUM_ITEMS = 6
SHOWN_DAYS = 28  # of past demand and of visits
NUM_BARS = 30
T = TypeVar("T")
CURVES = ("train/loss", "val/")  # logged measures whose names start so


def main(argv: Sequence[str] | None = None) -> int:
    return run("report", body, argv, description="Write the night's HTML page.")


def body(options: argparse.Namespace, settings: Settings) -> Mapping[str, Any]:
    cutoff: date = options.cutoff
    page = gather(settings, cutoff)
    file = settings.reports_folder / cutoff.isoformat() / "index.html"
    file.parent.mkdir(parents=True, exist_ok=True)
    attempt = Attempts()
    write_whole(file, render(page, attempt), replaces=True)
    absent = {name: part.reason for name, part in vars(page).items() if isinstance(part, Missing)}
    absent |= attempt.failures
    return {"report": str(file), "bytes": file.stat().st_size, "missing": absent}


def gather(settings: Settings, cutoff: date) -> Page:
    """Everything that the page shows, each part on its own."""
    warehouse = open_warehouse(settings)
    champion = part(lambda: answered_by(open_registry(settings), warehouse, cutoff))
    return Page(
        cutoff=cutoff,
        model=settings.mlflow.model,
        ledger=part(lambda: read_ledger(warehouse, cutoff)),
        scores=part(lambda: read_scores(warehouse, cutoff)),
        champion=champion if isinstance(champion, Missing) else describe(champion),
        evaluation=part(lambda: read_evaluation(settings.reports_folder, champion, cutoff)),
        demand=part(lambda: read_demand(settings, warehouse, cutoff)),
        sessions=part(lambda: read_sessions(settings, cutoff)),
        training=part(lambda: read_training(settings, champion)),
        seconds=part(lambda: read_seconds(settings.home, cutoff)),
        missed_days=part(lambda: Standing(settings).missed_days(before=cutoff)),
    )


def part(read: Callable[[], T | Missing]) -> T | Missing:
    """What was read, or why it could not be, whatever the reason."""
    try:
        return read()
    except NightshiftError as error:
        return Missing(str(error))
    except Exception as error:  # a page that misses a part is better than none
        return Missing(f"{type(error).__name__}: {error}")


def answered_by(registry: Registry, warehouse: Warehouse, cutoff: date) -> ModelVersion | Missing:
    """The version that the night's rows name: it may be no champion any more, nor one yet.

    A night pins one version; where rows of several are found, that of most rows.
    """
    versions = warehouse.query(
        "SELECT model_version FROM user_scores WHERE cutoff = $1 "
        "GROUP BY model_version ORDER BY count(*) DESC, model_version LIMIT 1",
        cutoff,
    )["model_version"].to_pylist()
    if not versions:
        return Missing(f"user_scores has no row for {cutoff}.")
    return registry.resolve(versions[0])


def read_ledger(warehouse: Warehouse, cutoff: date) -> list[dict[str, Any]] | Missing:
    """The last entry of each table: what is there, and what was refused after it, if anything."""
    rows = warehouse.query(
        "SELECT table_name, outcome, reason, num_rows, content_hash, run_key, published_at "
        "FROM publish_ledger WHERE cutoff = $1 ORDER BY published_at, run_key",
        cutoff,
    ).to_pylist()
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if row["outcome"] == PUBLISHED:
            last.pop((row["table_name"], REFUSED), None)
        last[row["table_name"], row["outcome"]] = {
            **row,
            "published_at": row["published_at"].astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        }
    found = [last[key] for key in sorted(last, reverse=True)]
    return found or Missing(f"the ledger has no row for {cutoff}.")


def read_scores(warehouse: Warehouse, cutoff: date) -> Scores | Missing:
    (total,) = warehouse.query(
        "SELECT count(*) AS users, coalesce(sum(purchase_probability_7d), 0) AS buyers, "
        "count(churn_probability_28d) AS asked, "
        "count(*) FILTER (WHERE churn_probability_28d > 0.5) AS leavers, "
        "coalesce(sum(expected_spend_28d), 0) AS spend, "
        "coalesce(percentile_cont(0.99) WITHIN GROUP (ORDER BY expected_spend_28d), 0) AS high "
        "FROM user_scores WHERE cutoff = $1",
        cutoff,
    ).to_pylist()
    if not total["users"]:
        return Missing(f"user_scores has no row for {cutoff}.")
    uppers = {
        "purchase_probability_7d": 1.0,
        "churn_probability_28d": 1.0,
        "expected_spend_28d": max(total["high"], 1.0),
    }
    distributions = {}
    for column, upper in uppers.items():
        bars = warehouse.query(
            f"SELECT CAST(least(floor({column} / {upper} * {NUM_BARS}), {NUM_BARS - 1}) "
            "AS INTEGER) AS bar, count(*) AS users FROM user_scores "
            f"WHERE cutoff = $1 AND {column} IS NOT NULL GROUP BY 1",
            cutoff,
        ).to_pylist()
        counts = {row["bar"]: row["users"] for row in bars}
        distributions[column] = [
            [(bar + 1) * upper / NUM_BARS, counts.get(bar, 0) / max(sum(counts.values()), 1)]
            for bar in range(NUM_BARS)
        ]
    return Scores(
        num_users=total["users"],
        expected_buyers=total["buyers"],
        asked_about_churn=total["asked"],
        likely_to_leave=total["leavers"],
        expected_spend=total["spend"],
        distributions=distributions,
    )


def describe(champion: ModelVersion) -> dict[str, Any]:
    return {
        "version": champion.version,
        "encoder": champion.encoder,
        "training_cutoff": champion.training_cutoff.isoformat(),
        "promoted_at": champion.tags.get("promoted_at"),
        "promoted_by": champion.tags.get("promoted_by"),
        "run_id": champion.run_id,
    }


def read_evaluation(
    folder: Path, champion: ModelVersion | Missing, cutoff: date
) -> dict[str, Any] | Missing:
    """The newest evaluation up to the night that judged the version; without one, the newest."""
    version = None if isinstance(champion, Missing) else champion.version
    newest: dict[str, Any] | None = None
    for file in sorted(folder.glob("evaluation-*.json"), reverse=True):
        if file.stem.removeprefix("evaluation-") > cutoff.isoformat():
            continue
        try:
            document: dict[str, Any] = json.loads(file.read_text())
        except ValueError as error:
            return Missing(f"{file} is damaged ({error}): evaluate again.")
        if version is None or version in document["verdicts"]:
            return document
        newest = newest or document
    return newest or Missing(f"no evaluation up to {cutoff} in {folder}.")


def read_demand(
    settings: Settings, warehouse: Warehouse, cutoff: date
) -> list[ItemDemand] | Missing:
    rows = warehouse.query(
        "SELECT item_id, target_date, units_p10, expected_units, units_p90 "
        "FROM item_demand WHERE cutoff = $1 AND item_id IN ("
        "SELECT item_id FROM item_demand WHERE cutoff = $1 GROUP BY item_id "
        f"ORDER BY sum(expected_units) DESC, item_id LIMIT {NUM_ITEMS}) ORDER BY target_date",
        cutoff,
    ).to_pylist()
    if not rows:
        return Missing(f"item_demand has no row for {cutoff}.")
    expected: dict[str, list[tuple[str, float, float, float]]] = {}
    for row in rows:
        expected.setdefault(row["item_id"], []).append(
            (
                row["target_date"].isoformat(),
                row["units_p10"],
                row["expected_units"],
                row["units_p90"],
            )
        )
    past = part(lambda: read_past(settings, cutoff, expected))
    known = {} if isinstance(past, Missing) else past
    items = [
        ItemDemand(item, known.get(item, ("", []))[0], known.get(item, ("", []))[1], days)
        for item, days in expected.items()
    ]
    return sorted(items, key=lambda item: -sum(day[2] for day in item.expected))


def read_past(
    settings: Settings, cutoff: date, items: Iterable[str]
) -> dict[str, tuple[str, list[tuple[str, float]]]]:
    """Item → its category, and units sold on each of the last days."""
    columns = ["item_id", "category", "day", "units"]
    series = open_lake(settings).read_arrow(SERIES, window=one_day(cutoff), columns=columns)
    recent = pc.and_(
        pc.is_in(series["item_id"], pa.array(list(items), pa.string())),
        pc.greater_equal(series["day"], cutoff - timedelta(days=SHOWN_DAYS)),
    )
    found: dict[str, tuple[str, list[tuple[str, float]]]] = {}
    for row in series.filter(recent).sort_by("day").to_pylist():
        _, sold = found.setdefault(row["item_id"], (row["category"] or "", []))
        sold.append((row["day"].isoformat(), row["units"]))
    return found


def read_sessions(settings: Settings, cutoff: date) -> Sessions | Missing:
    window = history_window(cutoff, days=SHOWN_DAYS)
    columns = ["session_date", "is_converted", "spend"]
    rows = open_lake(settings).read_arrow(SESSIONS, window=window, columns=columns)
    if not len(rows):
        return Missing(f"no session from {window.start} to {window.end}.")
    counted = rows.group_by("session_date").aggregate([([], "count_all")]).to_pylist()
    by_day = {row["session_date"]: row["count_all"] for row in counted}
    return Sessions(
        days=[day.isoformat() for day in window.days],
        counts=[by_day.get(day, 0) for day in window.days],
        converted=pc.sum(rows["is_converted"]).as_py() or 0,
        spend=pc.sum(rows["spend"]).as_py() or 0.0,
    )


def read_training(
    settings: Settings, champion: ModelVersion | Missing
) -> dict[str, dict[str, list[list[float]]]] | Missing:
    """Measure → encoder and version → [step, value], of all that were trained with the version."""
    if isinstance(champion, Missing):
        return Missing("there is no version whose training could be shown.")
    registry: Registry = open_registry(settings)
    trained = registry.versions(training_cutoff=champion.training_cutoff.isoformat())
    curves: dict[str, dict[str, list[list[float]]]] = {}
    for version in trained[-3:]:
        name = f"{version.encoder}, version {version.version}"
        for measure in sorted(registry.client.get_run(version.run_id).data.metrics):
            if measure.startswith(CURVES):
                history = registry.client.get_metric_history(version.run_id, measure)
                points = sorted([float(point.step), float(point.value)] for point in history)
                curves.setdefault(measure, {})[name] = points
    return curves or Missing("the runs hold no curve.")


def read_seconds(home: Path, cutoff: date) -> dict[str, float] | Missing:
    """Step → seconds of its latest run for the cutoff, in the order of a night."""
    said = read_summaries(home, cutoff)
    names = [step.program.name for step in NIGHT]
    seconds = {name: float(said[name]["seconds"]) for name in names if name in said}
    return seconds or Missing(
        f"no step of the night {cutoff} has left its summary in {home}/summaries."
    )


if __name__ == "__main__":
    sys.exit(main())
