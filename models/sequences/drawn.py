"""Some users instead of all: a question that a sample answers as well, in memory that stays."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def draw(rows: pa.Table, wanted: int, *, num_users: int, purpose: str) -> pa.Table:
    """The rows of about so many of a log's users, or of all where they are not more."""
    if wanted >= num_users:
        return rows
    drawn = is_drawn(rows["user_id"].to_pylist(), wanted / num_users, purpose=purpose)
    return rows.filter(pa.array(drawn))


def is_drawn(user_ids: Sequence[str], share: float, *, purpose: str) -> NDArray[np.bool_]:
    """(N,) the same users of every log and every night, about so many of all.

    Each purpose, of at most 16 letters, draws by itself: who chose something does not judge it.
    """
    person = purpose.encode()
    digests = [
        hashlib.blake2b(str(name).encode(), digest_size=8, person=person).digest()
        for name in user_ids
    ]
    numbers = np.frombuffer(b"".join(digests), dtype="<u8")
    return np.asarray(numbers < share * 2.0**64, dtype=bool)
