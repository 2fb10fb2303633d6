"""Which code runs: the commit of the checkout, or the version of the installed package."""

import subprocess
from importlib import metadata

from jobs.running.settings import PROJECT


def code_version() -> str:
    """A commit, with ``-changed`` where files differ from it; without git, the package's number."""
    try:
        commit = _git("rev-parse", "HEAD")
        is_changed = bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return metadata.version("nightshift")
    return f"{commit}-changed" if is_changed else commit


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(PROJECT), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    return done.stdout.strip()
