"""The rows that a mapping reads: of a log, each an event, and of files about the items."""

from typing import Annotated, Any, Self

from pydantic import Discriminator, Tag, model_validator

from jobs.sources.parts import (
    ColumnName,
    CsvWithoutHeader,
    EventId,
    EventType,
    Format,
    IdFromColumns,
    MappedType,
    Marked,
    MatchedType,
    Number,
    Part,
    Time,
    UserId,
    Week,
    column_of,
    unfit,
)


class Rows(Part):
    """Files of one format, and the columns of them that are read."""

    format: Format  # a packed file is unpacked, whatever its name

    @property
    def columns(self) -> list[str]:
        """Every column that is named, once, in a fixed order."""
        return list(dict.fromkeys(name for name in self._named() if name is not None))

    def _named(self) -> list[str | None]:
        raise NotImplementedError

    @model_validator(mode="after")
    def _are_in_the_file(self) -> Self:
        if isinstance(self.format, CsvWithoutHeader):
            strange = [name for name in self.columns if name not in self.format.columns]
            if strange:
                raise unfit(found=", ".join(strange), expected="only columns that the format lists")
            twice = [name for name in self.columns if self.format.columns.count(name) > 1]
            if twice:
                expected = "each column that the mapping names once in the format's list"
                raise unfit(found=f"{', '.join(twice)} twice", expected=expected)
        return self


class Log(Rows):
    """One kind of line: what each of its columns becomes."""

    event_id: EventId
    user_id: UserId
    item_id: ColumnName
    event_type: EventType
    event_time: Time
    category: ColumnName | None = None
    price: Number | None = None  # of one unit; from amount and quantity where not mapped
    quantity: Number | None = None
    amount: Number | None = None  # of the line; from price and quantity where not mapped
    session_hint: ColumnName | None = None
    text: ColumnName | None = None  # words that a model may read: a search, a review
    properties: tuple[ColumnName, ...] = ()  # kept as they are

    @property
    def numbers(self) -> dict[str, Number | None]:
        return {"quantity": self.quantity, "price": self.price, "amount": self.amount}

    @property
    def columns_of(self) -> dict[str, list[str]]:
        """For each column of `events`, those of the log that it is made of, a scalar each."""
        ids = self.event_id.columns if isinstance(self.event_id, IdFromColumns) else ()
        kind = self.event_type
        named: dict[str, list[str | None]] = {
            "user_id": [column_of(self.user_id)],
            "item_id": [self.item_id],
            "event_time": [self.event_time.column],
            "event_id": [*ids],
            "event_type": [kind.column if isinstance(kind, MappedType | MatchedType) else None],
            "category": [self.category],
            **{
                name: [None if number is None else column_of(number)]
                for name, number in self.numbers.items()
            },
            "session_hint": [self.session_hint],
            "text": [self.text],
        }
        return {name: [c for c in theirs if c is not None] for name, theirs in named.items()}

    def _named(self) -> list[str | None]:
        scalars = [column for theirs in self.columns_of.values() for column in theirs]
        return [*scalars, *self.properties]


class RowsBeside(Rows):
    """Files that lie in the raw folder itself, beside the days."""

    files: ColumnName  # a pattern of their names


class _ItemAttributes(RowsBeside):
    """What a second file says of the items, joined to their events by `item_id`."""

    item_id: ColumnName
    since: Time | None = None  # valid for events from this instant on; without it, for all
    category: ColumnName | None = None
    properties: tuple[ColumnName, ...] = ()

    @property
    def attributes(self) -> list[str]:
        """What the events are given, each once."""
        category = [] if self.category is None else [self.category]
        return list(dict.fromkeys([*category, *self.properties]))

    @model_validator(mode="after")
    def _give_something(self) -> Self:
        if not self.attributes:
            raise unfit(found="no attribute", expected="a category or properties")
        return self


class ColumnAttributes(_ItemAttributes):
    """One row an item, its attributes in columns. Of several rows, the last one counts."""

    def _named(self) -> list[str | None]:
        since = None if self.since is None else self.since.column
        return [self.item_id, since, *self.attributes]


class RowAttributes(_ItemAttributes):
    """One row an attribute: its name in one column, its value in another."""

    attribute: ColumnName
    value: ColumnName

    def _named(self) -> list[str | None]:
        since = None if self.since is None else self.since.column
        return [self.item_id, since, self.attribute, self.value]


def _attributes_form(value: Any) -> str:
    return "<rows>" if isinstance(value, dict) and "attribute" in value else "<columns>"


ItemAttributes = Annotated[
    Annotated[RowAttributes, Tag("<rows>")] | Annotated[ColumnAttributes, Tag("<columns>")],
    Discriminator(_attributes_form),
]


class Promotions(RowsBeside):
    """A plan of promotions: a row for each item, store and week in which it is promoted."""

    item_id: ColumnName
    store_id: ColumnName
    week: Week
    displayed: Marked | None = None  # on a display in the store
    mailed: Marked | None = None  # in the mailer

    def _named(self) -> list[str | None]:
        marks = [None if mark is None else mark.column for mark in (self.displayed, self.mailed)]
        return [self.item_id, self.store_id, self.week.column, *marks]

    @model_validator(mode="after")
    def _say_something(self) -> Self:
        if self.displayed is None and self.mailed is None:
            raise unfit(found="neither", expected="displayed or mailed")
        return self
