"""Pieces that every section of the report is put together from."""

from html import escape

from matplotlib.figure import Figure

from models.pages.plots import to_svg


def figure(drawn: Figure, name: str, title: str, text: str, *, wide: bool = False) -> str:
    """A plot with its caption, which also describes it to who cannot see it."""
    svg = to_svg(drawn, name=name, described=escape(f"Plot: {title}. {text}", quote=True))
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
