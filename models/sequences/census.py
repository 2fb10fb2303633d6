"""What the events of a log name, and how often: counted part by part, in any order of the parts.

It grows with items and categories, never with users. E events of a part.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contracts.exclusions import NOTHING, Exclusions
from models.sequences.history import Bools, Histories, Ints

NEVER = np.iinfo(np.int64).max  # a time after every event


@dataclass
class Census:
    item_counts: Counter[str] = field(default_factory=Counter)  # events of each item
    # Of each item, the latest category that an event named, and when.
    item_categories: dict[str, tuple[int, str]] = field(default_factory=dict)
    categories: set[str] = field(default_factory=set)
    event_types: set[str] = field(default_factory=set)
    has_text: bool = False
    first_time: int = NEVER  # of any event, microseconds

    @classmethod
    def of(cls, histories: Histories) -> "Census":
        census = cls()
        census.add(histories)
        return census

    def add(self, histories: Histories) -> None:
        """Count a part's events."""
        if not len(histories.times):
            return
        counts = np.bincount(histories.item_codes, minlength=len(histories.item_ids))
        seen = np.flatnonzero(counts)
        items: list[str] = histories.item_ids[seen].tolist()
        self.item_counts.update(dict(zip(items, counts[seen].tolist(), strict=True)))
        times, categories = _latest_categories(histories)
        named = zip(times[seen].tolist(), categories[seen].tolist(), strict=True)
        for item, latest in zip(items, named, strict=True):
            self.item_categories[item] = max(latest, self.item_categories.get(item, latest))
        self.categories |= _named(histories.categories, histories.category_codes) - {""}
        self.event_types |= _named(histories.event_types, histories.event_type_codes)
        said = np.asarray(histories.texts != "", dtype=bool)
        self.has_text |= bool(said[histories.text_codes].any())
        self.first_time = min(self.first_time, int(histories.times.min()))

    def count_items(self, events: Mapping[str, int]) -> None:
        """Events of these items that no known user has had: an item nobody else knows stays out."""
        for item, count in events.items():
            if item in self.item_counts:
                self.item_counts[item] += count


def can_be_offered(histories: Histories, exclusions: Exclusions) -> Bools:
    """(I,) is each item code one that the exclusions leave to be recommended?"""
    if exclusions == NOTHING:
        return np.ones(len(histories.item_ids), dtype=bool)
    _, categories = _latest_categories(histories)
    return ~np.asarray(exclusions.excluded(histories.item_ids, categories), dtype=bool)


def _latest_categories(histories: Histories) -> tuple[Ints, NDArray[np.object_]]:
    """Time and category of each item code's latest event that names one, "" where none does.

    Of one instant, the last by name.
    """
    num_items = len(histories.item_ids)
    is_named = np.asarray(histories.categories != "", dtype=bool)[histories.category_codes]
    codes, said = histories.item_codes[is_named], histories.category_codes[is_named]
    times = np.full(num_items, np.iinfo(np.int64).min)
    np.maximum.at(times, codes, histories.times[is_named])
    by_name = np.argsort(histories.categories.astype(str), kind="stable")
    places = np.empty(len(by_name), dtype=np.int64)
    places[by_name] = np.arange(len(by_name))
    is_latest = histories.times[is_named] == times[codes]
    place = np.full(num_items, -1, dtype=np.int64)
    np.maximum.at(place, codes[is_latest], places[said[is_latest]])
    return times, np.append(histories.categories[by_name], "")[place]


def _named(names: NDArray[np.object_], codes: Ints) -> set[str]:
    return {str(name) for name in names[np.unique(codes)]}
