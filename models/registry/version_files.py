"""The files of a version, and the digests by which they are known again."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from contracts.errors import DamagedModelError
from models.model_files import refuse_special

CODE = "code"  # the copy of contracts/ and models/ in a version; its files have one digest together
ADMISSION_FILE = "admission.json"
NOT_JUDGED = {"registered_model_meta", ADMISSION_FILE}  # written beside the files, later


def digests_of(root: Path) -> dict[str, str]:
    """``data/artifact/weights.safetensors`` → its SHA-256, and so for each file of a version.

    Raises DamagedModelError for what is neither a file nor a folder.
    """
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


def check_digests(where: str, root: Path, expected: Mapping[str, str]) -> None:
    """Raise DamagedModelError where the files are not those that were judged."""
    present = digests_of(root)
    wrong = [
        f"{name} changed" if name in expected else f"{name}, which was not there"
        for name in sorted(present)
        if present[name] != expected.get(name)
    ]
    wrong += [f"no {name}" for name in sorted({*expected} - {*present})]
    if wrong:
        raise DamagedModelError(
            where,
            found="; ".join(wrong[:5]) + (f"; {len(wrong) - 5} more" if wrong[5:] else ""),
            expected="the files that were judged, byte for byte",
        )


def _files(root: Path) -> list[Path]:
    files = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in (*folders, *names):
            refuse_special(Path(folder) / name)
        files += [
            Path(folder) / name for name in names if Path(folder) != root or name not in NOT_JUDGED
        ]
    return sorted(files, key=lambda file: file.relative_to(root).as_posix())
