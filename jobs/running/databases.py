"""Looking at a database of another program, which makes its tables as soon as it is opened."""

from pathlib import Path

from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from contracts.addresses import without_password, without_password_of
from contracts.errors import UnreachableError

_SQLITE = "sqlite:///"
_CONNECT_SECONDS = 10


def is_database(uri: str) -> bool:
    """Is it the address of an SQL database, and not that of a server that has one of its own?"""
    return uri.startswith(("sqlite", "postgresql"))


def holds_table(uri: str, table: str, *, what: str) -> bool:
    """Is the table there? Nothing is written, and no file is made. Raises UnreachableError."""
    if uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).exists():
        return False
    options = {} if uri.startswith("sqlite") else {"connect_timeout": _CONNECT_SECONDS}
    try:
        engine = create_engine(uri, poolclass=NullPool, connect_args=options)
        return inspect(engine).has_table(table)
    except (SQLAlchemyError, ImportError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnreachableError(
            what,
            address=without_password(uri),
            reason=without_password_of(uri, first_line),
            do="Start it, or correct its address in the configuration.",
        ) from error
