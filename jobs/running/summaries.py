"""What each program last said of itself: `<home>/summaries/<cutoff>/<job>.json`, replaced whole.

The same summary that ``--json`` prints, kept for the night's page and for whoever asks next day.
"""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from models.whole_files import write_whole


def keep_summary(home: Path, cutoff: date, summary: Mapping[str, Any]) -> Path:
    """Write one run's summary beside those of the same cutoff. Returns the file."""
    file = _folder(home, cutoff) / f"{summary['job']}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps(summary, default=str, indent=1) + "\n", replaces=True)
    return file


def read_summaries(home: Path, cutoff: date) -> dict[str, dict[str, Any]]:
    """Job → its latest summary for the cutoff; empty where no program has ended well."""
    files = sorted(_folder(home, cutoff).glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def _folder(home: Path, cutoff: date) -> Path:
    return home / "summaries" / cutoff.isoformat()
