"""Series: what was sold of each item on each day, zeros included."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from contracts.exclusions import Exclusions
from contracts.tables import EVENTS, SERIES
from contracts.windows import history_window, one_day
from jobs.build_series import build_series, main, units_by_day
from jobs.lake.lake import open_lake

pytestmark = pytest.mark.spark

CUTOFF = date(2017, 7, 4)
NOON = datetime(2017, 7, 3, 16, tzinfo=UTC)  # of the day before the cutoff, in New York
OPTIONS = {
    "cutoff": CUTOFF,
    "history_days": 3,
    "top_items": 10,
    "exclusions": Exclusions(categories=("FUEL",)),
    "money": "net",
    "zone": "America/New_York",
}
DDL = (
    "event_id string, user_id string, item_id string, event_type string, event_time timestamp, "
    "category string, price double, quantity double, amount double, session_hint string, "
    "text string, properties map<string,string>, ingest_date date"
)


def sale(item, hours=0, *, quantity=1.0, amount=1.0, category="SOUP", kind="purchase"):
    time = NOON + timedelta(hours=hours)
    name = f"{item} {hours} {quantity}"
    return name, "u", item, kind, time, category, None, quantity, amount, None, None, {}, CUTOFF


def series(spark, *events, **changes):
    frame = spark.createDataFrame(list(events), DDL)
    found = build_series(frame, **{**OPTIONS, **changes}).collect()
    return {(row["item_id"], row["day"].day): row for row in found}


def test_every_day_of_the_window_has_a_row(spark):
    """A day without a sale is a zero; days are the business zone's; the cutoff is not seen."""
    found = series(
        spark,
        *(sale("a"), sale("a", 1, quantity=2.0, amount=0.2), sale("a", 2, amount=0.1)),
        *(sale("a", 11.99), sale("a", 12), sale("a", -61), sale("b", -60)),
    )
    units = {key: row["units"] for key, row in found.items()}

    assert units == {
        ("a", 1): 0.0,
        ("a", 2): 0.0,
        ("a", 3): 5.0,
        ("b", 1): 1.0,
        ("b", 2): 0.0,
        ("b", 3): 0.0,
    }
    assert found["a", 3]["revenue"] == 2.3


def test_a_sale_at_the_cutoff_is_not_seen(spark):
    """It puts no item among the chosen, and changes the category of none."""
    at_cutoff = [sale("later", 12), sale("a", 12, category="LATER")]
    found = series(spark, sale("a"), *at_cutoff)

    assert {item for item, _ in found} == {"a"}
    assert {row["category"] for row in found.values()} == {"SOUP"}


RETURNS = (
    *(
        sale("a", -24, quantity=5.0, amount=10.0),
        sale("a", quantity=-3.0, amount=-6.0, kind="return"),
    ),
    *(sale("b", quantity=None), sale("b", 1, quantity=2.0, amount=4.0)),
    sale("b", 2, quantity=-4.0, amount=-8.0),  # a correction: a purchase below 0
    *(sale("b", -24), sale("b", -23, quantity=None, amount=None, kind="return")),
    *(sale("c", kind="view", amount=9.0), sale("d", quantity=-1.0, kind="return")),
)


@pytest.mark.parametrize(
    ("money", "units", "revenue"),
    [
        ("net", {("a", 2): 5.0, ("a", 3): -3.0, ("b", 2): 0.0, ("b", 3): -1.0}, -6.0),
        ("gross", {("a", 2): 5.0, ("a", 3): 0.0, ("b", 2): 1.0, ("b", 3): 3.0}, 0.0),
    ],
)
def test_a_day_is_net_of_what_came_back_on_it_or_gross(spark, money, units, revenue):
    """A return counts on its own day, not on that of the purchase; a view is no sale.

    An item that only came back is not for sale, and has no series.
    """
    found = series(spark, *RETURNS, money=money)
    moved = {key: row["units"] for key, row in found.items() if key[1] > 1}
    net_items = {item for item, _ in units} - ({"b"} if money == "net" else set())

    assert {item for item, _ in found} == net_items
    assert moved == {key: value for key, value in units.items() if key[0] in net_items}
    assert found["a", 3]["revenue"] == revenue


def test_items_are_chosen_by_days_of_sales(spark):
    """Not by units; ties follow the item id; excluded categories are out, unknown ones are not."""
    events = [
        *(sale("often"), sale("often", -24), sale("much", quantity=99.0)),
        *(sale("fuel", category="FUEL"), sale("fuel", -24, category="FUEL")),
        *(sale("none", category=None), sale("none", -24, category=None), sale("zero", -1)),
    ]
    found = series(spark, *events, top_items=3)

    assert {item for item, _ in found} == {"often", "none", "much"}
    assert found["none", 3]["category"] is None


def test_the_category_is_the_one_that_was_named_last(spark):
    """As the model has it; a later purchase that names none takes it from nobody."""
    found = series(
        spark,
        *(sale("a", -24, category="OLD"), sale("a", category="NEW"), sale("a", 1, category=None)),
    )

    assert {row["category"] for row in found.values()} == {"NEW"}


def test_an_item_is_excluded_whole_by_its_category_its_id_or_a_pattern(spark):
    """Not line by line: an item that became FUEL has no sales of another category left."""
    found = series(
        spark,
        *(sale("a", -24, category="SOUP"), sale("a", category="FUEL")),
        *(sale("b"), sale("gift_50"), sale("Gift_50"), sale("c.1"), sale("cx1")),
        exclusions=Exclusions(
            categories=("FUEL",), item_ids=("b",), item_patterns=("gift_*", "c.?")
        ),
    )

    assert {item for item, _ in found} == {"Gift_50", "cx1"}


def test_a_night_writes_its_cutoff_and_again_the_same(spark, settings, capsys):
    """Run twice, the partition has an equal content hash."""
    lake = open_lake(settings)
    day = CUTOFF - timedelta(days=1)
    frame = spark.createDataFrame([(*sale("a")[:-1], day)], DDL)
    lake.replace(frame, EVENTS, window=one_day(day), run_key="i", reads={})
    argv = ["--cutoff", str(CUTOFF), "--config", str(settings.file), "--json"]
    said = []
    for _ in range(2):
        assert main(argv) == 0
        said.append(json.loads(capsys.readouterr().out)["tables"]["series"])

    assert said[0]["content_hash"] == said[1]["content_hash"]
    assert said[0]["rows"] == settings.series.history_days
    assert lake.partitions(SERIES) == [CUTOFF]


def test_units_by_day_are_those_of_the_series_without_its_zeros(spark):
    """What a training of demand reads counts as the series does: returns, categories, zone."""
    events = spark.createDataFrame(
        [
            sale("a", -24, category="OLD"),
            sale("a", 11.99),
            sale("a", 12),
            sale("f", category="FUEL"),
        ],
        DDL,
    )
    window = history_window(CUTOFF, days=3)
    found = units_by_day(
        events, window=window, exclusions=OPTIONS["exclusions"], money="net", zone=OPTIONS["zone"]
    ).collect()

    assert {(row["item_id"], row["category"], row["day"].day, row["units"]) for row in found} == {
        ("a", "SOUP", 2, 1.0),
        ("a", "SOUP", 3, 1.0),
    }
