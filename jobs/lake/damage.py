"""A table whose newest metadata file is damaged: say so, and go back to the one before.

The catalog's row holds the newest metadata file of a table and the one before it. A disk that lost
what it had promised to keep leaves the newest cut, empty or gone; the one before it is whole, with
every file that it names, because no commit removes a file.
"""

from dataclasses import dataclass

from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import ValidationError
from pyiceberg.io import load_file_io
from pyiceberg.serializers import FromInputFile
from pyiceberg.table.metadata import TableMetadata
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from contracts.errors import ConfigError, DamagedMetadataError

UNREADABLE = (ValidationError, ValueError, FileNotFoundError)  # not metadata, not text, not there


@dataclass(frozen=True)
class Restored:
    """What going back did to a table."""

    damaged: str  # the metadata file that the catalog named
    metadata: str  # the one that it names now
    last_updated_ms: int  # when the commit that is now the newest was made


def damaged(catalog: Catalog, namespace: str, name: str, error: Exception) -> DamagedMetadataError:
    """The error of a table whose metadata cannot be read."""
    newest, before = _locations(catalog, namespace, name)
    is_whole = before is not None and _read(catalog, before) is not None
    return DamagedMetadataError(
        name, file=newest, reason=_reason(error), before=before or "" if is_whole else ""
    )


def restore(catalog: Catalog, namespace: str, name: str) -> Restored:
    """Have the catalog name the metadata file before the damaged one.

    Raises ConfigError where the newest is whole or the catalog is not one of ours to change,
    DamagedMetadataError where the one before is damaged too.
    """
    if not isinstance(catalog, SqlCatalog):
        raise ConfigError(
            f"the table {name}",
            found=f"a catalog of the kind {type(catalog).__name__}",
            expected="an SQL catalog, whose rows hold the metadata file before the newest",
            do="Go back with the catalog's own tools: register the table's metadata file anew.",
        )
    newest, before = _locations(catalog, namespace, name)
    if not newest or _read(catalog, newest) is not None:
        raise ConfigError(
            f"the table {name}",
            found=f"whole metadata, {newest}" if newest else "no such table in the catalog",
            expected="a damaged metadata file to go back from",
            do="Nothing was changed. To undo a commit, run its job again.",
        )
    metadata = _read(catalog, before) if before else None
    if before is None or metadata is None:
        raise DamagedMetadataError(name, file=newest, reason="it cannot be read", before="")
    log = metadata.metadata_log
    row = {
        "metadata_location": before,
        "previous_metadata_location": log[-1].metadata_file if log else None,
    }
    with Session(catalog.engine) as session:
        session.execute(
            update(IcebergTables)
            .where(*_row(catalog, namespace, name), IcebergTables.metadata_location == newest)
            .values(row)
        )
        session.commit()
    return Restored(newest, before, metadata.last_updated_ms)


def _reason(error: Exception) -> str:
    """pydantic says what is wrong in its second line, and quotes the file behind it."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[min(1, len(lines) - 1)].strip().split(" [type=")[0]


def _locations(catalog: Catalog, namespace: str, name: str) -> tuple[str, str | None]:
    """The newest metadata file and the one before; of another kind of catalog nothing is known."""
    if not isinstance(catalog, SqlCatalog):
        return "", None
    columns = IcebergTables.metadata_location, IcebergTables.previous_metadata_location
    with Session(catalog.engine) as session:
        row = session.execute(select(*columns).where(*_row(catalog, namespace, name))).first()
    return (row[0] or "", row[1]) if row else ("", None)


def _row(catalog: Catalog, namespace: str, name: str) -> tuple[ColumnElement[bool], ...]:
    return (
        IcebergTables.catalog_name == catalog.name,
        IcebergTables.table_namespace == namespace,
        IcebergTables.table_name == name,
    )


def _read(catalog: Catalog, location: str) -> TableMetadata | None:
    """Nothing where the file is not whole."""
    try:
        file = load_file_io(catalog.properties, location).new_input(location)
        return FromInputFile.table_metadata(file)
    except UNREADABLE:
        return None
