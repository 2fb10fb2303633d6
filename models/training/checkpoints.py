"""What a training has reached, on disk: whole, checked, and enough to go on to the last bit.

A file is written beside its place, flushed and renamed. Its name holds its step and the digest of
its bytes, so that one which was torn or altered is known before anything is read from it. Files
hold tensors and plain values only: loading one runs no code.
"""

import contextlib
import hashlib
import os
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

KEPT = 2  # the newest, and the one before in case the newest cannot be read
DIGITS = 16  # of the digest, in a file's name

Say = Callable[[str], None]


class Place(NamedTuple):
    """How far a training has come: whole epochs, and batches of the one after them."""

    epoch: int
    batch: int


@dataclass(frozen=True)
class Checkpoint:
    """The state after a step. What is random in the next is drawn from its number alone."""

    epoch: int
    batch: int
    step: int  # batches of all epochs
    seconds: float  # spent so far, those before earlier restarts too
    sums: dict[str, Tensor]  # of losses since the epoch began, on rank 0
    network: dict[str, Tensor]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]

    @property
    def place(self) -> Place:
        return Place(self.epoch, self.batch)


class Checkpoints:
    """The checkpoints of one run. Every rank reads them before the first rank writes one."""

    def __init__(self, folder: Path, say: Say) -> None:
        self.folder, self.say = folder, say

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write it, then remove all but the newest of those that were not left out."""
        partial = self.folder / f"step={checkpoint.step:09d}.part"
        with partial.open("wb") as file:
            torch.save(asdict(checkpoint), file)
            file.flush()
            os.fsync(file.fileno())
        file_path = self.folder / f"step={checkpoint.step:09d}-{_digest(partial)}.ckpt"
        os.replace(partial, file_path)
        for old in self._files()[:-KEPT]:
            old.unlink()
        return file_path

    def newest(self, shapes: dict[str, torch.Size]) -> Checkpoint | None:
        """The newest whole one of a network of these shapes; says which it had to leave out."""
        for file in reversed(self._files()):
            found = self._read(file)
            if isinstance(found, str):
                self.say(f"left out {file}: {found}")
            elif {name: value.shape for name, value in found.network.items()} != shapes:
                self.say(f"left out {file}: it is of a network of another shape")
            else:
                return found
            _put_aside(file)
        return None

    def _read(self, file: Path) -> Checkpoint | str:
        """The checkpoint, or why it cannot be one."""
        try:
            if _digest(file) != file.stem.rpartition("-")[2]:
                return f"its {file.stat().st_size:,} bytes are not those that were written"
            return Checkpoint(**torch.load(file, map_location="cpu", weights_only=True))
        except (OSError, RuntimeError, TypeError, EOFError, pickle.UnpicklingError) as error:
            return (str(error).strip() or type(error).__name__).splitlines()[0]

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("step=*-*.ckpt"))


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:DIGITS]


def _put_aside(file: Path) -> None:
    """Under a name that nothing counts: it must not push one that can be used out of those kept."""
    with contextlib.suppress(FileNotFoundError):  # another rank was quicker
        os.replace(file, file.with_suffix(".left-out"))
