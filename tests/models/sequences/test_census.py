"""What a log names is counted alike in whichever parts it comes."""

from datetime import date

import numpy as np
import pytest

from contracts.windows import instant
from models.sequences.census import Census
from models.sequences.history import Histories
from models.sequences.vocabulary import Vocabulary

EVENTS = [
    ("u", "2017-01-02T10:00:00", "apple1", 1.0),
    ("u", "2017-01-03T10:00:00", "bread", -2.0),
    ("v", "2017-01-01T10:00:00", "apple1", 3.0),
    ("v", "2017-01-04T10:00:00", "cream", 4.0),
    ("w", "2017-01-05T10:00:00", "apple1", 5.0),
]


@pytest.fixture
def rows(sequences):
    """One row per user; the last user's apple has become a pear."""
    table = sequences(EVENTS)
    categories = [*table["categories"].to_pylist()[:2], ["PEAR"]]
    place = table.schema.get_field_index("categories")
    return table.set_column(place, table.schema.field(place), [categories])


def counted(*parts) -> Census:
    census = Census()
    for part in parts:
        census.add(Histories.from_arrow(part))
    return census


def test_parts_in_any_order_count_as_the_whole(rows):
    """Shards of users, the last first, or none at all in one of them: the same names and counts."""
    parts = [rows.slice(n, 1) for n in range(3)]

    assert counted(*parts) == counted(*parts[::-1]) == counted(rows) == counted(rows, rows[:0])
    assert counted(rows).item_counts == {"apple1": 3, "bread": 1, "cream": 1}


def test_an_item_is_of_the_category_that_it_had_last(rows):
    """By time, not by who is counted last."""
    for census in (counted(rows), counted(rows[2:], rows[:2])):
        vocabulary = Vocabulary.counted(
            census, amounts=np.ones(1), quantities=np.ones(1), min_item_count=1, text_buckets=0
        )

        assert vocabulary.categories[vocabulary.item_categories[0] - 1] == "PEAR"


def test_names_that_only_later_events_bear_are_not_known(rows, zone):
    """What a log names from the label limit on is no part of what training knows."""
    seen = Histories.from_arrow(rows).before(instant(date(2017, 1, 3), zone))

    assert Census.of(seen).categories == {"APPLE"}
    assert Census.of(seen).event_types == {"purchase"}


@pytest.mark.parametrize("parts", [1, 3], ids=["together", "user by user"])
def test_an_event_that_names_no_category_takes_none_away(sequences, parts):
    """The latest line may come from a source that knows none: the item keeps what it was."""
    table = sequences(EVENTS)
    categories = [["APPLE", "BREAD"], ["APPLE", "CREAM"], [""]]
    place = table.schema.get_field_index("categories")
    table = table.set_column(place, table.schema.field(place), [categories])
    rows = [table] if parts == 1 else [table.slice(n, 1) for n in range(3)]

    found = {item: name for item, (_, name) in counted(*rows).item_categories.items()}

    assert found == {"apple1": "APPLE", "bread": "BREAD", "cream": "CREAM"}
