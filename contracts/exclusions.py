"""What is neither recommended nor forecast: `exclusions` in `configs/nightshift.yaml`.

Its events stay what they are: spend, visits and labels of purchase count them. A pattern is a shell
pattern over the whole name, upper and lower case apart: ``*`` is any run of characters, ``?`` one
character, ``[A-Z]`` one of a range, ``[!0-9]`` one outside it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Exclusions:
    """Without a value: nothing is excluded. An item is of the category that it was last given."""

    categories: tuple[str, ...] = ()  # '' stands for items without a category
    category_patterns: tuple[str, ...] = ()
    item_ids: tuple[str, ...] = ()
    item_patterns: tuple[str, ...] = ()

    def excluded(self, item_ids: Iterable[str], categories: Iterable[str]) -> list[bool]:
        """Is each item excluded, by its id or by its category? In their order."""
        ids, expression = frozenset(self.item_ids), _compiled(self.item_patterns)
        of_category: dict[str, bool] = {}
        found = []
        for item_id, category in zip(item_ids, categories, strict=True):
            if category not in of_category:
                of_category[category] = self.excludes_category(category)
            is_named = item_id in ids or bool(expression and expression.fullmatch(item_id))
            found.append(is_named or of_category[category])
        return found

    def excludes_category(self, category: str) -> bool:
        expression = _compiled(self.category_patterns)
        return category in self.categories or bool(expression and expression.fullmatch(category))


NOTHING = Exclusions()


def alternatives(patterns: Iterable[str]) -> str:
    """Any of the patterns, as one regular expression without ends: alike in Python and Java."""
    return "|".join(f"(?:{_expression(pattern)})" for pattern in patterns)


def _expression(pattern: str) -> str:
    parts, at = [], 0
    while at < len(pattern):
        character = pattern[at]
        end = pattern.find("]", at + 2)  # a class has a character at least
        if character == "[" and end > 0:
            inside = pattern[at + 1 : end]
            is_negated = inside.startswith("!") and len(inside) > 1
            parts.append(f"[{'^' if is_negated else ''}{_quoted(inside[is_negated:], keep='-')}]")
            at = end + 1
            continue
        parts.append({"*": "(?s:.*)", "?": "(?s:.)"}.get(character) or _quoted(character))
        at += 1
    return "".join(parts)


def _quoted(text: str, *, keep: str = "") -> str:
    """With a backslash before each ASCII character that could have a meaning of its own."""
    return "".join(
        f"\\{one}" if one.isascii() and not one.isalnum() and one not in keep else one
        for one in text
    )


@lru_cache(maxsize=64)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile(alternatives(patterns)) if patterns else None
