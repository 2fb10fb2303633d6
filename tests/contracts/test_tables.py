"""What holds for every table of the contract."""

import pytest

from contracts.tables import (
    CATEGORY_DEMAND,
    DEMAND,
    DEMAND_BY_CATEGORY,
    ITEM_DEMAND,
    LAKE,
    NIGHTLY,
    WAREHOUSE,
    Table,
)

TYPES = {"string", "int32", "int64", "float64", "boolean", "date", "timestamp", "binary"}
TABLES = [*LAKE, *WAREHOUSE]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_key_and_partition_are_columns_that_are_never_null(table: Table):
    """A row that lacks a part of its key can be neither found nor replaced."""
    for name in (*table.key, table.partition):
        assert table.column(name).nullable is False


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_has_a_known_type_and_a_meaning(table: Table):
    """The types are those that every engine here has."""
    names = table.column_names

    assert len(names) == len(set(names))
    for column in table.columns:
        element = column.type.removeprefix("list<").removesuffix(">")
        assert element in TYPES or column.type == "map<string,string>"
        assert column.meaning


def test_no_table_of_the_lake_shares_its_name_with_another():
    names = [table.name for table in TABLES]

    assert len(names) == len(set(names))


def test_what_a_night_replaces_in_the_warehouse_is_partitioned_by_cutoff():
    """Publishing switches whole cutoffs."""
    assert NIGHTLY
    assert {table.partition for table in NIGHTLY} == {"cutoff"}


@pytest.mark.parametrize(
    ("shown", "made"), [(ITEM_DEMAND, DEMAND), (CATEGORY_DEMAND, DEMAND_BY_CATEGORY)]
)
def test_the_warehouse_shows_the_demand_of_the_lake(shown: Table, made: Table):
    """Both tables have the same columns, the cutoff first in the warehouse."""
    assert sorted(shown.column_names) == sorted(made.column_names)
    assert shown.column_names[0] == "cutoff"
