"""The page of a night: what was published, by which model, and how far it can be trusted.

Written for people who know their business and no models. One file, no outside resource. Whatever
could not be had or shown is named with its reason, and the rest of the page stands.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from contracts.printable import printable
from contracts.tables import PUBLISHED, REFUSED
from models.pages import plots
from models.pages.document import document
from models.pages.heads import heads
from models.pages.parts import Attempts, escape, figure, missing, number, scroll


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
    missed_days: Sequence[date] | Missing = ()  # that are in no figure: nothing was ingested


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


def render(page: Page, attempt: Attempts | None = None) -> str:
    """The whole page as HTML; ``attempt`` takes note of the parts that fail."""
    attempt = attempt or Attempts()

    def shown(name: str, draw: Callable[[Any], str]) -> str:
        part = getattr(page, name)
        if isinstance(part, Missing):
            return missing(part.reason)
        return attempt(name, partial(draw, part))

    said = {
        "published": shown("ledger", _published),
        "champion": shown("champion", _champion) + _judged(page.evaluation, attempt),
        "heads": shown("evaluation", partial(heads, attempt=attempt)),
        "scores": shown("scores", partial(_scores, attempt=attempt)),
        "demand": shown("demand", partial(_demand, attempt=attempt)),
        "sessions": shown("sessions", _sessions),
        "training": shown("training", partial(_training, attempt=attempt)),
        "seconds": shown("seconds", _seconds),
    }
    day = f"{page.cutoff:%A} {page.cutoff.day} {page.cutoff:%B %Y}"
    contents = "".join(f'<a href="#{key}">{title}</a>' for key, title in SECTIONS.items())
    sections = "".join(
        f'<section id="{key}"><h2>{title}</h2>{said[key]}</section>'
        for key, title in SECTIONS.items()
    )
    return document(
        f"Nightshift, {page.cutoff}",
        f"<header><p class='over'>Nightshift, the night of</p><h1>{day}</h1>"
        f"{attempt('scores', partial(_lead, page))}</header>"
        f"{attempt('missed_days', partial(_missed, page))}"
        f"{attempt('scores', partial(_numbers, page))}"
        f"<nav aria-label='Contents'>{contents}</nav><main>{sections}</main>"
        f"<footer>Nightshift, model <code>{escape(page.model)}</code>. "
        f"Everything here was known before {page.cutoff}, 00:00.</footer>",
    )


def _lead(page: Page) -> str:
    if isinstance(page.scores, Missing):
        return "<p class='lead'>No user scores were published for this night.</p>"
    return (
        f"<p class='lead'>{page.scores.num_users:,} users were scored, one row each, from "
        "everything known before this day. Below: what is in the tables, which model filled them, "
        "and how well it did on past weeks whose outcome is known.</p>"
    )


def _missed(page: Page) -> str:
    """The days whose events are in no figure; nothing where there are none."""
    if isinstance(page.missed_days, Missing) or not page.missed_days:
        return ""
    days = ", ".join(map(str, page.missed_days))
    return (
        f"<p class='missing'>Not ingested: {days}. What happened on these days is in no figure "
        "below.</p>"
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


def _published(ledger: Sequence[Mapping[str, Any]]) -> str:
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


def _champion(champion: Mapping[str, Any]) -> str:
    promoted = ""
    if champion.get("promoted_at"):
        at = escape(str(champion["promoted_at"])[:16]).replace("T", ", ")
        promoted = f" It became champion on {at} UTC, by {escape(champion['promoted_by'])}."
    return (
        f"<p>Version <b>{escape(champion['version'])}</b>, "
        f"{escape(plots.encoder_name(champion['encoder']))}, trained on what was known before "
        f"{escape(champion['training_cutoff'])}.{promoted}</p>"
    )


def _judged(evaluation: Mapping[str, Any] | Missing, attempt: Attempts) -> str:
    """Each version's verdict; why there is no evaluation stands in its own section."""
    if isinstance(evaluation, Missing):
        return ""
    return attempt("evaluation", partial(_verdicts, evaluation))


def _verdicts(evaluation: Mapping[str, Any]) -> str:
    rule = "".join(f"<li>{escape(line)}</li>" for line in evaluation["rule"])
    return "".join(
        _verdict(version, verdict, evaluation)
        for version, verdict in evaluation["verdicts"].items()
    ) + (f"<details><summary>The rule, word for word</summary><ul>{rule}</ul></details>")


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
    notes = "".join(f"<p>Note: {escape(note)}.</p>" for note in verdict.get("notes", ()))
    summary = "What each check showed" if admitted else "Why"
    opened = "" if admitted else " open"
    return (
        f"<p><span class='verdict'>{name}: {word}</span> by the written rule.{gain}</p>{notes}"
        f"<details{opened}><summary>{summary}</summary><ul>{reasons}</ul></details>"
    )


def _scores(scores: Scores, attempt: Attempts) -> str:
    drawn = [
        attempt(f"scores: {name}", partial(_score_figure, rank, name, scores))
        for rank, (name, points) in enumerate(scores.distributions.items(), start=1)
        if points
    ]
    return f"<div class='plots three'>{''.join(drawn)}</div>"


def _of_whom(name: str, scores: Scores) -> str:
    if not name.startswith("churn"):
        return "users"
    return f"the {scores.asked_about_churn:,} users who were active lately, and so are asked,"


def _score_figure(rank: int, name: str, scores: Scores) -> str:
    title = printable(SCORE_NAMES.get(name, name))
    return figure(
        plots.histogram(scores.distributions[name], title),
        name=f"scores-{rank}",
        title=title,
        text=f"Share of {_of_whom(name, scores)} by score. The last bar also holds what lies "
        "above it.",
    )


def _demand(items: Sequence[ItemDemand], attempt: Attempts) -> str:
    drawn = [
        attempt(f"demand: item {item.item_id}", partial(_demand_figure, rank, item))
        for rank, item in enumerate(items, start=1)
    ]
    return (
        "<p>The items of which most units are expected, with what was sold in the weeks before. "
        "The band holds what is sold on about 8 days of 10.</p>"
        f"<div class='plots'>{''.join(drawn)}</div>"
    )


def _demand_figure(rank: int, item: ItemDemand) -> str:
    days, low, mean, high = zip(*item.expected, strict=True)
    past_days, past = zip(*item.past, strict=True) if item.past else ((), ())
    drawn = plots.demand(days, low, mean, high, past_days, past)
    title = f"{item.category}, item {item.item_id}" if item.category else f"Item {item.item_id}"
    total = sum(mean)
    return figure(drawn, f"demand-{rank}", title, f"{total:,.0f} units in {len(days)} days.")


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


def _training(
    curves: Mapping[str, Mapping[str, Sequence[Sequence[float]]]], attempt: Attempts
) -> str:
    drawn = [
        attempt(f"training: {measure}", partial(_training_figure, rank, measure, by_encoder))
        for rank, (measure, by_encoder) in enumerate(curves.items(), start=1)
    ]
    return f"<div class='plots three'>{''.join(drawn)}</div>"


def _training_figure(
    rank: int, measure: str, by_encoder: Mapping[str, Sequence[Sequence[float]]]
) -> str:
    title = printable(plots.measure_name(measure))
    return figure(
        plots.training(by_encoder, title),
        name=f"training-{rank}",
        title=title,
        text="After each pass over the histories; validation weeks were not trained on.",
    )


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
