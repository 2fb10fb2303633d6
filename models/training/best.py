"""The best epoch of a run so far, on disk: its weights, its answers, and the score that chose it.

Each file is written beside its place and renamed; the score comes last and vouches for the others.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.training.validation import Answers

WEIGHTS, ANSWERS, SCORE = "best.safetensors", "best.npz", "best.json"


class Best(NamedTuple):
    state: dict[str, Tensor]
    answers: Answers
    metrics: dict[str, float]


def best_score(folder: Path) -> float:
    """Of the epoch that is kept; far below any where none is."""
    file = folder / SCORE
    return float(json.loads(file.read_text())["metrics"]["val/score"]) if file.exists() else -1e9


def forget_best(folder: Path) -> None:
    """For a training that begins anew: what is kept may be of a network of another shape."""
    (folder / SCORE).unlink(missing_ok=True)


def keep_best(
    folder: Path,
    state: Mapping[str, Tensor],
    answers: Answers,
    epoch: int,
    metrics: Mapping[str, float],
) -> None:
    """Put this epoch in the place of the one before."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    _write(folder / WEIGHTS, lambda file: save_file(tensors, file))
    _write(folder / ANSWERS, lambda file: _save_arrays(file, answers))
    said = json.dumps({"epoch": epoch, "metrics": dict(metrics)})
    _write(folder / SCORE, lambda file: file.write_text(said))


def read_best(folder: Path) -> Best:
    kept = json.loads((folder / SCORE).read_text())
    with np.load(folder / ANSWERS, allow_pickle=False) as saved:
        arrays = {name: saved[name] for name in saved.files}
    arrays.setdefault("spend_median", arrays["spend"])  # of an epoch from before it was kept
    return Best(load_file(folder / WEIGHTS), Answers(**arrays), kept["metrics"])


def _save_arrays(path: Path, answers: Answers) -> None:
    with path.open("wb") as file:  # numpy would add .npz to a name that it is given
        np.savez(file, **vars(answers))


def _write(path: Path, write: Callable[[Path], object]) -> None:
    partial = path.with_name(f"{path.name}.part")
    write(partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)
