"""What a training is made of: split by time, dealt into shards by the first process, shared by all.

With H the longest label window and C the training cutoff: training sees nothing from C - 2H on,
validation is asked at C - 2H and sees nothing from C - H on, tests are left to the evaluation.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from contracts.errors import ConfigError, CutoffError, TrainingStoppedError
from contracts.exclusions import NOTHING, Exclusions
from contracts.windows import is_matured
from models.config import LabelHorizons, TrainConfig
from models.sequences.vocabulary import Vocabulary
from models.training.dealing import Dealt, deal
from models.training.failures import explaining_shards
from models.training.label_days import label_limit
from models.training.ranks import agree_on, join
from models.training.shards import TrainingShards
from models.training.stop import Stop
from models.training.validation_data import ValidationData

WAIT_SECONDS = 0.1


@dataclass(frozen=True)
class Prepared:
    """What every process opens from the same files, alike to the last bit."""

    vocabulary: Vocabulary
    training: TrainingShards
    validation: ValidationData
    label_limit: date


def prepare_data(
    tables: Iterable[pa.Table],
    *,
    num_users: int,
    folder: Path,
    config: TrainConfig,
    horizons: LabelHorizons,
    zone: ZoneInfo,
    cutoff: date,
    known: Vocabulary | None = None,
    unknown: Callable[[], pa.Table] | None = None,
    exclusions: Exclusions = NOTHING,
    stop: Stop | None = None,
) -> Prepared:
    """Deal the users of the tables into ``folder``, unless an earlier start has done so.

    The tables are read by the first process alone, and are as `dealing` wants them. Items that are
    ``known`` from an earlier version keep their numbers; ``unknown`` reads what people bought whom
    the log does not name. Raises CutoffError when nothing is left to
    train on, or to validate with, ConfigError when no item is frequent enough, BusyError when the
    processes would train different things, TooLittleMemoryError, and TrainingStoppedError.
    """
    stop, rank = stop or Stop(), int(os.environ.get("RANK", "0"))
    join()
    agree_on(folder.parent.name)
    limit = label_limit(cutoff, horizons)
    if rank:
        _wait_for(folder, stop)
    elif not folder.exists():
        with explaining_shards(config):
            deal(
                _until(stop, tables),
                folder,
                num_users=num_users,
                config=config,
                horizons=horizons,
                zone=zone,
                label_limit=limit,
                known=known,
                unknown=unknown() if unknown else None,
                exclusions=exclusions,
            )
    try:
        with explaining_shards(config):
            return _open(
                folder,
                config=config,
                horizons=horizons,
                zone=zone,
                cutoff=cutoff,
                exclusions=exclusions,
            )
    except ConfigError:
        if not rank:
            shutil.rmtree(folder)
            with contextlib.suppress(OSError):  # something else is in it
                folder.parent.rmdir()
        raise


def _open(
    folder: Path,
    *,
    config: TrainConfig,
    horizons: LabelHorizons,
    zone: ZoneInfo,
    cutoff: date,
    exclusions: Exclusions,
) -> Prepared:
    limit = label_limit(cutoff, horizons)
    validation_limit = limit + timedelta(days=horizons.longest_days)
    assert is_matured(limit, horizon_days=horizons.longest_days, known_before=validation_limit)
    dealt, vocabulary = Dealt.load(folder), Vocabulary.load(folder)
    training = TrainingShards(folder, dealt, vocabulary, config, horizons, zone, limit)
    if not training.num_users or training.days.first > training.days.latest:
        raise _too_early(cutoff, f"no user with a label window that closed by {limit}")
    if not vocabulary.num_items:
        raise ConfigError(
            f"min_item_count {config.min_item_count}",
            found=f"no item with as many events before {limit}",
            expected="at least one, for the catalogue",
            do="Lower min_item_count, or choose a later cutoff.",
        )
    validation = ValidationData(
        folder,
        dealt.num_validation,
        vocabulary,
        config=config,
        horizons=horizons,
        zone=zone,
        cutoffs=[limit],
        limit=validation_limit,
        exclusions=exclusions,
    )
    for name, truth in (("purchase", validation.purchase), ("churn", validation.churn)):
        if len(np.unique(truth[np.isfinite(truth)])) < 2:
            raise _too_early(cutoff, f"one outcome only of {name} at the validation cutoff {limit}")
    return Prepared(vocabulary, training, validation, limit)


def _until(stop: Stop, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    for table in tables:
        _heed(stop)
        yield table


def _wait_for(folder: Path, stop: Stop) -> None:
    while not folder.exists():
        _heed(stop)
        time.sleep(WAIT_SECONDS)


def _heed(stop: Stop) -> None:
    if stop:
        raise TrainingStoppedError(stop.name, step=0, total=0)


def _too_early(cutoff: date, found: str) -> CutoffError:
    return CutoffError(
        f"--cutoff {cutoff}",
        found=found,
        expected="events of users well before it: twice the longest horizon, and the warm-up",
        do="Choose a later cutoff, ingest more history, or shorten the horizons.",
    )
