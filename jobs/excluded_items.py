"""What a night must not recommend, nor forecast: `exclusions` and `recommendations`.

`exclusions` hold for lists and demand alike, by category, id and pattern; `recommendations` for
lists alone. ``exclude_bought`` leaves out what a user has bought before. ``exclude_items_file``
names a text file, one item id a line in UTF-8, of what can be offered to nobody, such as what is
out of stock; ``{cutoff}`` in its name stands for the night's, so that a past night finds the list
that it had.
"""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column
from pyspark.sql import functions as F

from contracts.errors import ConfigError
from contracts.exclusions import Exclusions, alternatives
from jobs.running.settings import Settings
from models.registry.exclusion import Exclusion


def exclusion_of(settings: Settings, cutoff: date) -> Exclusion:
    """Raises ConfigError where the file is not there, or is no list of item ids."""
    said = settings.recommendations
    items: frozenset[str] = frozenset()
    if said.exclude_items_file is not None:
        items = _read(settings, said.exclude_items_file.replace("{cutoff}", str(cutoff)))
    return Exclusion(bought=said.exclude_bought, item_ids=items, rules=settings.exclusions.rules)


def is_excluded(exclusions: Exclusions, *, item_id: str, category: str) -> Column:
    """Of columns of these names: never null; a category that is null is ''."""
    named = F.coalesce(F.col(category), F.lit(""))
    return _is_one(F.col(item_id), exclusions.item_ids, exclusions.item_patterns) | _is_one(
        named, exclusions.categories, exclusions.category_patterns
    )


def _is_one(column: Column, names: Sequence[str], patterns: Sequence[str]) -> Column:
    found = column.isin(*names) if names else F.lit(False)
    return found | column.rlike(rf"\A(?:{alternatives(patterns)})\z") if patterns else found


def _read(settings: Settings, name: str) -> frozenset[str]:
    file = settings.home / name
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"recommendations.exclude_items_file: {file}",
            found=getattr(error, "strerror", None) or "bytes that are not UTF-8",
            expected="a text file in UTF-8 with one item id a line",
            do="Nothing was scored. Write the file, or take the setting out, then score again.",
        ) from None
    # Lines end as in a log, and U+2028 is a part of an id. Logs of CSV have no blanks around an id,
    # others may: whichever the list means is left out.
    lines = text.split("\n")
    return frozenset(one for line in lines for one in (line, line.strip(" \t")) if one.strip(" \t"))
