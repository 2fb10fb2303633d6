"""A forecaster as a folder: safetensors and JSON, so that loading it runs no code of its own.

weights.safetensors   every parameter of `models.demand.network.DemandNetwork`
manifest.json         what it was trained on, until when, how it is calibrated, how good it was
"""

from datetime import date
from pathlib import Path

from pydantic import PositiveInt, ValidationError
from safetensors.torch import save_file

from contracts.errors import ConfigError
from models.config import Config, DemandConfig
from models.demand.calendar import Calendar
from models.demand.calibration import Tails
from models.demand.forecast import Forecaster
from models.demand.network import DemandNetwork
from models.model_files import read_text, refuse
from models.model_weights import read_weights

WEIGHTS = "weights.safetensors"
MANIFEST = "manifest.json"


class DemandManifest(Config):
    config: DemandConfig
    horizon_days: PositiveInt
    holidays: tuple[date, ...]
    closed_days: tuple[date, ...]
    tails: Tails
    sees_promotions: bool = False  # a manifest from before there were plans does not say
    training_cutoff: date  # days before it were used, and only those
    snapshot_ids: dict[str, int]
    metrics: dict[str, float]  # on the window that the training left alone


def save_forecaster(
    directory: Path,
    forecaster: Forecaster,
    *,
    training_cutoff: date,
    snapshot_ids: dict[str, int],
    metrics: dict[str, float],
) -> None:
    calendar = forecaster.calendar
    manifest = DemandManifest(
        config=forecaster.config,
        horizon_days=forecaster.horizon_days,
        holidays=tuple(sorted(calendar.holidays)),
        closed_days=tuple(sorted(calendar.closed_days)),
        tails=forecaster.tails,
        sees_promotions=forecaster.sees_promotions,
        training_cutoff=training_cutoff,
        snapshot_ids=snapshot_ids,
        metrics=metrics,
    )
    directory.mkdir(parents=True, exist_ok=True)
    state = forecaster.network.state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, directory / WEIGHTS)
    (directory / MANIFEST).write_text(manifest.model_dump_json(indent=2))


def load_forecaster(directory: Path) -> Forecaster:
    """Raises ConfigError when the folder is no forecaster of this version of the code.

    DamagedModelError where a file is cut, hostile, or holds what no training writes.
    """
    try:
        manifest = DemandManifest.model_validate_json(read_text(directory / MANIFEST))
        state = read_weights(directory / WEIGHTS)
        layers = manifest.config.encoder.num_layers
        if layers > len(state):
            refuse(directory / MANIFEST, f"{layers} layers", f"those of {len(state)} weights")
        network = DemandNetwork(manifest.config.encoder)
        network.load_state_dict(state)
    except (OSError, ValidationError, RuntimeError) as error:
        if isinstance(error, ValidationError) and error.errors()[0]["type"] == "json_invalid":
            found = error.errors()[0]["msg"]
            refuse(directory / MANIFEST, found, "JSON as this code writes it")
        raise ConfigError(
            str(directory),
            found=str(error).splitlines()[0],
            expected=f"{WEIGHTS} and {MANIFEST} as this code writes them",
            do="Give the folder of a forecaster, or train it again: `nightshift train-demand`.",
        ) from None
    calendar = Calendar.of(manifest.holidays, manifest.closed_days)
    return Forecaster(
        network.eval(),
        manifest.config,
        calendar,
        manifest.horizon_days,
        manifest.tails,
        manifest.sees_promotions,
    )
