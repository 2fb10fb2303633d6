"""A model's weights: safetensors, read with the suspicion of `model_files`."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from models.model_files import refuse, refuse_special

MAX_HEADER_BYTES = 100_000_000  # as safetensors itself has it
EXPECTED = "weights as this code writes them"


def read_weights(file: Path) -> dict[str, Tensor]:
    """Raises DamagedModelError for a cut or hostile file, and for weights that are no numbers."""
    refuse_special(file)
    size = file.stat().st_size
    with file.open("rb") as stream:
        header = int.from_bytes(stream.read(8), "little")
    if size < 8 or header > min(size - 8, MAX_HEADER_BYTES):
        refuse(file, f"{size} bytes, with a header of {header}", EXPECTED)
    try:
        state = load_file(file)
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError) as error:
        refuse(file, str(error).splitlines()[0][:200].rstrip("."), EXPECTED)
    for name, value in state.items():
        bad = int((~torch.isfinite(value)).sum()) if value.is_floating_point() else 0
        if bad:
            refuse(file, f"{bad} of {value.numel()} values of {name} NaN or infinite", "numbers")
    return state
