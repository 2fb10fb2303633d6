"""What is neither recommended nor forecast: by category, by id, by pattern."""

import pytest

from contracts.exclusions import Exclusions

ITEMS = ["milk", "petrol", "GIFT_10", "gift_10", "POST", "22423", "22423A", "a[b]"]
CATEGORIES = ["FRESH", "FUEL", "", "", "", "HOME", "HOME GARDEN", "HOME"]


@pytest.mark.parametrize(
    ("rules", "out"),
    [
        ({}, []),
        ({"categories": ["FUEL"]}, ["petrol"]),
        ({"categories": [""]}, ["GIFT_10", "gift_10", "POST"]),
        ({"category_patterns": ["HOME*"]}, ["22423", "22423A", "a[b]"]),
        ({"item_ids": ["22423"]}, ["22423"]),
        ({"item_patterns": ["GIFT_*"]}, ["GIFT_10"]),
        ({"item_patterns": ["[A-Z]*"]}, ["GIFT_10", "POST"]),
        ({"item_patterns": ["[!0-9]*[!0-9]"]}, ["milk", "petrol", "POST", "a[b]"]),
        ({"item_patterns": ["22423?"]}, ["22423A"]),
        ({"item_patterns": ["a[[]b]"]}, ["a[b]"]),
        ({"item_patterns": ["2242", "*23"], "categories": ["FUEL"]}, ["petrol", "22423"]),
    ],
)
def test_an_item_is_excluded_by_its_category_or_by_its_id(rules, out):
    """A pattern is over the whole name; what it does not speak of is an ordinary character."""
    excluded = Exclusions(**{name: tuple(some) for name, some in rules.items()}).excluded(
        ITEMS, CATEGORIES
    )

    assert [item for item, is_out in zip(ITEMS, excluded, strict=True) if is_out] == out
