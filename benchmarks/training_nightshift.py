"""One epoch of Nightshift's training of the next-item head, as `models.training.fit_items` does it.

python -m benchmarks.training_nightshift FILE full|sampled THREADS
"""

import json
import logging
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from benchmarks.item_sequences import leave_one_out
from benchmarks.sequence_files import length_of, read_sequences
from models.config import FullSoftmax, NextItemConfig, SampledSoftmax, TransformerConfig
from models.sequences.vocabulary import Vocabulary
from models.training.fit_items import fit_items
from models.training.item_data import HeldOut, ItemData

NEGATIVES = 256


def main(file: Path, kind: str, threads: int) -> None:
    torch.set_num_threads(threads)
    config = NextItemConfig(
        encoder=TransformerConfig(
            max_length=length_of(file), dim=64, num_layers=2, num_heads=2, expansion=1, dropout=0.2
        ),
        next_item_loss=FullSoftmax() if kind == "full" else SampledSoftmax(num_negatives=NEGATIVES),
        min_item_count=1,
        batch_size=128,
        epochs=1,
        max_minutes=60,
        learning_rate=0.001,
        weight_decay=0.01,
        seed=0,
    )
    training = leave_one_out(read_sequences(file)).training
    vocabulary = Vocabulary.of(training, min_item_count=1)
    nobody = HeldOut(training, vocabulary, np.zeros(len(training), np.int64), config=config)
    nobody.users = nobody.users[:1]  # an epoch ends with a validation, which is not timed
    said: list[dict[str, float]] = []
    data = ItemData(training, vocabulary, config=config)
    cpu_started = time.process_time()
    fit_items(data, nobody, vocabulary, config=config, on_epoch=lambda _, m: said.append(dict(m)))
    cpu_seconds = time.process_time() - cpu_started  # Lightning's start and end too
    seconds, real = said[0]["train/seconds"], said[0]["train/real_tokens"]
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "real_tokens": real}))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
