"""What is not recommended, whatever its probability. Light: who says so need not have torch."""

from dataclasses import dataclass

from contracts.exclusions import NOTHING, Exclusions


@dataclass(frozen=True)
class Exclusion:
    bought: bool = False  # what the user has bought, as far as the sequence goes back
    item_ids: frozenset[str] = frozenset()  # to anyone
    rules: Exclusions = NOTHING  # to anyone: by category, id and pattern


NOTHING_EXCLUDED = Exclusion()
