"""Words as numbers without a vocabulary: hashed n-grams, as in https://arxiv.org/abs/1607.04606.

A word is itself and its runs of 3 to 5 letters, its ends marked, so that `shoe` and `shoes` share
most of theirs. The hash is CRC-32 of UTF-8: the same in every process, on every machine.
"""

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.sequences.history import Ints

SIZES = (3, 4, 5)
MOST = 256  # n-grams of a text that are read: a long review does not outweigh its basket's time
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Texts:
    """Different texts as hashed n-grams: text ``n`` has those from ``starts[n]`` to the next."""

    ngrams: Ints
    starts: Ints

    @classmethod
    def of(cls, texts: NDArray[np.object_], num_buckets: int) -> "Texts":
        found = [hashed(str(text), num_buckets) for text in texts]
        ends = np.cumsum([len(numbers) for numbers in found], dtype=np.int64)
        every = [number for numbers in found for number in numbers]
        return cls(np.asarray(every, dtype=np.int64), np.append(0, ends).astype(np.int64))


def hashed(text: str, num_buckets: int) -> list[int]:
    """Of the first `MOST` n-grams, each in its bucket; none where there are no buckets."""
    if not num_buckets:
        return []
    return [zlib.crc32(ngram.encode()) % num_buckets for ngram in ngrams(text)]


def ngrams(text: str) -> list[str]:
    found: list[str] = []
    for word in _WORD.findall(text.lower()):
        found += _of_word(f"<{word}>")
        if len(found) >= MOST:
            break
    return found[:MOST]


def _of_word(word: str) -> Iterable[str]:
    yield word
    for size in SIZES:
        if size < len(word):
            yield from (word[start : start + size] for start in range(len(word) - size + 1))
