"""A benchmark's rows on the terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Row = dict[str, Any]  # benchmark, case, measure, unit, nightshift, against, against_name, ratio


def show(rows: Sequence[Row]) -> None:
    table = Table("case", "measure", "Nightshift", "against", "", "ratio")
    for each in rows:
        ours, against = (f"{each[key]} {each['unit']}" for key in ("nightshift", "against"))
        table.add_row(
            each["case"], each["measure"], ours, against, each["against_name"], str(each["ratio"])
        )
    Console(width=120).print(table)
