"""Slices of the rows: who is served well, and who is not."""

from dataclasses import replace

import numpy as np

from models.judging.slices import NUM_CATEGORIES, OTHERS, slice_table, slices


def lines(rows, gate, kind: str, champion: str | None = None) -> list[dict]:
    table = slice_table(rows, ["1"], champion=champion, gate=gate)
    return [line for line in table if line["kind"] == kind]


def test_the_slices_of_a_kind_share_out_all_rows(head_rows):
    """Each row is in one slice by history, and in one by category."""
    for rows in head_rows({"1": 1.0}).values():
        for kind in ("history", "category"):
            masks = [mask for of, _, mask in slices(rows) if of == kind]

            assert (np.sum(masks, axis=0) == 1).all()


def test_only_the_commonest_categories_are_told_apart(head_rows, gate):
    """Ties go by name, so that the same rows give the same slices."""
    rows = head_rows({"1": 1.0})["purchase"]
    many = np.asarray([f"C{n % 8}" for n in range(len(rows.users))], dtype=object)

    found = lines(replace(rows, favourites=many), gate, "category")

    assert [line["slice"] for line in found] == [*(f"C{n}" for n in range(NUM_CATEGORIES)), OTHERS]
    assert found[-1]["rows"] == len(rows.users) * 3 // 8


def test_a_slice_that_a_model_serves_badly_shows_it_with_an_interval(head_rows, gate):
    """Good on the whole, worse than the strong baseline for those who buy milk."""
    rows = head_rows({"1": 1.0})["purchase"]
    milk = rows.favourites == "MILK"
    scores = {**rows.scores, "1": np.where(milk, 1 - rows.scores["1"], rows.scores["1"])}

    found = {
        line["slice"]: line["comparisons"]["1"]["lightgbm"]
        for line in lines(replace(rows, scores=scores), gate, "category")
        if line["rows"]
    }

    assert found["MILK"]["high"] < 0
    assert found["BREAD"]["low"] == found["BREAD"]["high"] == 0


def test_the_champion_is_met_in_every_slice_where_there_is_one(head_rows, gate):
    """A candidate may be better on the whole and worse for some."""
    rows = head_rows({"1": 1.0, "2": 0.8})["churn"]

    for line in lines(rows, gate, "history", champion="2"):
        assert set(line["comparisons"]["1"]) == {"lightgbm", "champion"}


def test_an_empty_slice_says_nothing(head_rows, gate):
    """No rows are neither good nor bad."""
    rows = head_rows({"1": 1.0})["spend"]
    nobody = replace(rows, num_instants=np.full(len(rows.users), 20))

    new = lines(nobody, gate, "history")[0]

    assert (new["slice"], new["rows"], new["comparisons"]) == ("new", 0, {})
