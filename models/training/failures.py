"""What broke a training, in words that say what to do: memory that ran out, a process that is gone.

A process whose memory ran out leaves a note in the run's folder and ends, because the first one
answers for all and sees only that the connection was closed.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.errors import NightshiftError, ProcessLostError, TooLittleMemoryError
from models.config import TrainConfig
from models.training.ranks import end_together, leave
from models.training.shards import ShardMemoryError

NOTE_SECONDS = 5.0  # how long the first process waits for another's note
_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")
_LOST = ("connection closed", "connection reset", "connection refused", "broken pipe", "gloo")


@contextmanager
def explaining(config: TrainConfig, folder: Path, *, rank: int, num_ranks: int) -> Iterator[None]:
    """Turn what is known into errors of ours. Raises TooLittleMemoryError, ProcessLostError."""
    try:
        yield
        end_together()
    except NightshiftError:  # raised by agreement, on every rank
        end_together()
        raise
    except (MemoryError, RuntimeError) as error:
        explained = _explained(error, config, folder, rank=rank, num_ranks=num_ranks)
        if explained is None:
            raise
        raise explained from error
    finally:
        leave()


@contextmanager
def explaining_shards(config: TrainConfig) -> Iterator[None]:
    """While users are dealt and first opened, memory goes with shards: TooLittleMemoryError."""
    try:
        yield
    except MemoryError as error:
        raise _shard_too_large("dealing users into shards", str(error), config) from error


def _shard_too_large(where: str, said: str, config: TrainConfig) -> TooLittleMemoryError:
    value = config.shard_events
    return TooLittleMemoryError(
        where, wanted=said, setting="shard_events", value=value, room="a shard of users"
    )


def _explained(
    error: Exception, config: TrainConfig, folder: Path, *, rank: int, num_ranks: int
) -> NightshiftError | None:
    said = " ".join(str(error).split())
    where = f"training on {num_ranks} process{'es' if num_ranks > 1 else ''}"
    if isinstance(error, ShardMemoryError):
        return _shard_too_large(where, said, config)
    if isinstance(error, MemoryError) or any(mark in said.lower() for mark in _MEMORY):
        (folder / f"no-memory-rank{rank}.json").write_text(json.dumps(said))
        return _too_little(where, said, config)
    if num_ranks > 1 and any(mark in said.lower() for mark in _LOST):
        noted = _note_of_another(folder) if rank == 0 else None
        return _too_little(where, noted, config) if noted else ProcessLostError(where, reason=said)
    return None


def _too_little(where: str, said: str, config: TrainConfig) -> TooLittleMemoryError:
    setting, value = what_to_lower(config)
    wanted = said.split(": ")[-1] if "tried to allocate" not in said else _tried(said)
    return TooLittleMemoryError(where, wanted=wanted, setting=setting, value=value)


def what_to_lower(config: TrainConfig) -> tuple[str, int]:
    """The setting that memory grows with, which can still be lowered, and its value."""
    settings = (
        ("batch_size", config.batch_size),
        ("num_ranked_queries", config.num_ranked_queries),
        ("num_queries", config.num_queries),
        ("encoder.max_length", config.encoder.max_length),
    )
    return next((found for found in settings if found[1] > 1), ("encoder.dim", config.encoder.dim))


def _tried(said: str) -> str:
    """From `tried to allocate` to the end of its sentence, as torch says it on CPU and on GPU."""
    start = said.lower().index("tried to allocate")
    return said[start:].split(". ")[0].rstrip(".")


def _note_of_another(folder: Path) -> str | None:
    until = time.monotonic() + NOTE_SECONDS
    while time.monotonic() < until:
        for file in sorted(folder.glob("no-memory-rank*.json")):
            said: str = json.loads(file.read_text())
            return said
        time.sleep(0.1)
    return None


def forget_failures(folder: Path) -> None:
    """Remove what an earlier start has left about its own end."""
    for pattern in ("no-memory-rank*.json", "not-finite-rank*.json"):
        for file in folder.glob(pattern):
            file.unlink(missing_ok=True)
