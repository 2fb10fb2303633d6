"""Plots as matplotlib figures: PNG for MLflow, SVG that takes its colours from the page it is in.

Every figure is drawn with a few fixed colours. In an SVG they become CSS variables, so that one
picture reads well on light and on dark paper, and its text stays text.
"""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import dates as mdates
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from contracts.printable import printable
from models.judging.rule import NAMES

INK, MUTED, GRID = "#1a1c1e", "#6b7076", "#d9dce0"
# One look for each contestant, told apart by dashes as well as by colour.
VERSION_STYLES: Sequence[dict[str, Any]] = (
    {"color": "#2457d6", "linestyle": "-"},
    {"color": "#c2410c", "linestyle": "-"},
    {"color": "#7c3aed", "linestyle": "-"},
)
BASELINE_STYLES: Mapping[str, dict[str, Any]] = {
    "lightgbm": {"color": "#0f8a5f", "linestyle": "--"},
    "lightgbm_mean": {"color": "#0f8a5f", "linestyle": ":"},
    "personal_frequency": {"color": "#0f8a5f", "linestyle": "--"},
    "recency": {"color": MUTED, "linestyle": ":"},
    "persistence": {"color": MUTED, "linestyle": ":"},
}
MEASURES = {
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "brier": "Brier score",
    "log_loss": "Log loss",
    "ece": "Calibration error",
    "mae": "Mean error",
    "rmse": "Root mean square error",
    "total_bias": "Bias of the total",
    "ndcg@10": "NDCG@10",
    "recall@10": "Recall@10",
}
VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    "#2457d6": "first",
    "#c2410c": "second",
    "#7c3aed": "third",
    "#0f8a5f": "strong",
    "#9db8f5": "band",
}
BAND = "#9db8f5"
MAX_LABEL = 40  # characters
WORDS = ("transformer",)  # encoders named by a word; the others are abbreviations
_LOOK: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a $ in a name is a $
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.facecolor": "none",
    "legend.edgecolor": "none",
    "axes.facecolor": "none",
    "legend.fontsize": 8.5,
    "figure.constrained_layout.use": True,
}


def label_of(name: str, versions: Mapping[str, Any]) -> str:
    """A contestant's name for people."""
    if name in versions:
        return printable(f"{encoder_name(versions[name]['encoder'])} v{name}")
    said = NAMES.get(name, name.replace("_", " ")).removeprefix("the ")
    return printable(said[:1].upper() + said[1:])


def encoder_name(encoder: str) -> str:
    """An encoder's name for people: what stands for several words is in capitals."""
    return encoder.capitalize() if encoder in WORDS else encoder.upper()


def measure_name(logged: str) -> str:
    """``val/purchase_auroc`` for people."""
    stage, _, name = logged.partition("/")
    said = name.replace("_", " ").replace("auroc", "AUROC").replace("ndcg", "NDCG")
    said = said.replace("mae", "mean error")
    return f"{'Training' if stage == 'train' else 'Validation'}: {said}"


def evaluation_figures(document: Mapping[str, Any]) -> dict[str, Figure]:
    """``<head>_<curve>`` → figure, for every curve that the evaluation holds."""
    figures = curve_figures(document["curves"], document["versions"])
    for head in document["curves"]:
        figures[f"{head}_differences"] = differences(head, document)
    return figures


def curve_figures(
    curves: Mapping[str, Mapping[str, Any]], versions: Mapping[str, Any]
) -> dict[str, Figure]:
    """Head → contestant → curve → points, as ``<head>_<curve>`` → figure."""
    figures: dict[str, Figure] = {}
    for head, of_head in curves.items():
        for name, draw in CURVES.items():
            drawn = {who: found[name] for who, found in of_head.items() if found.get(name)}
            if drawn:
                figures[f"{head}_{name}"] = draw(head, drawn, versions)
    return figures


@mpl.rc_context(_LOOK)
def roc(head: str, curves: Mapping[str, Any], versions: Mapping[str, Any]) -> Figure:
    figure, axes = _square("False alarms: share of the others above", "Share of positives found")
    axes.plot([0, 1], [0, 1], color=GRID)
    _lines(axes, curves, versions)
    axes.legend(loc="lower right")
    return figure


@mpl.rc_context(_LOOK)
def precision_recall(head: str, curves: Mapping[str, Any], versions: Mapping[str, Any]) -> Figure:
    figure, axes = _square("Share of positives found", "Of those named, share that are right")
    _lines(axes, curves, versions)
    axes.set_ylim(0, 1.02)
    axes.legend(loc="best")
    return figure


@mpl.rc_context(_LOOK)
def calibration(head: str, curves: Mapping[str, Any], versions: Mapping[str, Any]) -> Figure:
    figure, axes = _square("Said, mean of a tenth of the rows", "Came true")
    points = [point for drawn in curves.values() for point in drawn]
    upper = 1.05 * max(max(point) for point in points)
    axes.plot([0, upper], [0, upper], color=GRID)
    _lines(axes, curves, versions, marker="o", markersize=3.5)
    axes.set(xlim=(0, upper), ylim=(0, upper))
    axes.legend(loc="upper left")
    return figure


@mpl.rc_context(_LOOK)
def gains(head: str, curves: Mapping[str, Any], versions: Mapping[str, Any]) -> Figure:
    what = "spend" if head == "spend" else "positives"
    figure, axes = _square("Share of users taken, best first", f"Share of {what} they hold")
    axes.plot([0, 1], [0, 1], color=GRID)
    _lines(axes, curves, versions)
    axes.legend(loc="lower right")
    return figure


@mpl.rc_context(_LOOK)
def distribution(head: str, curves: Mapping[str, Any], versions: Mapping[str, Any]) -> Figure:
    figure, axes = _axes((4.2, 3.6))
    for name, points in curves.items():
        if name in versions or name == "lightgbm":
            x, y = zip(*points, strict=True)
            style = _style(name, versions)
            axes.step(
                [0, *x], [y[0], *y], where="pre", label=_short(label_of(name, versions)), **style
            )
    axes.set(xlabel="Score", ylabel="Share of rows", ylim=(0, None))
    axes.legend(loc="best")
    return figure


CURVES = {
    "roc": roc,
    "precision_recall": precision_recall,
    "calibration": calibration,
    "gains": gains,
    "distribution": distribution,
}


@mpl.rc_context(_LOOK)
def differences(head: str, document: Mapping[str, Any]) -> Figure:
    """How far each version lies from each other contestant, with intervals; right is better."""
    rule = document["gate"]["heads"][head]
    rows = [
        (version, found)
        for version, compared in document["comparisons"].items()
        for found in compared
        if found["head"] == head
        and found["measure"] == rule["measure"]
        and found["against"] not in rule["better_than"]  # far away: they would hide what is close
        and found["low"] is not None
    ]
    figure, axes = _axes((6.4, 0.8 + 0.3 * len(rows)))
    axes.axvline(0, color=MUTED, linewidth=1)
    for place, (version, found) in enumerate(reversed(rows)):
        color = _style(version, document["versions"])["color"]
        axes.plot([found["low"], found["high"]], [place, place], color=color, linewidth=2.2)
        axes.plot(found["difference"], place, "o", color=color, markersize=4.5)
    named = [
        f"{_short(label_of(version, document['versions']))} − "
        f"{_short(label_of(found['against'], {}))}"
        for version, found in reversed(rows)
    ]
    axes.set_yticks(range(len(rows)), named)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(axis="y", visible=False)
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel(f"Better by, in {MEASURES[rule['measure']]}")
    return figure


@mpl.rc_context(_LOOK)
def training(curves: Mapping[str, Sequence[Sequence[float]]], title: str) -> Figure:
    """Encoder → [step, value] of one logged measure."""
    figure, axes = _axes((4.2, 2.6))
    for style, (name, points) in zip(VERSION_STYLES, curves.items(), strict=False):
        x, y = zip(*points, strict=True)
        marker = "o" if len(x) < 20 else ""
        axes.plot(x, y, label=_short(printable(name)), marker=marker, markersize=3, **style)
    axes.set(xlabel="Step", ylabel=title)
    axes.legend(loc="best")
    return figure


@mpl.rc_context(_LOOK)
def demand(
    days: Sequence[str],
    low: Sequence[float],
    middle: Sequence[float],
    high: Sequence[float],
    past_days: Sequence[str] = (),
    past: Sequence[float] = (),
) -> Figure:
    """One item: what was sold, then what is expected, with its range."""
    figure, axes = _axes((4.2, 2.2))
    if past_days:
        axes.plot(_dates(past_days), past, color=MUTED, linewidth=1.2, label="Sold")
    x = _dates(days)
    axes.fill_between(x, low, high, color=BAND, alpha=0.45, linewidth=0, label="8 days of 10")
    axes.plot(x, middle, color=VERSION_STYLES[0]["color"], label="Expected")
    _date_axis(axes, [*past_days, *days])
    axes.set(ylabel="Units a day", ylim=(0, 1.3 * max([*high, *past, 1.0])))
    axes.legend(loc="upper left", ncols=3)
    return figure


@mpl.rc_context(_LOOK)
def by_day(days: Sequence[str], values: Sequence[float], title: str) -> Figure:
    """One bar for each day."""
    figure, axes = _axes((6.4, 2.2))
    x = _dates(days)
    axes.bar(x, values, color=VERSION_STYLES[0]["color"], width=0.75)
    _date_axis(axes, days)
    axes.set(ylabel=title, ylim=(0, None))
    return figure


@mpl.rc_context(_LOOK)
def histogram(points: Iterable[Sequence[float]], title: str) -> Figure:
    """[right edge, share] bars of one published score."""
    figure, axes = _axes((4.2, 2.2))
    x, y = zip(*points, strict=True)
    width = x[1] - x[0] if len(x) > 1 else 1.0
    color = VERSION_STYLES[0]["color"]
    axes.bar([edge - width / 2 for edge in x], y, color=color, width=0.88 * width)
    axes.set(xlabel=title, ylabel="Share of users", ylim=(0, None))
    return figure


def save_png(figure: Figure, file: Path) -> None:
    with mpl.rc_context(_LOOK):
        figure.savefig(file, format="png", dpi=110)


def to_svg(figure: Figure, *, name: str, described: str) -> str:
    """Inline SVG: colours from CSS variables, ids of its own, a description for who cannot see.

    ``described`` is escaped already. Raises ValueError for a name that is no part of an id.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        raise ValueError(f"a figure's name is made of a-z, 0-9, - and _, not {name!r}")
    with mpl.rc_context({**_LOOK, "svg.hashsalt": name}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", facecolor="none", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, f"var(--{variable})")
    svg = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(
        r'width="([\d.]+)pt" height="([\d.]+)pt"|height="([\d.]+)pt" width="([\d.]+)pt"',
        'class="plot"',
        svg,
        count=1,
    )
    svg = re.sub(r'\s*xmlns(:xlink)?="[^"]+"', "", svg.replace("xlink:href", "href"))
    return svg.replace("<svg", f'<svg role="img" aria-label="{described}"', 1)


def _short(label: str) -> str:
    """A name that leaves room for the plot."""
    return label if len(label) <= MAX_LABEL else f"{label[: MAX_LABEL - 1]}…"


def _axes(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size)
    return figure, figure.subplots()


def _square(x: str, y: str) -> tuple[Figure, Axes]:
    figure, axes = _axes((4.2, 3.6))
    axes.set(xlabel=x, ylabel=y)
    return figure, axes


def _lines(axes: Axes, curves: Mapping[str, Any], versions: Mapping[str, Any], **more: Any) -> None:
    for name, points in curves.items():
        if name not in versions and name not in BASELINE_STYLES:
            continue  # a constant has no curve worth drawing
        x, y = zip(*points, strict=True)
        axes.plot(x, y, label=_short(label_of(name, versions)), **_style(name, versions), **more)


def _style(name: str, versions: Mapping[str, Any]) -> dict[str, Any]:
    if name in versions:
        return dict(VERSION_STYLES[list(versions).index(name) % len(VERSION_STYLES)])
    return dict(BASELINE_STYLES.get(name, {"color": MUTED, "linestyle": "-."}))


def _date_axis(axes: Axes, days: Sequence[str]) -> None:
    """At most five days named, evenly apart."""
    step = max(-(-len(days) // 5), 1)
    named = list(days)[::step]
    axes.set_xticks(_dates(named), [_day(day) for day in named])


def _day(text: str) -> str:
    day = date.fromisoformat(text)
    return f"{day.day} {day:%b}"


def _dates(days: Sequence[str]) -> Any:
    dates: Any = mdates
    return dates.datestr2num(list(days))
