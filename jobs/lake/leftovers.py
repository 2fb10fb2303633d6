"""Files in a lake table's folder that nothing names: of killed runs, of commits that did not land.

Only files that Nightshift itself makes are ever found, by their place and their name; whatever else
lies there is somebody else's. A run's files count as left when its newest is older than the limit:
a run that is still writing has a newer one.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pyarrow.fs import FileInfo, FileSelector, FileType
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table as IcebergTable

from contracts.errors import ConfigError
from jobs.lake.files import resolve

_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_RUN = re.compile(r"(data/run=[^/]+)/")
_RUN_FOLDER = re.compile(r".*/data/run=[^/]+(?=/)")
_DATA = re.compile(r"data/run=[^/]+/(.+/)?(part-[^/]+\.parquet|\.part-[^/]+\.parquet\.crc)")
_JSON = re.compile(rf"metadata/\d+-{_UUID}\.metadata\.json")
_AVRO = re.compile(rf"metadata/(snap-\d+-\d+-{_UUID}|{_UUID}-m\d+)\.avro")


@dataclass(frozen=True)
class Leftover:
    path: str  # as a URI of the lake's own form
    num_bytes: int


def find_leftovers(
    load: Callable[[], IcebergTable | None],
    folder: str,
    properties: Mapping[str, str],
    *,
    older_than: datetime,
) -> list[Leftover]:
    """The table's leftovers, sorted. Raises ConfigError where the folder is not the table's own.

    The table is loaded after its folder is listed: what is committed meanwhile is named by then.
    """
    fs, root, start = resolve(folder, properties)
    infos = fs.get_file_info(FileSelector(root, recursive=True, allow_not_found=True))
    files = {
        info.path.removeprefix(root).lstrip("/"): info
        for info in infos
        if info.type == FileType.File
    }
    found = load()
    named = _named(found, folder, root) if found else set()
    newest = _newest_of_runs(files)
    left = {
        name: info
        for name, info in files.items()
        if _is_ours(name) and _live(name) not in named and newest(name, info) < older_than
    }
    for name in files:
        if _JSON.fullmatch(name) and name not in named:
            with fs.open_input_file(files[name].path) as stream:
                _refuse_foreign(stream.read(), found, f"{folder}/{name}")
    return [Leftover(start + left[name].path, left[name].size) for name in sorted(left)]


def remove_files(paths: Iterable[str], properties: Mapping[str, str]) -> None:
    """Remove the files, and on a file system what folders of their runs are empty then."""
    io = PyArrowFileIO(dict(properties))
    for name in paths:
        scheme, netloc, path = PyArrowFileIO.parse_location(name)
        try:
            io.fs_by_scheme(scheme, netloc).delete_file(path)
        except FileNotFoundError:
            continue  # another vacuum was first
        if scheme == "file":
            _remove_empty(path)


def _named(found: IcebergTable, folder: str, root: str) -> set[str]:
    """Every file that the table's metadata names, in any of its snapshots, relative to its root."""
    location = PyArrowFileIO.parse_location(found.location())[2].rstrip("/")
    if location != root:
        raise ConfigError(
            folder,
            found=f"a table whose catalog says that it lies in {found.location()}",
            expected="the folder that the configuration names",
            do="Nothing was removed here. Correct lake.location or lake.catalog: "
            "a moved or copied lake needs a catalog that knows its new place.",
        )
    metadata = found.metadata
    named = {found.metadata_location, *(entry.metadata_file for entry in metadata.metadata_log)}
    named |= {file.statistics_path for file in metadata.statistics}
    named |= {file.statistics_path for file in metadata.partition_statistics}
    seen = set()
    for snapshot in metadata.snapshots:
        named.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(found.io):
            if manifest.manifest_path in seen:
                continue
            seen.add(manifest.manifest_path)
            entries = manifest.fetch_manifest_entry(found.io, discard_deleted=True)
            named |= {entry.data_file.file_path for entry in entries}
    paths = {PyArrowFileIO.parse_location(name)[2] for name in named | seen}
    return {path.removeprefix(root).lstrip("/") for path in paths}


def _newest_of_runs(files: Mapping[str, FileInfo]) -> Callable[[str, FileInfo], datetime]:
    """When anything of a file's run was last written; of a file of no run, when it was itself."""
    of_run: dict[str, datetime] = defaultdict(lambda: datetime.min.replace(tzinfo=UTC))
    for name, info in files.items():
        if run := _RUN.match(name):
            of_run[run[1]] = max(of_run[run[1]], info.mtime)

    def newest(name: str, info: FileInfo) -> datetime:
        run = _RUN.match(name)
        return of_run[run[1]] if run else info.mtime

    return newest


def _is_ours(name: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in (_DATA, _JSON, _AVRO))


def _live(name: str) -> str:
    """The file that keeps this one: a checksum lives as long as what it is the checksum of."""
    return re.sub(r"(^|/)\.([^/]+)\.crc$", r"\1\2", name)


def _refuse_foreign(text: bytes, found: IcebergTable | None, where: str) -> None:
    """Metadata of another table that holds snapshots: its files look like leftovers of ours."""
    try:
        metadata = json.loads(text)
    except ValueError:
        return  # half written by a commit that was killed
    is_ours = found is not None and metadata.get("table-uuid") == str(found.metadata.table_uuid)
    if is_ours or not metadata.get("snapshots"):
        return
    raise ConfigError(
        where,
        found="the metadata of a table that the catalog does not know",
        expected="one catalog for all tables of this folder",
        do="Nothing was removed here. Correct lake.catalog, or move the other table away.",
    )


def _remove_empty(path: str) -> None:
    """Remove the folders of a file's run from the inside out, as long as they are empty."""
    run = _RUN_FOLDER.match(path)
    folder = Path(path).parent
    while run and folder != Path(run[0]).parent:
        try:
            folder.rmdir()
        except OSError:
            return  # something lies in it, or somebody else has removed it
        folder = folder.parent
