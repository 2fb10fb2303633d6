"""A training in processes of its own that are told to stop, killed, or find their files broken.

The kills come at random steps and at random moments of a step, from a seed that the test names.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.models.training.small_training import ENCODERS

PROJECT = Path(__file__).resolve().parents[3]
PROGRAM = "tests.models.training.small_training"
SECONDS_A_STEP = 0.05
STEPS = {1: 24, 2: 14}  # processes -> steps

pytestmark = [pytest.mark.torch, pytest.mark.slow]


@dataclass
class Training:
    """One run, which may take several starts."""

    folder: Path
    processes: int
    encoder: str

    @property
    def result(self) -> dict[str, Any]:
        return json.loads((self.folder / "result.json").read_text())

    @property
    def is_done(self) -> bool:
        return (self.folder / "result.json").exists()

    def start(self, *more: str, seconds_a_step: float = 0.0) -> subprocess.Popen[str]:
        launcher = (
            ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(self.processes)]
            if self.processes > 1
            else []
        )
        arguments = [str(self.folder / "run"), str(self.folder / "result.json")]
        options = ["--encoder", self.encoder, "--seconds-a-step", str(seconds_a_step)]
        self.folder.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            [sys.executable, *launcher, "-m", PROGRAM, *arguments, *options, *more],
            cwd=PROJECT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def fail(self, *options: str) -> tuple[list[str], int]:
        """Start it so that it breaks by itself; what it said, and its exit code."""
        process = self.start(*options)
        return said_by(process, timeout=60), process.returncode

    def finish(self, *options: str) -> list[str]:
        """Start it and let it end by itself; what it said."""
        process = self.start(*options)
        said = said_by(process, timeout=240)
        assert process.returncode == 0, said[-20:]
        return said

    def interrupt(self, number: signal.Signals, *, after: int, delay: float) -> list[str]:
        """Start it, and send a signal so long after it has done a step; what it said."""
        process = self.start(seconds_a_step=SECONDS_A_STEP)
        said = []
        for line in process.stdout or ():
            said.append(line.strip())
            if line.startswith("step ") and int(line.split()[1]) >= after:
                break
        time.sleep(delay)
        begun = time.monotonic()
        if number is signal.SIGKILL:  # as when a machine goes down: all at once
            kill_workers(process)
        process.send_signal(number)
        said += said_by(process, timeout=60)
        assert process.returncode != 0 or self.is_done, said
        assert time.monotonic() - begun < 30, "torchrun kills after 30 seconds of grace"
        return said


def said_by(process: subprocess.Popen[str], *, timeout: float) -> list[str]:
    """What it says until it ends; one that hangs is killed, with all that it has started."""
    try:
        return process.communicate(timeout=timeout)[0].splitlines()
    except subprocess.TimeoutExpired:
        kill_workers(process)
        process.kill()
        raise


def kill_workers(process: subprocess.Popen[str]) -> None:
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two processes"])
def undisturbed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Training:
    training = Training(tmp_path_factory.mktemp("undisturbed"), request.param, "transformer")
    training.finish()
    return training


def test_two_kills_later_the_weights_are_those_of_an_undisturbed_run(undisturbed, tmp_path):
    """SIGKILL, then SIGTERM, at random: bitwise the same, and no saved step is done twice."""
    chance = random.Random(7)
    training = Training(tmp_path, undisturbed.processes, undisturbed.encoder)
    steps = STEPS[training.processes]

    first = chance.randint(1, steps // 2 - 1)
    training.interrupt(signal.SIGKILL, after=first, delay=chance.uniform(0, SECONDS_A_STEP))
    second = chance.randint(steps // 2 + 1, steps - 2)
    said = training.interrupt(signal.SIGTERM, after=second, delay=chance.uniform(0, SECONDS_A_STEP))
    last = training.finish()

    went_on = next(line for line in said if line.startswith("goes on"))
    assert first <= int(went_on.split()[4]) <= first + 2  # saved after every step
    stopped = next(line for line in said if line.startswith("rank 0: TrainingStoppedError"))
    assert stopped.endswith(
        f"of {steps}: found SIGTERM, expected to be let finish. "
        "The step is saved: run this again with the same arguments, and it goes on there."
    )
    at = int(stopped.split()[5])
    assert f"goes on after step {at} of {steps}" in last
    assert f"step {at + 1} of {steps}" in last
    assert f"step {at} of {steps}" not in last
    assert training.result == undisturbed.result


@pytest.mark.parametrize(
    ("batch_size", "shard_events"),
    [(2, 900), (2, 10_000), (6, 10_000)],
    ids=["three shards", "three batches", "one batch"],
)
def test_two_processes_answer_the_validation_exactly_as_one_does(
    batch_size, shard_events, tmp_path
):
    """The same weights, 23 users in batches that two ranks cannot share evenly, or share at all."""
    options = ["--warm", "--batch-size", str(batch_size), "--shard-events", str(shard_events)]
    said = {}
    for processes in (1, 2):
        training = Training(tmp_path / str(processes), processes, "lstm")
        lines = training.finish(*options)
        (first,) = (line for line in lines if line.startswith("epoch -1 "))
        said[processes] = json.loads(first.removeprefix("epoch -1 "))

    assert said[1].keys() >= {"val/purchase_auroc", "val/churn_log_loss", "val/score"}
    assert said[1] == said[2]


def test_when_one_of_two_processes_is_killed_the_other_does_not_wait_for_it(tmp_path):
    """A worker dies alone: the first says that it is lost, and all is over within the grace."""
    training = Training(tmp_path, 2, "gru")
    process = training.start(seconds_a_step=SECONDS_A_STEP)
    said = []
    for line in process.stdout or ():
        said.append(line.strip())
        if line.startswith("step 4 "):
            break
    workers = psutil.Process(process.pid).children(recursive=True)
    next(worker for worker in workers if worker.environ().get("RANK") == "1").kill()

    said += process.communicate(timeout=30)[0].splitlines()

    assert process.returncode != 0
    (lost,) = (line for line in said if line.startswith("rank 0: ProcessLostError: "))
    assert lost.startswith("rank 0: ProcessLostError: training on 2 processes: found that another ")
    (went_on, *_) = (line for line in training.finish() if line.startswith("goes on"))
    assert int(went_on.split()[4]) >= 4


def test_processes_that_would_train_different_things_train_nothing(tmp_path):
    """The champion moved while two processes looked it up: neither goes on from its own."""
    training = Training(tmp_path, 2, "gru")

    said, _ = training.fail("--apart")

    assert (
        "rank 0: BusyError: --from: found a version on one process and another on the next, "
        "expected one on all. An alias has moved while they started: run this again."
    ) in said


def test_a_loss_that_is_no_number_on_one_process_ends_all_of_them(tmp_path):
    """Rank 1 alone meets it; rank 0 says so, names the users' file, and nobody waits for anyone."""
    training = Training(tmp_path, 2, "gru")

    said, code = training.fail("--break", "nan", "--at", "4", "--rank", "1")

    file = tmp_path / "run" / "not-finite-rank1.json"
    assert (
        "rank 0: LossNotFiniteError: step 4 of 14: found loss nan, purchase nan, "
        "gradient_norm nan, expected numbers. "
        f"Look at the events of the users in {file}: an amount may be absurd. "
        "If they are sound, lower learning_rate (it is 0.01)."
    ) in said
    assert code == 1  # torchrun's own
    assert len(json.loads(file.read_text())["user_ids"]) == 2


@pytest.mark.parametrize("rank", [0, 1])
def test_one_process_told_to_stop_in_a_validation_stops_both(rank, tmp_path):
    """Neither takes the other for lost: they agree once the validation is left."""
    training = Training(tmp_path, 2, "gru")

    said, _ = training.fail("--break", "stop", "--rank", str(rank))

    found = "a signal to another process" if rank else "SIGTERM"
    assert (
        f"rank 0: TrainingStoppedError: after step 7 of 14: found {found}, expected to be let "
        "finish. The step is saved: run this again with the same arguments, and it goes on there."
    ) in said
    assert "goes on after step 7 of 14" in training.finish()


def test_memory_that_runs_out_on_one_process_is_said_by_the_first(tmp_path):
    """Rank 0 sees only that a connection was closed; the other's note says why."""
    training = Training(tmp_path, 2, "gru")

    said, _ = training.fail("--break", "memory", "--at", "3", "--rank", "1")

    assert (
        "rank 0: TooLittleMemoryError: training on 2 processes: found no memory left "
        "(tried to allocate 640000000000 bytes), expected room for a step of training. "
        "Lower batch_size from 2 to 1, then run this again."
    ) in said


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("processes", [1, 2])
def test_many_kills_at_random_change_nothing(encoder, processes, tmp_path):
    """Up to eight kills, at any moment, by either signal: the weights are still the same."""
    undisturbed = Training(tmp_path / "undisturbed", processes, encoder)
    undisturbed.finish()
    chance = random.Random(f"{encoder}{processes}")
    training = Training(tmp_path / "killed", processes, encoder)
    kills = 0
    while not training.is_done and kills < 8:
        number = chance.choice([signal.SIGTERM, signal.SIGKILL])
        after = kills * STEPS[processes] // 10
        training.interrupt(number, after=after, delay=chance.uniform(0, 2 * SECONDS_A_STEP))
        kills += 1
    if not training.is_done:
        training.finish()

    assert kills >= 3
    assert training.result == undisturbed.result
