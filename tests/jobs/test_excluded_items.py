"""What the configuration says must not be recommended, read for a night."""

from datetime import date
from pathlib import Path

import pytest

from contracts.errors import ConfigError
from contracts.exclusions import Exclusions
from jobs.excluded_items import exclusion_of, is_excluded
from jobs.running.settings import ExclusionSettings, Settings
from models.registry.exclusion import NOTHING_EXCLUDED, Exclusion

NIGHT = date(2017, 11, 29)


def told(settings: Settings, **changes: object) -> Settings:
    changed = settings.recommendations.model_copy(update=changes)
    return settings.model_copy(update={"recommendations": changed})


def test_nothing_is_excluded_unless_it_is_said(settings):
    """Whoever buys groceries buys them again."""
    settings = settings.model_copy(update={"exclusions": ExclusionSettings()})

    assert exclusion_of(settings, NIGHT) == NOTHING_EXCLUDED
    assert exclusion_of(told(settings, exclude_bought=True), NIGHT).bought is True


def test_the_list_of_a_night_is_the_one_that_bears_its_date(settings):
    """One id a line, whatever is in it; empty lines and a byte-order mark are none."""
    settings.home.mkdir()
    (settings.home / "gone-2017-11-29.txt").write_bytes('\ufeff7\r\n\r\na, "b"\n🛒\n'.encode())
    (settings.home / "gone-2017-11-30.txt").write_text("8\n")
    (settings.home / "gone-2017-12-01.txt").write_bytes(
        " 9\t\r\n \na\u2028b\x85\n\u00a0c\n".encode()
    )
    listed = told(settings, exclude_items_file="gone-{cutoff}.txt")

    assert exclusion_of(listed, NIGHT).item_ids == {"7", 'a, "b"', "🛒"}
    assert exclusion_of(listed, date(2017, 11, 30)).item_ids == {"8"}
    assert exclusion_of(listed, date(2017, 12, 1)).item_ids == {
        *(" 9\t", "9", "a\u2028b\x85", "\u00a0c"),
    }


@pytest.mark.parametrize(
    ("content", "found"),
    [(None, "No such file or directory"), (b"\xff\xfe", "bytes that are not UTF-8")],
)
def test_a_list_that_cannot_be_read_stops_the_night(settings, content, found):
    """Nothing is offered that may be out of stock because a list came late."""
    file: Path = settings.home / "gone.txt"
    settings.home.mkdir()
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        exclusion_of(told(settings, exclude_items_file="gone.txt"), NIGHT)

    assert str(caught.value) == (
        f"recommendations.exclude_items_file: {file}: found {found}, "
        "expected a text file in UTF-8 with one item id a line. "
        "Nothing was scored. Write the file, or take the setting out, then score again."
    )


def test_petrol_and_coupon_lines_are_excluded_in_the_shipped_configuration(settings):
    """From the lists, and from demand: one block of the configuration holds for both."""
    assert exclusion_of(settings, NIGHT) == Exclusion(
        rules=Exclusions(categories=("COUPON/MISC ITEMS", "FUEL"))
    )


NAMES = [
    "FUEL",
    "fuel",
    "FUELS",
    "",
    "a.b",
    "axb",
    "a\nb",
    "O'Hara \\Q x",
    "🛒",
    "🛒🛒",
    "[x]",
    "7",
    "^$",
]
PATTERNS = [
    "FUEL",
    "f*",
    "?",
    "??",
    "a?b",
    "a.b",
    "[A-F]*",
    "[!a-zA-Z]",
    "*Hara \\*",
    "[[]x]",
    "^$",
]


@pytest.mark.spark
@pytest.mark.parametrize("pattern", PATTERNS)
def test_spark_excludes_what_python_excludes(spark, pattern):
    """The series are made by one, the lists by the other: a pattern means the same to both."""
    rules = Exclusions(item_patterns=(pattern,))
    frame = spark.createDataFrame([(name, None) for name in NAMES], "item string, kind string")
    column = is_excluded(rules, item_id="item", category="kind").alias("out")
    found = [row["out"] for row in frame.select(column).collect()]

    assert found == rules.excluded(NAMES, [""] * len(NAMES))
    assert any(found)
