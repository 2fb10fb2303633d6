"""What the network calls items, categories, event types, amounts and quantities: small numbers.

0 is padding and whatever was not in the catalogue at training: an unknown item keeps its category.
"""

import json
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.exclusions import NOTHING, Exclusions
from models.model_files import read_json, refuse
from models.sequences.census import Census
from models.sequences.history import Bools, Floats, Histories, Ints
from models.sequences.ngrams import Texts

FILE = "item_index.json"
NUM_BUCKETS = 16


@dataclass(frozen=True)
class Vocabulary:
    item_ids: tuple[str, ...]  # item n is item_ids[n - 1]
    item_categories: tuple[int, ...]  # the category of each, as an index
    categories: tuple[str, ...]
    event_types: tuple[str, ...]
    amount_edges: tuple[float, ...]  # ascending; a bucket lies below each and above the last
    quantity_edges: tuple[float, ...]  # the same
    text_buckets: int  # that n-grams of texts are hashed into; 0 where no event has a text
    # Numbers of items that are known from an earlier version and are excluded by now.
    excluded_items: tuple[int, ...] = ()

    @property
    def num_items(self) -> int:
        return len(self.item_ids)

    @property
    def has_event_types(self) -> bool:
        """Is there more than one, so that the next can be asked for?"""
        return len(self.event_types) > 1

    @property
    def has_amounts(self) -> bool:
        """Was anything paid for, so that spend can be asked for? Only then is there a quantile."""
        return len(self.amount_edges) > 1

    @classmethod
    def of(
        cls, histories: Histories, *, min_item_count: int, text_buckets: int = 0
    ) -> "Vocabulary":
        """Of a log that is all in memory; without buckets, of a training that reads no texts."""
        return cls.counted(
            Census.of(histories),
            amounts=histories.known_amounts,
            quantities=histories.quantities,
            min_item_count=min_item_count,
            text_buckets=text_buckets,
        )

    @classmethod
    def counted(
        cls,
        census: Census,
        *,
        amounts: Floats,
        quantities: Floats,
        min_item_count: int,
        text_buckets: int,
        exclusions: Exclusions = NOTHING,
    ) -> "Vocabulary":
        """Items with at least ``min_item_count`` events, the commonest first; ties by id.

        An item is of the category that it had last. What is excluded gets no number: it is read as
        an item outside the catalogue, by its category, and is never a target nor recommended.
        Amounts and quantities may be a sample's.
        """
        counts = census.item_counts
        named = [(item, census.item_categories[item][1]) for item in counts]
        is_excluded = exclusions.excluded((item for item, _ in named), (name for _, name in named))
        wanted = [
            item
            for (item, _), out in zip(named, is_excluded, strict=True)
            if not out and counts[item] >= min_item_count
        ]
        wanted.sort(key=lambda item: (-counts[item], item))
        categories = sorted(census.categories)
        index = _index(categories)
        return cls(
            item_ids=tuple(wanted),
            item_categories=tuple(index.get(census.item_categories[item][1], 0) for item in wanted),
            categories=tuple(categories),
            event_types=tuple(sorted(census.event_types)),
            amount_edges=_edges(amounts),
            quantity_edges=_edges(quantities),
            text_buckets=text_buckets if census.has_text else 0,
        )

    def grown(self, found: "Vocabulary") -> "Vocabulary":
        """What is new in another comes after what is known, which keeps its numbers.

        An item whose category was not known gets the one that it has now. Buckets of amounts stay,
        where there were any.
        """
        categories = _appended(self.categories, found.categories)
        number = {0: 0} | {
            n: categories.index(name) + 1 for n, name in enumerate(found.categories, start=1)
        }
        now = {
            item: number[category]
            for item, category in zip(found.item_ids, found.item_categories, strict=True)
        }
        item_ids = _appended(self.item_ids, found.item_ids)
        known = dict(zip(self.item_ids, self.item_categories, strict=True))
        return Vocabulary(
            item_ids=item_ids,
            item_categories=tuple(known.get(item) or now.get(item, 0) for item in item_ids),
            categories=categories,
            event_types=_appended(self.event_types, found.event_types),
            amount_edges=self.amount_edges if self.has_amounts else found.amount_edges,
            quantity_edges=self.quantity_edges,
            text_buckets=self.text_buckets or found.text_buckets,
        )

    def without(self, exclusions: Exclusions) -> "Vocabulary":
        """The same numbers; those of excluded items are read as items outside the catalogue."""
        is_excluded = self.excluded_by(exclusions)
        return replace(self, excluded_items=tuple((np.flatnonzero(is_excluded) + 1).tolist()))

    def excluded_by(self, exclusions: Exclusions) -> Bools:
        """(V - 1,) of each item that has a number."""
        names = ["", *self.categories]
        categories = (names[number] for number in self.item_categories)
        return np.asarray(exclusions.excluded(self.item_ids, categories), dtype=bool)

    def counts(self, census: Census) -> Ints:
        """(V,) events of each item; the first number is of those outside the catalogue."""
        known = [census.item_counts[item] for item in self.item_ids]
        for number in self.excluded_items:
            known[number - 1] = 0
        return np.asarray([census.item_counts.total() - sum(known), *known], dtype=np.int64)

    def save(self, directory: Path) -> None:
        (directory / FILE).write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, directory: Path) -> "Vocabulary":
        """Raises DamagedModelError for an index that no training writes."""
        file = directory / FILE
        written = read_json(file)
        known = {field.name for field in fields(cls)}
        needed = {field.name for field in fields(cls) if field.default is MISSING}
        if not isinstance(written, dict) or not needed <= {*written} <= known:
            refuse(file, "other keys", f"{', '.join(sorted(known))}")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in written.items()
        }
        vocabulary = cls(**values)
        if fault := vocabulary.fault():
            refuse(file, fault, "an index as this code writes it")
        return vocabulary

    def fault(self) -> str | None:
        """What no training writes; None where all is well."""
        kinds: list[tuple[str, type | tuple[type, ...]]] = [
            ("item_ids", str), ("categories", str), ("event_types", str),
            ("item_categories", int), ("amount_edges", (int, float)),
            ("quantity_edges", (int, float)), ("excluded_items", int),
        ]  # fmt: skip
        for name, kind in kinds:
            values = getattr(self, name)
            if not isinstance(values, tuple) or not all(
                isinstance(value, kind) and not isinstance(value, bool) for value in values
            ):
                return f"{name} of another kind"
        if not isinstance(self.text_buckets, int) or self.text_buckets < 0:
            return f"text_buckets {self.text_buckets!r}"
        for name in ("item_ids", "categories", "event_types"):
            if len({*getattr(self, name)}) != len(getattr(self, name)):
                return f"a name twice in {name}"
        if len(self.item_categories) != len(self.item_ids):
            return f"{len(self.item_categories)} categories of {len(self.item_ids)} items"
        if not all(0 <= number <= len(self.categories) for number in self.item_categories):
            return "an item of a category that is not there"
        if not all(0 < number <= len(self.item_ids) for number in self.excluded_items):
            return "an excluded item that is not there"
        return None


@dataclass(frozen=True)
class EncodedEvents:
    """(E,) each: the events of `Histories` as the network's numbers."""

    items: Ints
    categories: Ints
    event_types: Ints
    amounts: Ints
    quantities: Ints
    text_codes: Ints  # into texts
    texts: Texts


class Encoder:
    """Turns many `Histories` into numbers with one set of look-up tables."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.items = _index(vocabulary.item_ids)
        for number in vocabulary.excluded_items:
            del self.items[vocabulary.item_ids[number - 1]]
        self.categories = _index(vocabulary.categories)
        self.event_types = _index(vocabulary.event_types)
        self.amount_edges = np.asarray(vocabulary.amount_edges)
        self.quantity_edges = np.asarray(vocabulary.quantity_edges)
        self.text_buckets = vocabulary.text_buckets

    def encode(self, histories: Histories) -> EncodedEvents:
        return EncodedEvents(
            items=_lookup(histories.item_ids, self.items)[histories.item_codes],
            categories=_lookup(histories.categories, self.categories)[histories.category_codes],
            event_types=_lookup(histories.event_types, self.event_types)[
                histories.event_type_codes
            ],
            amounts=_buckets(self.amount_edges, histories.amounts),
            quantities=_buckets(self.quantity_edges, histories.quantities),
            text_codes=histories.text_codes,
            texts=Texts.of(histories.texts, self.text_buckets),
        )


def _edges(values: Floats) -> tuple[float, ...]:
    """Of buckets of like many positive values; what is not positive has a bucket of its own."""
    positive = values[values > 0]
    shares = np.linspace(0, 1, NUM_BUCKETS - 1)[1:-1]
    edges = np.unique(np.quantile(positive, shares)) if len(positive) else np.zeros(0)
    return (1e-9, *edges.tolist())


def _buckets(edges: Floats, values: Floats) -> Ints:
    return np.searchsorted(edges, values, side="right").astype(np.int64)


def _appended(known: tuple[str, ...], found: tuple[str, ...]) -> tuple[str, ...]:
    there = {*known}
    return (*known, *(name for name in found if name not in there))


def _index(names: tuple[str, ...] | list[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names, start=1)}


def _lookup(names: NDArray[np.object_], index: dict[str, int]) -> Ints:
    return np.asarray([index.get(str(name), 0) for name in names] or [0], dtype=np.int64)
