"""What must hold of a night's rows before anyone may read them.

Pure checks over Arrow tables. Each returns sentences, one for each promise that does not hold, with
the numbers; no sentence means that it holds. `audit` runs them all and raises AuditError with every
sentence, so that one look at a red night shows all that is wrong with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import AuditError
from contracts.exclusions import Exclusions
from contracts.tables import (
    CATEGORY_DEMAND,
    ITEM_DEMAND,
    SUM_TOLERANCE,
    USER_RECOMMENDATIONS,
    USER_SCORES,
    Table,
)
from contracts.windows import label_window
from jobs.warehouse.drift import check_drift
from jobs.warehouse.fingerprint import Fingerprint, fingerprint
from jobs.warehouse.row_hashes import distinct, row_hashes

# What a unit of `contracts/tables.py` says of the values: the least and the greatest allowed.
RANGES: dict[str, tuple[float, float]] = {
    "0 to 1": (0, 1),
    "1 to 10": (1, 10),
    "currency": (0, np.inf),
    "units": (0, np.inf),
}
DECILES = {  # of `user_scores`: the decile, and what it ranks
    "purchase_decile": "purchase_probability_7d",
    "churn_decile": "churn_probability_28d",
    "spend_decile": "expected_spend_28d",
}
CHURN = DECILES["churn_decile"]
SERIES_OF = {ITEM_DEMAND: "item_id", CATEGORY_DEMAND: "category"}  # what each forecasts by day


@dataclass(frozen=True)
class Expectations:
    """What the lake holds for the night: what the staged rows are held against."""

    cutoff: date
    user_ids: pa.ChunkedArray  # of the sequences that the scores were made from
    hashes: Mapping[Table, tuple[tuple[str, ...], Fingerprint]]  # columns, and their hash as read
    offered_ids: pa.ChunkedArray  # users to whom anything is recommended
    num_recommendations: int
    demand_days: int
    catalogue: pa.Array  # items that the model can recommend, excluded or not
    excluded: pa.Array  # those of them that the configuration excludes
    exclusions: Exclusions  # of items and categories that have a forecast
    before: Mapping[
        str, list[int]
    ]  # score → the night before's users in each bin, if there was one
    max_psi: float  # how far a score may move in a night
    churn_active_days: int  # churn is asked of users with an event in these days before the cutoff


def audit(staged: Mapping[Table, pa.Table], expected: Expectations) -> None:
    """Raise AuditError, listing every check that failed, unless all of them hold."""
    failures = [
        f"{table.name}: {failure}"
        for table, rows in staged.items()
        for failure in failures_of(table, rows, expected)
    ]
    if ITEM_DEMAND in staged and CATEGORY_DEMAND in staged:
        sums = check_sums(staged[ITEM_DEMAND], staged[CATEGORY_DEMAND])
        failures += [f"{CATEGORY_DEMAND.name}: {failure}" for failure in sums]
    if failures:
        raise AuditError(
            f"the night of {expected.cutoff}",
            found="; ".join(failures),
            expected="every audit check to hold",
            do="Nothing was published and the tables of the night before still answer. "
            "Correct what made these rows, run that job again, then publish again.",
        )


def failures_of(table: Table, rows: pa.Table, expected: Expectations) -> list[str]:
    """All that is wrong with one table's staged rows."""
    failures = check_nulls(table, rows)
    if table in expected.hashes:
        columns, read = expected.hashes[table]
        failures += check_hash(rows, columns, read)
    if failures:
        rows = _whole(table, rows)
    if rows.num_rows == 0:
        return [*failures, "0 whole rows, expected at least 1"]
    failures += [
        *check_key(table, rows),
        *check_cutoff(rows, expected.cutoff),
        *check_ranges(table, rows),
    ]
    if table is USER_SCORES:
        failures += check_users(rows, expected.user_ids)
        failures += check_asked(rows, expected.cutoff, active_days=expected.churn_active_days)
        failures += [said for name in DECILES for said in check_decile(rows, name)]
        failures += check_drift(rows, expected.before, max_psi=expected.max_psi)
    if table is USER_RECOMMENDATIONS:
        failures += check_users(rows, expected.offered_ids)
        failures += check_num_rows(rows, expected.num_recommendations)
        failures += check_ranks(rows)
        failures += check_catalogue(rows, expected.catalogue)
        failures += check_offers(rows, expected.excluded)
    if table in SERIES_OF:
        failures += check_forecasts(table, rows, expected.exclusions)
        failures += check_quantiles(rows)
        failures += check_days(
            rows, SERIES_OF[table], expected.cutoff, demand_days=expected.demand_days
        )
    return failures


def check_nulls(table: Table, rows: pa.Table) -> list[str]:
    """No null where the contract allows none."""
    counts = {
        column.name: rows[column.name].null_count for column in table.columns if not column.nullable
    }
    return [f"{count} nulls in {name}, expected 0" for name, count in counts.items() if count]


def _whole(table: Table, rows: pa.Table) -> pa.Table:
    """The rows with a value wherever the contract wants one."""
    for column in table.columns:
        if not column.nullable and rows[column.name].null_count:
            rows = rows.filter(rows[column.name].is_valid())
    return rows


def check_asked(rows: pa.Table, cutoff: date, *, active_days: int) -> list[str]:
    """Churn has an answer for every user who was active lately, and for no other.

    A null anywhere else is one of `check_nulls`, or of a decile that has no group.
    """
    last = rows["last_event_date"]
    since = pa.scalar(cutoff - timedelta(days=active_days))
    is_active = pc.fill_null(pc.greater_equal(last, since), False)
    is_answered = rows[CHURN].is_valid()
    wrong = {
        f"users who were active in the {active_days} days before {cutoff} have no {CHURN}": pc.and_(
            is_active, pc.invert(is_answered)
        ),
        f"users who were not active in the {active_days} days before {cutoff} have a {CHURN}": (
            pc.and_(is_answered, pc.invert(is_active))
        ),
        f"values of last_event_date are not before {cutoff}": pc.fill_null(
            pc.greater_equal(last, pa.scalar(cutoff)), False
        ),
    }
    counts = {said: pc.sum(is_wrong).as_py() or 0 for said, is_wrong in wrong.items()}
    return [f"{count} {said}" for said, count in counts.items() if count]


def check_key(table: Table, rows: pa.Table) -> list[str]:
    """No two rows with the same key."""
    if len(distinct(row_hashes(rows, table.key))) == rows.num_rows:
        return []
    num_keys = rows.group_by(list(table.key)).aggregate([]).num_rows
    key = ", ".join(table.key)
    return (
        [f"{rows.num_rows} rows for {num_keys} keys ({key})"] if num_keys != rows.num_rows else []
    )


def check_cutoff(rows: pa.Table, cutoff: date) -> list[str]:
    """Every row is of this night."""
    found = [day for day in pc.unique(rows["cutoff"]).to_pylist() if day != cutoff]
    return [f"rows of {', '.join(map(str, found))}, expected only {cutoff}"] if found else []


def check_ranges(table: Table, rows: pa.Table) -> list[str]:
    """Numbers are finite and inside what their unit allows."""
    failures = []
    for column in table.columns:
        if column.type not in ("float64", "int32", "int64"):
            continue
        values = rows[column.name].drop_null().to_numpy()
        low, high = RANGES.get(column.unit, (-np.inf, np.inf))
        if len(values) == 0:
            continue
        least, greatest = values.min(), values.max()  # nan where any value is
        if np.isfinite([least, greatest]).all() and low <= least and greatest <= high:
            continue
        values = values.astype(np.float64)
        finite = values[np.isfinite(values)]
        if len(finite) < len(values):
            failures.append(f"{len(values) - len(finite)} values of {column.name} are not finite")
        outside = finite[(finite < low) | (finite > high)]
        if len(outside):
            failures.append(
                f"{len(outside)} values of {column.name} from {outside.min():g} to "
                f"{outside.max():g}, expected {low:g} to {high:g}"
            )
    return failures


def check_users(rows: pa.Table, user_ids: pa.ChunkedArray) -> list[str]:
    """The same users as in the sequences that were scored: none missing, none from elsewhere."""
    once = without_neighbours(rows["user_id"])  # which is each of them, where they lie together
    here, there = (pa.table({"user_id": users}) for users in (once, user_ids))
    if fingerprint(here, ["user_id"]) == fingerprint(there, ["user_id"]):
        return []
    here, there = (distinct(row_hashes(users, ("user_id",))) for users in (here, there))
    if np.array_equal(here, there):
        return []
    found = pc.unique(rows["user_id"])
    missing = pc.sum(pc.invert(pc.is_in(user_ids, value_set=found))).as_py()
    extra = pc.sum(pc.invert(pc.is_in(found, value_set=user_ids))).as_py()
    if not missing and not extra:
        return []
    return [f"{missing} of {len(user_ids)} users in sequences missing, {extra} users not in them"]


def without_neighbours(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values that differ from the one before."""
    differs = pc.not_equal(values.slice(1), values.slice(0, max(len(values) - 1, 0)))
    return values.filter(
        pa.chunked_array([pa.array([True][: len(values)], pa.bool_()), *differs.chunks])
    )


def check_num_rows(rows: pa.Table, num_rows: int) -> list[str]:
    return [f"{rows.num_rows} rows, expected {num_rows}"] if rows.num_rows != num_rows else []


def check_decile(rows: pa.Table, name: str) -> list[str]:
    """Ten groups whose sizes differ by one at most, the tenth with the highest values.

    The groups are of the users who have the value, and of no others.
    """
    has_value = rows[DECILES[name]].is_valid()
    apart = pc.sum(pc.not_equal(has_value, rows[name].is_valid())).as_py() or 0
    if apart:
        return [f"{apart} users have a {name} without a {DECILES[name]}, or the reverse"]
    rows = rows.filter(has_value)
    if not rows.num_rows:
        return []
    deciles = rows[name].to_numpy()
    counts = np.bincount(deciles.clip(0, 11), minlength=12)[1:11]
    if counts.max() - counts.min() > 1 or counts.sum() != rows.num_rows:
        sizes = f"{counts.min()} to {counts.max()}"
        return [f"{name} has groups of {sizes} users, expected sizes that differ by 1 at most"]
    values = rows[DECILES[name]].to_numpy()
    lowest_above, num_above = np.inf, 0
    for decile in range(10, 0, -1):
        inside = values[deciles == decile]
        num_above += int((inside > lowest_above).sum())
        lowest_above = min(lowest_above, inside.min(initial=np.inf))
    return [f"{num_above} users of higher {DECILES[name]} than one in a {name} above"] * (
        num_above > 0
    )


def check_ranks(rows: pa.Table) -> list[str]:
    """Each user's ranks are 1, 2, 3, … and the score never rises with the rank."""
    users = row_hashes(rows, ("user_id",))
    if (users[1:] != users[:-1]).sum() + 1 != len(distinct(users)):  # not yet user by user
        rows = rows.sort_by([("user_id", "ascending"), ("rank", "ascending")])
        users = row_hashes(rows, ("user_id",))
    ranks = rows["rank"].to_numpy()
    scores = rows["score"].to_numpy()
    same = users[1:] == users[:-1]
    expected = np.where(same, ranks[:-1] + 1, 1)
    num_holes = int((ranks[1:] != expected).sum() + (ranks[0] != 1))
    num_rises = int((same & (scores[1:] > scores[:-1])).sum())
    failures = []
    if num_holes:
        failures.append(f"{num_holes} ranks do not follow the one before, expected 1, 2, 3, …")
    if num_rises:
        failures.append(f"{num_rises} scores are above that of the rank before")
    return failures


def check_catalogue(rows: pa.Table, catalogue: pa.Array) -> list[str]:
    """Whatever is offered can be bought."""
    offered = pc.unique(rows["item_id"])
    unknown = offered.filter(pc.invert(pc.is_in(offered, value_set=catalogue)))
    some = ", ".join(map(str, unknown[:3].to_pylist()))
    return [f"{len(unknown)} items are not in the catalogue ({some})"] if len(unknown) else []


def check_offers(rows: pa.Table, excluded: pa.Array) -> list[str]:
    """Nothing that is excluded is offered, at any rank."""
    offered = rows.filter(pc.is_in(rows["item_id"], value_set=excluded))
    if not offered.num_rows:
        return []
    items = pc.unique(offered["item_id"]).sort()
    some = ", ".join(map(str, items[:3].to_pylist()))
    return [
        f"{len(items)} excluded items ({some}) are offered in {offered.num_rows} rows, "
        f"from rank {pc.min(offered['rank'])} on"
    ]


def check_forecasts(table: Table, rows: pa.Table, exclusions: Exclusions) -> list[str]:
    """Nothing that is excluded is forecast."""
    name = SERIES_OF[table]
    series = rows.group_by([*dict.fromkeys([name, "category"])]).aggregate([])
    names, categories = series[name].to_pylist(), series["category"].to_pylist()
    if table is ITEM_DEMAND:
        is_out = exclusions.excluded(names, categories)
    else:
        is_out = [*map(exclusions.excludes_category, categories)]
    out = sorted(name for name, excluded in zip(names, is_out, strict=True) if excluded)
    what = "items" if table is ITEM_DEMAND else "categories"
    return [f"{len(out)} excluded {what} ({', '.join(out[:3])}) are forecast"] if out else []


def check_quantiles(rows: pa.Table) -> list[str]:
    """p10, p50, p90 never cross."""
    p10, p50, p90 = (rows[f"units_p{n}"].to_numpy() for n in (10, 50, 90))
    crossed = int(((p10 > p50) | (p50 > p90)).sum())
    return [f"{crossed} rows whose quantiles cross"] if crossed else []


def check_days(rows: pa.Table, name: str, cutoff: date, *, demand_days: int) -> list[str]:
    """Every series has a forecast for every day of the horizon, and for no other day."""
    window = label_window(cutoff, horizon_days=demand_days)
    days = set(pc.unique(rows["target_date"]).to_pylist())
    num_series = len(pc.unique(rows[name]))
    failures = []
    if days != set(window.days):
        failures.append(
            f"target dates from {min(days)} to {max(days)} ({len(days)} days), "
            f"expected the {demand_days} days from {cutoff} on"
        )
    if rows.num_rows != num_series * demand_days:
        failures.append(
            f"{rows.num_rows} rows for {num_series} values of {name}, "
            f"expected {num_series * demand_days}"
        )
    return failures


def check_sums(of_items: pa.Table, of_categories: pa.Table) -> list[str]:
    """The expected units of a category's items add up to those of the category, on each day."""
    key = ["category", "target_date"]
    both = (
        of_items.group_by(key)
        .aggregate([("expected_units", "sum")])
        .join(of_categories.select([*key, "expected_units"]), key, join_type="full outer")
        .sort_by([(name, "ascending") for name in key])
    )
    items, category = (both[name] for name in ("expected_units_sum", "expected_units"))
    failures = [
        f"{missing} categories and days with {here} and without {there}"
        for missing, here, there in (
            (items.null_count, "a row", "items"),
            (category.null_count, "items", "a row"),
        )
        if missing
    ]
    apart = pc.abs(pc.subtract(items, category)).fill_null(0).to_numpy()
    allowed = SUM_TOLERANCE * np.maximum(category.fill_null(0).to_numpy(), 1.0)
    if (is_wrong := apart > allowed).any():
        worst = int((apart - allowed).argmax())
        failures.append(
            f"the expected units of items miss {is_wrong.sum()} of {len(apart)} sums, "
            f"{both['category'][worst]} on {both['target_date'][worst]} by {apart[worst]:g}"
        )
    return failures


def check_hash(rows: pa.Table, columns: tuple[str, ...], read: Fingerprint) -> list[str]:
    """What is published is what was read from the lake, to the last bit, in whatever order."""
    found = fingerprint(rows, columns)
    return [f"rows {found} where the lake has {read}"] if found != read else []
