"""What a commit names is on the disk before the catalog names it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.lake.durable import local_path
from jobs.running.settings import PROJECT

HERE = Path(__file__).parent
SYNC = re.compile(r"f(?:data)?sync\(\d+<(?P<path>[^>]+)>\)")


def synced(settings, tmp_path: Path) -> list[str]:
    """Every path that a first commit had synced, in order, as the kernel was asked."""
    trace = tmp_path / "trace"
    watch = ["strace", "-f", "-y", "-s", "0", "-e", "trace=fsync,fdatasync", "-o", str(trace)]
    program = [sys.executable, "-m", "tests.jobs.lake.commit_once", str(settings.file)]
    ran = subprocess.run([*watch, *program], cwd=PROJECT, capture_output=True, text=True)
    if "ptrace" in ran.stderr and "not permitted" in ran.stderr:
        pytest.skip("this machine lets nobody watch a process")
    assert ran.returncode == 0, ran.stderr
    return [match["path"] for match in SYNC.finditer(trace.read_text())]


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_every_file_of_a_commit_is_on_the_disk_before_the_catalogs_row(settings, tmp_path):
    """Data, manifests, metadata and the folders that lead to them; a cut then costs no table."""
    paths = synced(settings, tmp_path)
    home = settings.home
    rows = max(n for n, path in enumerate(paths) if "catalog.db" in path)
    before = {*paths[:rows]}
    files = {str(file) for file in (home / "lake").rglob("*") if file.is_file()}
    folders = {str(folder) for folder in (home / "lake").rglob("*") if folder.is_dir()}

    assert sum(name.endswith(".parquet") for name in files) == 1
    assert sum(name.endswith(".avro") for name in files) >= 2
    assert sum(name.endswith(".metadata.json") for name in files) == 2
    assert files <= before
    assert folders <= before
    assert {str(home), str(home / "lake")} <= before
    assert any(path.startswith(f"{home}/catalog.db") for path in paths)


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("file:///lake/a b", "/lake/a b"),
        ("/lake/events", "/lake/events"),
        ("s3://bucket/events", None),
        ("hdfs://host:9/events", None),
        ("", None),
    ],
)
def test_only_files_of_this_machine_have_a_local_path(location, path):
    """An object store answers when it holds the whole file."""
    assert local_path(location) == (Path(path) if path else None)
