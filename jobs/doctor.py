"""Is all here that Nightshift needs? `nightshift doctor` says so, and what to do where not."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from contracts.errors import NightshiftError
from jobs.running import console
from jobs.running.private_files import is_open_to_others
from jobs.running.settings import Settings
from jobs.services.processes import listener_of, started_for
from jobs.standing import Standing

FREE_GIB = 5  # the demo's data, with room to spare
JAVA = 17


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    is_well: bool
    found: str
    do: str = ""


def examine(settings: Settings) -> tuple[int, dict[str, Any]]:
    """Look at everything, print each finding, and return 1 where something is not well."""
    checks: list[Callable[[Settings], Finding]] = [
        look_at_java, look_at_pyspark, look_at_raw, look_at_catalog,
        look_at_registry, look_at_warehouse, look_at_ports, look_at_disk, look_at_home,
    ]  # fmt: skip
    findings = [check(settings) for check in checks]
    for finding in findings:
        mark = "[green]well[/]" if finding.is_well else "[red]not well[/]"
        console.err.print(f"{mark:<18} {finding.what:<10}", end=" ")
        console.err.print(finding.found, markup=False)
        if not finding.is_well:
            console.err.print(f"           {'':<10} {finding.do}", markup=False)
    said = {finding.what: finding.found for finding in findings}
    return (0 if all(finding.is_well for finding in findings) else 1), said


def look_at_java(_: Settings) -> Finding:
    try:
        said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
        found = said.stderr.splitlines()[0] if said.stderr else "no answer"
    except FileNotFoundError:
        found = "no java on the PATH"
    number = re.search(r'version "(\d+)', found)
    is_well = number is not None and int(number.group(1)) >= JAVA
    return Finding(
        "Java", is_well, found, f"Install Java {JAVA} or newer: `make install` says how."
    )


def look_at_pyspark(_: Settings) -> Finding:
    """Both packages own site-packages/pyspark: unequal, they break each other in silence."""
    try:
        versions = {name: version(name) for name in ("pyspark", "pyspark-client")}
    except PackageNotFoundError as error:
        return Finding("PySpark", False, f"{error.name} is not installed", "Run `make install`.")
    found = ", ".join(f"{name} {number}" for name, number in versions.items())
    return Finding("PySpark", len({*versions.values()}) == 1, found, "Run `make install`.")


def look_at_raw(settings: Settings) -> Finding:
    days = len([*settings.raw_folder.glob("ingest_date=*")])
    found = f"{days} ingestion days in {settings.raw_folder}"
    return Finding("raw logs", days > 0, found, "Run `nightshift demo`, or set `raw`.")


def look_at_catalog(settings: Settings) -> Finding:
    return _answers("catalog", lambda: Standing(settings).lake_answers())


def look_at_registry(settings: Settings) -> Finding:
    return _answers("MLflow", lambda: Standing(settings).registry_answers())


def look_at_warehouse(settings: Settings) -> Finding:
    return _answers("warehouse", lambda: Standing(settings).warehouse_answers())


def look_at_ports(settings: Settings) -> Finding:
    """Airflow's and MLflow's ports are free, unless it is we who hold them."""
    if started_for(settings.home):
        return Finding("ports", True, "held by what `nightshift up` started")
    taken = {port: holder for port in (8080, 5000) if (holder := listener_of(port))}
    found = ", ".join(f"{port}: {holder}" for port, holder in taken.items()) or "8080, 5000 free"
    return Finding(
        "ports", not taken, found, "Give `nightshift up` an --airflow-port and --mlflow-port."
    )


def look_at_disk(settings: Settings) -> Finding:
    folder = settings.home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**30
    is_well = free >= FREE_GIB and os.access(folder, os.W_OK)
    found = f"{free:.1f} GiB free under {folder}"
    return Finding("disk", is_well, found, f"Make {FREE_GIB} GiB of room that can be written.")


def look_at_home(settings: Settings) -> Finding:
    """What programs make is closed to others; a home that was there before stays as it is."""
    home = settings.home
    is_open = home.exists() and is_open_to_others(home)
    found = f"{home} is {'open' if is_open else 'closed'} to other accounts of this machine"
    return Finding("home", not is_open, found, f"Close it with `chmod o-rwx {home}`.")


def _answers(what: str, question: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, question())
    except NightshiftError as error:
        return Finding(what, False, f"found {error.found}", error.do)
