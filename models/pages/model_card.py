"""A model's card: what it is for, what it learnt from, how good it is, and what it must not do.

For people who know their business and no models, after Mitchell et al., 2019, "Model cards for
model reporting", https://arxiv.org/abs/1810.03993.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from models.judging.rule import HIGHER_IS_BETTER
from models.judging.slices import HISTORY
from models.pages.blocks import Block, Bullets, Heading, Paragraph, Table, to_html, to_markdown
from models.pages.heads import ABOUT, QUESTIONS
from models.pages.parts import number
from models.pages.plots import MEASURES, encoder_name, label_of
from models.registry.artifact import Manifest

VALIDATED = {
    "val/purchase_auroc": ("purchase", "auroc"),
    "val/churn_auroc": ("churn", "auroc"),
    "val/spend_mae": ("spend", "mae"),
    "val/next_item_ndcg": ("next_item", "ndcg@10"),
}
COLUMNS = ("Question", "Measure", "It", "Strong baseline", "Simple baselines", "Outcome")
NOT_FOR = (
    "Decisions about a person beyond what to offer and whom to write to: no credit, no insurance, "
    "no employment, no price that is higher for one than for another.",
    "Saying what a campaign would change. The scores say what is likely if all goes on as it did; "
    "who buys anyway scores high. Whether a message helps is learnt by leaving some users out.",
    "Users who were not seen before the cutoff: they all get the same average answer.",
    "Other spans of time than those named above, other shops, or a shop whose prices, range or "
    "opening has just changed much: what was learnt is the past.",
    "Reasons. A high score does not say why it is high.",
)


@dataclass(frozen=True)
class Card:
    model: str  # registered name
    version: str
    manifest: Manifest
    num_items: int  # of the catalogue

    @property
    def title(self) -> str:
        encoder = encoder_name(self.manifest.config.encoder.kind)
        return f"{self.model}, version {self.version} ({encoder})"


def model_card(card: Card, evaluation: Mapping[str, Any] | None) -> list[Block]:
    """The card; ``evaluation`` is the document of `jobs.evaluate`, once there is one."""
    judged = evaluation is not None and card.version in evaluation["versions"]
    return [
        *_purpose(card),
        *_data(card),
        Heading("How good it is"),
        *(_judged(card.version, evaluation) if judged and evaluation else _validated(card)),
        Heading("What it must not be used for"),
        Bullets(NOT_FOR),
    ]


def write_card(card: Card, evaluation: Mapping[str, Any] | None, folder: Path) -> list[Path]:
    """As Markdown and as a page, `model_card.md` and `model_card.html`."""
    blocks = model_card(card, evaluation)
    files = {"md": to_markdown(card.title, blocks), "html": to_html(card.title, blocks)}
    for ending, text in files.items():
        (folder / f"model_card.{ending}").write_text(text, encoding="utf-8")
    return [folder / f"model_card.{ending}" for ending in files]


def _purpose(card: Card) -> list[Block]:
    days = card.manifest.horizons.model_dump()
    return [
        Heading("What it answers"),
        Paragraph(
            "For every user, as of the first moment of a day (the cutoff), from what was known "
            "before it:"
        ),
        Bullets([question.format(**days) for question in QUESTIONS.values()]),
        Paragraph(
            "The first two are probabilities that were set right on weeks whose outcome is known: "
            "of a hundred users with 0.3, about thirty do it. Churn is asked, and answered, of "
            f"users who were active in the {days['churn_active_days']} days before the cutoff: "
            "who left before that has left already, and has no probability. It offers items "
            f"out of a catalogue of {card.num_items:,}."
        ),
    ]


def _data(card: Card) -> list[Block]:
    manifest = card.manifest
    longest = timedelta(days=manifest.horizons.longest_days)
    closed, cutoff = manifest.label_limit, manifest.training_cutoff
    snapshots = ", ".join(f"{table} {number}" for table, number in manifest.snapshot_ids.items())
    items = [
        f"Weights: events and outcomes before {closed}.",
        f"The choice of the best epoch, and the setting right of its probabilities: outcomes from "
        f"{closed} until before {closed + longest}.",
        f"Left for the judgement: outcomes from {closed + longest} until before {cutoff}. "
        f"Nothing from {cutoff} on was known.",
        f"At most the latest {manifest.config.encoder.max_length} visits of a user, of at most "
        f"{manifest.max_events:,} events; days are those of {manifest.time_zone}.",
        f"Lake snapshots: {snapshots or 'none recorded'}.",
    ]
    if manifest.parent:
        items.append(f"It went on from the weights of {manifest.parent}.")
    return [Heading("What it learnt from"), Bullets(items)]


def _validated(card: Card) -> list[Block]:
    rows = [
        [
            QUESTIONS[head].format(**card.manifest.horizons.model_dump()),
            f"{MEASURES[measure]}: {ABOUT[measure]}",
            number(card.manifest.metrics.get(name)),
        ]
        for name, (head, measure) in VALIDATED.items()
    ]
    return [
        Paragraph(
            "It has not been judged yet: neither beside baselines nor on weeks that its own "
            "epoch was not chosen on. Until `nightshift evaluate` has done so, these figures of "
            "the validation are kinder than the truth."
        ),
        Table(["Question", "Measure", "Value"], rows),
    ]


def _judged(version: str, evaluation: Mapping[str, Any]) -> list[Block]:
    confidence = f"{evaluation['gate']['confidence']:.0%}"
    rows, weak = [], []
    for head, rule in evaluation["gate"]["heads"].items():
        row = next(
            (
                row
                for row in evaluation["table"]
                if (row["head"], row["metric"]) == (head, rule["measure"])
            ),
            None,
        )
        if row is not None:
            rows.append(_beside(version, head, rule, row, evaluation))
            weak += _weak(version, head, rule, evaluation)
    left_out = [
        f"{QUESTIONS[head].format(**evaluation['horizons'])} It was {why}."
        for head, why in evaluation.get("left_out", {}).items()
    ]
    verdict = evaluation["verdicts"][version]
    said = "Admitted by the gate." if verdict["admitted"] else "Refused by the gate."
    reasons = [] if verdict["admitted"] else [Bullets(verdict["reasons"])]
    notes = [_sentence(note) for note in verdict.get("notes", ())]
    return [
        Paragraph(
            f"Judged as of {evaluation['cutoff']} on weeks that neither it nor the baselines "
            f"had seen. In brackets: where the value lies with {confidence} confidence. {said}"
        ),
        *reasons,
        Table(
            ["Question", "Measure", "It", "Strong baseline", "Simple baselines", "Outcome"], rows
        ),
        *([Bullets([*left_out, *notes])] if left_out or notes else []),
        Heading("For whom it is weak"),
        Bullets(weak)
        if weak
        else Paragraph("No group of users stood out: not by history, nor by what they buy most."),
    ]


def _beside(
    version: str,
    head: str,
    rule: Mapping[str, Any],
    row: Mapping[str, Any],
    evaluation: Mapping[str, Any],
) -> list[str]:
    def value(name: str) -> str:
        low, high = row["intervals"].get(name) or (None, None)
        interval = f" [{number(low)}, {number(high)}]" if low not in (None, high) else ""
        return f"{number(row['values'].get(name))}{interval}"

    strong, measure = rule["not_worse_than"], rule["measure"]
    simple = [name for name in row["values"] if name not in evaluation["versions"]]
    simple = [name for name in simple if not name.startswith(strong)]
    found = next(
        compared
        for compared in evaluation["comparisons"][version]
        if (compared["head"], compared["against"], compared["measure"]) == (head, strong, measure)
    )
    better = "higher" if HIGHER_IS_BETTER[measure] else "lower"
    return [
        QUESTIONS[head].format(**evaluation["horizons"]),
        f"{MEASURES[measure]} ({better} is better)",
        value(version),
        f"{label_of(strong, {})} {value(strong)}",
        ", ".join(f"{label_of(name, {})} {number(row['values'][name])}" for name in simple),
        _outcome(found["low"], found["high"]),
    ]


def _outcome(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "too little is known"
    if low > 0:
        return "better than the strong baseline"
    return "worse than the strong baseline" if high < 0 else "level with the strong baseline"


def _weak(
    version: str, head: str, rule: Mapping[str, Any], evaluation: Mapping[str, Any]
) -> list[str]:
    """Slices in which the strong baseline is surely better, and the history it knows least of."""
    question = QUESTIONS[head].format(**evaluation["horizons"])
    title = MEASURES[rule["measure"]]
    slices = [part for part in evaluation["slices"] if part["head"] == head and part["rows"]]
    said = []
    for part in slices:
        found = part["comparisons"].get(version, {}).get(rule["not_worse_than"])
        if found and found["high"] is not None and found["high"] < 0:
            said.append(
                f"{question} {_group(part)}: {title} {number(part['values'][version])}, "
                f"{label_of(rule['not_worse_than'], {})} "
                f"{number(part['values'][rule['not_worse_than']])} ({part['users']:,} users)."
            )
    known = [
        part
        for part in slices
        if part["kind"] == "history" and part["values"].get(version) is not None
    ]
    if len(known) > 1 and HIGHER_IS_BETTER[rule["measure"]]:
        worst = min(known, key=lambda part: part["values"][version])
        best = max(known, key=lambda part: part["values"][version])
        said.append(
            f"{question} It tells least of {_group(worst).lower()}: {title} "
            f"{number(worst['values'][version])}, against {number(best['values'][version])} "
            f"of {_group(best).lower()}."
        )
    return said


def _sentence(note: str) -> str:
    return f"{note[0].upper()}{note[1:]}."


def _group(part: Mapping[str, Any]) -> str:
    if part["kind"] != "history":
        return f"Users who buy {part['slice']} most"
    low, high = HISTORY[part["slice"]]
    span = f"{low} to {high - 1} visits" if high < 1 << 59 else f"{low} visits or more"
    return f"{part['slice'].capitalize()} users ({span})"
