"""A plain PyTorch SASRec, written well: what a team writes when it takes no library.

Batches are trimmed to their longest sequence, logits are made at real events only, attention is the
fused one. SASRec, https://arxiv.org/abs/1808.09781, with pre-norm blocks.

    python -m benchmarks.training_plain FILE full THREADS

B users, T items of the longest, D dim, V items and padding (0).
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.sequence_files import length_of, read_sequences

DIM, BLOCKS, HEADS, DROPOUT, BATCH = 64, 2, 2, 0.2, 128


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm_attention, self.norm_feedforward = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.project_in, self.project_out = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)
        self.feedforward = nn.Sequential(
            nn.Linear(DIM, DIM), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(DIM, DIM)
        )

    def forward(self, x: Tensor) -> Tensor:
        B, T, _ = x.shape
        projected = self.project_in(self.norm_attention(x)).view(B, T, 3, HEADS, -1)
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        attended = self.project_out(attended.transpose(1, 2).reshape(B, T, DIM))
        x = x + F.dropout(attended, DROPOUT, self.training)
        return x + F.dropout(self.feedforward(self.norm_feedforward(x)), DROPOUT, self.training)


class SASRec(nn.Module):
    def __init__(self, num_items: int, max_length: int) -> None:
        super().__init__()
        self.items = nn.Embedding(num_items + 1, DIM, padding_idx=0)
        self.positions = nn.Embedding(max_length, DIM)
        nn.init.normal_(self.items.weight, std=0.02)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.blocks, self.norm = nn.Sequential(*(Block() for _ in range(BLOCKS))), nn.LayerNorm(DIM)

    def forward(self, items: Tensor, targets: Tensor) -> Tensor:
        """(B, T), (B, T) -> ()"""
        x = self.items(items) * DIM**0.5 + self.positions.weight[: items.size(1)]
        states = self.norm(self.blocks(F.dropout(x, DROPOUT, self.training)))  # (B, T, D)
        real = targets > 0
        logits = states[real] @ self.items.weight.T  # (real events, V)
        return F.cross_entropy(logits, targets[real])


def batches(
    sequences: list[list[int]], max_length: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """(B, T) items and (B, T) the items after them, right-padded."""
    order = rng.permutation(len(sequences))
    for start in range(0, len(order), BATCH):
        chosen = [sequences[n][-max_length - 1 :] for n in order[start : start + BATCH]]
        T = max(len(items) for items in chosen) - 1
        inputs, targets = np.zeros((2, len(chosen), T), dtype=np.int64)
        for row, items in enumerate(chosen):
            inputs[row, : len(items) - 1], targets[row, : len(items) - 1] = items[:-1], items[1:]
        yield torch.from_numpy(inputs), torch.from_numpy(targets)


def main(file: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    sequences = [items[:-2] for items in read_sequences(file)]
    number = {item: n for n, item in enumerate(sorted({i for s in sequences for i in s}), 1)}
    numbered = [[number[item] for item in items] for items in sequences if len(items) > 1]
    model = SASRec(len(number), length_of(file))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    started, cpu_started, total = time.monotonic(), time.process_time(), 0.0
    for inputs, targets in batches(numbered, length_of(file), np.random.default_rng(0)):
        optimizer.zero_grad()
        loss = model(inputs, targets)
        loss.backward()
        optimizer.step()
        total += loss.item()
    cpu_seconds = time.process_time() - cpu_started
    print(json.dumps({"seconds": time.monotonic() - started, "cpu_seconds": cpu_seconds}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[3]))
