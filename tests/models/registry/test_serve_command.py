"""README's commands for asking a version directly, word for word, in a fresh shell."""

import contextlib
import json
import os
import re
import signal
import subprocess
from datetime import date
from pathlib import Path

import pytest

from models.registry.registry import Registry
from models.registry.signing import open_signing_key

from .admitted import make_champion

pytestmark = [pytest.mark.torch, pytest.mark.slow]
PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def encoder_config():
    from models.config import GRUConfig

    return GRUConfig(max_length=16, dim=8, num_layers=1, dropout=0.0)


@pytest.fixture
def deployment(tmp_path: Path, artifact: Path) -> Path:
    """A folder as the demo leaves it: the environment, and a champion in MLflow's database."""
    (tmp_path / ".venv").symlink_to(PROJECT / ".venv")
    folder = tmp_path / "data" / "mlflow"
    registry = Registry(f"sqlite:///{folder}/mlflow.db", "nightshift", folder.as_uri())
    run_id = registry.start_run("nightshift", name="gru", params={}, tags={})
    registry.register(artifact, run_id, date(2017, 6, 1), "gru")
    key = open_signing_key(tmp_path / "data" / "keys" / "verdict.key")
    make_champion(registry, "1", key)
    return tmp_path


def test_a_served_version_answers_the_request_that_the_readme_sends(deployment):
    """MLflow starts uvicorn by its name: without the environment on the PATH it ended with 127."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    (block,) = [one for one in re.findall(r"```sh\n(.*?)```", text, re.S) if "models serve" in one]
    shell = subprocess.Popen(
        ["bash", "-c", block],
        cwd=deployment,
        env={"HOME": os.environ["HOME"], "PATH": os.defpath},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        shell.wait(timeout=150)
        os.killpg(shell.pid, signal.SIGTERM)  # the server that the block leaves behind
        answer, errors = shell.communicate(timeout=30)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)

    assert shell.returncode == 0, errors
    (said,) = [line for line in answer.splitlines() if line.startswith("{")]  # the server logs too
    (row,) = json.loads(said)["predictions"]
    assert row["user_id"] == "7"
    assert 0 < row["purchase_probability_7d"] < 1
    assert len(row["recommended_item_ids"]) == 3
