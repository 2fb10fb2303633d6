"""What every program of `jobs/` shares: arguments, one line per run, `--json`, exit codes.

A program's ``main(argv)`` names itself, its own arguments and its body; the body takes the parsed
arguments and the settings, and returns what the run says of itself (rows in, rows out, hashes).
"""

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog

from contracts.errors import CutoffError, NightshiftError
from contracts.windows import Window, parse_cutoff, parse_day, refuse_future
from jobs.running.lines import say_line
from jobs.running.private_files import closed_to_others
from jobs.running.settings import Settings, load_settings
from jobs.running.summaries import keep_summary

Body = Callable[[argparse.Namespace, Settings], Mapping[str, Any]]
Summary = dict[str, Any]


def run(
    job: str,
    body: Body,
    argv: Sequence[str] | None,
    *,
    description: str,
    arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
    is_kept: bool = True,
) -> int:
    """Run one program and return its exit code: 0, or that of the error that ended it.

    ``--json`` prints the summary as the last line of stdout; the canonical line goes to stderr,
    and the summary is kept under the home folder unless ``is_kept`` is false.
    """
    parser = argparse.ArgumentParser(prog=job, description=description)
    parser.add_argument(
        "--cutoff", required=True, help="first day the model may not see, YYYY-MM-DD"
    )
    parser.add_argument("--config", type=Path, help="default: configs/nightshift.yaml")
    parser.add_argument("--json", action="store_true", help="print the run's summary as JSON")
    arguments(parser)
    options = parser.parse_args(argv)

    start = time.monotonic()
    settings = None
    try:
        options.cutoff = parse_cutoff(options.cutoff)
        settings = load_settings(options.config)
        hide_secrets(settings)
        refuse_future(options.cutoff, now=datetime.now(UTC), zone=settings.zone)
        with closed_to_others():
            found = dict(body(options, settings))
    except NightshiftError as error:
        return say_error(job, error, settings, as_json=options.json)
    summary: Summary = {
        "job": job,
        "cutoff": options.cutoff,
        **found,
        "seconds": round(time.monotonic() - start, 2),
    }
    if is_kept:
        with closed_to_others():
            keep_summary(settings.home, options.cutoff, summary)
    _logger().info(job, **_flat({**summary, "job": None}))
    if options.json:
        say_line(json.dumps(summary, default=str), sys.stdout)
    return 0


def add_since(parser: argparse.ArgumentParser) -> None:
    """``--since``, of the programs that can load many days at once."""
    parser.add_argument(
        "--since",
        type=parse_day,
        metavar="YYYY-MM-DD",
        help="first ingestion day that is new; default: the one after the last that is there, "
        "and at the latest the day before the cutoff",
    )


def new_days(options: argparse.Namespace, there: Sequence[date]) -> Window:
    """The ingestion days from ``--since`` up to the cutoff. Raises CutoffError.

    Without ``--since`` they follow upon the last that is ``there`` before the cutoff, so that the
    next run makes up for nights that were missed; a day that is there is done again.
    """
    cutoff: date = options.cutoff
    yesterday = cutoff - timedelta(days=1)
    last = max((day for day in there if day < cutoff), default=yesterday)
    since: date = options.since or min(yesterday, last + timedelta(days=1))
    if since >= cutoff:
        raise CutoffError(
            f"--since {since}",
            found="no day before the cutoff",
            expected=f"at most {cutoff - timedelta(days=1)}",
            do="Choose an earlier --since or a later --cutoff.",
        )
    return Window(since, cutoff)


def hide_secrets(settings: Settings) -> None:
    """Have the traceback of an error that nobody expected printed without the settings' secrets."""

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        said = "".join(traceback.format_exception(kind, error, trace))
        print(settings.without_secrets(said), end="", file=sys.stderr)

    sys.excepthook = show


def say_error(job: str, error: NightshiftError, settings: Settings | None, *, as_json: bool) -> int:
    """Print the message to stderr (and as JSON to stdout) and return its exit code.

    What caused it is quoted only where the settings are known, whose secrets it may quote.
    """
    if as_json:
        said: Summary = {"job": job, "error": type(error).__name__, "message": str(error)}
        said |= {"exit_code": error.exit_code, **error.details}
        say_line(json.dumps(said, default=str), sys.stdout)
    say_line(f"{job}: {type(error).__name__}: {error}", sys.stderr)
    if error.__cause__ is not None and settings is not None:
        cause = "".join(traceback.format_exception_only(error.__cause__)).strip()
        say_line(f"{job}: because: {settings.without_secrets(cause)}", sys.stderr)
    return error.exit_code


def _flat(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical line keeps scalars; what is nested is only in the JSON."""
    line: dict[str, Any] = {}
    for key, value in summary.items():
        if isinstance(value, date):
            line[key] = value.isoformat()
        elif isinstance(value, str | int | float | bool):
            line[key] = value
    return line


def _logger() -> Any:
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.EventRenamer("job"),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "job", "cutoff"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    return structlog.get_logger()
