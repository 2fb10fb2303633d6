"""Write `docs/tables.md` from `contracts/tables.py`, so that the page cannot be out of date.

python -m jobs.document_tables
"""

import argparse
import sys
from collections.abc import Sequence

from contracts.tables import LAKE, NIGHTLY, WAREHOUSE, Column, Table
from jobs.histories.read_sequences import WHOLE_SEQUENCES
from jobs.running.settings import PROJECT
from jobs.warehouse.example_queries import Question, questions
from jobs.warehouse.sql import ERROR_HOURS, PAST_DAYS, WARN_HOURS

FILE = PROJECT / "docs" / "tables.md"

HEAD = """# Tables

Made from `contracts/tables.py` by `python -m jobs.document_tables`: change the contract, not this.
In the warehouse the same words stand as comments on the tables and columns.

A **cutoff** is the first day that the model did not see: rows of cutoff 29 November use what was
known up to the end of 28 November, and speak of 29 November and the days after it.

# Warehouse

What marketing and inventory read: a DuckDB file or a PostgreSQL database, the same tables in both.
Connect to the file with `read_only`; a connection sees one whole night until it connects again. On
the server each statement sees one whole night, and so does each `REPEATABLE READ` transaction;
`warehouse.reader_role` may read and nothing else. `warehouse.keep_nights` cutoffs are kept.
An older night that is published later never replaces a newer one in the `_latest` views.

| view | holds |
|---|---|
"""

FRESHNESS = (
    "for each nightly table: its newest `cutoff`, `hours_since_cutoff`, `published_at`, and a "
    f"`status` that is `warn` from {WARN_HOURS} hours on and `error` from {ERROR_HOURS}; `past` "
    f"where that night was first published {PAST_DAYS} days or more after its cutoff, as a demo's "
    "is, or that of an old log that is loaded now"
)

QUESTIONS_HEAD = """# Questions

Each runs as it stands, on DuckDB and on PostgreSQL, and is run on both by the tests. They lie in
`jobs/warehouse/questions/`.
"""

LAKE_HEAD = """# Lake

Iceberg tables that the jobs read and write; a run replaces its partition whole.
"""

WHOLE = """## Whole sequences

Those who read `sequences` without Nightshift fold its nights themselves: from the cutoff that is
asked for back to a whole partition. In DuckDB, run by the tests:

```sql
{sql}
```
"""

READERS = {
    "jobs": "the jobs",
    "marketing": "marketing",
    "inventory": "inventory",
    "both": "marketing and inventory",
    "operators": "whoever runs Nightshift",
}


def tables_page() -> str:
    """The whole page, as Markdown."""
    views = [
        *(
            f"| `{table.name}_latest` | `{table.name}` of the newest published cutoff |\n"
            for table in NIGHTLY
        ),
        f"| `freshness` | {FRESHNESS} |\n",
    ]
    sections = [
        *map(table_section, WAREHOUSE),
        QUESTIONS_HEAD,
        *map(question_section, questions()),
        LAKE_HEAD,
        *map(table_section, LAKE),
        WHOLE.format(sql=WHOLE_SEQUENCES.read_text().rstrip()),
    ]
    return HEAD + "".join(views) + "\n" + "\n".join(sections)


def table_section(table: Table) -> str:
    """One table: what it is, what identifies a row, and what each column means."""
    lines = [
        f"## {table.name}",
        "",
        f"{table.meaning}",
        f"For {READERS[table.readers]}. One row for each "
        f"{', '.join(f'`{name}`' for name in table.key)}; replaced by `{table.partition}`.",
        "",
        "| column | type | unit | meaning |",
        "|---|---|---|---|",
        *map(_row, table.columns),
        "",
    ]
    return "\n".join(lines)


def question_section(asked: Question) -> str:
    """One question, who asks it, and its SQL."""
    said = " ".join(part for part in (f"For {READERS[asked.readers]}.", asked.remark) if part)
    return f"## {asked.question}\n\n{said}\n\n```sql\n{asked.sql}\n```\n"


def _row(column: Column) -> str:
    kind = f"`{column.type}`" + (", may be null" if column.nullable else "")
    meaning = column.meaning.replace("|", "\\|")
    return f"| `{column.name}` | {kind} | {column.unit} | {meaning} |"


def main(argv: Sequence[str] | None = None) -> int:
    argparse.ArgumentParser(prog="document_tables", description=__doc__).parse_args(argv)
    FILE.write_text(tables_page())
    print(FILE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
