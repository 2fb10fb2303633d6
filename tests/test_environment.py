"""What the locked environment must be, beyond what pip itself checks."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def constraints() -> dict[str, str]:
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_both_owners_of_the_pyspark_folder_are_equal():
    """pyspark and pyspark-client write the same files: unequal, they break in silence."""
    installed = version("pyspark"), version("pyspark-client")
    locked = constraints()["pyspark"], constraints()["pyspark-client"]

    assert len({*installed, *locked}) == 1


def test_every_constraint_is_one_exact_public_version():
    """A local version such as 2.13.0+cpu exists on one index only."""
    wrong = {
        name: number
        for name, number in constraints().items()
        if not re.fullmatch(r"[0-9][0-9a-z.]*", number)
    }

    assert constraints()
    assert wrong == {}


def test_the_installed_packages_agree_with_each_other():
    """`pip check` finds no broken requirement."""
    said = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)

    assert said.returncode == 0, said.stdout


def test_contracts_need_the_standard_library_only():
    """Whoever imports contracts, an Airflow image too, gets nothing else with it."""
    code = (
        "import sys; before = {*sys.modules}\n"
        "import contracts.errors, contracts.night, contracts.tables, contracts.windows\n"
        "new = {name.split('.')[0] for name in {*sys.modules} - before}\n"
        "new -= {*sys.stdlib_module_names, 'contracts'}\n"
        "print(*sorted(name for name in new if not name.startswith('_sysconfigdata')))"
    )
    said = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=PROJECT, capture_output=True, text=True
    )

    assert said.stderr == ""
    assert said.stdout.strip() == ""
