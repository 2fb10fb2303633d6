"""One epoch of replay-rec's SasRec, in the environment that `make bench-peers` makes.

    .venv-peers/bin/python -m benchmarks.training_replay FILE full|sampled|bucketed THREADS

``bucketed`` is ``sampled`` with its encoder in length buckets of 32.
"""

import json
import logging
import sys
import time
import warnings
from pathlib import Path

import lightning as L
import numpy as np
import torch
from replay.data import FeatureHint, FeatureSource, FeatureType
from replay.data.nn import TensorFeatureInfo, TensorFeatureSource, TensorSchema
from replay.nn.lightning import LightningModule
from replay.nn.loss import CESampled
from replay.nn.sequential import LengthBucketedQueryEncoder, SasRec

from benchmarks.sequence_files import length_of, read_sequences

DIM, BLOCKS, HEADS, DROPOUT, BATCH = 64, 2, 2, 0.2, 128
NEGATIVES, BUCKET = 256, 32


class Sequences(torch.utils.data.Dataset):
    """Left-padded, as replay-rec reads them; the padding is item ``V``."""

    def __init__(self, sequences: list[list[int]], max_length: int, num_items: int) -> None:
        self.rows = np.full((len(sequences), max_length + 1), num_items, dtype=np.int64)
        for row, items in zip(self.rows, sequences, strict=True):
            row[max_length + 1 - len(items[-max_length - 1 :]) :] = items[-max_length - 1 :]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> np.ndarray:
        return self.rows[place]


class Seconds(L.Callback):
    def on_train_epoch_start(self, *_: object) -> None:
        self.started, self.cpu_started = time.monotonic(), time.process_time()

    def on_train_epoch_end(self, *_: object) -> None:
        self.seconds = time.monotonic() - self.started
        self.cpu_seconds = time.process_time() - self.cpu_started


def main(file: Path, kind: str, threads: int) -> None:
    torch.set_num_threads(threads)
    L.seed_everything(0, verbose=False)
    sequences = [items[:-2] for items in read_sequences(file)]
    number = {item: n for n, item in enumerate(sorted({i for s in sequences for i in s}))}
    V, max_length = len(number), length_of(file)
    numbered = [[number[item] for item in items] for items in sequences if len(items) > 1]

    def collate(rows: list[np.ndarray]) -> dict[str, object]:
        items = torch.from_numpy(np.stack(rows))  # (B, T + 1)
        inputs, targets = items[:, :-1].contiguous(), items[:, 1:, None].contiguous()
        return {
            "feature_tensors": {"item_id": inputs},
            "padding_mask": inputs != V,
            "positive_labels": targets,
            "negative_labels": None if kind == "full" else torch.randint(V, (NEGATIVES,)),
            "target_padding_mask": (targets != V) & (inputs != V)[:, :, None],
        }

    loader = torch.utils.data.DataLoader(
        Sequences(numbered, max_length, V), batch_size=BATCH, shuffle=True, collate_fn=collate
    )
    seconds = Seconds()
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[seconds],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(LightningModule(sasrec(V, max_length, kind)), loader)
    print(json.dumps({"seconds": seconds.seconds, "cpu_seconds": seconds.cpu_seconds}))


def sasrec(num_items: int, max_length: int, kind: str) -> SasRec:
    schema = TensorSchema(
        [
            TensorFeatureInfo(
                "item_id",
                is_seq=True,
                feature_type=FeatureType.CATEGORICAL,
                embedding_dim=DIM,
                padding_value=num_items,
                cardinality=num_items,
                feature_hint=FeatureHint.ITEM_ID,
                feature_sources=[TensorFeatureSource(FeatureSource.INTERACTIONS, "item_id")],
            )
        ]
    )
    model = SasRec.from_params(
        schema,
        embedding_dim=DIM,
        num_heads=HEADS,
        num_blocks=BLOCKS,
        max_sequence_length=max_length,
        dropout=DROPOUT,
    )
    if kind != "full":
        model.loss = CESampled(ignore_index=num_items)
        model.loss.logits_callback = model.get_logits
    if kind == "bucketed":
        model.body.encoder = LengthBucketedQueryEncoder(model.body.encoder, BUCKET)
    return model


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
