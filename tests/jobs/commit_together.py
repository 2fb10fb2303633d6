"""Start a program of `jobs/` that commits when as many others have come as far, and no sooner.

    python tests/jobs/commit_together.py FOLDER 2 jobs.build_series --cutoff 2017-07-04

So a test can let two runs of the same night, each a process of its own, meet at the commit.
"""

import importlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from pyiceberg.catalog.sql import SqlCatalog

commit_table = SqlCatalog.commit_table


def commit_with_others(catalog: SqlCatalog, *args: Any, **options: Any) -> Any:
    """Come to the meeting, wait until all are there, then switch the table."""
    meeting, number = Path(sys.argv[1]), int(sys.argv[2])
    (meeting / str(os.getpid())).touch()
    end = time.monotonic() + 300
    while len(list(meeting.iterdir())) < number:
        assert time.monotonic() < end, "the others did not come"
        time.sleep(0.01)
    return commit_table(catalog, *args, **options)


if __name__ == "__main__":
    os.makedirs(sys.argv[1], exist_ok=True)
    SqlCatalog.commit_table = commit_with_others  # type: ignore[method-assign]
    sys.exit(importlib.import_module(sys.argv[3]).main(sys.argv[4:]))
