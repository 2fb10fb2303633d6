"""The page of a night."""

import json
import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import pytest

from models.judging.evaluation import evaluate
from models.judging.gate import Check
from models.pages.night import ItemDemand, Missing, Page, Scores, Sessions, render

VOID = {"meta", "link", "br", "img", "input", "hr"}
NOTHING = Missing("nothing was written yet.")
CUTOFF = date(2017, 11, 29)


class Outline(HTMLParser):
    """Every tag, and whether each that opens closes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def outline(html: str) -> Outline:
    found = Outline()
    found.feed(html)

    assert found.open == []
    return found


@pytest.fixture(scope="module")
def html(whole) -> str:
    return render(whole)


def test_days_that_were_not_ingested_are_named(whole):
    """They are in no figure of the page; a page without a hole says nothing of them."""
    days = [date(2017, 11, 25), date(2017, 11, 26)]
    warned, silent = render(replace(whole, missed_days=days)), render(whole)

    assert "Not ingested: 2017-11-25, 2017-11-26." in warned
    assert "Not ingested" not in silent


@pytest.fixture(scope="module")
def whole(evaluation) -> Page:
    bars = [[(n + 1) / 30, 1 / 30] for n in range(30)]
    return Page(
        cutoff=CUTOFF,
        model="nightshift",
        ledger=[
            {
                "table_name": "user_scores",
                "outcome": "published",
                "reason": None,
                "num_rows": 2469,
                "content_hash": "2469-abc",
                "run_key": "publish-<1>",
                "published_at": "2017-11-29 03:00:00",
            }
        ],
        scores=Scores(2469, 1368.4, 2041, 212, 361_000.0, {"purchase_probability_7d": bars}),
        champion={
            "version": "1",
            "encoder": "lstm",
            "training_cutoff": "2017-11-28",
            "promoted_at": "2017-11-28T05:00:00+00:00",
            "promoted_by": "Ada <Lovelace>",
        },
        evaluation=evaluation,
        demand=[
            ItemDemand(
                "1029743",
                "FLUID MILK",
                [("2017-11-27", 3.0), ("2017-11-28", 4.0)],
                [("2017-11-29", 1.0, 3.5, 6.0), ("2017-11-30", 1.0, 3.0, 6.0)],
            )
        ],
        sessions=Sessions(["2017-11-27", "2017-11-28"], [400, 500], 900, 27_000.0),
        training={"val/purchase_auroc": {"lstm, version 1": [[0.0, 0.7], [1.0, 0.8]]}},
        seconds={"ingest_events": 12.0, "score": 30.5},
    )


@pytest.fixture(scope="module")
def evaluation(head_rows, gate) -> dict:
    found = evaluate(
        head_rows({"1": 1.0}),
        {"1": [Check("sound", True, "scores differ by at most 0")]},
        champion=None,
        gate=gate,
    )
    days = {"purchase_days": 7, "churn_days": 28, "spend_days": 28, "items_days": 7}
    versions = {"1": {"encoder": "lstm", "run_id": "r", "is_champion": False}}
    document = {"cutoff": "2017-11-28", "versions": versions, "champion": None, "horizons": days}
    return json.loads(json.dumps({**document, **found}, allow_nan=False))


def test_the_page_needs_nothing_from_outside(html):
    """It can be mailed, archived, and opened without a network."""
    found = outline(html)

    assert not re.search(r'(src|href)="(?!#)', html)
    assert "url(http" not in html
    assert not found.of("script")
    assert not found.of("link")


def test_every_plot_says_what_it_shows_to_who_cannot_see_it(html):
    """Each picture has a description and a caption."""
    found = outline(html)
    pictures = found.of("svg")

    assert len(pictures) >= 15
    assert all(picture["role"] == "img" and picture["aria-label"] for picture in pictures)
    assert len(found.of("figcaption")) == len(found.of("figure")) == len(pictures)


def test_no_two_parts_share_an_id_and_every_link_has_its_place(html):
    """Inline pictures share one page: an id of one must not reach into another."""
    found = outline(html)
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    wanted = {
        str(attributes["href"]).removeprefix("#")
        for _, attributes in found.tags
        if "href" in attributes
    }

    assert len(ids) == len(set(ids))
    assert wanted <= set(ids)


def test_plots_take_their_colours_from_the_page(html):
    """A fixed colour would vanish on dark paper."""
    pictures = re.findall(r"<svg.*?</svg>", html, flags=re.S)
    fixed = {color for picture in pictures for color in re.findall(r"#[0-9a-f]{6}\b", picture)}

    assert fixed == set()


def test_names_from_data_cannot_become_markup(html):
    """A run key or a person's name is text."""
    assert "Ada &lt;Lovelace&gt;" in html
    assert "publish-&lt;1&gt;" in html
    assert "<Lovelace>" not in html


def test_the_outcome_of_a_comparison_is_said_in_words(html):
    """Who knows no statistics reads who is better."""
    assert "Will the user buy within 7 days?" in html
    assert "no difference that luck could not explain" in html
    assert "by the written rule" in html


PARTS = ("ledger", "scores", "champion", "evaluation", "demand", "sessions", "training", "seconds")


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_is_named_and_the_rest_stands(whole, part):
    """A report never fails for want of one thing."""
    few = {**vars(whole), "evaluation": {**whole.evaluation, "table": []}}  # draws no head

    html = render(Page(**{**few, part: NOTHING}))

    assert "Not shown: nothing was written yet." in html
    assert len(outline(html).of("section")) == 8


def test_a_page_of_nothing_still_is_a_page():
    """The first night, before anything was trained or published."""
    page = Page(CUTOFF, "nightshift", *[NOTHING] * 8)
    html = render(page)

    assert html.count("Not shown:") == 8
    assert "No user scores were published for this night." in html
