"""Text from outside, as a page, a terminal and a log can show it."""

import re

# What moves a cursor, ends a file's text, or turns the order of what is read:
# C0 and C1 controls but tab and line feed, lone surrogates, bidirectional overrides.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)


def printable(text: str) -> str:
    """The text with U+FFFD in the place of each character that is not for reading."""
    return _UNPRINTABLE.sub("\ufffd", text)
