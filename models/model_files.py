"""How a model's files are read: as if somebody else had written them.

Nothing here follows a link, reads more than a file of its kind may hold, or runs what it reads.
"""

import json
import stat
from pathlib import Path
from typing import Any, NoReturn

from contracts.errors import DamagedModelError

MAX_JSON_BYTES = 1 << 30  # an index of ten million items


def read_text(file: Path) -> str:
    """Of a JSON file. Raises DamagedModelError."""
    refuse_special(file)
    size = file.stat().st_size
    if size > MAX_JSON_BYTES:
        refuse(file, f"{size} bytes", f"JSON of at most {MAX_JSON_BYTES}")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        refuse(file, "bytes that are not UTF-8", "JSON as this code writes it")


def read_json(file: Path) -> Any:
    """Raises DamagedModelError for what is no JSON, NaN and infinities among it."""

    def refuse_constant(constant: str) -> NoReturn:
        raise ValueError(f"{constant}, which is no number")

    try:
        return json.loads(read_text(file), parse_constant=refuse_constant)
    except RecursionError:
        refuse(file, "lists within lists without end", "JSON as this code writes it")
    except DamagedModelError:  # a ValueError too
        raise
    except ValueError as error:
        refuse(file, str(error)[:200].rstrip("."), "JSON as this code writes it")


def refuse_special(path: Path) -> None:
    """Raise DamagedModelError for what is neither a file nor a folder."""
    mode = path.lstat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        found = "a link" if stat.S_ISLNK(mode) else "no regular file"
        refuse(path, found, "a file of a version")


def refuse(file: Path, found: str, expected: str) -> NoReturn:
    raise DamagedModelError(str(file), found=found, expected=expected) from None
