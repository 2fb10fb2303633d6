"""The report's tables of slices: who is served well, and who is not."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.judging.slices import HISTORY
from models.pages import plots
from models.pages.parts import escape, number, scroll

TITLES = {
    "history": "for new, occasional and frequent users",
    "category": "by the category that a user bought most in",
}


def slices(head: str, evaluation: Mapping[str, Any], names: Sequence[str]) -> str:
    """One table for each kind of slice, its contestants in the order of ``names``."""
    rows = [row for row in evaluation["slices"] if row["head"] == head]
    return "".join(
        _table([row for row in rows if row["kind"] == kind], title, evaluation, names)
        for kind, title in TITLES.items()
    )


def _table(
    rows: Sequence[Mapping[str, Any]],
    title: str,
    evaluation: Mapping[str, Any],
    names: Sequence[str],
) -> str:
    if not rows:
        return ""
    columns = "".join(
        f"<th scope='col'>{escape(plots.label_of(name, evaluation['versions']))}</th>"
        for name in names
    )
    body = "".join(
        f"<tr><th scope='row'>{escape(_named(row))}</th><td>{row['rows']:,}</td>"
        + "".join(f"<td>{_value(row, name)}</td>" for name in names)
        + "</tr>"
        for row in rows
    )
    return (
        f"<details><summary>{escape(plots.MEASURES[rows[0]['metric']])} {title}</summary>"
        + scroll(
            "<thead><tr><th scope='col'>Users</th><th scope='col'>Rows</th>"
            f"{columns}</tr></thead><tbody>{body}</tbody>"
        )
        + "<p>Small figures: how much a version is better than the strong baseline, as an "
        "interval; a slice has few rows, so it is wide.</p></details>"
    )


def _value(row: Mapping[str, Any], name: str) -> str:
    """The value; of a version also its paired interval against the strong baseline."""
    said = number(row["values"][name])
    found = next(iter(row["comparisons"].get(name, {}).values()), None)
    if found is None or found["low"] is None:
        return said
    return f"{said}<small>{found['low']:+.3g} to {found['high']:+.3g}</small>"


def _named(row: Mapping[str, Any]) -> str:
    name = str(row["slice"])
    if row["kind"] != "history":
        return name or "No purchase yet"
    low, high = HISTORY[name]
    span = f"{low} to {high - 1} visits" if high < 1 << 59 else f"{low} visits or more"
    return f"{name.capitalize()}, {span}"
