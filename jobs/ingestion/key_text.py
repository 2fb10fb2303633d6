"""What must not stand in a text that becomes a key or reaches a database, in words.

A NUL cannot be stored in PostgreSQL, a control character steers the terminal that shows it, and an
index of PostgreSQL takes no key beyond some 2,700 bytes: one such value would block every later
publication. What is only invisible (zero-width, bidirectional) is taken: it is spelling in many
languages, and two ids that differ by it are two ids (decision 43).
"""

from collections.abc import Mapping
from functools import reduce
from operator import or_

from pyspark.sql import Column
from pyspark.sql import functions as F

from jobs.ingestion.flaws import NESTED

KEYS = ("event_id", "user_id", "item_id", "session_hint", "category", "store_id")
LONGEST_KEY_BYTES = 1024  # in UTF-8
_CONTROL = r"[\x00-\x1f\x7f-\x9f]"


def unfit_key(keys: Mapping[str, Column]) -> Column:
    """The reason to refuse a line for the text of one of its keys; null where all are fit."""
    # Nearly every line is fit: one look at all keys together, and at each only where it is not.
    is_any_unfit = F.concat_ws("", *keys.values()).rlike(_CONTROL) | reduce(
        or_, (_is_too_long(text) for text in keys.values())
    )
    reasons = [
        F.when(is_bad, F.lit(why))
        for name, text in keys.items()
        for why, is_bad in (
            (f"NUL in {name}", text.contains("\0")),
            (f"control character in {name}", text.rlike(_CONTROL)),
            (f"{name} longer than {LONGEST_KEY_BYTES:,} bytes", _is_too_long(text)),
        )
    ]
    return F.when(is_any_unfit, F.coalesce(*reasons))


def _is_too_long(text: Column) -> Column:
    return F.coalesce(F.octet_length(text) > LONGEST_KEY_BYTES, F.lit(False))


def flawed_value(columns: Mapping[str, list[str]]) -> Column:
    """The reason to refuse a line for a value that is no scalar, or not sure as a key; else null.

    ``columns`` names, for each column of `events`, those of the log that it is made from.
    """
    flaws = F.col("flaws")
    reasons = []
    # An id of the event may be made of the others: what is wrong with these is said of them.
    for name in sorted(columns, key=lambda name: name == "event_id"):
        for column in columns[name]:
            flaw = flaws.getItem(column)
            matters = flaw.isNotNull() if name in KEYS else flaw == NESTED
            reasons.append(F.when(matters, F.concat(flaw, F.lit(f" in {name}"))))
    return F.when(flaws.isNotNull(), F.coalesce(*reasons))
