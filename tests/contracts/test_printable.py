"""What of a text can be shown."""

import pytest

from contracts.printable import printable


@pytest.mark.parametrize("text", ["\x00", "\x1b", "\x7f", "\x85", "\ud800", "\u202e", "\uffff"])
def test_a_character_that_is_not_for_reading_is_replaced(text):
    """It would move a cursor, end a text, or turn its order."""
    assert printable(f"a{text}b") == "a\ufffdb"


def test_what_people_write_stays():
    """Letters of every script, signs, tabs and line feeds."""
    text = "Ärger\t<b> שלום 牛乳 🥛 a\u0301\n"

    assert printable(text) == text
