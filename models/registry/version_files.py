"""The files of a version, and the digests by which they are known again."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from contracts.errors import DamagedModelError
from models.model_files import refuse_special

CODE = "code"  # the copy of contracts/ and models/ in a version; its files have one digest together
ADMISSION_FILE = "admission.json"
CACHE = "__pycache__"
NOT_JUDGED = {"registered_model_meta", ADMISSION_FILE}  # written beside the files, later


def digests_of(root: Path) -> dict[str, str]:
    """``data/artifact/weights.safetensors`` → its SHA-256, and so for each file of a version.

    Raises DamagedModelError for what is neither a file nor a folder, and for compiled code: it may
    be of another source than lies beside it.
    """
    if compiled := _compiled(root):
        raise DamagedModelError(
            str(root / compiled[0]),
            found="compiled code",
            expected="source alone, which is what is judged",
        )
    return _digests(root)


def check_digests(
    where: str, root: Path, expected: Mapping[str, str], *, is_imported: bool = False
) -> None:
    """Raise DamagedModelError where the files are not those that were judged.

    ``is_imported``: Python may have compiled the code meanwhile, and compiled code is passed over.
    """
    present = _digests(root)
    wrong = [
        f"{name} changed" if name in expected else f"{name}, which was not there"
        for name in sorted(present)
        if present[name] != expected.get(name)
    ]
    wrong += [f"no {name}" for name in sorted({*expected} - {*present})]
    if not is_imported:
        wrong = [f"{name}, which was not there" for name in _compiled(root)] + wrong
    if wrong:
        raise DamagedModelError(
            where,
            found="; ".join(wrong[:5]) + (f"; {len(wrong) - 5} more" if wrong[5:] else ""),
            expected="the files that were judged, byte for byte",
        )


def write_cache_stops(packages: Iterable[Path], to: Path) -> None:
    """In each folder of code a file of the name of the folder for what Python compiles.

    Where they lie, a version that is imported stays as it was judged: nothing is written beside
    its source, and nothing compiled is read there.
    """
    for package in packages:
        for folder in {file.parent for file in package.rglob("*.py")}:
            stop = to / folder.relative_to(package.parent) / CACHE
            stop.parent.mkdir(parents=True, exist_ok=True)
            stop.write_text("A file, so that no compiled code lies here.\n")


def _digests(root: Path) -> dict[str, str]:
    digests: dict[str, str] = {}
    code = hashlib.sha256()
    for file in _files(root):
        name = file.relative_to(root).as_posix()
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if name.startswith(f"{CODE}/"):
            code.update(f"{digest} {name}\n".encode())
            digests[CODE] = code.hexdigest()
        else:
            digests[name] = digest
    return digests


def _compiled(root: Path) -> list[str]:
    """What Python may run without a look at the source."""
    return sorted(
        (Path(folder) / name).relative_to(root).as_posix()
        for folder, _, names in os.walk(root)
        for name in names
        if Path(folder).name == CACHE or name.endswith((".pyc", ".pyo"))
    )


def _files(root: Path) -> list[Path]:
    files = []
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            refuse_special(Path(folder) / name)
        folders[:] = [name for name in folders if name != CACHE]
        unjudged = {CACHE, *NOT_JUDGED} if Path(folder) == root else {CACHE}
        files += [Path(folder) / name for name in names if name not in unjudged]
    return sorted(files, key=lambda file: file.relative_to(root).as_posix())
