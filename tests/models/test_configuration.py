"""What is no YAML is named by its line, and nothing of the line is quoted: it may hold a secret."""

import pytest

from contracts.errors import ConfigError
from models.configuration import NoYAMLError, parse_yaml, read_mapping


def said_of(text: str) -> str:
    with pytest.raises(NoYAMLError) as refused:
        parse_yaml(text)
    return str(refused.value)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("@hunter2", "column 6: found character '@' that cannot start any token"),
        ("`hunter2", "column 6: found character '`' that cannot start any token"),
        ("hunter2: x", "column 13: mapping values are not allowed here"),
        ("'hun'ter2'", "column 11: expected <block end>, but found '<scalar>'"),
        ("*hunter2", "column 6: found undefined alias …"),
        ("!hunter2", "column 6: could not determine a constructor for the tag …"),
        ("!hunter2!x y", "column 6: found undefined tag handle …"),
        ("[hunter2 {", "column 15: expected ',' or ']', but got '{'"),
    ],
)
def test_a_line_is_named_and_not_quoted(tmp_path, value, problem):
    """In the words of PyYAML, save what they quote of names and values."""
    file = tmp_path / "config.yaml"
    file.write_text(f"home: x\nkey: {value}\n")
    with pytest.raises(ConfigError) as refused:
        read_mapping(file, expected="a configuration", do="")

    assert str(refused.value) == (
        f"{file}: found no YAML in line 2, {problem}, expected YAML. Correct the file."
    )


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("[2017-11-31]", "a day of the calendar, in line 2, column 7"),
        ("2017-11-23 25:00:00", "a day of the calendar, in line 2, column 6"),
        ("!!timestamp hunter2", "a day of the calendar, in line 2, column 6"),
        ("!!int hunter2", "an integer, in line 2, column 6"),
        ("!!int ''", "an integer, in line 2, column 6"),
        ("!!float hunter2", "a number, in line 2, column 6"),
        ("!!bool hunter2", "of its kind, in line 2, column 6"),
    ],
)
def test_a_value_that_is_not_of_its_kind_is_named_by_its_line(value, kind):
    """PyYAML looks at the form alone, and then fails as it may."""
    assert said_of(f"home: x\nday: {value}\n") == f"a value that is not {kind}"


@pytest.mark.parametrize(
    "text", ["a: &x {b: *x}", "a: &x [*x]", f"a: {'[' * 150}{']' * 150}", f"a: {'[' * 5000}"]
)
def test_what_has_no_bottom_is_refused(text):
    """An anchor that holds itself; brackets that Python's stack could not follow."""
    assert said_of(text) == "more than 100 values within one another"


def test_an_anchor_that_is_used_twice_is_taken():
    """And what is held by many is looked at once."""
    layers = "\n".join(f"n{n}: &n{n} [{', '.join([f'*n{n - 1}'] * 9)}]" for n in range(1, 40))
    value = parse_yaml(f"n0: &n0 {{a: 2017-11-30}}\n{layers}")

    assert value["n1"] == [value["n0"]] * 9


def test_a_character_that_is_none_is_refused():
    assert said_of("a: \x00") == "no YAML: special characters are not allowed"
