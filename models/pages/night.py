"""The page of a night: what was published, by which model, and how far it can be trusted.

Written for people who know their business and no models. One file, no outside resource. Whatever
could not be had is named with its reason, and the rest of the page stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Any

from matplotlib.figure import Figure

from contracts.tables import PUBLISHED, REFUSED
from models.pages import plots
from models.pages.heads import heads
from models.pages.parts import figure, missing, number, scroll
from models.pages.style import STYLE


@dataclass(frozen=True)
class Missing:
    """A part that could not be had, and why."""

    reason: str


@dataclass(frozen=True)
class ItemDemand:
    """One item: sold per day in the past, expected per day from the cutoff on."""

    item_id: str
    category: str
    past: Sequence[tuple[str, float]]  # day, units
    expected: Sequence[tuple[str, float, float, float]]  # day, low, mean, high


@dataclass(frozen=True)
class Scores:
    """Totals and shapes of the night's user scores."""

    num_users: int
    expected_buyers: float
    asked_about_churn: int  # users who were active lately: the others have no churn probability
    likely_to_leave: int  # churn probability above one half
    expected_spend: float
    distributions: Mapping[str, Sequence[Sequence[float]]]  # column → [right edge, share]


@dataclass(frozen=True)
class Sessions:
    """Visits by day, and how many of them held a purchase."""

    days: Sequence[str]
    counts: Sequence[int]
    converted: int
    spend: float


@dataclass(frozen=True)
class Page:
    cutoff: date
    model: str
    ledger: Sequence[Mapping[str, Any]] | Missing
    scores: Scores | Missing
    champion: Mapping[str, Any] | Missing
    evaluation: Mapping[str, Any] | Missing
    demand: Sequence[ItemDemand] | Missing
    sessions: Sessions | Missing
    training: Mapping[str, Mapping[str, Sequence[Sequence[float]]]] | Missing  # measure → encoder
    seconds: Mapping[str, float] | Missing


SECTIONS = {
    "published": "What was published",
    "champion": "The model that answered",
    "heads": "How well it does",
    "scores": "Tonight's scores",
    "demand": "Expected demand",
    "sessions": "Visits",
    "training": "How the models learnt",
    "seconds": "How long it took",
}
SCORE_NAMES = {
    "purchase_probability_7d": "Purchase probability",
    "churn_probability_28d": "Churn probability",
    "expected_spend_28d": "Expected spend",
}


def render(page: Page) -> str:
    """The whole page as HTML."""
    said = {
        "published": _published(page.ledger),
        "champion": _champion(page.champion, page.evaluation),
        "heads": _or_missing(page.evaluation, heads),
        "scores": _or_missing(page.scores, _scores),
        "demand": _or_missing(page.demand, _demand),
        "sessions": _or_missing(page.sessions, _sessions),
        "training": _or_missing(page.training, _training),
        "seconds": _or_missing(page.seconds, _seconds),
    }
    day = f"{page.cutoff:%A} {page.cutoff.day} {page.cutoff:%B %Y}"
    contents = "".join(f'<a href="#{key}">{title}</a>' for key, title in SECTIONS.items())
    sections = "".join(
        f'<section id="{key}"><h2>{title}</h2>{said[key]}</section>'
        for key, title in SECTIONS.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Nightshift, {page.cutoff}</title><style>{STYLE}</style></head><body>"
        f"<header><p class='over'>Nightshift, the night of</p><h1>{day}</h1>"
        f"<p class='lead'>{_lead(page)}</p></header>"
        f"{_numbers(page)}<nav aria-label='Contents'>{contents}</nav><main>{sections}</main>"
        f"<footer>Nightshift, model <code>{escape(page.model)}</code>. "
        f"Everything here was known before {page.cutoff}, 00:00.</footer></body></html>\n"
    )


def _or_missing(part: Any, show: Any) -> str:
    return missing(part.reason) if isinstance(part, Missing) else str(show(part))


def _lead(page: Page) -> str:
    if isinstance(page.scores, Missing):
        return "No user scores were published for this night."
    return (
        f"{page.scores.num_users:,} users were scored, one row each, from everything known before "
        "this day. Below: what is in the tables, which model filled them, and how well it did on "
        "past weeks whose outcome is known."
    )


def _numbers(page: Page) -> str:
    if isinstance(page.scores, Missing):
        return ""
    scores = page.scores
    share = scores.expected_buyers / max(scores.num_users, 1)
    leaving = f"no event for 28 days; of {scores.asked_about_churn:,} who were active lately"
    cells = [
        ("Users scored", f"{scores.num_users:,}", "every user seen before this day"),
        ("Expected to buy", f"{scores.expected_buyers:,.0f}", f"within 7 days; {share:.0%} of all"),
        ("More likely to leave than not", f"{scores.likely_to_leave:,}", leaving),
        ("Expected spend", f"{scores.expected_spend:,.0f}", "in 28 days, all users together"),
    ]
    inner = "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{about}</small></dd></div>"
        for name, value, about in cells
    )
    return f'<dl class="numbers">{inner}</dl>'


def _published(ledger: Sequence[Mapping[str, Any]] | Missing) -> str:
    if isinstance(ledger, Missing):
        return missing(ledger.reason)
    rows = "".join(
        f"<tr><th scope='row'><code>{escape(row['table_name'])}</code></th>"
        f"<td>{row['num_rows']:,}</td><td class='left'><code>{escape(row['content_hash'])}</code>"
        f"</td><td class='left'><code>{escape(row['run_key'])}</code></td>"
        f"<td class='left'>{escape(row['published_at'])}</td></tr>"
        for row in ledger
        if row["outcome"] == PUBLISHED
    )
    refused = "".join(
        f"<p class='refused'><strong>Refused</strong> at {escape(row['published_at'])} UTC: "
        f"{escape(reason)}</p>"
        for reason, row in {
            row["reason"]: row for row in ledger if row["outcome"] == REFUSED
        }.items()
    )
    if not rows:
        return f"{refused}<p>Nothing of this night was published.</p>"
    return (
        f"{refused}<p>These tables were switched together: readers saw all of the night or none. "
        "Equal rows give an equal content hash, so a night that is run again can be compared.</p>"
        + scroll(
            "<thead><tr><th scope='col'>Table</th><th scope='col'>Rows</th>"
            "<th scope='col' class='left'>Content hash</th><th scope='col' class='left'>Run</th>"
            f"<th scope='col' class='left'>Published (UTC)</th></tr></thead><tbody>{rows}</tbody>"
        )
    )


def _champion(
    champion: Mapping[str, Any] | Missing, evaluation: Mapping[str, Any] | Missing
) -> str:
    parts = []
    if isinstance(champion, Missing):
        parts.append(missing(champion.reason))
    else:
        promoted = ""
        if champion.get("promoted_at"):
            by, at = escape(str(champion["promoted_by"])), escape(str(champion["promoted_at"])[:16])
            at = at.replace("T", ", ")
            promoted = f" It became champion on {at} UTC, by {by}."
        parts.append(
            f"<p>Version <b>{escape(champion['version'])}</b>, "
            f"{escape(plots.encoder_name(champion['encoder']))}, trained on what was known before "
            f"{champion['training_cutoff']}.{promoted}</p>"
        )
    if not isinstance(evaluation, Missing):
        for version, verdict in evaluation["verdicts"].items():
            parts.append(_verdict(version, verdict, evaluation))
        rule = "".join(f"<li>{escape(line)}</li>" for line in evaluation["rule"])
        parts.append(
            f"<details><summary>The rule, word for word</summary><ul>{rule}</ul></details>"
        )
    return "".join(parts)


def _verdict(version: str, verdict: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    name = escape(plots.label_of(version, evaluation["versions"]))
    admitted = verdict["admitted"]
    word = "<span class='yes'>admitted</span>" if admitted else "<span class='no'>refused</span>"
    gain = ""
    if verdict["gain"] is not None:
        gain = (
            f" On average over the heads it takes away {verdict['gain']:+.1%} of the strong "
            "baseline's error."
        )
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in verdict["reasons"])
    summary = "What each check showed" if admitted else "Why"
    opened = "" if admitted else " open"
    return (
        f"<p><span class='verdict'>{name}: {word}</span> by the written rule.{gain}</p>"
        f"<details{opened}><summary>{summary}</summary><ul>{reasons}</ul></details>"
    )


def _scores(scores: Scores) -> str:
    drawn = [
        figure(
            plots.histogram(points, SCORE_NAMES.get(name, name)),
            name=f"scores-{name}",
            title=SCORE_NAMES.get(name, name),
            text=f"Share of {_of_whom(name, scores)} by score. The last bar also holds what lies "
            "above it.",
        )
        for name, points in scores.distributions.items()
        if points
    ]
    return f"<div class='plots three'>{''.join(drawn)}</div>"


def _of_whom(name: str, scores: Scores) -> str:
    if not name.startswith("churn"):
        return "users"
    return f"the {scores.asked_about_churn:,} users who were active lately, and so are asked,"


def _demand(items: Sequence[ItemDemand]) -> str:
    drawn = [figure(*_demand_figure(item)) for item in items]
    return (
        "<p>The items of which most units are expected, with what was sold in the weeks before. "
        "The band holds what is sold on about 8 days of 10.</p>"
        f"<div class='plots'>{''.join(drawn)}</div>"
    )


def _demand_figure(item: ItemDemand) -> tuple[Figure, str, str, str]:
    days, low, mean, high = zip(*item.expected, strict=True)
    past_days, past = zip(*item.past, strict=True) if item.past else ((), ())
    drawn = plots.demand(days, low, mean, high, past_days, past)
    named = f"{item.category.capitalize()}, item" if item.category else "Item"
    title = f"{named} {item.item_id}"
    total = sum(mean)
    return drawn, f"demand-{item.item_id}", title, f"{total:,.0f} units in {len(days)} days."


def _sessions(sessions: Sessions) -> str:
    total = sum(sessions.counts)
    share = sessions.converted / total if total else 0.0
    drawn = figure(
        plots.by_day(sessions.days, [float(count) for count in sessions.counts], "Visits"),
        name="sessions",
        title="Visits a day",
        text="A visit is a run of one user's events without a long silence.",
        wide=True,
    )
    only = (
        " This log holds purchases only, so a visit without one cannot be seen."
        if total and sessions.converted == total
        else ""
    )
    return (
        f"<p>{total:,} visits in the {len(sessions.days)} days before; in {share:.1%} of them "
        f"something was bought.{only} A visit was worth "
        f"{number(sessions.spend / total if total else 0.0)} on average.</p>{drawn}"
    )


def _training(curves: Mapping[str, Mapping[str, Sequence[Sequence[float]]]]) -> str:
    drawn = [
        figure(
            plots.training(by_encoder, plots.measure_name(measure)),
            name=f"training-{place}",
            title=plots.measure_name(measure),
            text="After each pass over the histories; validation weeks were not trained on.",
        )
        for place, (measure, by_encoder) in enumerate(curves.items())
    ]
    return f"<div class='plots three'>{''.join(drawn)}</div>"


def _seconds(seconds: Mapping[str, float]) -> str:
    longest = max(seconds.values(), default=0.0) or 1.0
    rows = "".join(
        f"<tr><th scope='row'>{escape(step)}</th><td>{value:,.1f}</td><td class='left'>"
        f"<span class='bar' style='width:{16 * value / longest:.2f}rem'></span></td></tr>"
        for step, value in seconds.items()
    )
    return scroll(
        "<thead><tr><th scope='col'>Step</th><th scope='col'>Seconds</th>"
        f"<th><span hidden>Bar</span></th></tr></thead><tbody>{rows}</tbody>"
    )
