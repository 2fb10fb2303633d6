"""The column types of `contracts/tables.py` as Spark, Arrow and Iceberg know them.

Every Iceberg field is optional, because Spark does not carry "never null" through its expressions;
`jobs/lake/lake.py` counts the nulls of the columns that may hold none before it commits.
"""

from typing import TypeVar

import pyarrow as pa
import pyspark.sql.types as spark_types
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table as IcebergTable
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DoubleType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    TimestamptzType,
)
from pyspark.sql.types import StructField, StructType

from contracts.tables import Table

AnyRows = TypeVar("AnyRows", pa.Table, pa.RecordBatch)

_SPARK: dict[str, spark_types.DataType] = {
    "string": spark_types.StringType(),
    "int32": spark_types.IntegerType(),
    "int64": spark_types.LongType(),
    "float64": spark_types.DoubleType(),
    "boolean": spark_types.BooleanType(),
    "date": spark_types.DateType(),
    "timestamp": spark_types.TimestampType(),
    "binary": spark_types.BinaryType(),
    "map<string,string>": spark_types.MapType(
        spark_types.StringType(), spark_types.StringType(), valueContainsNull=True
    ),
}

_ARROW: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "binary": pa.binary(),
    "map<string,string>": pa.map_(pa.string(), pa.string()),
}

_ICEBERG: dict[str, IcebergType] = {
    "string": StringType(),
    "int32": IntegerType(),
    "int64": LongType(),
    "float64": DoubleType(),
    "boolean": BooleanType(),
    "date": DateType(),
    "timestamp": TimestamptzType(),
    "binary": BinaryType(),
}


def is_list(name: str) -> bool:
    return name.startswith("list<")


def _element(name: str) -> str:
    return name.removeprefix("list<").removesuffix(">")


def spark_type(name: str) -> spark_types.DataType:
    if is_list(name):
        return spark_types.ArrayType(_SPARK[_element(name)], containsNull=True)
    return _SPARK[name]


def spark_schema(table: Table) -> StructType:
    return StructType([StructField(c.name, spark_type(c.type)) for c in table.columns])


def arrow_schema(table: Table, columns: list[str] | None = None) -> pa.Schema:
    wanted = table.column_names if columns is None else columns
    return pa.schema([(name, _arrow_type(table.column(name).type)) for name in wanted])


def _arrow_type(name: str) -> pa.DataType:
    return pa.list_(_ARROW[_element(name)]) if is_list(name) else _ARROW[name]


def iceberg_schema(table: Table) -> Schema:
    """Field ids follow the columns' order; those inside lists and maps come after them."""
    fields, inner_id = [], len(table.columns)
    for field_id, column in enumerate(table.columns, start=1):
        kind: IcebergType
        if is_list(column.type):
            kind = ListType(inner_id + 1, _ICEBERG[_element(column.type)], element_required=False)
            inner_id += 1
        elif column.type == "map<string,string>":
            kind = MapType(
                inner_id + 1, StringType(), inner_id + 2, StringType(), value_required=False
            )
            inner_id += 2
        else:
            kind = _ICEBERG[column.type]
        fields.append(NestedField(field_id, column.name, kind, required=False, doc=column.meaning))
    return Schema(*fields)


def with_columns(rows: AnyRows, schema: pa.Schema) -> AnyRows:
    """Rows of a file with the columns of today: from before a column was there they have none."""
    for field in schema:
        if field.name not in rows.schema.names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows.select(schema.names)


def follow_contract(found: IcebergTable, table: Table) -> IcebergTable:
    """Give a table that was made earlier the columns and types of today; its rows stay.

    Rows from before a column was there have none of it.
    """
    before = {field.name: field.field_type for field in found.schema().fields}
    fields = iceberg_schema(table).fields
    added = [field for field in fields if field.name not in before]
    changed = [
        field
        for field in fields
        if field.field_type.is_primitive
        and before.get(field.name, field.field_type) != field.field_type
    ]
    if added or changed:
        with found.update_schema() as update:
            for field in added:
                update.add_column(field.name, field.field_type, doc=field.doc)
            for field in changed:
                update.update_column(field.name, field.field_type)
    return found


def partition_spec(table: Table) -> PartitionSpec:
    source = table.column_names.index(table.partition) + 1
    return PartitionSpec(PartitionField(source, 1000, IdentityTransform(), table.partition))
