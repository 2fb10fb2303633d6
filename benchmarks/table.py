"""A benchmark's rows on the terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Row = dict[str, Any]  # benchmark, case, measure, unit, nightshift, against, against_name, ratio


def ratio_row(
    benchmark: str,
    case: str,
    measure: str,
    unit: str,
    ours: float,
    against: float,
    name: str,
    *,
    digits: int = 2,
    ratio_digits: int = 2,
) -> Row:
    """A figure of ours beside another one, and their ratio."""
    return {
        "benchmark": benchmark,
        "case": case,
        "measure": measure,
        "unit": unit,
        "nightshift": round(ours, digits),
        "against": round(against, digits),
        "against_name": name,
        "ratio": round(ours / against, ratio_digits),
    }


def show(rows: Sequence[Row]) -> None:
    table = Table("case", "measure", "Nightshift", "against", "", "ratio")
    for each in rows:
        ours, against = (f"{each[key]} {each['unit']}" for key in ("nightshift", "against"))
        table.add_row(
            each["case"], each["measure"], ours, against, each["against_name"], str(each["ratio"])
        )
    Console(width=120).print(table)
