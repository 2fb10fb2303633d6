"""Which code runs: the commit of the checkout, or the version that the project says it has."""

import subprocess
import tomllib
from importlib import metadata

from jobs.running.settings import PROJECT


def code_version() -> str:
    """A commit, with ``-changed`` where files differ from it; without git, the version."""
    try:
        commit = _git("rev-parse", "HEAD")
        is_changed = bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return package_version()
    return f"{commit}-changed" if is_changed else commit


def package_version() -> str:
    """As `pyproject.toml` says, which the images have too; they have no package installed."""
    file = PROJECT / "pyproject.toml"
    if not file.exists():
        return metadata.version("nightshift")
    return str(tomllib.loads(file.read_text())["project"]["version"])


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(PROJECT), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    return done.stdout.strip()
