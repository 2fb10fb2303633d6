"""Judge candidates beside the champion and the baselines, on cutoffs whose outcome is known.

reads   sequences  as of the cutoff: every event before it, of about `gate.judged_users` users
reads   registry   candidates and challengers trained at the cutoff, and the champion
writes  registry   metrics, plots and the verdict on each version's run; tags on the version
writes  reports/evaluation-YYYY-MM-DD.json, from which people read

    python -m jobs.evaluate --cutoff 2017-11-28
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import ConfigError, CutoffError, OtherMoneyError
from contracts.money import Money
from contracts.tables import SEQUENCES
from jobs.champions import find_champion
from jobs.histories.read_sequences import Sequences, sequences_as_of
from jobs.histories.sequence_buckets import ROW_COLUMNS
from jobs.histories.whole_histories import deepened
from jobs.lake.column_types import arrow_schema
from jobs.lake.lake import open_lake
from jobs.registries import open_registry, signing_key
from jobs.running.program import run
from jobs.running.settings import Settings
from jobs.unknown_users import ingested_before, unknown_users_items
from models.judging.behaviour import check_behaviour
from models.judging.contestants import TOP_K, collect, side_by_side
from models.judging.evaluation import evaluate
from models.judging.gate import Check
from models.pages.model_card import Card, write_card
from models.pages.plots import evaluation_figures, save_png
from models.registry.admission import EVALUATION, root_of, signed
from models.registry.exclusion import Exclusion
from models.registry.predict import Predictions, Predictor
from models.registry.registry import ModelVersion, Registry
from models.registry.signing import SigningKey
from models.registry.version_files import digests_of
from models.sequences.drawn import draw
from models.sequences.history import Histories
from models.sequences.matured import Matured, plans
from models.whole_files import write_whole

SET_ASIDE = ("rolled_back", "retired")  # statuses of versions that are judged only when asked for


class Files(NamedTuple):
    """What is written of each version, and by which digests its own files are known."""

    cards: Mapping[str, Card]
    digests: Mapping[str, Mapping[str, str]]


def main(argv: Sequence[str] | None = None) -> int:
    def arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--version", action="append", help="default: every candidate trained at the cutoff"
        )

    return run(
        "evaluate",
        body,
        argv,
        description="Judge candidates on matured cutoffs.",
        arguments=arguments,
    )


def body(options: argparse.Namespace, settings: Settings) -> Mapping[str, Any]:
    start = time.monotonic()
    cutoff: date = options.cutoff
    registry = open_registry(settings)
    champion = find_champion(registry)
    versions = choose_versions(registry, cutoff, champion=champion, asked=options.version or [])
    lake = open_lake(settings)
    found = sequences_as_of(lake, cutoff)
    found.require_money(settings.money)
    horizons = settings.label_horizons
    planned = plans(cutoff, horizons)
    tested = sorted({day for plan in planned.values() for day in plan.test})
    kept = judged_sequences(found, settings.gate.judged_users)
    sequences = as_nights_knew(found, kept, settings, first=tested[0])

    key = signing_key(settings)
    predictors, digests, unfit = load(registry, versions, champion=champion, money=settings.money)
    versions = [version for version in versions if version.version in predictors]
    compared = None if unfit else champion
    answers, checks = ask(predictors, sequences, tested, settings)
    matured = Matured(
        Histories.from_arrow(sequences, money=horizons.money),
        horizons=horizons,
        zone=settings.zone,
        max_events=settings.sequences.max_events,
        exclusions=settings.exclusions.rules,
    )
    unknown = unknown_users_items(
        lake, ingested_before(cutoff), snapshot_id=found.events_id, zone=settings.time_zone
    )
    share = len(sequences) / max(found.num_users, 1)
    collected = collect(matured, planned, answers, unknown=unknown, share=share)
    passed_over = matured.passed_over(tested)
    document = {
        "cutoff": cutoff.isoformat(),
        "model": settings.mlflow.model,
        "horizons": horizons.model_dump(),
        "snapshot_ids": {SEQUENCES.name: found.snapshot_id},
        "users": {
            "judged": len(sequences),
            "known": found.num_users,
            "passed_over": passed_over.users,
            "passed_over_spend_share": passed_over.spend_share,
        },
        "versions": {version.version: _said_of(version, champion) for version in versions},
        "champion": compared.version if compared else None,
        "baselines": collected.chosen,
        **evaluate(
            collected.rows,
            checks,
            champion=compared.version if compared else None,
            gate=settings.gate,
            left_out=collected.left_out,
            notes=[*([str(passed_over)] if passed_over.users else []), *unfit],
        ),
        "seconds": round(time.monotonic() - start, 1),
    }
    file = write_document(document, settings.reports_folder)
    cards = {
        version: Card(settings.mlflow.model, version, predictor.manifest, predictor.num_items)
        for version, predictor in predictors.items()
    }
    files = Files(cards, digests)
    log(registry, versions, document, files, champion=champion, cutoff=cutoff, key=key)
    return {
        "rows": len(sequences),
        "passed_over": passed_over.users,
        "passed_over_spend_share": round(passed_over.spend_share, 6),
        "snapshot_ids": document["snapshot_ids"],
        "versions": len(versions),
        "admitted": sum(verdict["admitted"] for verdict in document["verdicts"].values()),
        "verdicts": {
            version: {"encoder": document["versions"][version]["encoder"], **verdict}
            for version, verdict in document["verdicts"].items()
        },
        "report": str(file),
    }


def judged_sequences(found: Sequences, judged_users: int) -> pa.Table:
    """The rows of about so many users, or of all; what is in memory does not grow beyond them."""
    nobody = arrow_schema(SEQUENCES, ROW_COLUMNS).empty_table()
    some = (
        draw(rows, judged_users, num_users=found.num_users, purpose="judging")
        for rows in found.read_buckets(ROW_COLUMNS)
    )
    return pa.concat_tables([nobody, *some])


def choose_versions(
    registry: Registry, cutoff: date, *, champion: ModelVersion | None, asked: Sequence[str]
) -> list[ModelVersion]:
    """The versions to judge, the champion among them. Raises CutoffError, ConfigError."""
    if asked:
        versions = [registry.resolve(version) for version in asked]
    else:
        trained = registry.versions(training_cutoff=cutoff.isoformat())
        versions = [version for version in trained if version.tags.get("status") not in SET_ASIDE]
        if not versions and (champion is None or champion.training_cutoff != cutoff):
            raise CutoffError(
                f"--cutoff {cutoff}",
                found="no candidate that was trained at it",
                expected="at least one",
                do=f"Run `nightshift train --cutoff {cutoff}` first, then run this again.",
            )
    if champion is not None and champion.version not in {v.version for v in versions}:
        versions = [*versions, champion]
    for version in versions:
        if version.training_cutoff > cutoff:
            raise CutoffError(
                f"--cutoff {cutoff}",
                found=f"version {version.version}, trained at {version.training_cutoff}, "
                "which knows what came true",
                expected="versions trained at the cutoff or before it",
                do=f"Evaluate at {version.training_cutoff} or later.",
            )
    return versions


def as_nights_knew(
    found: Sequences, rows: pa.Table, settings: Settings, *, first: date
) -> pa.Table:
    """The rows with what nights from the first test cutoff on had of every user who was cut.

    Of those who did not come back too: else whether they are judged would depend on what came true.
    """
    is_cut = pc.less(pc.list_value_length(rows["event_times"]), rows["lifetime_events"])
    heavy = rows["user_id"].filter(is_cut).combine_chunks()
    most = settings.ingest.max_events_per_user_day * (found.cutoff - first).days
    return deepened(found, rows, heavy, max_events=settings.sequences.max_events + most)


def load(
    registry: Registry,
    versions: Sequence[ModelVersion],
    *,
    champion: ModelVersion | None,
    money: Money,
) -> tuple[dict[str, Predictor], dict[str, dict[str, str]], list[str]]:
    """Each version, the digests of the files that it was loaded from, and why the champion is none.

    Where the champion is none of them, candidates are judged without it.

    Another definition of spend, or code from before, must not keep its successor from being judged.
    Raises ConfigError for any other version.
    """
    predictors: dict[str, Predictor] = {}
    digests: dict[str, dict[str, str]] = {}
    unfit: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for version in versions:
            try:
                downloaded = registry.download(version, Path(folder) / version.version)
                predictors[version.version] = _loaded(version, downloaded, money)
                digests[version.version] = digests_of(root_of(downloaded))
            except ConfigError as error:
                if champion is None or version.version != champion.version or len(versions) == 1:
                    raise
                unfit = [f"champion {version.version} was not compared: it has {error.found}"]
    return predictors, digests, unfit


def _loaded(version: ModelVersion, folder: Path, money: Money) -> Predictor:
    predictor = Predictor.load(folder)
    if (counted := predictor.manifest.horizons.money) != money:
        raise OtherMoneyError(
            f"{version.name} version {version.version}",
            counted=counted,
            money=money,
            do="Train and evaluate another version",
        )
    return predictor


def ask(
    predictors: Mapping[str, Predictor],
    sequences: pa.Table,
    cutoffs: Sequence[date],
    settings: Settings,
) -> tuple[dict[str, dict[date, Predictions]], dict[str, list[Check]]]:
    """What every version says at every test cutoff, asked as a night asks it; how it behaves."""
    max_events = settings.sequences.max_events
    exclusion = Exclusion(rules=settings.exclusions.rules)

    def at(predictor: Predictor, cutoff: date) -> Predictions:
        return predictor.predict(
            sequences, cutoff=cutoff, top_k=TOP_K, exclusion=exclusion, max_events=max_events
        )

    def answer(predictor: Predictor) -> tuple[dict[date, Predictions], list[Check]]:
        said = {cutoff: at(predictor, cutoff) for cutoff in cutoffs}
        return said, check_behaviour(predictor, sequences, cutoff=cutoffs[0], zone=settings.zone)

    found = side_by_side(answer, predictors)
    answers = {version: said for version, (said, _) in found.items()}
    return answers, {version: checks for version, (_, checks) in found.items()}


def write_document(document: Mapping[str, Any], folder: Path) -> Path:
    """Written beside its place first: a reader never sees half of it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"evaluation-{document['cutoff']}.json"
    write_whole(file, json.dumps(document, indent=1, allow_nan=False), replaces=True)
    return file


def log(
    registry: Registry,
    versions: Iterable[ModelVersion],
    document: Mapping[str, Any],
    files: Files,
    *,
    champion: ModelVersion | None,
    cutoff: date,
    key: SigningKey,
) -> None:
    """Numbers, table, plots, verdict and card on each version's run; the version's tags last.

    What the gate found is signed, with the digests of the files that it found it of.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "measures.csv").write_text(measures_csv(document))
        for title, figure in evaluation_figures(document).items():
            save_png(figure, folder / f"{title}.png")
        for version in versions:
            verdict = document["verdicts"][version.version]
            about = {
                "cutoff": str(cutoff),
                "champion": champion.version if champion else None,  # compared or not
                "snapshot_ids": document["snapshot_ids"],
                **verdict,
                "rule": document["rule"],
                "files": files.digests[version.version],
            }
            compared = {"comparisons": document["comparisons"][version.version]}
            (folder / "verdict.json").write_text(json.dumps({**about, **compared}, indent=1))
            for card in write_card(files.cards[version.version], document, folder):
                registry.log_file(version.run_id, card)  # in the place of the training's own
            age = (cutoff - version.training_cutoff).days
            registry.log_metrics(version.run_id, metrics_of(document, version.version), step=age)
            for file in sorted(folder.iterdir()):
                registry.log_file(version.run_id, file, folder=f"evaluation/{cutoff}")
            tags = {
                **signed(EVALUATION, version, about, key),
                "evaluated_cutoff": cutoff.isoformat(),
                "verdict": "admitted" if verdict["admitted"] else "refused",
            }
            if champion is None or version.version != champion.version:
                tags["status"] = "challenger"
            registry.set_tags(version.version, tags)


def metrics_of(document: Mapping[str, Any], version: str) -> dict[str, float]:
    """``test/<head>/<metric>`` of the version, ``<baseline>/<head>/<metric>`` of each baseline."""
    found: dict[str, float] = {}
    for row in document["table"]:
        name = f"{row['head']}/{row['metric']}".replace("@", "_at_")  # MLflow knows no @
        for contestant, value in row["values"].items():
            if value is None or (contestant in document["versions"] and contestant != version):
                continue
            found[f"{'test' if contestant == version else contestant}/{name}"] = value
    return found


def measures_csv(document: Mapping[str, Any]) -> str:
    """The table of every contestant on every head: a line for each value, with its interval."""
    lines = ["head,measure,contestant,value,low,high,rows,users"]
    for row in document["table"]:
        for contestant, value in row["values"].items():
            low, high = row["intervals"].get(contestant) or (None, None)
            named = f"version {contestant}" if contestant in document["versions"] else contestant
            cells = [row["head"], row["metric"], named, value, low, high, row["rows"], row["users"]]
            lines.append(",".join("" if cell is None else str(cell) for cell in cells))
    return "\n".join(lines) + "\n"


def _said_of(version: ModelVersion, champion: ModelVersion | None) -> dict[str, Any]:
    return {
        "encoder": version.encoder,
        "run_id": version.run_id,
        "training_cutoff": version.training_cutoff.isoformat(),
        "is_champion": champion is not None and version.version == champion.version,
    }


if __name__ == "__main__":
    sys.exit(main())
