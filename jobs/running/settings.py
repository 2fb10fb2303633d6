"""The configuration of a deployment: `configs/nightshift.yaml`, checked once, at the edge.

Environment variables override it: ``NIGHTSHIFT__SPARK__MASTER`` sets ``spark.master``.
Raises ConfigError or UnknownKeyError, with the file and the key.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PositiveFloat,
    PositiveInt,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from contracts.addresses import (
    HIDDEN,
    hide_passwords,
    is_secret,
    without_password,
    without_password_of,
)
from contracts.errors import ConfigError, UnknownKeyError
from contracts.exclusions import Exclusions, alternatives
from contracts.money import Money
from contracts.tables import SCORES
from models.config import LabelHorizons
from models.configuration import (
    Day,
    NoYAMLError,
    Section,
    first_error,
    known_keys,
    parse_yaml,
    read_mapping,
)
from models.demand.rule import DemandRule
from models.judging.rule import GateRule

PROJECT = Path(__file__).resolve().parents[2]
DEFAULT_FILE = PROJECT / "configs" / "nightshift.yaml"
PREFIX = "NIGHTSHIFT__"
REMEMBERED = "settings"


class LakeSettings(Section):
    location: str  # folder or URI that holds the tables' files
    catalog: dict[str, str]  # properties of the pyiceberg catalog
    vacuum_hours: PositiveInt  # age from which a file that no snapshot names is left over


_KEYWORDS = re.compile(r"(?:^|\s)(?:host|hostaddr|dbname|user|service)\s*=")  # as libpq reads them


def _is_path(uri: str) -> str:
    # Of a database that is not reached, or that is named another way: no file is made in its name.
    if "://" in uri or _KEYWORDS.search(uri):
        raise PydanticCustomError(
            "uri", "a path of a DuckDB file, or a URI that begins with postgresql://"
        )
    return uri


class FileWarehouse(Section):
    uri: Annotated[str, AfterValidator(_is_path)]  # path of a DuckDB file
    keep_nights: PositiveInt  # newest cutoffs of each table that stay


class PostgresWarehouse(Section):
    uri: str  # postgresql://user@host:port/database, as libpq reads it
    keep_nights: PositiveInt  # newest cutoffs of each table that stay
    reader_role: str  # may read the tables and nothing else; made where it is not there


def _kind_of(warehouse: object) -> str:
    uri = warehouse.get("uri") if isinstance(warehouse, dict) else getattr(warehouse, "uri", "")
    return "server" if str(uri).startswith(("postgresql://", "postgres://")) else "file"


WAREHOUSES = {"file": FileWarehouse, "server": PostgresWarehouse}
WarehouseSettings = Annotated[
    Annotated[FileWarehouse, Tag("file")] | Annotated[PostgresWarehouse, Tag("server")],
    Discriminator(_kind_of),
]


class AuditSettings(Section):
    max_psi: PositiveFloat  # how far a score's distribution may move from one night to the next


class MlflowSettings(Section):
    tracking_uri: str
    artifacts: str  # folder for artifacts where no server proxies them
    experiment: str
    model: str  # name in the registry


class SparkSettings(Section):
    master: str
    driver_memory: str
    partitions: PositiveInt  # of every shuffle


Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS = get_args(Weekday)  # in the order of date.weekday()


class IngestSettings(Section):
    max_bad_fraction: float = Field(ge=0, le=1)  # of a night's lines
    dedupe_days: int = Field(ge=0)
    max_events_per_user_day: PositiveInt  # above it, a robot's
    allow_empty_days: bool
    closed_days: tuple[Day, ...] = ()  # on which nothing need be delivered
    closed_weekdays: tuple[Weekday, ...] = ()
    # of a day's events; above it the day is an old delivery. Files of before do not name it
    max_old_fraction: float = Field(default=0.9, ge=0, le=1)


class SessionSettings(Section):
    gap_minutes: PositiveInt
    late_days: int = Field(ge=0)


class SequenceSettings(Section):
    max_events: PositiveInt  # kept per user
    # of new events alone, before everybody's rows are written again; older commits do not name it
    max_nights: int = Field(default=7, ge=0)


class SeriesSettings(Section):
    history_days: PositiveInt
    top_items: PositiveInt  # by days with a sale


class DemandSettings(Section):
    model: str  # name in the registry
    history_days: PositiveInt  # of a training; a forecast sees those of the series
    holidays: tuple[Day, ...]  # before, on and after which people buy otherwise
    closed_days: tuple[Day, ...]  # on which nothing can be sold
    gate: DemandRule


# The days that a reader finds in a column's name: a horizon of another length would be a lie.
NAMED_AFTER = {
    "purchase_days": SCORES.column("purchase_probability_7d").name,
    "churn_days": SCORES.column("churn_probability_28d").name,
    "spend_days": SCORES.column("expected_spend_28d").name,
}


class Horizons(Section):
    purchase_days: PositiveInt
    churn_days: PositiveInt
    churn_active_days: PositiveInt  # churn is asked of users active in these days before
    spend_days: PositiveInt
    items_days: PositiveInt
    demand_days: PositiveInt

    @field_validator(*NAMED_AFTER)
    @classmethod
    def _is_what_the_column_says(cls, days: int, info: ValidationInfo) -> int:
        column = NAMED_AFTER[str(info.field_name)]
        named = int(column.rpartition("_")[2].removesuffix("d"))
        if days != named:
            raise PydanticCustomError(
                "horizon",
                "{named}, because its column in the tables is named {column}",
                {"named": named, "column": column},
            )
        return days


class TrainingSettings(Section):
    checkpoint_seconds: PositiveFloat  # at most so much of a training is lost to a kill


class RecommendationSettings(Section):
    top_k: PositiveInt
    exclude_bought: bool = False  # what the user has bought before
    exclude_items_file: str | None = None  # item ids, one a line, that nobody is offered


def _is_text(name: object) -> object:
    if not isinstance(name, str):
        raise PydanticCustomError(
            "text", "text in quotes: without them YAML may read another name, 7 for 007"
        )
    return name


def _compiles(pattern: str) -> str:
    try:
        re.compile(alternatives([pattern]))
    except re.error as error:
        raise PydanticCustomError(
            "pattern", "a shell pattern ({reason})", {"reason": str(error)}
        ) from None
    return pattern


Name = Annotated[str, BeforeValidator(_is_text)]
Pattern = Annotated[str, Field(min_length=1), BeforeValidator(_is_text), AfterValidator(_compiles)]


class ExclusionSettings(Section):
    """What is neither recommended nor forecast, and counts as spend and visits all the same."""

    categories: tuple[Name, ...] = ()  # '' stands for items without a category
    category_patterns: tuple[Pattern, ...] = ()  # of the shell: * ? [A-Z] [!0-9]
    item_ids: tuple[Name, ...] = ()
    item_patterns: tuple[Pattern, ...] = ()

    @property
    def rules(self) -> Exclusions:
        return Exclusions(**self.model_dump())


class Settings(Section):
    file: Path  # where these settings were read
    home: Path  # absolute
    time_zone: str
    source: str
    money: Money = "net"  # what counts as spend and as units
    raw: str
    lake: LakeSettings
    warehouse: WarehouseSettings
    audit: AuditSettings
    mlflow: MlflowSettings
    spark: SparkSettings
    ingest: IngestSettings
    sessions: SessionSettings
    sequences: SequenceSettings
    series: SeriesSettings
    demand: DemandSettings
    horizons: Horizons
    training: TrainingSettings
    recommendations: RecommendationSettings
    exclusions: ExclusionSettings = ExclusionSettings()
    gate: GateRule

    @property
    def label_horizons(self) -> LabelHorizons:
        """What training and judging mean by a label."""
        known = {**self.horizons.model_dump(), "money": self.money}
        return LabelHorizons(**{name: known[name] for name in LabelHorizons.model_fields})

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def raw_folder(self) -> Path:
        return self.home / self.raw

    @property
    def source_file(self) -> Path:
        return self.file.parent / "sources" / f"{self.source}.yaml"

    @property
    def lake_location(self) -> str:
        location = self.lake.location
        return location if "://" in location else (self.home / location).as_uri()

    @property
    def artifacts_uri(self) -> str:
        location = self.mlflow.artifacts
        return location if "://" in location else (self.home / location).as_uri()

    def without_secrets(self, text: str) -> str:
        """A text, such as a driver's own error, without what these settings know to be secret."""
        for uri in (self.warehouse.uri, self.mlflow.tracking_uri, *self.lake.catalog.values()):
            text = without_password_of(uri, text)
        for name, value in self.lake.catalog.items():
            if is_secret(name) and value:
                text = text.replace(value, HIDDEN)
        return hide_passwords(text)

    @property
    def runs_folder(self) -> Path:
        return self.home / "runs"

    @property
    def reports_folder(self) -> Path:
        return self.home / "reports"


def remembered(settings: Settings, *names: str) -> dict[str, str]:
    """The fact by which a commit says which settings made its rows."""
    return {REMEMBERED: settings.model_dump_json(include={*names})}


def recalled(settings: Settings, facts: Mapping[str, str]) -> Settings:
    """The settings with those that a commit remembers in their place. Raises ConfigError."""
    values = {**settings.model_dump(), **_renamed(json.loads(facts.get(REMEMBERED, "{}")))}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise _config_error(Path(f"the commit's {REMEMBERED}"), error) from None


def _renamed(then: dict[str, Any]) -> dict[str, Any]:
    """What a commit remembers, in the words of today.

    Before there were `exclusions`, a list had none, and a series those of its own section.
    """
    if "exclusions" in then or not {"series", "recommendations"} & {*then}:
        return then
    series = dict(then.get("series", {}))
    categories = series.pop("excluded_categories", [])
    then = {**then, "exclusions": {"categories": categories}}
    return {**then, "series": series} if series else then


def load_settings(file: Path | None = None) -> Settings:
    """Read the file (or ``NIGHTSHIFT_CONFIG``, or the project's own), then the environment."""
    path = Path(file or _variable("NIGHTSHIFT_CONFIG") or DEFAULT_FILE).resolve()
    values = read_mapping(
        path, expected="a configuration", do="Give --config, or set NIGHTSHIFT_CONFIG."
    )
    values = _overridden(values)
    home = (path.parent / str(values.get("home", ""))).resolve()
    values = _fill(values, home)
    try:
        settings = Settings.model_validate({**values, "file": path, "home": home})
        ZoneInfo(settings.time_zone)
    except ValidationError as error:
        raise _config_error(path, error, variables=os.environ) from None
    except (ZoneInfoNotFoundError, OSError, ValueError):  # OSError: of a folder of zones
        raise ConfigError(
            _place_of(path, ["time_zone"], os.environ),
            found=repr(values["time_zone"]),
            expected="a name of the IANA time zone database",
            do="Write for example Europe/Berlin or UTC.",
        ) from None
    return settings


def _variable(name: str) -> str | None:
    """An environment variable; one without a value says nothing. Raises ConfigError."""
    text = os.environ.get(name)
    if text is not None and not text.strip():
        raise ConfigError(
            f"environment: {name}",
            found="no value",
            expected="a value, or no such variable",
            do=f"Give it a value, or `unset {name}`.",
        )
    return text


def _overridden(values: dict[str, Any]) -> dict[str, Any]:
    for name in sorted(os.environ):
        text = _variable(name) if name.startswith(PREFIX) else None
        if text is None:
            continue
        *sections, key = name.removeprefix(PREFIX).lower().split("__")
        place: Any = values
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise UnknownKeyError(f"environment: {name}", key=".".join(sections), known=[*values])
        try:
            place[key] = parse_yaml(text)
        except NoYAMLError as error:
            raise ConfigError(
                f"environment: {name}",
                found=str(error),
                expected="a value as it stands in the file",
                do="Put it in quotes of its own, as in '\"{cutoff}.txt\"'.",
            ) from None
    return values


def _fill(value: Any, home: Path) -> Any:
    """Put the absolute home in place of ``{home}``."""
    if isinstance(value, dict):
        return {key: _fill(inner, home) for key, inner in value.items()}
    return value.replace("{home}", str(home)) if isinstance(value, str) else value


def _config_error(
    path: Path, invalid: ValidationError, *, variables: Mapping[str, str] = MappingProxyType({})
) -> ConfigError:
    """``variables``: the environment, where it may have overridden what the file says."""
    error = first_error(invalid)
    place = [str(part) for part in error["loc"] if part not in WAREHOUSES]
    key = ".".join(place)
    if error["type"] == "extra_forbidden":
        known = [name for name in known_keys(Settings, error["loc"]) if name != "file"]
        return UnknownKeyError(str(path), key=key, known=known)
    return ConfigError(
        _place_of(path, place, variables),
        found="nothing" if error["type"] == "missing" else _shown(place[-1], error["input"]),
        expected=error["msg"][0].lower() + error["msg"][1:],
        do="Correct the value.",
    )


def _place_of(path: Path, place: list[str], variables: Mapping[str, str]) -> str:
    """Where a value was read: the variable that says it, or something within it, else the file."""
    for length in range(len(place), 0, -1):
        name = f"{PREFIX}{'__'.join(place[:length]).upper()}"
        if name in variables:
            within = ".".join(place[length:])
            return f"environment: {name}" + (f": {within}" if within else "")
    return f"{path}: {'.'.join(place)}"


def _shown(key: str, value: object) -> str:
    """What a message may quote of a value: nothing that is secret, nor what may hold a secret."""
    if is_secret(key):
        return HIDDEN
    if isinstance(value, dict | list):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value)}"
    return repr(without_password(value) if isinstance(value, str) else value)
