"""replay-rec's predict with its top-items callback: a side of `scoring.py`.

    .venv-peers/bin/python -m benchmarks.scoring_replay SHAPE USERS THREADS

Its SasRec, left-padded to the full length, through Lightning's `Trainer.predict`, from rows that
are in memory already, in the environment that `make bench-peers` makes. USERS is how many are
asked at most. Seconds are of the prediction's epoch, the callback's result included.
"""

import json
import logging
import sys
import time
import warnings

import lightning as L
import numpy as np
import torch
from replay.nn.lightning import LightningModule
from replay.nn.lightning.callback import TorchTopItemsCallback

from benchmarks.scored_users import Users, shape_of, users_of
from benchmarks.training_replay import sasrec

BATCH, TOP_K = 256, 10


class Rows(torch.utils.data.Dataset):
    """Left-padded, as replay-rec reads them; the padding is item ``V``."""

    def __init__(self, chunks: list[Users], max_length: int, num_items: int) -> None:
        self.rows = np.concatenate([padded(users, max_length, num_items) for users in chunks])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[int, np.ndarray]:
        return place, self.rows[place]


class Seconds(L.Callback):
    def on_predict_epoch_start(self, *_: object) -> None:
        self.started, self.cpu_started = time.monotonic(), time.process_time()


def padded(users: Users, max_length: int, num_items: int) -> np.ndarray:
    """(N, max_length) items from 0 on"""
    lengths = np.diff(users.offsets)
    rows = np.full((len(users), max_length), num_items, dtype=np.int64)
    rows[np.arange(max_length) >= max_length - lengths[:, None]] = users.items - 1
    return rows


def main(text: str, limit: int, threads: int) -> None:
    torch.set_num_threads(threads)
    L.seed_everything(0, verbose=False)
    shape = shape_of(text)
    V = shape.num_items
    data = Rows([*users_of(text, limit=limit)], shape.max_length, V)

    def collate(rows: list[tuple[int, np.ndarray]]) -> dict[str, object]:
        items = torch.from_numpy(np.stack([row for _, row in rows]))  # (B, T)
        users = torch.tensor([place for place, _ in rows])
        return {
            "user_id": users,
            "feature_tensors": {"item_id": items},
            "padding_mask": items != V,
        }

    best = TorchTopItemsCallback(top_k=TOP_K, query_column="user_id")
    seconds = Seconds()
    trainer = L.Trainer(
        accelerator="cpu",
        callbacks=[seconds, best],
        inference_mode=True,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH, collate_fn=collate)
    module = LightningModule(sasrec(V, shape.max_length, "full"))
    trainer.predict(module, loader, return_predictions=False)
    users, _, _ = best.get_result()
    taken = time.monotonic() - seconds.started
    cpu_taken = time.process_time() - seconds.cpu_started
    if len(users) != len(data):
        raise SystemExit(f"{len(users)} answers for {len(data)} users")
    print(json.dumps({"users": len(data), "seconds": taken, "cpu_seconds": cpu_taken}))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
