"""The values of a line of JSON are its text: digit for digit, letter for letter, or refused."""

import json
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.ingestion import json_lines
from jobs.ingestion.flaws import NESTED, SURROGATE
from jobs.ingestion.json_lines import Objects, paths_in
from jobs.ingestion.line_batches import lines_of_file

DAY = date(2017, 11, 28)


def read(folder, columns, *lines):
    """Each line's fields and flaws, through a file."""
    file = folder / "log.jsonl"
    file.write_bytes(b"".join(line.encode("utf-8", "surrogatepass") + b"\n" for line in lines))
    objects = Objects(columns)
    batches = lines_of_file(file.as_uri(), file.name, DAY, 0)
    rows = [row for batch in batches for row in objects.read(batch).to_pylist()]
    return [(row["fields"], dict(row["flaws"] or ())) for row in rows]


def value_of(folder, text, column="id", line='{"id": %s}'):
    ((fields, flaws),) = read(folder, [column], line % text)
    return fields[column], flaws


NUMBERS = [
    *("76561198000000001.0", "76561198000000002.0", "1.10", "1.1", "1e3", "1E3", "1000.0", "-0"),
    *("0", "-0.0", "12345678901234567890", "18446744073709551616", "-9223372036854775809"),
    *("1e400", "0.1000000000000000055511151231257827", "9" * 400, "9" * 5000, "1e-7"),
]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:24])
def test_a_number_is_the_text_that_stands_in_the_line(tmp_path, number):
    """Two ids that differ by a digit are two ids, however long they are."""
    assert value_of(tmp_path, number) == (number, {})
    assert value_of(tmp_path, number, "user.id", '{"user": {"id": %s}}') == (number, {})


@settings(max_examples=200, deadline=None)
@given(
    st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.integers().map(str)
    | st.decimals(allow_nan=False, allow_infinity=False).map(str)
)
def test_every_number_that_json_can_say_keeps_its_text(tmp_path_factory, number):
    number = number.replace("+", "").lower()
    json.loads(number)

    assert value_of(tmp_path_factory.getbasetemp(), number) == (number, {})


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20), st.booleans())
def test_escapes_are_decoded_in_keys_and_values(tmp_path_factory, text, is_ascii):
    """An id that one writer escapes and another does not is one id."""
    line = json.dumps({text: text}, ensure_ascii=is_ascii)
    ((fields, flaws),) = read(tmp_path_factory.getbasetemp(), [text], line)

    assert (fields[text], flaws) == (text or None, {})


@pytest.mark.parametrize(
    "line",
    [
        *("", " ", "soup", "5", "null", "[]", '["id"]', '{"id": 1', '{"id": 1}]', '{"id": 1},'),
        *('{"id": 1}{"id": 2}', '{"id": 1} null', '{"id": 01}', '{"id": NaN}', '{"id": .5}'),
        *('{"id": tru}', '{"id": "a\tb"}', '{"id": "\\q"}', "{'id': 1}", '{"id": 1,}'),
        '{"id": ' + "[" * 100_000,
    ],
    ids=lambda line: line[:20],
)
def test_a_line_that_is_no_object_and_nothing_else_is_unreadable(tmp_path, line):
    """A line of an array, and two objects on one line, are not taken for their first object."""
    ((fields, _),) = read(tmp_path, ["id"], line)

    assert fields is None


def test_half_a_letter_is_a_flaw_of_its_value_only(tmp_path):
    """JavaScript cuts words in the middle of an emoji; a comment of that kind harms no id."""
    lines = ['{"id": "a\\ud83d", "n": 1.10}', '{"id": 1.10, "note": "\\ud83d"}']

    assert read(tmp_path, ["id", "n"], *lines) == [
        ({"id": "a\ufffd", "n": "1.10"}, {"id": SURROGATE}),
        ({"id": "1.10", "n": None}, {}),
    ]


@pytest.mark.parametrize("value", ['{"id": 1.10,  "b": [2]}', "[1.10, -0]", "{}", "[]"])
def test_a_nested_value_is_a_flaw_and_keeps_its_text(tmp_path, value):
    """As a property it is kept as it stands; as an id it is refused by who reads the flaw."""
    assert value_of(tmp_path, value) == (value, {"id": NESTED})


def test_a_path_leads_into_an_object_and_a_key_with_a_point_comes_first(tmp_path):
    """`user.id` of `{"user": {"id": 7}}`; of `{"user.id": 7}` as well."""
    columns = ["user.id", "a.b.c"]
    lines = [
        '{"user": {"id": 7}, "a": {"b": {"c": "x"}}}',
        '{"user.id": 8, "user": {"id": 7}, "a": {"b.c": "y"}}',
        '{"user": 7, "a": null}',
        '{"user": [{"id": 7}], "a": {"b": {"c": {"d": 1}}}}',
    ]

    assert read(tmp_path, columns, *lines) == [
        ({"user.id": "7", "a.b.c": "x"}, {}),
        ({"user.id": "8", "a.b.c": "y"}, {}),
        ({"user.id": None, "a.b.c": None}, {}),
        ({"user.id": None, "a.b.c": '{"d": 1}'}, {"a.b.c": NESTED}),
    ]


def test_a_column_may_have_any_name(tmp_path):
    """The fast reader knows no key with quotes; the other one reads it."""
    columns = ['say "id"', "back\\slash", "Käse $1"]
    line = json.dumps({name: n for n, name in enumerate(columns, 1)})

    assert read(tmp_path, columns, line) == [
        (dict(zip(columns, ["1", "2", "3"], strict=True)), {}),
    ]


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ('[{"id": 1},\n{"id": 2},\n{"id": 3}]\n', "not lines: one JSON array"),
        ('[\n{"id": 1},\n{"id": 2}\n]', "not lines: one JSON array"),
        ('\ufeff [{"id": 1}, {"id": 2}]', "not lines: one JSON array"),
        ('[{"id": 1}\n,{"id": 2}\n]', "not lines: one JSON array"),
        ('[{"id": "' + "x" * 2_000_000 + '"}]', "not lines: one JSON array"),
        ('{\n  "id": 1\n}\n', "not lines: one JSON document over several lines"),
        ('[{"id": 1}]\n{"id": 2}\n{"id": 3}\n', None),
        ('{"id": 2}\n[{"id": 1}]\n', None),
    ],
)
def test_a_file_that_is_one_json_value_is_refused_as_a_whole(tmp_path, text, broken):
    """Of an array with an element a line, only the last one would be a line of its own."""
    file = tmp_path / "log.json"
    file.write_text(text)
    listed = json_lines.pa.RecordBatch.from_pylist(
        [{"path": file.as_uri(), "source": "log", "ingest_date": DAY, "skip": 0, "most": None}]
    )
    rows = [
        row
        for batch in json_lines._objects_of(iter([listed]), columns=["id"])
        for row in batch.to_pylist()
    ]

    assert rows[-1]["broken"] == broken
    assert (len(rows) == 1) == (broken is not None)


def test_the_paths_of_a_line_are_those_that_a_mapping_can_name():
    """Not those within arrays: which element would be meant?"""
    line = '{"id": 1, "user": {"id": 2, "at": {"city": "x"}}, "items": [{"id": 3}], "none": {}}'

    assert paths_in(line) == ["id", "user.id", "user.at.city", "items", "none"]
    assert paths_in("soup") == []
