"""How a raw log's columns become those of `events`: `configs/sources/<name>.yaml`, typed.

A new data set is a YAML file, never code. Raises ConfigError or UnknownKeyError, with file and key.
"""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import unquote

from pydantic import Field, ValidationError, model_validator

from contracts.errors import ConfigError, UnknownKeyError
from jobs.sources.parts import ColumnName, Part, unfit
from jobs.sources.rows import ItemAttributes, Log, Promotions
from models.configuration import first_error, known_keys, read_mapping

MOST_COLUMNS = 63  # a bit of one word says of each whether a line has it


class _Source(Part):
    about: str = ""  # a line for the README's table
    item_attributes: ItemAttributes | None = None
    promotions: Promotions | None = None

    @property
    def all_logs(self) -> list[Log]:
        raise NotImplementedError

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        num_columns = sum(len(log.columns) for log in self.all_logs)
        if num_columns > MOST_COLUMNS:
            raise unfit(found=f"{num_columns} columns", expected=f"at most {MOST_COLUMNS}")
        if self.item_attributes is not None:
            given = {*self.item_attributes.properties}
            for log in self.all_logs:
                twice = sorted(given & {*log.properties})
                if log.category is not None and self.item_attributes.category is not None:
                    twice.append("category")
                if twice:
                    expected = "each from the log or from item_attributes, not from both"
                    raise unfit(found=", ".join(twice), expected=expected)
        return self


class OneLog(_Source, Log):
    """Every file of a day has the same kind of line."""

    @property
    def all_logs(self) -> list[Log]:
        return [self]


class NamedLog(Log):
    files: ColumnName  # a pattern of file names, such as `*clicks*`


class ManyLogs(_Source):
    """A day holds files of several kinds, told apart by their names."""

    logs: Annotated[dict[str, NamedLog], Field(min_length=2)]

    @property
    def all_logs(self) -> list[Log]:
        return [*self.logs.values()]

    def name_of(self, path: str) -> str | None:
        """The log whose pattern a file's name has; none where it has none, or several."""
        file = unquote(path.rsplit("/", 1)[-1])
        found = [name for name, log in self.logs.items() if fnmatchcase(file, log.files)]
        return found[0] if len(found) == 1 else None


Source = OneLog | ManyLogs


def load_source(file: Path) -> Source:
    """Read and check a mapping. Raises ConfigError, UnknownKeyError."""
    known = ", ".join(sorted(other.stem for other in file.parent.glob("*.yaml"))) or "(none)"
    values = read_mapping(
        file,
        expected=f"a mapping; there are {known}",
        do="Correct `source` in the configuration, or write the mapping.",
    )
    kind: type[OneLog] | type[ManyLogs] = OneLog
    if "logs" in values:
        kind = ManyLogs
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _config_error(file, kind, values, error) from None


def _config_error(
    file: Path, kind: type[OneLog] | type[ManyLogs], values: Any, error: ValidationError
) -> ConfigError:
    first: Any = first_error(error)
    place = _place(values, first["loc"])
    if first["type"] == "extra_forbidden":
        known = known_keys(kind, first["loc"])
        return UnknownKeyError(str(file), key=".".join(place), known=known)
    found = "nothing" if first["type"] == "missing" else repr(first["input"])
    found = first.get("ctx", {}).get("found", found) if first["type"] == "unfit" else found
    said = str(first["msg"]).removeprefix("Value error, ")
    return ConfigError(
        f"{file}: {'.'.join(place[:1])}" if place else str(file),
        found=found if len(place) <= 1 else f"{found} at {'.'.join(place[1:])}",
        expected=said[0].lower() + said[1:],
        do="Correct the mapping; configs/sources/jsonl.yaml shows every form.",
    )


def _place(values: Any, loc: tuple[int | str, ...]) -> list[str]:
    """The keys of the file on the way to the mistake, without the names of the forms tried."""
    place = []
    for number, part in enumerate(loc):
        is_last = number == len(loc) - 1
        if isinstance(part, str) and part.startswith("<"):
            continue
        if isinstance(values, dict) and (part in values or is_last):
            place.append(str(part))
            values = values.get(part)
        elif isinstance(values, list) and isinstance(part, int):
            place.append(str(part))
            values = values[part] if part < len(values) else None
    return place
