"""The end of the demo: tables, metrics beside baselines, seconds, memory, the report's path."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from rich.box import SIMPLE
from rich.table import Table as RichTable

from contracts.tables import NIGHTLY, Table
from jobs.running import console
from jobs.running.settings import Settings
from jobs.warehouse.warehouse import Warehouse, open_warehouse

FIRST_ROWS = 5
NOT_SHOWN = ("cutoff", "model_name", "run_id", "scored_at")  # the same in every row


def show_end(
    settings: Settings, facts: Mapping[str, Any], *, evaluated: date, published: date
) -> dict[str, Any]:
    """Print it, and return its numbers."""
    warehouse = open_warehouse(settings)
    rows = {table.name: show_table(warehouse, table, published) for table in NIGHTLY}
    report = settings.reports_folder / str(published) / "index.html"
    metrics = show_metrics(settings, evaluated)
    show_seconds(facts)
    console.out.print(f"\n[bold]Warehouse[/]  {warehouse.address}")
    console.out.print(f"[bold]Report[/]     {report}")
    console.out.print("`make up` brings the pages of Airflow and MLflow back.")
    return {"rows": rows, "metrics": metrics, "report": str(report)}


def show_table(warehouse: Warehouse, table: Table, cutoff: date) -> int:
    """The number of rows of a night, and the first of them."""
    where = f"FROM {table.name} WHERE cutoff = $1"
    count = int(warehouse.query(f"SELECT count(*) AS n {where}", cutoff).to_pylist()[0]["n"])
    order = f"ORDER BY {', '.join(table.key)} LIMIT {FIRST_ROWS}"
    first = warehouse.query(f"SELECT {', '.join(table.column_names)} {where} {order}", cutoff)
    console.out.print(f"\n[bold]{table.name}[/]: {count:,} rows for {cutoff}")
    shown = RichTable(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    columns = [column for column in first.column_names if column not in NOT_SHOWN]
    for column in columns:
        shown.add_column(column.replace("_", " "))  # so that a narrow terminal wraps the header
    for row in first.to_pylist():
        shown.add_row(*[_cell(row[column]) for column in columns])
    console.out.print(shown, soft_wrap=False)
    return count


def show_metrics(settings: Settings, cutoff: date) -> list[dict[str, Any]]:
    """Each head's measures, the models' beside the baselines', on the same matured cutoffs."""
    file = settings.reports_folder / f"evaluation-{cutoff}.json"
    document = json.loads(file.read_text())
    names = {
        version: f"{said['encoder']} v{version}" for version, said in document["versions"].items()
    }
    lines = [line for line in document["table"] if line["decides"]]
    console.out.print(f"\n[bold]On matured cutoffs[/] (trained and evaluated as of {cutoff})")
    for line in lines:
        better = "higher is better" if line["higher_is_better"] else "lower is better"
        values = sorted(
            ((names.get(name, name), value) for name, value in line["values"].items()),
            key=lambda each: (each[0] not in names.values(), each[0]),
        )
        said = "  ".join(
            f"{console.plain(name)} [bold]{_number(value)}[/]" for name, value in values
        )
        console.out.print(f"  {line['head']:<10}{line['metric']:<8} {said}  [dim]({better})[/]")
    for version, verdict in document["verdicts"].items():
        word = "[green]admitted[/]" if verdict["admitted"] else "[red]refused[/]"
        console.out.print(f"  gate: {console.plain(names[version])} {word}")
    return lines


def show_seconds(facts: Mapping[str, Any]) -> None:
    shown = RichTable(title="Seconds per step", title_justify="left", show_header=False)
    shown.add_column("step")
    shown.add_column("seconds", justify="right")
    for step, seconds in facts["seconds_per_step"].items():
        shown.add_row(console.plain(step), f"{seconds:.1f}")
    shown.add_row("[bold]all of it[/]", f"[bold]{facts['seconds']:.1f}[/]")
    console.out.print()
    console.out.print(shown, soft_wrap=False)
    console.out.print(f"Peak memory of everything together: {facts['peak_memory_gib']} GiB")


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return console.plain(text)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
