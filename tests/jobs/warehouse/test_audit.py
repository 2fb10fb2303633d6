"""The audit: what a night must be, and what each broken night is told."""

from dataclasses import replace
from datetime import date, timedelta

import pyarrow as pa
import pytest

from contracts.errors import AuditError
from contracts.exclusions import Exclusions
from contracts.tables import CATEGORY_DEMAND, ITEM_DEMAND, USER_RECOMMENDATIONS, USER_SCORES, Table
from jobs.warehouse.audit import DECILES, RANGES, Expectations, audit, check_sums, failures_of
from jobs.warehouse.drift import distributions
from jobs.warehouse.fingerprint import fingerprint

CUTOFF = date(2017, 11, 29)
NUM_USERS = 12
ACTIVE_DAYS = 60
USERS = [f"u{n:02d}" for n in range(NUM_USERS)]


def user_scores(**changes: list[object]) -> pa.Table:
    shares = [(n + 1) / 20 for n in range(NUM_USERS)]
    deciles = pa.array([(10 * (n + 1) + NUM_USERS - 1) // NUM_USERS for n in range(NUM_USERS)])
    columns: dict[str, object] = {
        "cutoff": [CUTOFF] * NUM_USERS,
        "user_id": USERS,
        "purchase_probability_7d": shares,
        "purchase_decile": deciles.cast(pa.int32()),
        "churn_probability_28d": shares,
        "churn_decile": deciles.cast(pa.int32()),
        "expected_spend_28d": [100 * share for share in shares],
        "spend_decile": deciles.cast(pa.int32()),
        "model_name": ["nightshift"] * NUM_USERS,
        "model_version": ["3"] * NUM_USERS,
        "run_id": ["abc"] * NUM_USERS,
        "scored_at": pa.array([0] * NUM_USERS, pa.timestamp("us", "UTC")),
        "last_event_date": [CUTOFF - timedelta(days=ACTIVE_DAYS)] * NUM_USERS,
    }
    return pa.table({**columns, **changes})


def recommendations(**changes: list[object]) -> pa.Table:
    columns: dict[str, object] = {
        "cutoff": [CUTOFF] * 2 * NUM_USERS,
        "user_id": [user for user in USERS for _ in range(2)],
        "rank": pa.array([1, 2] * NUM_USERS, pa.int32()),
        "item_id": ["milk", "bread"] * NUM_USERS,
        "score": [0.2, 0.1] * NUM_USERS,
    }
    return pa.table({**columns, **changes})


def item_demand(**changes: list[object]) -> pa.Table:
    days = [CUTOFF + timedelta(days=n) for n in range(2)]
    columns: dict[str, object] = {
        "cutoff": [CUTOFF] * 4,
        "item_id": ["milk", "milk", "bread", "bread"],
        "category": ["dairy", "dairy", "bakery", "bakery"],
        "target_date": days * 2,
        "units_p10": [1.0] * 4,
        "units_p50": [2.0] * 4,
        "units_p90": [3.0] * 4,
        "expected_units": [2.0] * 4,
        "model_version": ["weekday-mean-8w"] * 4,
    }
    return pa.table({**columns, **changes})


def category_demand(**changes: list[object]) -> pa.Table:
    return item_demand(**changes).drop("item_id")


EXPECTED = Expectations(
    cutoff=CUTOFF,
    user_ids=pa.chunked_array([USERS]),
    hashes={},
    offered_ids=pa.chunked_array([USERS]),
    num_recommendations=2 * NUM_USERS,
    demand_days=2,
    catalogue=pa.array(["milk", "bread", "eggs", "petrol"]),
    excluded=pa.array(["petrol"]),
    exclusions=Exclusions(categories=("fuel",), item_patterns=("gift *",)),
    before={},
    max_psi=0.25,
    churn_active_days=ACTIVE_DAYS,
)
SOUND = {
    USER_SCORES: user_scores(),
    USER_RECOMMENDATIONS: recommendations(),
    ITEM_DEMAND: item_demand(),
    CATEGORY_DEMAND: category_demand(),
}


def test_a_sound_night_passes():
    """The audit has nothing to say of rows that keep every promise."""
    audit(SOUND, EXPECTED)


def shares(first: float) -> list[float]:
    return [first, *user_scores()["purchase_probability_7d"].to_pylist()[1:]]


@pytest.mark.parametrize(
    ("table", "rows", "said"),
    [
        (
            USER_SCORES,
            user_scores(purchase_probability_7d=[None, *shares(0)[1:]]),
            ["1 nulls in purchase_probability_7d, expected 0"],
        ),
        (
            USER_SCORES,
            user_scores(user_id=[*USERS[:-1], USERS[0]]),
            ["12 rows for 11 keys (cutoff, user_id)", "1 of 12 users in sequences missing"],
        ),
        (
            USER_SCORES,
            user_scores().slice(1),
            ["1 of 12 users in sequences missing, 0 users not in them"],
        ),
        (
            USER_SCORES,
            user_scores(user_id=["stranger", *USERS[1:]]),
            ["1 of 12 users in sequences missing, 1 users not in them"],
        ),
        (
            USER_SCORES,
            user_scores(cutoff=[CUTOFF - timedelta(days=1), *[CUTOFF] * 11]),
            ["rows of 2017-11-28, expected only 2017-11-29"],
        ),
        (
            USER_SCORES,
            user_scores(purchase_probability_7d=shares(-0.5)),
            ["1 values of purchase_probability_7d from -0.5 to -0.5, expected 0 to 1"],
        ),
        (
            USER_SCORES,
            user_scores(churn_probability_28d=shares(float("nan"))),
            ["1 values of churn_probability_28d are not finite"],
        ),
        (
            USER_SCORES,
            user_scores(expected_spend_28d=[-1.0, *[2.0] * 11]),
            ["1 values of expected_spend_28d from -1 to -1, expected 0 to inf"],
        ),
        (
            USER_SCORES,
            user_scores(spend_decile=pa.array([1] * 12, pa.int32())),
            ["spend_decile has groups of 0 to 12 users, expected sizes that differ by 1 at most"],
        ),
        (
            USER_SCORES,
            user_scores(purchase_probability_7d=shares(0.99)),
            ["1 users of higher purchase_probability_7d than one in a purchase_decile above"],
        ),
        (
            USER_SCORES,
            user_scores(last_event_date=[CUTOFF - timedelta(days=ACTIVE_DAYS + 1)] * 12),
            ["12 users who were not active in the 60 days before 2017-11-29 have a churn_prob"],
        ),
        (
            USER_SCORES,
            user_scores(
                churn_probability_28d=pa.array([None] * 12, pa.float64()),
                churn_decile=pa.array([None] * 12, pa.int32()),
            ),
            ["12 users who were active in the 60 days before 2017-11-29 have no churn_prob"],
        ),
        (
            USER_SCORES,
            user_scores(churn_probability_28d=[None, *shares(0)[1:]]),
            ["1 users have a churn_decile without a churn_probability_28d, or the reverse"],
        ),
        (
            USER_SCORES,
            user_scores(churn_decile=pa.array([None] * 12, pa.int32())),
            ["12 users have a churn_decile without a churn_probability_28d, or the reverse"],
        ),
        (
            USER_SCORES,
            user_scores(last_event_date=pa.array([None] * 12, pa.date32())),
            ["12 users who were not active in the 60 days before 2017-11-29 have a churn_prob"],
        ),
        (
            USER_SCORES,
            user_scores(last_event_date=[CUTOFF] * 12),
            ["12 values of last_event_date are not before 2017-11-29"],
        ),
        (
            USER_SCORES,
            user_scores(spend_decile=pa.array([None] * 12, pa.int32())),
            ["12 nulls in spend_decile, expected 0"],
        ),
        (
            USER_RECOMMENDATIONS,
            recommendations(rank=pa.array([1, 3] * 12, pa.int32())),
            ["12 ranks do not follow the one before, expected 1, 2, 3, …"],
        ),
        (
            USER_RECOMMENDATIONS,
            recommendations(rank=pa.array([0, 1] * 12, pa.int32())),
            ["12 ranks do not follow the one before, expected 1, 2, 3, …"],
        ),
        (
            USER_RECOMMENDATIONS,
            recommendations(score=[0.1, 0.2] * 12),
            ["12 scores are above that of the rank before"],
        ),
        (
            USER_RECOMMENDATIONS,
            recommendations(item_id=["milk", "unicorn"] * 12),
            ["1 items are not in the catalogue (unicorn)"],
        ),
        (
            USER_RECOMMENDATIONS,
            recommendations(item_id=["milk", "petrol"] * 12),
            ["1 excluded items (petrol) are offered in 12 rows, from rank 2 on"],
        ),
        (
            ITEM_DEMAND,
            item_demand(item_id=["gift 5", "gift 5", "milk", "milk"]),
            ["1 excluded items (gift 5) are forecast"],
        ),
        (
            ITEM_DEMAND,
            item_demand(category=["fuel"] * 4),
            ["2 excluded items (bread, milk) are forecast"],
        ),
        (
            CATEGORY_DEMAND,
            category_demand(category=["fuel", "fuel", "dairy", "dairy"]),
            ["1 excluded categories (fuel) are forecast"],
        ),
        (
            USER_RECOMMENDATIONS,
            recommendations().slice(0, 23),
            ["23 rows, expected 24"],
        ),
        (ITEM_DEMAND, item_demand(units_p10=[9.0] * 4), ["4 rows whose quantiles cross"]),
        (
            ITEM_DEMAND,
            item_demand(target_date=[CUTOFF - timedelta(days=1), CUTOFF] * 2),
            [
                "target dates from 2017-11-28 to 2017-11-29 (2 days), "
                "expected the 2 days from 2017-11-29 on"
            ],
        ),
        (ITEM_DEMAND, item_demand().slice(1), ["3 rows for 2 values of item_id, expected 4"]),
        (ITEM_DEMAND, item_demand().slice(4), ["0 whole rows, expected at least 1"]),
        (
            CATEGORY_DEMAND,
            category_demand().slice(1),
            ["3 rows for 2 values of category, expected 4"],
        ),
        (CATEGORY_DEMAND, category_demand(units_p90=[0.0] * 4), ["4 rows whose quantiles cross"]),
        (
            CATEGORY_DEMAND,
            category_demand(category=["dairy"] * 4),
            ["4 rows for 2 keys (cutoff, category, target_date)"],
        ),
        (
            CATEGORY_DEMAND,
            category_demand(category=["dairy", "dairy", "bakery", None]),
            ["1 nulls in category, expected 0"],
        ),
    ],
)
def test_each_broken_promise_is_named_with_its_numbers(
    table: Table, rows: pa.Table, said: list[str]
) -> None:
    """A red night says which promise broke, in which table, and by how much."""
    failures = "; ".join(failures_of(table, rows, EXPECTED))

    for sentence in said:
        assert sentence in failures


def test_one_changed_bit_on_the_way_is_seen():
    """What is published must be what the lake holds, not only as many rows; order is nothing."""
    columns = tuple(USER_SCORES.column_names[:3])
    lake = fingerprint(user_scores(), columns)
    changed = user_scores(purchase_probability_7d=shares(0.05 + 1e-17 + 7e-18))
    expected = replace(EXPECTED, hashes={USER_SCORES: (columns, lake)})
    backwards = user_scores().take(list(range(NUM_USERS))[::-1])

    assert failures_of(USER_SCORES, user_scores(), expected) == []
    assert failures_of(USER_SCORES, backwards, expected) == []
    assert failures_of(USER_SCORES, changed, expected) == [
        f"rows {fingerprint(changed, columns)} where the lake has {lake}"
    ]


def test_scores_that_moved_overnight_are_named_with_their_index():
    """A model that says of everybody what it said of nobody yesterday is looked at first."""
    many = pa.concat_tables([user_scores()] * 100)  # few users move by chance
    before = distributions(USER_SCORES, many)
    moved = many.set_column(
        many.column_names.index("churn_probability_28d"),
        "churn_probability_28d",
        pa.array([0.99] * many.num_rows),
    )
    expected = replace(EXPECTED, before=before)

    def said(rows: pa.Table) -> list[str]:
        return [one for one in failures_of(USER_SCORES, rows, expected) if "moved" in one]

    assert said(many) == []
    assert said(moved) == [
        "churn_probability_28d of those asked has moved since the night before: "
        "a stability index of 13.40, expected at most 0.25 (audit.max_psi)"
    ]


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (item_demand(), []),
        (item_demand(expected_units=[2.0, 2.0, 2.0, 2.0 + 1e-6]), []),
        (
            item_demand(expected_units=[2.0, 2.0, 2.0, 2.0 + 3e-6]),
            ["the expected units of items miss 1 of 4 sums, bakery on 2017-11-30 by 3e-06"],
        ),
        (
            item_demand(expected_units=[2.0, 2.5, 2.0, 2.25]),
            ["the expected units of items miss 2 of 4 sums, dairy on 2017-11-30 by 0.5"],
        ),
        (item_demand().slice(1), ["1 categories and days with a row and without items"]),
        (
            item_demand(category=["dairy", "dairy", "bakery", "fish"]),
            [
                "1 categories and days with a row and without items",
                "1 categories and days with items and without a row",
            ],
        ),
    ],
)
def test_the_items_of_a_category_add_up_to_it_on_every_day(items: pa.Table, said: list[str]):
    """Within the tolerance; a category without items does not, nor do items without a category."""
    found = check_sums(items, category_demand())

    assert len(found) == len(said)
    assert all(one.startswith(start) for one, start in zip(found, said, strict=True))


def test_two_tables_that_do_not_add_up_are_red():
    """Each table alone has nothing wrong with it."""
    halves = item_demand(expected_units=[1.0] * 4)
    with pytest.raises(AuditError) as caught:
        audit({**SOUND, ITEM_DEMAND: halves}, EXPECTED)

    assert "category_demand: the expected units of items miss 4 of 4 sums" in str(caught.value)


def test_recommendations_may_come_in_any_order():
    """Ranks are checked user by user, wherever the rows lie."""
    shuffled = recommendations().take([*range(0, 24, 2), *range(1, 24, 2)])

    assert failures_of(USER_RECOMMENDATIONS, shuffled, EXPECTED) == []


def test_fewer_than_ten_users_have_deciles_too():
    """Three users fall into three of the ten groups; the best is still in the tenth."""
    few = user_scores().slice(0, 3)
    for name in DECILES:
        few = few.set_column(few.column_names.index(name), name, pa.array([4, 7, 10], pa.int32()))
    expected = replace(EXPECTED, user_ids=pa.chunked_array([USERS[:3]]))

    assert failures_of(USER_SCORES, few, expected) == []


def test_the_error_lists_every_failure_and_says_that_nothing_was_published():
    """One look at a red night shows all that is wrong with it, in every table."""
    broken = {
        USER_SCORES: user_scores(purchase_probability_7d=shares(-0.5)),
        ITEM_DEMAND: item_demand(units_p10=[9.0] * 4),
    }
    with pytest.raises(AuditError) as caught:
        audit(broken, EXPECTED)

    assert caught.value.exit_code == 3
    assert str(caught.value) == (
        "the night of 2017-11-29: found user_scores: 1 values of purchase_probability_7d from "
        "-0.5 to -0.5, expected 0 to 1; item_demand: 4 rows whose quantiles cross, "
        "expected every audit check to hold. "
        "Nothing was published and the tables of the night before still answer. "
        "Correct what made these rows, run that job again, then publish again."
    )


def test_every_decile_and_bounded_unit_of_the_contract_is_checked():
    """A new column of such a unit cannot slip past the audit."""
    assert {c.name for c in USER_SCORES.columns if c.unit == "1 to 10"} == set(DECILES)
    assert {c.unit for t in SOUND for c in t.columns if c.unit} <= set(RANGES)
