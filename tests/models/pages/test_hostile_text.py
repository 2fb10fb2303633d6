"""Text of a log in the pages: whatever it looks like, it stays text."""

import json
from dataclasses import replace
from html import unescape
from itertools import cycle, islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.printable import printable
from models.pages.blocks import Bullets, Heading, Paragraph, Table, to_html, to_markdown
from models.pages.night import ItemDemand, Missing, Page, Scores, render
from models.pages.parts import Attempts, figure
from models.pages.plots import demand
from tests.end_to_end.browser import open_page
from tests.models.pages.hostile import FRAGMENTS, Elements, active_content, with_text
from tests.models.pages.test_night import evaluation, whole  # noqa: F401  fixtures

HOSTILE = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=8), max_size=3).map("".join)
DAYS, UNITS = ["2017-11-29", "2017-11-30"], [1.0, 2.0]


@pytest.fixture(scope="module")
def one_head(whole) -> Page:  # noqa: F811
    """The page with one head and one curve of it: the others say the same of other numbers."""
    document = whole.evaluation
    heads = {"purchase": document["gate"]["heads"]["purchase"]}
    curves = {"purchase": {"1": {"roc": [[0.0, 0.0], [0.5, 0.8], [1.0, 1.0]]}}}
    gate = {**document["gate"], "heads": heads}
    return replace(whole, evaluation={**document, "gate": gate, "curves": curves})


def filled(page: Page, texts: list[str]) -> Page:
    """The page with hostile text in the fields that hold text of logs, people and programs."""
    text = islice(cycle(texts), 1000)
    evaluated = json.dumps(page.evaluation)
    for plain in ('"1"', '"BREAD"', '"MILK"', '"FRUIT"', '"lstm"'):
        evaluated = evaluated.replace(plain, json.dumps(next(text) + plain))
    document = json.loads(evaluated)
    document["rule"] = [next(text) for _ in document["rule"]]
    for verdict in document["verdicts"].values():
        verdict["reasons"] = [next(text) for _ in verdict["reasons"]]
    row = {key: next(text) for key in ("table_name", "content_hash", "run_key", "published_at")}
    row |= {"num_rows": 3, "reason": next(text)}
    return replace(
        page,
        model=next(text),
        ledger=[{**row, "outcome": "published"}, {**row, "outcome": "refused"}],
        champion={key: next(text) for key in page.champion},
        evaluation=document,
        scores=replace(page.scores, distributions={next(text): [[0.5, 0.5], [1.0, 0.5]]}),
        demand=[
            ItemDemand(next(text), next(text), [], [(day, 1.0, 2.0, 3.0) for day in DAYS]),
            ItemDemand(next(text), "", [(DAYS[0], 1.0)], [(DAYS[1], 1.0, 2.0, 3.0)]),
        ],
        training={next(text): {next(text): [[0.0, 1.0]], next(text): [[0.0, 2.0]]}},
        seconds={next(text) + "a": 1.0, next(text) + "b": 2.0},
    )


def test_hostile_text_in_every_field_is_shown_as_text(one_head):
    """No part fails, no element or attribute comes into being, and the text can be read."""
    for first in range(0, len(FRAGMENTS), 4):
        texts = [*FRAGMENTS[first:], *FRAGMENTS[:first]]
        attempt = Attempts()
        html = render(filled(one_head, texts), attempt)
        shown = " ".join(Elements(html).text.split())

        assert attempt.failures == {}
        assert active_content(html) == []
        assert all(" ".join(printable(text).split()) in shown for text in FRAGMENTS)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(HOSTILE, min_size=1, max_size=12))
def test_no_text_anywhere_makes_an_element_that_could_run(one_head, texts):
    """Names of measures, heads and days too: where a part fails of it, the reason is text too."""
    few = replace(one_head, scores=Missing(texts[0]), training=Missing(texts[-1]))
    html = render(with_text(few, cycle(texts)))

    assert active_content(html) == []
    assert html.count("<section") == 8


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(HOSTILE, min_size=4, max_size=4))
def test_a_card_of_hostile_text_is_text_in_both_forms(texts):
    """Headings, sentences, lists and tables of a page, and one line each in Markdown."""
    heading, sentence, bullet, cell = texts
    blocks = [
        Heading(heading), Paragraph(sentence), Bullets([bullet]), Table([cell, "b"], [[cell, cell]])
    ]  # fmt: skip
    html, markdown = to_html(heading, blocks), to_markdown(heading, blocks)

    assert active_content(html) == []
    assert "<" not in markdown
    assert "](" not in markdown
    assert len(markdown.splitlines()) == 11
    assert markdown.count("\n| ") == 3


def test_the_name_of_a_figure_is_never_text_of_a_log():
    """It becomes a part of ids: what is no part of one is refused."""
    with pytest.raises(ValueError, match="a figure's name is made of"):
        figure(demand(DAYS, UNITS, UNITS, UNITS), "demand-\\1", "t", "x")


def test_a_backslash_in_an_item_id_takes_nothing_from_the_page(whole):  # noqa: F811
    """The id was a part of a pattern's replacement, and ended the report."""
    item = ItemDemand("A\\2", "X\\g<0>", [], [(DAYS[0], 1.0, 2.0, 3.0)])
    few = {**vars(whole), "evaluation": Missing("x"), "training": Missing("x"), "demand": [item]}
    html = render(Page(**few))

    assert "<b>X\\g&lt;0&gt;, item A\\2.</b>" in html
    assert 'id="demand-1-' in html


def test_a_browser_runs_nothing_of_a_hostile_page(one_head, tmp_path):
    """Chromium draws it: no script ran, no dialog or window opened, nothing was asked for."""
    html = render(filled(one_head, list(FRAGMENTS)))
    file, unescaped = tmp_path / "hostile.html", tmp_path / "unescaped.html"
    file.write_text(html, encoding="utf-8")
    script = "<script>parent.hostile=1</script><img src=x onerror='parent.hostile=1'>"
    unescaped.write_text(html.replace("<main>", f"<main>{script}"), encoding="utf-8")
    asked: list[str] = []

    with open_page() as page:
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: asked.append(dialog.message))
        for opened in (file, unescaped):  # in the second the policy alone holds
            page.goto(opened.as_uri())
            page.mouse.move(600, 400)

            assert page.evaluate("typeof window.hostile") == "undefined"
            assert page.locator("section").count() == 8
            assert page.locator("figure svg").first.bounding_box()["width"] > 100

    assert {url for url in asked if not url.startswith("file:")} == set()


def test_a_part_that_fails_is_named_and_leaves_the_rest(one_head):
    """One item's plot and one head: the others of their section stand."""
    good = ItemDemand("good", "", [], [(DAYS[0], 1.0, 2.0, 3.0)])
    bad = ItemDemand("<bad>", "", [], [("no day", 1.0, 2.0, 3.0)])
    heads = {"purchase": one_head.evaluation["gate"]["heads"]["purchase"], "nothing": {}}
    document = {**one_head.evaluation, "gate": {**one_head.evaluation["gate"], "heads": heads}}
    attempt = Attempts()
    html = render(
        replace(
            one_head,
            demand=[bad, good],
            evaluation=document,
            scores=Scores("many", 1.0, 1, 1, 1.0, {}),  # type: ignore[arg-type]
            seconds={"score": None},  # type: ignore[dict-item]
        ),
        attempt,
    )

    assert set(attempt.failures) == {
        "demand: item <bad>", "evaluation: nothing", "scores", "seconds"
    }  # fmt: skip
    assert attempt.failures["evaluation: nothing"] == "it cannot be shown: KeyError: 'nothing'"
    assert "Not shown: evaluation: nothing (KeyError: &#x27;nothing&#x27;)" in html
    assert "Not shown: demand: item &lt;bad&gt; (" in html
    assert "<b>Item good.</b>" in html
    assert "Will the user buy within 7 days?" in html
    assert html.count("<section") == 8
    assert unescape(html).count("Visits a day") == 2
