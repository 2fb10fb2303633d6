"""Files that the disk holds before the catalog names them: a power cut costs a commit, not a table.

A file that was written lies in memory until the system, half a minute later, has written it out;
the catalog's own database is synced at once. Without these calls a cut leaves a catalog that names
files of zeros. Object stores keep a file whole when they have answered, and need none of it.
https://www.sqlite.org/atomiccommit.html, section 3.7: sync the content before what points to it.
"""

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io import WAREHOUSE
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO
from sqlalchemy import event

IO_CLASS = f"{__name__}.DurableFileIO"  # as pyiceberg's property `py-io-impl` names it
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP)  # of some network and FUSE filesystems


class DurableFileIO(PyArrowFileIO):
    """Writes a table's metadata and manifests; each is on the disk when its stream is closed."""

    def new_output(self, location: str) -> PyArrowFile:
        file = super().new_output(location)
        path = local_path(location)
        return file if path is None else _DurableFile(file, path, self.properties.get(WAREHOUSE))


class _DurableFile(PyArrowFile):
    def __init__(self, file: PyArrowFile, path: Path, root: str | None) -> None:
        super().__init__(file.location, file._path, file._filesystem, file._buffer_size)
        self._local, self._root = path, local_path(root or "")

    def create(self, overwrite: bool = False) -> Any:
        return _SyncedStream(super().create(overwrite), self._local, self._root)


class _SyncedStream:
    def __init__(self, stream: Any, path: Path, root: Path | None) -> None:
        self._stream, self._path, self._root = stream, path, root

    def write(self, content: bytes) -> int:
        return int(self._stream.write(content))

    def tell(self) -> int:
        return int(self._stream.tell())

    def close(self) -> None:
        if not self._stream.closed:
            self._stream.close()
            _sync([self._path], self._root)

    def __enter__(self) -> "_SyncedStream":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def sync_files(locations: Iterable[str], root: str) -> None:
    """Have the disk keep files and the folders that lead to them from ``root`` on."""
    _sync([path for name in locations if (path := local_path(name))], local_path(root))


def sync_catalog(catalog: Catalog) -> None:
    """Have an SQLite catalog's commit outlast a power cut, the removal of its journal included.

    https://www.sqlite.org/pragma.html#pragma_synchronous
    """
    if not isinstance(catalog, SqlCatalog) or catalog.engine.dialect.name != "sqlite":
        return

    def sync_fully(connection: Any, _: object) -> None:
        connection.execute("PRAGMA synchronous = EXTRA")

    event.listen(catalog.engine, "connect", sync_fully)
    catalog.engine.dispose()  # connections that were opened before do not know it


def local_path(location: str) -> Path | None:
    """The path of a file on a disk of this machine; None of an object store's."""
    scheme, _, path = PyArrowFileIO.parse_location(location)
    return Path(path) if scheme == "file" and location else None


def _sync(files: list[Path], root: Path | None) -> None:
    folders: dict[Path, None] = {}
    for file in files:
        sync(file)
        folders |= dict.fromkeys(_folders(file, root))
    for folder in folders:
        try:
            sync(folder)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:
                raise


def _folders(file: Path, root: Path | None) -> list[Path]:
    """From the file's own up to the root, and the root's, which names it; else its own alone."""
    if root is None or root not in file.parents:
        return [file.parent]
    above = [file.parent, *file.parent.parents]
    return above[: above.index(root) + 2]


def sync(path: Path) -> None:
    """Have the disk keep a file, or a folder's list of files. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
