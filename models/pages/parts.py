"""Pieces that every section of the report is put together from."""

import html
from collections.abc import Callable

from matplotlib.figure import Figure

from contracts.printable import printable
from models.pages.plots import to_svg


class Attempts:
    """Draws a page part by part: one that fails is named on the page, and the others stand."""

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}

    def __call__(self, name: str, draw: Callable[[], str]) -> str:
        """The part's HTML, or a sentence that says which part is not there, and why."""
        try:
            return draw()
        except Exception as error:  # a page that misses a part is better than none
            reason = f"{type(error).__name__}: {error}"
            self.failures.setdefault(name, f"it cannot be shown: {reason}")
            return missing(f"{name} ({reason})")


def escape(text: object) -> str:
    """Text that can become no markup, within an element and within a quoted attribute."""
    return html.escape(printable(str(text)), quote=True)


def figure(drawn: Figure, name: str, title: str, text: str, *, wide: bool = False) -> str:
    """A plot with its caption, which also describes it to who cannot see it.

    ``name`` keeps the ids of two pictures of a page apart; it is never made of data.
    """
    svg = to_svg(drawn, name=name, described=escape(f"Plot: {title}. {text}"))
    kind = " class='wide'" if wide else ""
    caption = f"<b>{escape(title)}.</b> {escape(text)}"
    return f"<figure{kind}>{svg}<figcaption>{caption}</figcaption></figure>"


def missing(reason: str) -> str:
    return f"<p class='missing'>Not shown: {escape(reason)}</p>"


def scroll(table: str) -> str:
    """A table that scrolls by itself on a narrow screen."""
    return f"<div class='scroll' tabindex='0'><table>{table}</table></div>"


def number(value: float | None) -> str:
    """Three digits that matter; thousands apart."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"
