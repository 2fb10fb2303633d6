"""Files that are written whole or not at all: no kill and no full disk leaves an empty one."""

import os
import secrets
from contextlib import suppress
from pathlib import Path


def write_whole(file: Path, text: str, *, mode: int = 0o666, replaces: bool = False) -> None:
    """Of two processes at once the first one's text stays, unless the new one ``replaces`` it.

    The text is written in UTF-8; ``mode`` is less what the umask takes.
    """
    partial = file.with_name(f".{file.name}-{secrets.token_hex(4)}")
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(handle, "w", encoding="utf-8") as new:
            new.write(text)
            new.flush()
            os.fsync(new.fileno())  # before it has its name, which may outlive a power cut
        if replaces:
            partial.replace(file)
            return
        with suppress(FileExistsError):
            os.link(partial, file)
    finally:
        partial.unlink(missing_ok=True)
