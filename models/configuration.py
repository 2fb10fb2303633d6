"""What every configuration file shares: how it is read, and which values are none.

A key that stands twice, an infinity, and `true` for a number are refused, here for all of them.
"""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Tag, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from contracts.addresses import HIDDEN
from contracts.errors import ConfigError
from contracts.windows import parse_day

Location = Sequence[int | str]


def _is_day(value: object) -> object:
    """A number would be seconds since 1970."""
    if isinstance(value, str):
        with suppress(ValueError):
            return parse_day(value)
    if isinstance(value, datetime) or not isinstance(value, date):
        raise PydanticCustomError("day", "a date written YYYY-MM-DD")
    return value


Day = Annotated[date, BeforeValidator(_is_day)]


class Section(BaseModel):
    """A part of a configuration: frozen, without unknown keys, its numbers finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _has_no_boolean_for_a_number(cls, values: Any) -> Any:
        for name, field in cls.model_fields.items() if isinstance(values, dict) else ():
            kinds = {*_leaves(field.annotation)}
            if kinds & {int, float} and bool not in kinds and _holds_boolean(values.get(name)):
                error = PydanticCustomError("number", "a number, not true or false")
                line = InitErrorDetails(type=error, loc=(name,), input=values[name])
                raise ValidationError.from_exception_data(cls.__name__, [line])
        return values


# ---- reading -------------------------------------------------------------------------------------


class NoYAMLError(yaml.YAMLError):  # type: ignore[misc]
    """What is wrong, and in which line: without the line itself, which may hold a secret."""


class _RepeatedKeyError(NoYAMLError):
    pass


_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'" + r'|"(?:[^"\\]|\\.)*"')
MAX_DEPTH = 100  # of sections within sections
KINDS = {"timestamp": "a day of the calendar", "int": "an integer", "float": "a number"}


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML in which each key of a mapping stands once: of two, the first would have no effect."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag.endswith(":merge"):
                continue
            if key.value in lines:
                raise _RepeatedKeyError(
                    f"the key {key.value!r} twice, in line {lines[key.value]} and in line "
                    f"{key.start_mark.line + 1}"
                )
            lines[key.value] = key.start_mark.line + 1
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError):  # PyYAML checks nothing
            kind = KINDS.get(node.tag.rpartition(":")[2], "of its kind")
            place = _place(node.start_mark)
            raise NoYAMLError(f"a value that is not {kind}, {place}") from None


def parse_yaml(text: str) -> Any:
    """Raises NoYAMLError, also for a key that stands twice in one mapping."""
    try:
        value = yaml.load(text, Loader=_Loader)
        _refuse_deep(value, 0, set())
    except NoYAMLError:
        raise
    except yaml.MarkedYAMLError as error:
        problem = _without_values(error.problem or "no value")
        raise NoYAMLError(f"no YAML {_place(error.problem_mark)}: {problem}") from None
    except yaml.YAMLError as error:  # the reader's: of a character that is none
        raise NoYAMLError(f"no YAML: {getattr(error, 'reason', 'no text')}") from None
    except RecursionError:
        raise NoYAMLError(f"more than {MAX_DEPTH} values within one another") from None
    return value


def _place(mark: yaml.Mark | None) -> str:
    return f"in line {mark.line + 1}, column {mark.column + 1}" if mark else "at its end"


def _without_values(problem: str) -> str:
    """PyYAML quotes characters and tokens (`'<scalar>'`), but also names, tags and values."""

    def shown(quoted: re.Match[str]) -> str:
        is_token = len(quoted[0]) <= len("','") or quoted[0].startswith("'<")
        return quoted[0] if is_token else HIDDEN

    return _QUOTED.sub(shown, problem)


def _refuse_deep(value: object, depth: int, seen: set[int]) -> None:
    """An anchor may also hold itself, which has no end."""
    if not isinstance(value, dict | list) or id(value) in seen:
        return
    if depth > MAX_DEPTH:
        raise RecursionError
    for inner in value.values() if isinstance(value, dict) else value:
        _refuse_deep(inner, depth + 1, seen)
    seen.add(id(value))  # whole, and not too deep


def read_mapping(path: Path, *, expected: str, do: str) -> dict[str, Any]:
    """The file's keys and values. Raises ConfigError, with ``do`` where the file is not there."""
    try:
        values = parse_yaml(path.read_text())
    except FileNotFoundError:
        raise ConfigError(str(path), found="no such file", expected=expected, do=do) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            str(path),
            found=getattr(error, "strerror", None) or str(error),
            expected=f"{expected.partition(';')[0]}, in a file that can be read",
            do=do,
        ) from None
    except _RepeatedKeyError as error:
        raise ConfigError(
            str(path), found=str(error), expected="each key once", do="Remove one of them."
        ) from None
    except NoYAMLError as error:
        raise ConfigError(
            str(path), found=str(error), expected="YAML", do="Correct the file."
        ) from None
    if not isinstance(values, dict):
        raise ConfigError(
            str(path), found=type(values).__name__, expected="a mapping", do="Correct the file."
        )
    return values


# ---- what is wrong -------------------------------------------------------------------------------


def first_error(error: ValidationError) -> ErrorDetails:
    """The one to tell of: a key that is not known explains one that is missing."""
    first, *others = error.errors()
    unknown = [each for each in others if each["type"] == "extra_forbidden"]
    return unknown[0] if unknown and first["type"] == "missing" else first


def known_keys(kind: type[BaseModel], location: Location) -> list[str]:
    """The keys of the section in which an error's last key stands.

    ``location`` is pydantic's: between the keys stand the names of the variants that were chosen.
    """
    sections: list[tuple[set[str], type[BaseModel]]] = [(set(), kind)]
    for part in location[:-1]:
        chosen = [section for section in sections if part in section[0]]
        fields = [
            model.model_fields[str(part)] for _, model in sections if part in model.model_fields
        ]
        if chosen and len(sections) > 1:
            sections = chosen
        elif fields:
            sections = [section for field in fields for section in _sections(field.annotation)]
    return list(dict.fromkeys(name for _, model in sections for name in model.model_fields))


def _sections(annotation: Any) -> Iterable[tuple[set[str], type[BaseModel]]]:
    """The sections that a field may hold, each with the names that tell it from the others."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        literals = [field.annotation for field in annotation.model_fields.values()]
        names = [
            name for each in literals if get_origin(each) is Literal for name in get_args(each)
        ]
        yield {*map(str, names)}, annotation
        return
    tags = {item.tag for item in get_args(annotation)[1:] if isinstance(item, Tag)}
    for inner in _inner(annotation):
        for own, section in _sections(inner):
            yield own | tags, section


def _inner(annotation: Any) -> Sequence[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return arguments[:1]
    return () if origin is Literal else arguments


def _leaves(annotation: Any) -> Iterable[Any]:
    """The types without parts that an annotation is made of."""
    if get_origin(annotation) in (Union, UnionType) or get_args(annotation):
        for inner in _inner(annotation):
            yield from _leaves(inner)
    else:
        yield annotation


def _holds_boolean(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_boolean, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_boolean, value))
    return isinstance(value, bool)
