"""The bare bound of scoring: the encoder, one matrix product and top-k, in plain PyTorch.

    python -m benchmarks.scoring_plain SHAPE USERS THREADS

What a team writes in twenty lines: `training_plain`'s SASRec, batches trimmed to their longest
sequence, scores at the last item alone. It answers one question, the next item, from tensors that
are in memory already, and writes nothing. USERS is how many are asked at most.
"""

import json
import sys
import time

import numpy as np
import torch
from torch import Tensor

from benchmarks.scored_users import Users, shape_of, users_of
from benchmarks.training_plain import DIM, SASRec

BATCH, TOP_K = 256, 10


def main(text: str, limit: int, threads: int) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    shape = shape_of(text)
    model = SASRec(shape.num_items, shape.max_length).eval()
    num_users, seconds, cpu_seconds = 0, 0.0, 0.0
    for users in users_of(text, limit=limit):
        items, lengths = padded(users, shape.max_length)
        best(model, items[:BATCH], lengths[:BATCH])
        begun, cpu_begun = time.monotonic(), time.process_time()
        for start in range(0, len(users), BATCH):
            best(model, items[start : start + BATCH], lengths[start : start + BATCH])
        seconds += time.monotonic() - begun
        cpu_seconds += time.process_time() - cpu_begun
        num_users += len(users)
    print(json.dumps({"users": num_users, "seconds": seconds, "cpu_seconds": cpu_seconds}))


def padded(users: Users, max_length: int) -> tuple[Tensor, Tensor]:
    """(N, max_length) items, padded on the right with 0, and (N,) lengths."""
    lengths = np.diff(users.offsets)
    rows = np.zeros((len(users), max_length), dtype=np.int64)
    rows[np.arange(max_length) < lengths[:, None]] = users.items
    return torch.from_numpy(rows), torch.from_numpy(lengths)


@torch.inference_mode()
def best(model: SASRec, items: Tensor, lengths: Tensor) -> torch.return_types.topk:
    """(B, T), (B,) -> (B, TOP_K) scores and items"""
    items = items[:, : int(lengths.max())]
    x = model.items(items) * DIM**0.5 + model.positions.weight[: items.size(1)]
    states = model.norm(model.blocks(x))  # (B, T, D)
    last = states[torch.arange(len(items)), lengths - 1]  # (B, D)
    return (last @ model.items.weight.T).topk(TOP_K, dim=1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
