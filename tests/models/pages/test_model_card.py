"""The card of a model: what a reader who knows the business, and no models, is told."""

import json
from datetime import date

import pytest

from models.judging.evaluation import evaluate
from models.judging.gate import Check
from models.pages.blocks import to_markdown
from models.pages.heads import heads
from models.pages.model_card import NOT_FOR, Card, model_card, write_card
from models.pages.plots import evaluation_figures
from models.registry.artifact import Manifest, load_artifact
from tests.models.pages.test_night import outline

pytestmark = pytest.mark.torch


@pytest.fixture
def encoder_config():
    from models.config import GRUConfig

    return GRUConfig(max_length=16, dim=8, num_layers=1, dropout=0.0)


@pytest.fixture
def manifest(artifact) -> Manifest:
    metrics = {"val/purchase_auroc": 0.8125, "val/spend_mae": 61.5}
    found = load_artifact(artifact).manifest
    return found.model_copy(update={"metrics": metrics, "parent": "shop/2"})


@pytest.fixture
def card(manifest) -> Card:
    return Card("shop", "3", manifest, num_items=4)


@pytest.fixture
def evaluation(head_rows, gate, horizons) -> dict:
    found = evaluate(
        head_rows({"3": 0.2}),
        {"3": [Check("sound", True, "scores differ by at most 0")]},
        champion=None,
        gate=gate,
    )
    about = {
        "cutoff": "2017-06-01",
        "versions": {"3": {"encoder": "gru"}},
        "champion": None,
        "horizons": horizons.model_dump(),
    }
    return json.loads(json.dumps({**about, **found}, allow_nan=False))


def written(card, evaluation, folder) -> tuple[str, str]:
    markdown, html = write_card(card, evaluation, folder)
    return markdown.read_text(), html.read_text()


def test_before_its_judgement_a_card_says_that_there_was_none(card, tmp_path):
    """The validation's figures stand there with a warning, and no baseline is named."""
    text, html = written(card, None, tmp_path)

    assert text.startswith("# shop, version 3 (GRU)\n\n## What it answers\n")
    assert "- Will the user buy within 7 days?\n" in text
    assert "Weights: events and outcomes before 2017-04-06." in text
    assert "Nothing from 2017-06-01 on was known." in text
    assert "Lake snapshots: sequences 1." in text
    assert "It went on from the weights of shop/2." in text
    assert "It has not been judged yet" in text
    assert "how often the former scores higher | 0.812 |" in text
    assert "LightGBM" not in text
    assert all(f"- {use}" in text for use in NOT_FOR)
    outline(html)


def test_a_judged_card_stands_beside_the_baselines_with_intervals(card, evaluation, tmp_path):
    """Value and interval of the version and of the strong baseline; the others; who is weak."""
    text, html = written(card, evaluation, tmp_path)

    row = next(line for line in text.splitlines() if line.startswith("| Will the user buy"))
    table = {(r["head"], r["metric"]): r for r in evaluation["table"]}
    found = table["purchase", "auroc"]
    low, high = found["intervals"]["3"]
    assert f"| {found['values']['3']:.3f} [{low:.3f}, {high:.3f}] |" in row
    assert f"LightGBM {found['values']['lightgbm']:.3f} [" in row
    assert "Recency rule " in row
    assert row.endswith("| level with the strong baseline |")
    items = next(line for line in text.splitlines() if line.startswith("| Which items"))
    assert items.endswith("| worse than the strong baseline |")
    assert "Refused by the gate." in text
    assert f"- {evaluation['verdicts']['3']['reasons'][0]}" in text
    assert "## For whom it is weak" in text
    assert "Will the user buy within 7 days? It tells least of new users (1 to 9 visits): " in text
    assert "How much will the user spend in 28 days? Users who buy BREAD most: Mean error " in text
    assert "It has not been judged yet" not in text
    assert "<script" not in html
    outline(html)


def test_a_question_that_was_left_out_says_why(card, head_rows, gate, horizons, evaluation):
    """No row of figures, on the card or in the report, but a sentence."""
    rows = head_rows({"3": 1.0})
    del rows["spend"]
    checks = {"3": [Check("sound", True, "scores differ by at most 0")]}
    about = {key: evaluation[key] for key in ("cutoff", "versions", "champion", "horizons")}
    found = evaluate(rows, checks, champion=None, gate=gate, left_out={"spend": "left out"})
    document = {**about, **found}

    text = to_markdown(card.title, model_card(card, document))

    assert "- How much will the user spend in 28 days? It was left out.\n" in text
    assert "| How much will the user spend" not in text
    assert "How much will the user spend in 28 days?</h3><p class='said'>left out</p>" in heads(
        document
    )
    assert "spend_differences" not in evaluation_figures(document)


def test_an_evaluation_of_other_versions_does_not_judge_this_one(card, evaluation):
    """A card tells of its own version, whatever else was judged."""
    other = Card("shop", "9", card.manifest, num_items=4)

    assert any(
        "has not been judged" in getattr(b, "text", "") for b in model_card(other, evaluation)
    )


def test_what_comes_from_outside_is_escaped(card, tmp_path):
    """A name in the page is text, whatever it looks like."""
    odd = Card("<b>shop", "3", card.manifest, num_items=4)

    _, html = written(odd, None, tmp_path)

    assert "&lt;b&gt;shop" in html
    assert "<b>shop" not in html
    assert date(2017, 6, 1).isoformat() in html
