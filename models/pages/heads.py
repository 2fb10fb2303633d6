"""The report's section on each head: in a sentence, in a table, in plots."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from models.judging.rule import HIGHER_IS_BETTER
from models.pages import plots
from models.pages.parts import Attempts, escape, figure, number, scroll
from models.pages.slices import slices

QUESTIONS = {
    "purchase": "Will the user buy within {purchase_days} days?",
    "churn": "Will a user who was active lately stay away for {churn_days} days?",
    "spend": "How much will the user spend in {spend_days} days?",
    "next_item": "Which items will the user buy within {items_days} days?",
}
ABOUT = {
    "auroc": "of one who did and one who did not, how often the former scores higher",
    "average_precision": "how right the names at the top of the list are",
    "brier": "squared distance of the probability from what came true",
    "log_loss": "surprise at what came true",
    "ece": "how far what was said lies from the share that came true",
    "mae": "distance from what was spent, mean over users",
    "rmse": "the same, large misses counting more",
    "total_bias": "what was said in all, above or below what was spent",
    "ndcg@10": "how high in a list of ten the bought items stand; 1 is all on top",
    "recall@10": "share of the bought items that are in the list of ten",
}
CAPTIONS = {
    "roc": ("ROC", "The higher above the diagonal, the better the ranking."),
    "precision_recall": (
        "Precision and recall",
        "Contact more users and find more of the positives; the height is how many were right.",
    ),
    "calibration": (
        "Calibration",
        "On the diagonal, what was said came true. Each point is a tenth of the rows.",
    ),
    "gains": (
        "Lift",
        "Taking users from the top of the list: how much of the total they hold. "
        "The diagonal is a list in random order.",
    ),
    "distribution": ("Scores given", "Scores far apart mean users told apart."),
}


def heads(evaluation: Mapping[str, Any], attempt: Attempts | None = None) -> str:
    """Every head of the evaluation; ``attempt`` takes note of those that fail."""
    attempt = attempt or Attempts()
    weeks = (
        "<p>Every contestant answered as of past days, knowing only what came before them, and is "
        "measured on what then happened. Baselines were fitted on exactly what the models could "
        "learn from. Small figures are the interval in which the value lies with "
        f"{evaluation['gate']['confidence']:.0%} confidence, users drawn again and again.</p>"
    )
    return weeks + "".join(
        attempt(f"evaluation: {head}", partial(_head, rank, head, evaluation))
        for rank, head in enumerate(evaluation["gate"]["heads"], start=1)
    )


def _head(rank: int, head: str, evaluation: Mapping[str, Any]) -> str:
    rows = [row for row in evaluation["table"] if row["head"] == head]
    question = QUESTIONS[head].format(**evaluation["horizons"])
    if not rows:
        why = evaluation.get("left_out", {}).get(head)
        return f"<h3>{escape(question)}</h3><p class='said'>{escape(why)}</p>" if why else ""
    return (
        f"<h3>{escape(question)}</h3><p class='said'>{_sentence(head, evaluation)}</p>"
        + _table(rows, evaluation)
        + figure(
            plots.differences(head, evaluation),
            f"head-{rank}-differences",
            "Who is better, and how surely",
            "A version less a strong contestant, on the same users; the line is the interval. "
            "Right of zero the version is better; a line across zero is a draw.",
            wide=True,
        )
        + _curves(rank, head, evaluation)
        + slices(head, evaluation, _order(rows[0], evaluation))
    )


def _sentence(head: str, evaluation: Mapping[str, Any]) -> str:
    """The version that matters against the strong baseline, in words."""
    version = evaluation["champion"] or max(
        evaluation["verdicts"], key=lambda v: evaluation["verdicts"][v]["gain"] or float("-inf")
    )
    rule, versions = evaluation["gate"]["heads"][head], evaluation["versions"]
    measure, strong = rule["measure"], rule["not_worse_than"]
    found = next(
        c
        for c in evaluation["comparisons"][version]
        if (c["head"], c["against"], c["measure"]) == (head, strong, measure)
    )
    row = next(
        r for r in evaluation["table"] if (r["head"], r["metric"]) == (head, rule["measure"])
    )
    title = plots.MEASURES[measure]
    said = (
        f"{escape(plots.label_of(version, versions))} reaches {escape(title)} "
        f"<b>{number(found['value'])}</b>, {escape(plots.label_of(strong, versions))}, the strong "
        f"baseline, {number(found['against_value'])}: {_outcome(found)}. "
    )
    base = {
        "purchase": f"{row['base_rate']:.0%} of them bought",
        "churn": f"{row['base_rate']:.0%} of them stayed away",
        "spend": f"they spent {number(row['base_rate'])} on average",
        "next_item": f"they bought {number(row['base_rate'])} different items on average",
    }
    whom = "buyers" if head == "next_item" else "users"
    times = f", as of {len(row['cutoffs'])} days" if len(row["cutoffs"]) > 1 else ""
    return said + f"Measured on {row['users']:,} {whom}{times}; {base[head]}."


def _outcome(found: Mapping[str, Any]) -> str:
    if found["low"] is None:
        return "too little is known to compare them"
    if found["low"] > 0:
        return "better, and not by luck"
    if found["high"] < 0:
        return "worse, and not by luck"
    return "no difference that luck could not explain"


def _order(row: Mapping[str, Any], evaluation: Mapping[str, Any]) -> list[str]:
    """Versions, then the strong baselines, then the naive ones."""
    versions, rule = evaluation["versions"], evaluation["gate"]["heads"][row["head"]]

    def place(name: str) -> tuple[int, str]:
        if name in versions:
            return 0, name.zfill(9)
        return (1 if name.startswith(rule["not_worse_than"]) else 2), name

    return sorted(row["values"], key=place)


def _table(rows: Sequence[Mapping[str, Any]], evaluation: Mapping[str, Any]) -> str:
    names = _order(rows[0], evaluation)
    head = "".join(
        f"<th scope='col'>{escape(plots.label_of(name, evaluation['versions']))}</th>"
        for name in names
    )
    body = []
    for row in rows:
        title, about = plots.MEASURES[row["metric"]], ABOUT[row["metric"]]
        arrow = "higher is better" if row["higher_is_better"] else "lower is better"
        if row["metric"] == "total_bias":
            arrow = "nearer 0 is better"
        best = _best(row)
        cells = "".join(_cell(row, name, is_best=name == best) for name in names)
        body.append(
            f"<tr><th scope='row' class='measure'>{title}"
            f"<small>{escape(about)}; {arrow}</small></th>{cells}</tr>"
        )
    return scroll(
        f"<thead><tr><th scope='col'>Measure</th>{head}</tr></thead><tbody>{''.join(body)}</tbody>"
    )


def _best(row: Mapping[str, Any]) -> str | None:
    known = {name: value for name, value in row["values"].items() if value is not None}
    if not known:
        return None
    sign = 1 if HIGHER_IS_BETTER[row["metric"]] else -1
    # A bias is best when it is small, above or below.
    size = abs if row["metric"] == "total_bias" else float
    best: str = max(known, key=lambda name: sign * size(known[name]))
    return best


def _cell(row: Mapping[str, Any], name: str, *, is_best: bool) -> str:
    value, interval = row["values"][name], row["intervals"].get(name)
    shown = (
        f"{value:+.1%}" if row["metric"] == "total_bias" and value is not None else number(value)
    )
    small = ""
    if interval and None not in interval and interval[0] != interval[1]:
        small = f"<small>{number(interval[0])} to {number(interval[1])}</small>"
    kind = " class='best'" if is_best else ""
    return f"<td{kind}>{shown}{small}</td>"


def _curves(rank: int, head: str, evaluation: Mapping[str, Any]) -> str:
    drawn = []
    for name, draw in plots.CURVES.items():
        found = evaluation["curves"].get(head, {})
        curves = {who: points[name] for who, points in found.items() if points.get(name)}
        if curves:
            title, text = CAPTIONS[name]
            picture = draw(head, curves, evaluation["versions"])
            drawn.append(figure(picture, f"head-{rank}-{name}", title, text))
    return f"<div class='plots three'>{''.join(drawn)}</div>" if drawn else ""
