"""The page on the tables: made from the contract, and never behind it."""

import pytest

from contracts.tables import LAKE, WAREHOUSE
from jobs.document_tables import FILE, tables_page
from jobs.histories.read_sequences import WHOLE_SEQUENCES
from jobs.warehouse.example_queries import questions


def test_the_page_in_the_repository_is_what_the_contract_says():
    """Whoever changes a column sees it in the documentation, or this fails."""
    assert FILE.read_text() == tables_page(), "run `python -m jobs.document_tables`"


@pytest.mark.parametrize("table", [*WAREHOUSE, *LAKE], ids=lambda table: table.name)
def test_every_table_and_column_has_its_line(table):
    """No table is left out, and no column without its meaning."""
    page = tables_page()
    section = page[page.index(f"\n## {table.name}\n") :].split("\n## ")[1]

    assert table.meaning in section
    for column in table.columns:
        assert f"| `{column.name}` | `{column.type}`" in section
        assert column.meaning in section


def test_every_question_stands_on_the_page_as_it_is_run():
    """Ten at least, for both kinds of readers, each with its SQL."""
    page = tables_page()

    assert len(questions()) >= 10
    assert {one.readers for one in questions()} == {"marketing", "inventory", "both"}
    for one in questions():
        assert f"## {one.question}\n" in page
        assert one.sql in page
    assert WHOLE_SEQUENCES.read_text() in page
