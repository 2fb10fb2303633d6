"""A training from the lake to the registry, started as torchrun starts it."""

import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from contracts.errors import ConfigError
from contracts.night import REFUSALS
from contracts.tables import SEQUENCES
from contracts.windows import one_day
from jobs.lake.column_types import arrow_schema
from jobs.lake.commits import Staged
from jobs.lake.lake import Lake, open_lake
from jobs.registries import open_registry
from jobs.running.code_version import code_version
from jobs.running.settings import PROJECT, Settings
from jobs.train import main, models_folder, run_key
from models.config import LabelHorizons, load_train_config
from models.registry.artifact import load_artifact
from models.registry.predict import Predictor
from models.registry.registry import Registry
from models.training.prepared import prepare_data

pytestmark = pytest.mark.torch

CUTOFF = date(2017, 9, 1)
SMALL = {"encoder": {"kind": "gru", "max_length": 16, "dim": 8, "num_layers": 1, "dropout": 0.0}}


def rows_of(num_users: int) -> pa.Table:
    """Users who shop every 3 to 12 days from January on; every fifth of them stops in May."""
    random = np.random.default_rng(0)
    first, rows = datetime(2017, 1, 2, 15, tzinfo=UTC), []
    for user in range(num_users):
        gap, times = 3 + user % 10, []
        last = datetime(2017, 6, 25 if user % 5 == 0 else 28, tzinfo=UTC)
        end = last if user % 5 == 0 else datetime(2017, 9, 1, tzinfo=UTC)
        when = first + timedelta(days=int(random.integers(0, gap)))
        while when < end:
            times += [when, when]
            when += timedelta(days=gap + int(random.integers(-1, 2)))
        count = len(times)
        amounts = random.gamma(2.0, 5.0, count).round(2).tolist()
        rows.append(
            {
                "user_id": f"u{user}",
                "event_times": times,
                "event_ids": [f"u{user}-{n}" for n in range(count)],
                "item_ids": [f"item{(user + n % 4) % 12}" for n in range(count)],
                "event_types": ["purchase"] * count,
                "categories": [f"kind{(user + n % 4) % 3}" for n in range(count)],
                "quantities": [1.0] * count,
                "amounts": amounts,
                "session_starts": [n % 2 == 0 for n in range(count)],
                "lifetime_events": count,
                "lifetime_spend": sum(amounts),
                "first_event_time": times[0],
                "last_event_time": times[-1],
                "cutoff": CUTOFF,
            }
        )
    return pa.Table.from_pylist(rows, schema=arrow_schema(SEQUENCES, None))


@pytest.fixture
def prepared_lake(settings: Settings) -> Settings:
    """The rows committed to `sequences`, without Spark, and a small configuration."""
    lake, table = open_lake(settings), rows_of(30)
    file = Path(settings.home) / "lake" / "sequences" / "data" / "part.parquet"
    file.parent.mkdir(parents=True)
    pq.write_table(table, file)
    staged = Staged(SEQUENCES, [f"file://{file}"], one_day(CUTOFF), "rows", len(table), "hash")
    lake.commit(staged, reads={}, facts={"money": "net"})
    config = yaml.safe_load((PROJECT / "configs" / "models" / "gru.yaml").read_text())
    config |= SMALL | {"min_item_count": 1, "warmup_days": 14, "batch_size": 4, "epochs": 2}
    folder = settings.file.parent / "models"
    folder.mkdir()
    (folder / "gru.yaml").write_text(yaml.safe_dump(config))
    return settings


def start(settings: Settings, *, processes: int) -> subprocess.CompletedProcess[str]:
    command = ["--cutoff", str(CUTOFF), "--encoder", "gru", "--json"]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "NIGHTSHIFT_CONFIG": str(settings.file), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *launcher, "-m", "jobs.train", *command],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_two_processes_train_register_and_leave_nothing_behind(prepared_lake, tmp_path):
    """30 users on two ranks that do not divide them: a run with curves, a version that predicts."""
    settings = prepared_lake

    done = start(settings, processes=2)
    assert done.returncode == 0, done.stderr[-4000:]

    said = json.loads(done.stdout.strip().splitlines()[-1])
    assert len(done.stdout.strip().splitlines()) == 1  # one rank answers for all
    assert (said["encoder"], said["epochs"], said["devices"]) == ("gru", 2, 2)
    assert not list(settings.runs_folder.iterdir())
    registry = Registry(settings.mlflow.tracking_uri, settings.mlflow.model, settings.artifacts_uri)
    version = registry.resolve("candidate")
    assert (version.version, version.run_id) == (said["version"], said["run_id"])
    curve = registry.client.get_metric_history(version.run_id, "val/purchase_auroc")
    assert [point.step for point in curve] == [0, 1]
    shown = {file.path for file in registry.client.list_artifacts(version.run_id, "validation")}
    kinds = ("roc", "precision_recall", "calibration", "gains", "distribution")
    assert {
        f"validation/{head}_{kind}.png" for head in ("purchase", "churn") for kind in kinds
    } <= (shown)
    card = registry.client.download_artifacts(version.run_id, "model_card.md", tmp_path)
    assert "It has not been judged yet" in Path(card).read_text()
    params = registry.client.get_run(version.run_id).data.params
    assert params["snapshot.sequences"] == str(open_lake(settings).snapshot_id(SEQUENCES))
    assert params["cutoff"] == str(CUTOFF)
    assert params["code_version"] == code_version()
    predictor = Predictor.load(registry.download(version, tmp_path / "download"))
    found = predictor.predict(rows_of(30), cutoff=CUTOFF, top_k=3)
    assert np.isfinite(found.purchase).all()
    assert predictor.manifest.snapshot_ids.keys() == {"sequences"}
    assert predictor.manifest.label_limit == CUTOFF - timedelta(days=56)


@pytest.mark.slow
def test_a_training_told_to_stop_goes_on_in_the_run_it_had(prepared_lake):
    """SIGTERM: exit code 1, which schedulers try again; the second start ends the same run."""
    settings = prepared_lake
    arguments = ["--cutoff", str(CUTOFF), "--encoder", "gru", "--json", "--epochs", "12"]
    environment = {**os.environ, "NIGHTSHIFT_CONFIG": str(settings.file)}
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.train", *arguments],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr or ():
        if line.startswith("train: epoch 2/"):
            break
    process.terminate()
    stopped = json.loads(process.communicate(timeout=60)[0].splitlines()[-1])

    assert (process.returncode, stopped["error"]) == (1, "TrainingStoppedError")
    assert process.returncode not in REFUSALS
    (folder,) = settings.runs_folder.iterdir()
    registry = Registry(settings.mlflow.tracking_uri, settings.mlflow.model, settings.artifacts_uri)
    run_id = (folder / "mlflow_run_id").read_text()
    assert registry.client.get_run(run_id).info.status == "KILLED"

    again = subprocess.run(
        [sys.executable, "-m", "jobs.train", *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    said = json.loads(again.stdout.splitlines()[-1])
    step = stopped["message"].split()[2]
    assert f"train: goes on after step {step} of 96" in again.stderr
    assert (said["run_id"], said["epochs"]) == (run_id, 12)
    assert registry.client.get_run(run_id).info.status == "FINISHED"
    curve = registry.client.get_metric_history(run_id, "val/score")
    assert [point.step for point in curve] == list(range(12))


@pytest.mark.slow
def test_a_second_training_with_the_same_arguments_is_refused_while_the_first_runs(
    prepared_lake, tmp_path
):
    """Two launchers of two processes each; the first one's run has its curves while it trains."""
    settings, log = prepared_lake, tmp_path / "first.log"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = ["--cutoff", str(CUTOFF), "--encoder", "gru", "--json", "--epochs", "4000"]

    def start(stderr: IO[bytes]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *launcher, "-m", "jobs.train", *arguments],
            cwd=PROJECT,
            env={**os.environ, "NIGHTSHIFT_CONFIG": str(settings.file), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    with log.open("wb") as stderr:
        first = start(stderr)
        try:
            while "train: epoch 2/" not in log.read_text():
                assert first.poll() is None, log.read_text()
                time.sleep(0.1)
            answer = json.loads(start(stderr).communicate(timeout=120)[0])
            (lock,) = settings.runs_folder.glob("*.lock")
            holder = psutil.Process(json.loads(lock.read_text())["pid"])
            holds = holder.environ()["RANK"], holder.parent().pid
            (folder,) = (path for path in settings.runs_folder.iterdir() if path.is_dir())
            run_id = (folder / "mlflow_run_id").read_text()
            curve = open_registry(settings).client.get_metric_history(run_id, "step/loss")
            is_running = first.poll() is None
        finally:
            for process in (*psutil.Process(first.pid).children(recursive=True), first):
                process.kill()
            first.communicate()

    assert (answer["error"], answer["exit_code"]) == ("TrainingBusyError", 1)
    assert f"process {holder.pid} on " in answer["message"]
    assert (holds, is_running) == (("0", first.pid), True)
    lines = log.read_text().splitlines()
    assert "train: reads the sequences of 30 users" in lines
    line = r"train: epoch 1/4000, step \d+ of 16000, loss [\d.]+, [\d,]+ events/s, \d+ \w+ left"
    assert any(re.fullmatch(line, one) for one in lines)
    assert len({point.step for point in curve}) == len(curve) > 0


def test_a_log_tells_of_every_pause_with_loss_and_time_left(prepared_lake, capsys, monkeypatch):
    """What Airflow's log shows of a training: a line each half minute, here of every step."""
    monkeypatch.setattr("jobs.train_recorder.LINE_SECONDS", 0.0)
    monkeypatch.setattr("jobs.train_recorder.POINT_SECONDS", 0.0)
    settings = prepared_lake

    code = main(["--config", str(settings.file), "--cutoff", str(CUTOFF), "--encoder", "gru"])

    err = capsys.readouterr().err
    steps = re.findall(
        r"^train: epoch (\d)/2, step (\d+) of 16, loss [\d.]+, [\d,]+ events/s, \d+ s left$",
        err,
        re.MULTILINE,
    )
    assert code == 0
    assert [(int(epoch), int(step)) for epoch, step in steps] == [
        (1 + (step - 1) // 8, step) for step in range(2, 17)
    ]
    assert re.search(
        r"^train: epoch 1/2: loss [\d.]+, purchase AUROC .* s left$", err, re.MULTILINE
    )
    registry = open_registry(settings)
    version = registry.resolve("candidate")
    for name in ("step/loss", "step/purchase", "step/next_item", "step/events_per_second"):
        curve = registry.client.get_metric_history(version.run_id, name)
        assert [point.step for point in curve] == list(range(2, 17))


def test_an_mlflow_that_gives_no_answer_to_a_point_does_not_end_a_training(
    prepared_lake, capsys, monkeypatch
):
    """Curves over steps are for watching: one line says what is missing, and training goes on."""
    log_metrics, refused = Registry.log_metrics, []

    def log(self, run_id, metrics, *, step=0):
        if "step/loss" in metrics:
            refused.append(step)
            raise self._unreachable(ConnectionRefusedError("nobody listens"))
        log_metrics(self, run_id, metrics, step=step)

    monkeypatch.setattr(Registry, "log_metrics", log)
    monkeypatch.setattr("jobs.train_recorder.POINT_SECONDS", 0.0)
    settings = prepared_lake

    code = main(["--config", str(settings.file), "--cutoff", str(CUTOFF), "--encoder", "gru"])

    err = capsys.readouterr().err
    assert (code, refused) == (0, [2])
    assert err.count("train: a point of the curves is left out: MLflow at ") == 1


@pytest.mark.slow
def test_a_training_goes_on_from_the_champion_and_says_so(prepared_lake, capsys, tmp_path):
    """The new version has the champion's items under their numbers, and names it as its parent."""
    settings = prepared_lake
    arguments = ["--config", str(settings.file), "--cutoff", str(CUTOFF), "--encoder", "gru"]
    assert main([*arguments, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    registry = Registry(settings.mlflow.tracking_uri, settings.mlflow.model, settings.artifacts_uri)
    registry.set_alias("champion", first["version"])

    uri = f"models:/{settings.mlflow.model}@champion"
    assert main([*arguments, "--json", "--epochs", "1", "--from", uri]) == 0

    out, err = capsys.readouterr()
    said = json.loads(out)
    assert said["parent"] == f"{settings.mlflow.model}/{first['version']}"
    version = registry.resolve(said["version"])
    run = registry.client.get_run(version.run_id).data
    assert run.tags["parent"] == said["parent"]
    assert run.metrics["start/score"] == pytest.approx(first["metrics"]["val/score"], abs=1e-4)
    assert "train: as it starts: " in err
    old = load_artifact(registry.download(registry.resolve(first["version"]), tmp_path / "old"))
    new = load_artifact(registry.download(version, tmp_path / "new"))
    assert new.manifest.parent == said["parent"]
    assert new.vocabulary == old.vocabulary


def refused(settings: Settings, capsys, *arguments: str) -> tuple[int, str]:
    code = main(["--encoder", "gru", "--config", str(settings.file), "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)["message"]


def test_a_cutoff_without_sequences_is_refused_by_name(prepared_lake, capsys):
    """The error is the answer on stdout, with the exit code of refused data."""
    code, message = refused(prepared_lake, capsys, "--cutoff", "2017-08-01")

    assert code == 3
    assert message == (
        "sequences/cutoff=2017-08-01: found no committed partition, expected one, committed whole. "
        "Run `nightshift sequences --cutoff 2017-08-01` first, then run this again."
    )


def test_devices_that_torchrun_did_not_start_are_refused(prepared_lake, capsys):
    """A number of devices without effect is an error, not a wish."""
    code, message = refused(prepared_lake, capsys, "--cutoff", str(CUTOFF), "--devices", "2")

    assert code == 2
    assert message == (
        "--devices 2: found 1 processes, expected as many as torchrun was told to start. "
        "Start it with torchrun --standalone --nproc-per-node 2."
    )


@pytest.fixture
def nothing_is_read(monkeypatch):
    """Any row that is read is one too many."""

    def read(*args, **options):
        raise AssertionError("rows were read")

    monkeypatch.setattr(Lake, "read_buckets", read)


def change(settings: Settings, **values) -> Path:
    """Put other values into the configuration of the GRU; its file."""
    file = models_folder(settings) / "gru.yaml"
    config = yaml.safe_load(file.read_text())
    for name, value in values.items():
        *sections, key = name.split("__")
        place = config
        for section in sections:
            place = place[section]
        place[key] = value
    file.write_text(yaml.safe_dump(config))
    return file


HEADS = {"kind": "transformer", "max_length": 16, "num_layers": 1, "dropout": 0.0}
SECTIONS = "batch_size, churn_loss, encoder, epochs, learning_rate, loss_weights, max_minutes, "
SECTIONS += "min_item_count, next_item_loss, num_queries, num_ranked_queries, purchase_loss, seed, "
SECTIONS += "shard_events, text_buckets, validation_users, warmup_days, weight_decay"
BAD = {
    "an unknown key": (
        {"epoch": 3},
        "{file}: found the key 'epoch', expected one of " + SECTIONS + ". "
        "Did you mean epochs? Correct the spelling or remove the key.",
    ),
    "a setting with no effect": (
        {"encoder__num_heads": 2},
        "{file}: found the key 'encoder.num_heads', "
        "expected one of dim, dropout, kind, max_length, num_layers. "
        "Did you mean num_layers? Correct the spelling or remove the key.",
    ),
    "a weight with no effect": (
        {"loss_weights__next_item": 0},
        "{file}: loss_weights.next_item: found 0, expected input should be greater than 0. "
        "Correct the value.",
    ),
    "heads that do not divide the width": (
        {"encoder": {**HEADS, "dim": 10, "num_heads": 4}},
        "{file}: encoder: found dim 10 and num_heads 4, "
        "expected a dim that num_heads divides. Correct one of them.",
    ),
    "a horizon without a matured label": (
        {"warmup_days": 170},
        "--cutoff 2017-09-01: found no matured label for horizons.churn_days 28, "
        "horizons.spend_days 28: queries begin on 2017-06-20 (first event 2017-01-02, "
        "warmup_days 170) and labels must close by 2017-07-07, "
        "expected 28 days between them, as from 2017-09-12 on. Choose a later cutoff, "
        "ingest earlier history, or lower warmup_days or the horizons.",
    ),
    "an empty training window": (
        {"warmup_days": 190},
        "--cutoff 2017-09-01: found an empty training window: queries begin on 2017-07-10 "
        "(first event 2017-01-02, warmup_days 190) and labels must close by 2017-07-07, "
        "expected 28 days between them, as from 2017-10-02 on. Choose a later cutoff, "
        "ingest earlier history, or lower warmup_days or the horizons.",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_configuration_is_refused_before_any_row_is_read(
    prepared_lake, capsys, nothing_is_read, case
):
    """What the file, the cutoff and the lake's metadata tell is told at once, with exit code 2."""
    values, message = BAD[case]
    file = change(prepared_lake, **values)

    code, said = refused(prepared_lake, capsys, "--cutoff", str(CUTOFF))

    assert code == 2
    assert said == message.format(file=file)
    assert not (prepared_lake.home / "mlflow").exists()  # nor was a run begun


def test_a_good_configuration_does_get_to_the_rows(prepared_lake, nothing_is_read):
    """The proof that nothing is read would notice a reading."""
    with pytest.raises(AssertionError, match="rows were read"):
        main(["--encoder", "gru", "--config", str(prepared_lake.file), "--cutoff", str(CUTOFF)])


def test_an_unreachable_registry_is_said_before_anything_is_trained(
    prepared_lake, capsys, monkeypatch
):
    """Nobody listens on port 9: the training ends at once, and says where it looked."""
    monkeypatch.setenv("NIGHTSHIFT__MLFLOW__TRACKING_URI", "http://127.0.0.1:9")

    code, message = refused(prepared_lake, capsys, "--cutoff", str(CUTOFF))

    assert code == 1
    assert message.startswith("MLflow at http://127.0.0.1:9: found Connection refused, expected")
    assert not prepared_lake.runs_folder.exists()


def test_too_little_history_is_refused(prepared_lake, horizons, tmp_path):
    """Two label windows and something before them are the least that can be learnt from."""
    config = load_train_config(models_folder(prepared_lake) / "gru.yaml")

    with pytest.raises(ConfigError) as error:
        prepare_data(
            [rows_of(30)],
            num_users=30,
            folder=tmp_path / "data",
            config=config,
            horizons=horizons,
            zone=prepared_lake.zone,
            cutoff=date(2017, 3, 1),
        )

    assert str(error.value) == (
        "--cutoff 2017-03-01: found no user with a label window that closed by 2017-01-04, "
        "expected events of users well before it: twice the longest horizon, and the warm-up. "
        "Choose a later cutoff, ingest more history, or shorten the horizons."
    )
    assert not (tmp_path / "data").exists()


@pytest.fixture
def horizons() -> LabelHorizons:
    return LabelHorizons(
        money="net",
        purchase_days=7,
        churn_days=28,
        churn_active_days=60,
        spend_days=28,
        items_days=7,
    )


def test_the_key_of_a_run_is_that_of_the_same_training(prepared_lake, horizons):
    """A restarted training finds its own checkpoints, and never those of another."""
    file = models_folder(prepared_lake) / "gru.yaml"
    config, other = load_train_config(file), load_train_config(file, seed=7)

    key = run_key(config, horizons, CUTOFF, "hash")

    assert key == run_key(load_train_config(file), horizons, CUTOFF, "hash")
    assert key.startswith("train-2017-09-01-gru-")
    assert key != run_key(other, horizons, CUTOFF, "hash")
    assert key != run_key(config, horizons, CUTOFF, "another hash")
