"""Start a program of `jobs/` whose tasks take their time, and say on which process each runs.

    python tests/jobs/slow_run.py MARKS jobs.build_series --cutoff 2017-07-04

So a test can kill a worker that is known to be at work.
"""

import importlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jobs.histories.write_sequences
import jobs.histories.write_sessions
import jobs.lake.lake

SECONDS = 1.0  # of each task
ROWS = 250  # of a bucket, so that there are many tasks

HISTORIES = (jobs.histories.write_sessions, jobs.histories.write_sequences)
write_files, deal_by_user = jobs.lake.lake.write_files, HISTORIES[0].deal_by_user


def slow(frame: Any) -> Any:
    """The same rows, taking their time."""
    marks = sys.argv[1]

    def wait(batches: Iterator[Any]) -> Iterator[Any]:
        import psutil
        from pyspark import TaskContext

        task = TaskContext.get().taskAttemptId()
        for process in psutil.Process().parents():
            (Path(marks) / f"{process.pid}-{task}").touch()
        yield from batches
        time.sleep(SECONDS)

    return frame.mapInArrow(wait, frame.schema)


if __name__ == "__main__":
    os.makedirs(sys.argv[1], exist_ok=True)
    jobs.lake.lake.write_files = lambda frame, *rest: write_files(slow(frame), *rest)
    jobs.histories.write_sessions.ROWS_PER_BUCKET = ROWS
    for executors in HISTORIES:
        executors.deal_by_user = lambda *args, **options: slow(deal_by_user(*args, **options))
    sys.exit(importlib.import_module(sys.argv[2]).main(sys.argv[3:]))
