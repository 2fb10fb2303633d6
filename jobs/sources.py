"""How a raw log's columns become those of `events`: `configs/sources/<name>.yaml`, typed.

A new data set is a YAML file, never code. Raises ConfigError or UnknownKeyError, with file and key.
"""

from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from contracts.errors import ConfigError, UnknownKeyError

ColumnName = Annotated[str, Field(min_length=1)]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IdFromColumns(Part):
    columns: Annotated[tuple[ColumnName, ...], Field(min_length=1)]  # joined by "-"


class IdFromContent(Part):
    content: Literal[True]  # a hash of the line: an equal line is the same event


class ConstantType(Part):
    constant: ColumnName


class MappedType(Part):
    column: ColumnName
    map: Annotated[dict[str, str], Field(min_length=1)]  # the log's word → ours; others are refused


class IsoTime(Part):
    """`2017-01-01T06:53:26-05:00`; an instant without an offset is refused."""

    column: ColumnName
    format: Literal["iso8601"]


class EpochTime(Part):
    column: ColumnName
    format: Literal["epoch_s", "epoch_ms", "epoch_us"]


class NaiveTime(Part):
    """`2017-01-01 06:53:26` by the clocks of a zone."""

    column: ColumnName
    format: Literal["naive"]
    zone: str

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError("a name of the IANA time zone database") from None
        return zone


EventTime = Annotated[IsoTime | EpochTime | NaiveTime, Field(discriminator="format")]


class Source(Part):
    format: Literal["jsonl", "csv"]  # a file that ends in .gz is decompressed
    event_id: IdFromColumns | IdFromContent
    user_id: ColumnName
    item_id: ColumnName
    event_type: ConstantType | MappedType
    event_time: EventTime
    category: ColumnName | None = None
    price: ColumnName | None = None  # of one unit; from amount and quantity where not mapped
    quantity: ColumnName | None = None
    amount: ColumnName | None = None  # of the line; from price and quantity where not mapped
    session_hint: ColumnName | None = None
    properties: tuple[ColumnName, ...] = ()  # kept as they are

    @property
    def columns(self) -> list[str]:
        """Every column of the log that the mapping names, once, in a fixed order."""
        names: list[str | None] = [self.user_id, self.item_id, self.event_time.column]
        if isinstance(self.event_id, IdFromColumns):
            names += self.event_id.columns
        if isinstance(self.event_type, MappedType):
            names.append(self.event_type.column)
        names += [self.category, self.price, self.quantity, self.amount, self.session_hint]
        names += self.properties
        return list(dict.fromkeys(name for name in names if name is not None))


def load_source(file: Path) -> Source:
    """Read and check a mapping. Raises ConfigError, UnknownKeyError."""
    try:
        values = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        known = sorted(other.stem for other in file.parent.glob("*.yaml"))
        raise ConfigError(
            str(file),
            found="no such file",
            expected=f"a mapping; there are {', '.join(known) or '(none)'}",
            do="Correct `source` in the configuration, or write the mapping.",
        ) from None
    except yaml.YAMLError as error:
        said = str(error).replace("\n", " ")
        raise ConfigError(str(file), found=said, expected="YAML", do="Correct the file.") from None
    try:
        return Source.model_validate(values)
    except ValidationError as error:
        raise _config_error(file, error) from None


def _config_error(file: Path, error: ValidationError) -> ConfigError:
    first: Any = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden" and len(place) == 1:
        return UnknownKeyError(str(file), key=place[0], known=list(Source.model_fields))
    found = "nothing" if first["type"] == "missing" else repr(first["input"])
    return ConfigError(
        f"{file}: {'.'.join(place[:1])}",
        found=found if len(place) == 1 else f"{found} at {'.'.join(place[1:])}",
        expected=str(first["msg"])[0].lower() + str(first["msg"])[1:],
        do="Correct the mapping; configs/sources/jsonl.yaml shows every form.",
    )
