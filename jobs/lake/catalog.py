"""Opening the Iceberg catalog: at once, or with a message that says what does not answer."""

import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError
from pyiceberg.io import PY_IO_IMPL
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from contracts.addresses import without_password, without_password_of
from contracts.errors import UnreachableError
from jobs.lake.durable import IO_CLASS, sync_catalog
from jobs.running.databases import holds_table, is_database
from jobs.running.settings import Settings

NAMESPACE = "nightshift"
_SQLITE = "sqlite:///"
_CONNECT_SECONDS = 10
_ATTEMPTS = 5  # at a new catalog, which other programs may be making too


def open_catalog(settings: Settings) -> Catalog:
    """Open the catalog and its namespace. Raises UnreachableError."""
    properties = dict(settings.lake.catalog)
    address = properties.get("uri", properties.get("type", ""))
    try:
        _prepare(address, settings)
        if address.startswith("postgresql") and "connect_timeout" not in address:
            separator = "&" if "?" in address else "?"
            properties["uri"] = f"{address}{separator}connect_timeout={_CONNECT_SECONDS}"
        return _load({**properties, "warehouse": settings.lake_location}, address, settings)
    except UnreachableError:
        raise
    except Exception as error:  # each kind of catalog has its own tree of errors
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnreachableError(
            "the lake's catalog",
            address=without_password(address),
            reason=without_password_of(address, first_line),
            do="Check lake.catalog in the configuration, and that its server or folder is there.",
        ) from error


def is_made(settings: Settings) -> bool:
    """Is there a catalog yet? It is only looked at: opening it would make one.

    One that is gone, though its tables' files are there, is to be opened, which says so. Raises
    UnreachableError.
    """
    address = settings.lake.catalog.get("uri", "")
    if not is_database(address) or _holds_tables(settings):
        return True
    return holds_table(address, "iceberg_tables", what="the lake's catalog")


def _load(properties: dict[str, str], address: str, settings: Settings) -> Catalog:
    """Load the catalog and make what a new one lacks, whoever else is making it at the moment."""
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            catalog = load_catalog("nightshift", **{PY_IO_IMPL: IO_CLASS, **properties})
            sync_catalog(catalog)
            has_tables = _holds_tables(settings)  # before we ask, lest another makes both meanwhile
            if not catalog.namespace_exists(NAMESPACE):
                if has_tables:
                    raise _lost(address, settings, reason="an empty one")
                catalog.create_namespace(NAMESPACE)
            return catalog
        except (NamespaceAlreadyExistsError, SQLAlchemyError) as error:
            was_first = isinstance(error, NamespaceAlreadyExistsError | IntegrityError)
            if not attempts_left or not (was_first or "already exists" in str(error)):
                raise
    raise AssertionError("the last attempt returns or raises")


def _prepare(address: str, settings: Settings) -> None:
    """Make the folders of a first run, but never a new catalog beside tables of an old one."""
    lake = _local_lake(settings)
    if lake is not None:
        try:
            lake.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnreachableError(
                "the lake's folder",
                address=str(lake),
                reason=error.strerror or str(error),
                do="Check lake.location in the configuration, and who may write there.",
            ) from error
    if not address.startswith(_SQLITE):
        return
    file = Path(address.removeprefix(_SQLITE))
    if file.exists():
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
        return
    if _holds_tables(settings):
        raise _lost(address, settings, reason="no such file")
    if settings.home in file.parents:
        file.parent.mkdir(parents=True, exist_ok=True)


def _holds_tables(settings: Settings) -> bool:
    """Of a lake on a local disk: does its folder hold tables, whatever the catalog says?"""
    lake = _local_lake(settings)
    return lake is not None and any(lake.glob("*/metadata/*.json"))


def _lost(address: str, settings: Settings, *, reason: str) -> UnreachableError:
    return UnreachableError(
        "the lake's catalog",
        address=without_password(address),
        reason=f"{reason}, though {_local_lake(settings)} holds tables",
        do="Restore the catalog, or correct lake.catalog.uri; "
        "a new catalog would not know these tables.",
    )


def _local_lake(settings: Settings) -> Path | None:
    location = settings.lake_location
    return Path(urlsplit(location).path) if location.startswith("file:") else None
