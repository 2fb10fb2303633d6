"""The questions of the readers, asked of two published nights, on every database."""

import re
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from contracts.tables import (
    CATEGORY_DEMAND,
    DEMAND,
    DEMAND_BY_CATEGORY,
    ITEM_DEMAND,
    SCORES,
    USER_RECOMMENDATIONS,
    USER_SCORES,
)
from jobs.lake.column_types import arrow_schema
from jobs.warehouse.example_queries import Question, questions
from jobs.warehouse.night_rows import (
    category_demand,
    item_demand,
    user_recommendations,
    user_scores,
)
from jobs.warehouse.publication import Staged
from jobs.warehouse.warehouse import Warehouse

from .one_night import NOON, TUESDAY, WEDNESDAY, accept, models, open_at, publication

ITEMS = ["milk", "bread", "eggs", "O'Hara's tea", "🍎"]
CATEGORIES = {"milk": "fresh", "eggs": "fresh", "🍎": "fresh", "bread": "", "O'Hara's tea": "dry"}
NOTHING = dict.fromkeys(("units_p10", "units_p50", "units_p90", "expected_units"), 0.0)
Answers = dict[str, dict[str, list[tuple]]]  # database → question → rows


def night(cutoff: date, *, seed: int) -> Staged:
    """Sixty users and five items, as the jobs before would leave them."""
    random = np.random.default_rng(seed)
    users = []
    for n in range(60):
        items = random.permutation(ITEMS)[:3].tolist()
        users.append(
            {
                "user_id": f"user-{n:02d}",
                "purchase_probability_7d": random.random(),
                "churn_probability_28d": random.random() if n % 3 else None,
                "last_event_date": cutoff - timedelta(days=1 if n % 3 else 61),
                "expected_spend_28d": 100 * random.random(),
                "recommended_item_ids": items,
                "recommended_scores": [0.3, 0.2, 0.1],
                "embedding": [],
                "model_name": "nightshift",
                "model_version": "1",
                "run_id": "abc",
                "cutoff": cutoff,
            }
        )
    units = []
    for item in ITEMS:
        for n in range(28):
            p50 = 10 * random.random()
            units.append(
                {
                    "item_id": item,
                    "category": CATEGORIES[item],
                    "target_date": cutoff + timedelta(days=n),
                    "units_p10": p50 / 2,
                    "units_p50": p50,
                    "units_p90": p50 * (1 + random.random()),
                    "expected_units": p50 * 1.1,
                    "model_version": "weekday-mean-8w",
                    "cutoff": cutoff,
                }
            )
    sums: Any = {}
    for row in units:
        total = sums.setdefault((row["category"], row["target_date"]), {**row, **NOTHING})
        for name in NOTHING:
            total[name] += row[name]
    by_category = [{n: row[n] for n in DEMAND_BY_CATEGORY.column_names} for row in sums.values()]
    scores = pa.Table.from_pylist(users, schema=arrow_schema(SCORES))
    return {
        USER_SCORES: user_scores(scores, scored_at=NOON),
        USER_RECOMMENDATIONS: user_recommendations(scores),
        ITEM_DEMAND: item_demand(pa.Table.from_pylist(units, schema=arrow_schema(DEMAND))),
        CATEGORY_DEMAND: category_demand(
            pa.Table.from_pylist(by_category, schema=arrow_schema(DEMAND_BY_CATEGORY))
        ),
    }


TWO_NIGHTS = {TUESDAY: night(TUESDAY, seed=1), WEDNESDAY: night(WEDNESDAY, seed=2)}


@pytest.fixture
def warehouse(warehouse_uri: str) -> Warehouse:
    made = open_at(warehouse_uri)
    for cutoff, rows in TWO_NIGHTS.items():
        made.publish(publication(cutoff, f"run-{cutoff}", nightly=rows), check=accept)
    return made


def ask(warehouse: Warehouse, question: Question) -> list[dict[str, Any]]:
    return list(warehouse.query(question.sql.rstrip().rstrip(";")).to_pylist())


def test_every_question_has_an_answer_and_it_is_what_plain_python_says(warehouse):
    """Each is asked as it stands; the answers are those of the rows that were published."""
    answers = {question.name: ask(warehouse, question) for question in questions()}
    expected = by_hand()

    assert len(answers) >= 10
    assert {*answers} == {*expected}
    for name, found in answers.items():
        rows = [tuple(row.values())[: len(expected[name][0])] for row in found]
        assert rows == [pytest.approx(row) for row in expected[name]], name


def test_every_table_names_the_model_that_its_own_rows_are_by(warehouse_uri):
    """Scores are by the users' model, forecasts by the forecaster, or by a rule, which is none."""
    warehouse = open_at(warehouse_uri)
    by_version = {
        table: rows.set_column(
            rows.schema.get_field_index("model_version"),
            rows.schema.field("model_version"),
            pa.array(["nightshift-demand/2"] * len(rows), pa.string()),
        )
        for table, rows in TWO_NIGHTS[WEDNESDAY].items()
        if table is ITEM_DEMAND
    }
    forecaster = {**models().to_pylist()[0], "name": "nightshift-demand", "version": "2"}
    both = pa.Table.from_pylist(
        [*models().to_pylist(), {**forecaster, "encoder": "gru", "training_cutoff": WEDNESDAY}],
        schema=models().schema,
    )
    night = {**TWO_NIGHTS[WEDNESDAY], **by_version}
    warehouse.publish(publication(WEDNESDAY, nightly=night, models=both), check=accept)
    (question,) = (one for one in questions() if one.name == "11-fresh")
    found = ask(warehouse, question)
    begun = datetime(2017, 11, 29, tzinfo=ZoneInfo(warehouse.time_zone))
    hours = (datetime.now(UTC) - begun).total_seconds() / 3600
    of_users = {"said_by": "nightshift/1", "encoder": "lstm", "training_cutoff": TUESDAY}

    assert [abs(row.pop("hours") - hours) < 1 for row in found] == [True] * 4
    assert found == [
        {"table_name": name, "cutoff": WEDNESDAY, "status": "error", **said}
        for name, said in (
            (
                "category_demand",
                {"said_by": "weekday-mean-8w", "encoder": None, "training_cutoff": None},
            ),
            (
                "item_demand",
                {"said_by": "nightshift-demand/2", "encoder": "gru", "training_cutoff": WEDNESDAY},
            ),
            ("user_recommendations", of_users),
            ("user_scores", of_users),
        )
    ]


def test_what_to_reorder_is_answered_for_every_week_however_many_items_there_are(warehouse_uri):
    """Three hundred items and four weeks are twelve hundred rows."""
    warehouse, night = open_at(warehouse_uri), TWO_NIGHTS[WEDNESDAY]
    of_milk = [row for row in night[ITEM_DEMAND].to_pylist() if row["item_id"] == "milk"]
    rows = [{**row, "item_id": f"item-{n:03d}"} for n in range(300) for row in of_milk]
    many = {**night, ITEM_DEMAND: pa.Table.from_pylist(rows, schema=arrow_schema(ITEM_DEMAND))}
    warehouse.publish(publication(WEDNESDAY, nightly=many), check=accept)
    (question,) = (one for one in questions() if one.name == "07-reorder")
    weeks = Counter(row["week"] for row in ask(warehouse, question))

    assert weeks == {1: 300, 2: 300, 3: 300, 4: 300}


@pytest.mark.parametrize("question", questions(), ids=lambda one: one.name)
def test_no_question_adds_up_quantiles(question):
    """The sum of daily p90 is no p90 of the sum: whoever ordered by it would order too much."""
    assert not re.search(r"sum\s*\(\s*(\w+\.)?units_p", question.sql, re.IGNORECASE)


def by_hand() -> Answers:
    """The first columns of each answer, from the published rows."""
    users = TWO_NIGHTS[WEDNESDAY][USER_SCORES].to_pylist()
    before = {row["user_id"]: row for row in TWO_NIGHTS[TUESDAY][USER_SCORES].to_pylist()}
    offers = TWO_NIGHTS[WEDNESDAY][USER_RECOMMENDATIONS].to_pylist()
    demand = TWO_NIGHTS[WEDNESDAY][ITEM_DEMAND].to_pylist()
    first = {row["user_id"]: row["item_id"] for row in offers if row["rank"] == 1}
    buys, leaves, spends = (
        "purchase_probability_7d",
        "churn_probability_28d",
        "expected_spend_28d",
    )
    answers: Any = {}
    wavering = [u for u in users if 0.2 <= u[buys] <= 0.6 and u["spend_decile"] >= 6]
    wavering.sort(key=lambda u: (-u[spends], u["user_id"]))
    answers["01-coupon"] = [
        (u["user_id"], u[buys], u[spends], first[u["user_id"]]) for u in wavering
    ]
    leaving = sorted((u for u in users if u["churn_decile"] == 10), key=lambda u: -u[spends])
    answers["02-leaving"] = [
        (u["user_id"], u["last_event_date"], u[leaves], u[spends]) for u in leaving
    ]
    asked = [u for u in users if u[leaves] is not None]
    assert (len(asked), len(leaving)) == (40, 4)
    sure = [u for u in asked if u["purchase_decile"] == 10 and u["churn_decile"] <= 3]
    sure.sort(key=lambda u: -u[buys])
    answers["03-without-coupon"] = [(u["user_id"], u[buys], u[leaves]) for u in sure]
    reached, total = 0.0, sum(u[buys] for u in users)
    answers["04-reach"] = []
    for decile in range(10, 0, -1):
        some = [u[buys] for u in users if u["purchase_decile"] == decile]
        reached += sum(some)
        answers["04-reach"].append((decile, len(some), sum(some), reached / total))
    worse = [u for u in asked if u[leaves] > before[u["user_id"]][leaves]]
    worse.sort(key=lambda u: before[u["user_id"]][leaves] - u[leaves])
    answers["05-worse"] = [(u["user_id"], before[u["user_id"]][leaves], u[leaves]) for u in worse]
    shown: dict[str, int] = defaultdict(int)
    for row in offers:
        shown[row["item_id"]] += 1
    answers["06-audience"] = sorted(shown.items(), key=lambda one: (-one[1], one[0]))
    weeks: Any = defaultdict(lambda: [0.0, 0.0])
    days: dict[date, float] = defaultdict(float)
    week: Any = defaultdict(lambda: [0.0, 0.0, 0.0])
    for row in demand:
        n = (row["target_date"] - WEDNESDAY).days
        weeks[n // 7 + 1, row["item_id"]][0] += row["expected_units"]
        week_of_item = weeks[n // 7 + 1, row["item_id"]]
        week_of_item[1] = max(week_of_item[1], row["units_p90"])
        days[row["target_date"]] += row["expected_units"]
        if n < 7:
            for place, name in enumerate(("units_p50", "units_p90", "expected_units")):
                week[row["item_id"]][place] += row[name]
    answers["07-reorder"] = [
        (item, number, WEDNESDAY + timedelta(days=7 * (number - 1)), *units)
        for (number, item), units in sorted(weeks.items(), key=lambda one: (one[0][0], -one[1][0]))
    ]
    answers["08-safety"] = sorted(
        ((item, p50 / 7, p90 / 7, (p90 - p50) / 7) for item, (p50, p90, _) in week.items()),
        key=lambda one: -one[3],
    )
    answers["09-busy-days"] = sorted(days.items(), key=lambda one: -one[1])[:7]
    wanted: Any = defaultdict(lambda: [0, 0.0])
    for u in users:
        wanted[first[u["user_id"]]][0] += 1
        wanted[first[u["user_id"]]][1] += u[buys]
    answers["10-campaign-stock"] = sorted(
        ((item, num, buyers, week[item][2]) for item, (num, buyers) in wanted.items()),
        key=lambda one: -one[2],
    )
    answers["11-fresh"] = [
        (name, WEDNESDAY, "error")
        for name in ("category_demand", "item_demand", "user_recommendations", "user_scores")
    ]
    shelves: Any = defaultdict(lambda: [0.0, 0.0])
    for row in TWO_NIGHTS[WEDNESDAY][CATEGORY_DEMAND].to_pylist():
        if (row["target_date"] - WEDNESDAY).days < 7:
            shelf = shelves[row["category"]]
            shelves[row["category"]] = [
                shelf[0] + row["expected_units"],
                max(shelf[1], row["units_p90"]),
            ]
    answers["12-categories"] = sorted(
        (
            (category, *shelf, [*CATEGORIES.values()].count(category))
            for category, shelf in shelves.items()
        ),
        key=lambda one: -one[1],
    )
    return answers
