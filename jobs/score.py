"""Score every user: the champion's answer as of the cutoff, for every row of `sequences`.

reads   sequences  as of the cutoff, and the registry's version with the alias `champion`
writes  scores     partition cutoff=YYYY-MM-DD, replaced whole, so a re-run is safe
key     (user_id, cutoff)

    spark-submit jobs/score.py --cutoff 2017-11-29

The model travels to the executors, which read the sequences' files and write the scores' batch by
batch; no user passes the driver. Batches are cut from the files as they lie, in one size, so that a
second run of a night does the same sums in the same order and writes the same rows.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from contracts.errors import AuditError, OtherMoneyError
from contracts.money import Money
from contracts.tables import SCORES, SEQUENCES
from contracts.windows import Window, one_day
from jobs.excluded_items import exclusion_of
from jobs.histories.read_sequences import Sequences, sequences_as_of, sequences_at
from jobs.lake.commits import Commit, Staged
from jobs.lake.lake import Lake, new_run_key, open_lake
from jobs.registries import open_registry, verdict_key
from jobs.running.program import run
from jobs.running.settings import Settings, remembered
from jobs.running.spark import open_spark
from jobs.score_batches import CHURN_ACTIVE_DAYS, Request, Stamp, score_rows, write_scores
from models.registry.admission import fetch_admitted, require_admitted
from models.registry.registry import CHAMPION, ModelVersion, Registry
from models.registry.signing import VerdictKey

JOB = "score"
MODEL_VERSION = "model_version"  # the fact that says who answered


def request_of(
    spark: SparkSession,
    settings: Settings,
    cutoff: date,
    *,
    version: ModelVersion,
    model: Path,
) -> Request:
    """What the executors have to know to ask this version, whose folder is sent to them."""
    spark.sparkContext.addFile(str(model), recursive=True)
    return Request(
        folder=model.name,
        stamp=Stamp(version.name, str(version.version), version.run_id, cutoff),
        top_k=settings.recommendations.top_k,
        exclusion=exclusion_of(settings, cutoff),
    )


def rows_from(
    spark: SparkSession,
    lake: Lake,
    settings: Settings,
    *,
    window: Window,
    reads: Mapping[str, int],
    version: ModelVersion,
    model: Path,
) -> DataFrame:
    """The rows of a run that reads these snapshots and asks this version."""
    request = request_of(spark, settings, window.start, version=version, model=model)
    parts = sequences_at(lake, reads[SEQUENCES.name]).parts()
    return score_rows(spark, parts, request, lake.filesystem())


@contextmanager
def fetched(
    registry: Registry, version: ModelVersion, name: str, *, key: VerdictKey | None
) -> Iterator[Path]:
    """The version's folder, named after a run of its own while it is needed.

    Executors that outlive a run must not mistake one for another. Without a key it is not asked
    whether the version was admitted: what scored a past night is what rebuilds it.
    """
    with TemporaryDirectory(prefix="nightshift-") as folder:
        model, to = Path(folder) / name, Path(folder) / "download"
        source = (
            fetch_admitted(registry, version, key, to) if key else registry.download(version, to)
        )
        shutil.copytree(source, model)
        yield model


def score_night(
    lake: Lake, settings: Settings, options: argparse.Namespace, champion: ModelVersion, model: Path
) -> tuple[Commit, float]:
    """Score, audit and commit one night; returns the commit and the seconds that scoring took."""
    cutoff = options.cutoff
    sequences = sequences_as_of(lake, cutoff)
    window, reads = one_day(cutoff), {SEQUENCES.name: sequences.snapshot_id}
    spark = open_spark(settings, JOB)
    request = request_of(spark, settings, cutoff, version=champion, model=model)
    parts = sequences.parts()
    start = time.monotonic()
    files = write_scores(spark, parts, request, lake.writer(SCORES, run_key=model.name))
    staged = lake.stage_files(spark, files, SCORES, window=window, run_key=model.name)
    seconds = time.monotonic() - start
    check_rows(staged, sequences)
    commit = lake.commit(
        staged,
        reads=reads,
        facts={
            **remembered(settings, "recommendations", "exclusions", "money"),
            MODEL_VERSION: str(champion.version),
            CHURN_ACTIVE_DAYS: str(churn_active_days(model)),
            "scored_at": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    return commit, seconds


def churn_active_days(model: Path) -> int:
    """Of whom the version answers the question of churn."""
    manifest = json.loads((model / "manifest.json").read_text())
    return int(manifest["horizons"]["churn_active_days"])


def require_money(version: ModelVersion, model: Path, money: Money) -> None:
    """Raise OtherMoneyError where the version has learnt spend by another definition."""
    counted = json.loads((model / "manifest.json").read_text())["horizons"].get("money")
    if counted != money:
        raise OtherMoneyError(
            f"{version.name} version {version.version}",
            counted=counted,
            money=money,
            do="Train, evaluate and promote a version",
        )


def check_rows(staged: Staged, sequences: Sequences) -> None:
    """Raise AuditError unless every user of the sequences has a row, before any is visible."""
    if staged.num_rows != sequences.num_users:
        day = staged.window.start
        raise AuditError(
            f"{SCORES.name}/cutoff={day}",
            found=f"{staged.num_rows} rows",
            expected=f"{sequences.num_users}, one for each user in sequences",
            do="Nothing was committed. "
            f"Run `nightshift sequences --cutoff {day}` again, then score again.",
        )


def body(options: argparse.Namespace, settings: Settings) -> Mapping[str, Any]:
    cutoff = options.cutoff
    lake = open_lake(settings)
    sequences_as_of(lake, cutoff).require_money(settings.money)
    registry = open_registry(settings)
    champion, key = registry.resolve(CHAMPION), verdict_key(settings)
    require_admitted(champion, key)
    with fetched(registry, champion, new_run_key(JOB, cutoff), key=key) as model:
        require_money(champion, model, settings.money)
        commit, seconds = score_night(lake, settings, options, champion, model)
    return {
        "users": commit.num_rows,
        "model_version": str(champion.version),
        "users_per_second": round(commit.num_rows / seconds, 1),
        # It has seen what came after this cutoff: fine for a backfill's rows, not for evaluation.
        "is_hindsight": champion.training_cutoff > cutoff,
        "content_hash": commit.content_hash,
        "snapshot_id": commit.snapshot_id,
    }


def main(argv: Sequence[str] | None = None) -> int:
    return run(JOB, body, argv, description="Score every user with the champion.")


if __name__ == "__main__":
    sys.exit(main())
