"""A trained model as a folder: safetensors and JSON, so that loading it runs no code of its own.

weights.safetensors   every parameter and buffer of `models.networks.network.Network`
manifest.json         what was trained, on what, until when, and how well
item_index.json       what the network's numbers for items and categories mean
"""

from datetime import date
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pydantic import PositiveInt, ValidationError
from safetensors.torch import save_file
from torch import Tensor

from contracts.errors import ConfigError
from models.config import Config, LabelHorizons, TrainConfig
from models.model_files import read_text, refuse
from models.model_weights import read_weights
from models.networks.network import Network, build_network
from models.sequences.batch import FEATURES
from models.sequences.vocabulary import FILE as ITEM_INDEX
from models.sequences.vocabulary import Vocabulary
from models.training.calibration import BaseRates, Calibration

WEIGHTS = "weights.safetensors"
MANIFEST = "manifest.json"


class Manifest(Config):
    config: TrainConfig
    horizons: LabelHorizons
    time_zone: str
    training_cutoff: date  # events and labels were used before it, and only before it
    label_limit: date  # training saw nothing from this day on; validation did
    snapshot_ids: dict[str, int]
    parent: str | None = None  # the version whose weights it went on from: <name>/<version>
    session_gap_minutes: PositiveInt  # how its sequences were made: a longer silence starts a
    max_events: PositiveInt  # session, and so many events of a user were kept
    feature_names: tuple[str, ...] = FEATURES
    base_rates: BaseRates
    calibration: Calibration
    metrics: dict[str, float]

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


class Artifact(NamedTuple):
    manifest: Manifest
    vocabulary: Vocabulary
    network: Network


def save_artifact(
    directory: Path, manifest: Manifest, vocabulary: Vocabulary, state: dict[str, Tensor]
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in state.items()}, directory / WEIGHTS)
    vocabulary.save(directory)
    (directory / MANIFEST).write_text(manifest.model_dump_json(indent=2))


def load_artifact(directory: Path) -> Artifact:
    """Raises ConfigError when the folder is no model of this version of the code.

    DamagedModelError where a file is cut, hostile, or holds what no training writes.
    """
    missing = [name for name in (WEIGHTS, MANIFEST, ITEM_INDEX) if not (directory / name).is_file()]
    if missing:
        raise ConfigError(
            str(directory),
            found=f"no {', '.join(missing)}",
            expected=f"{WEIGHTS}, {MANIFEST} and {ITEM_INDEX}",
            do="Give the folder of a trained model.",
        )
    try:
        manifest = Manifest.model_validate_json(read_text(directory / MANIFEST))
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            refuse(directory / MANIFEST, first["msg"], "JSON as this code writes it")
        raise ConfigError(
            f"{directory / MANIFEST}: {'.'.join(str(part) for part in first['loc'])}",
            found=first["type"].replace("_", " "),
            expected="a manifest as this code writes it",
            do="The model is of another version of the code: train again.",
        ) from None
    if manifest.feature_names != FEATURES:
        different = sorted({*FEATURES} ^ {*manifest.feature_names})
        raise ConfigError(
            str(directory / MANIFEST),
            found=f"features that differ in {', '.join(different)}",
            expected="those of this code",
            do="The model is of another version of the code: train again.",
        )
    vocabulary = Vocabulary.load(directory)
    state = read_weights(directory / WEIGHTS)
    if manifest.config.encoder.num_layers > len(state):
        layers = manifest.config.encoder.num_layers
        refuse(directory / MANIFEST, f"{layers} layers", f"those of {len(state)} weights")
    try:
        network = build_network(manifest.config.encoder, vocabulary, state)
    except RuntimeError as error:  # keys or shapes that do not fit
        raise ConfigError(
            str(directory / WEIGHTS),
            found=str(error).splitlines()[-1].strip().rstrip("."),
            expected="the weights of this code's network",
            do="The model is of another version of the code: train again.",
        ) from None
    return Artifact(manifest, vocabulary, network)
