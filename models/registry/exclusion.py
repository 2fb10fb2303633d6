"""What is not recommended, whatever its probability. Light: who says so need not have torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Exclusion:
    bought: bool = False  # what the user has bought, as far as the sequence goes back
    item_ids: frozenset[str] = frozenset()  # to anyone


NOTHING_EXCLUDED = Exclusion()
