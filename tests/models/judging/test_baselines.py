"""The rules that a model must beat."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from contracts.exclusions import NOTHING, Exclusions
from contracts.windows import instant
from models.judging import baselines
from models.judging.baselines import RECENCY, HeadBaselines, PurchasedItems
from models.metrics import auroc
from models.sequences.history import Histories
from models.sequences.matured import Matured, Rows
from models.sequences.query_features import QUERY_FEATURES
from models.sequences.unknown_users import SCHEMA

CUTOFF = date(2017, 10, 31)


def codes(histories: Histories, *items: str) -> list[int]:
    return [histories.item_ids.tolist().index(item) for item in items]


@pytest.fixture
def shopping(sequences):
    """ann: apples twice, bread later, a repeated line; bob: figs; after the cutoff: kiwis."""
    events = [
        ("ann", "2017-10-01 10:00", "apple", 1.0),
        ("ann", "2017-10-02 10:00", "apple", 1.0),
        ("ann", "2017-10-20 10:00", "bread", 1.0),
        ("ann", "2017-10-25 10:00", "date", 1.0),
        ("ann", "2017-10-25 10:00", "date", 1.0),
        ("ann", "2017-10-26 10:00", "elder", -1.0),
        ("bob", "2017-07-01 10:00", "fig", 1.0),
        ("bob", "2017-07-02 10:00", "fig", 1.0),
        ("bob", "2017-07-03 10:00", "fig", 1.0),
        ("bob", "2017-11-01 10:00", "kiwi", 1.0),
        ("cid", "2017-11-01 10:00", "kiwi", 1.0),
    ]
    return Histories.from_arrow(sequences(events))


def test_popularity_counts_instants_of_the_last_days_before_the_cutoff(shopping, horizons, zone):
    """Old favourites, returns, repeated lines and what comes after the cutoff do not count."""
    end = Matured(shopping, horizons=horizons, zone=zone).moment(CUTOFF)

    month = PurchasedItems(shopping).popular(days=31, end=end, top_k=4, cutoff=CUTOFF)
    year = PurchasedItems(shopping).popular(days=365, end=end, top_k=2, cutoff=CUTOFF)

    assert month.tolist()[0] == codes(shopping, "apple")[0]
    assert sorted(month.tolist()[1:3]) == sorted(codes(shopping, "bread", "date"))
    assert month.tolist()[3] == -1
    assert year.tolist() == codes(shopping, "fig", "apple")


def test_what_strangers_buy_counts_for_what_is_popular(shopping, horizons, zone):
    """In those days alone, by the share of all users who are judged, of items that these bought."""
    end = Matured(shopping, horizons=horizons, zone=zone).moment(CUTOFF)
    first, before = CUTOFF - timedelta(days=31), CUTOFF - timedelta(days=32)
    unknown = pa.Table.from_pylist(
        [
            {"item_id": item, "day": day, "num_events": 9, "num_purchases": count}
            for item, day, count in [
                ("bread", first, 4),
                ("apple", before, 99),  # too long ago
                ("apple", CUTOFF, 99),  # not known yet
                ("fig", first, 99),  # nobody judged has bought it lately
                ("quince", first, 99),  # nor heard of it
            ]
        ],
        schema=SCHEMA,
    )

    def best(share):
        purchased = PurchasedItems(shopping, unknown=unknown, share=share)
        return purchased.popular(days=31, end=end, top_k=3, cutoff=CUTOFF).tolist()

    assert best(1.0) == codes(shopping, "bread", "apple", "date")  # 1 + 4, 2, 1
    assert best(0.1) == codes(shopping, "apple", "bread", "date")  # 2, 1 + 0.4, 1


def test_personal_frequency_prefers_the_frequent_then_the_recent_then_the_popular(
    shopping, horizons, zone
):
    """A user's own items by count of instants, ties by recency, then what others buy."""
    end = Matured(shopping, horizons=horizons, zone=zone).moment(CUTOFF)
    purchased = PurchasedItems(shopping)
    padding = purchased.popular(days=365, end=end, top_k=5, cutoff=CUTOFF)

    found = purchased.personal(padding=padding, end=end, top_k=4)

    assert found[0].tolist() == codes(shopping, "apple", "date", "bread", "fig")
    assert found[1].tolist()[:2] == codes(shopping, "fig", "apple")
    assert found[2].tolist()[:2] == codes(shopping, "fig", "apple")  # nobody knows cid yet


def test_baselines_and_labels_leave_out_what_may_not_be_recommended(shopping, horizons, zone):
    """The model is not offered them either: everyone is judged on the same items."""
    out_of_both = Exclusions(item_ids=("apple",), categories=("FIG", "KIWI"))
    matured, everything = (
        Matured(shopping, horizons=horizons, zone=zone, exclusions=rules)
        for rules in (out_of_both, NOTHING)
    )
    end = matured.moment(CUTOFF)
    purchased = PurchasedItems(shopping, matured.is_offered)
    popular = purchased.popular(days=365, end=end, top_k=4, cutoff=CUTOFF)
    personal = purchased.personal(padding=popular, end=end, top_k=4)
    out = {*codes(shopping, "apple", "fig")}

    assert out <= {
        *PurchasedItems(shopping).popular(days=365, end=end, top_k=4, cutoff=CUTOFF).tolist()
    }
    assert not out & {*popular.tolist(), *personal.ravel().tolist()}
    assert [row.tolist() for row in everything.bought_items(CUTOFF)[1]] == [["kiwi"]]
    assert matured.bought_items(CUTOFF)[1] == []
    for head in ("purchase", "spend"):
        np.testing.assert_array_equal(
            matured.rows(head, [CUTOFF]).labels, everything.rows(head, [CUTOFF]).labels
        )


def rows(seed: int, num_rows: int = 3000) -> Rows:
    """Users of whom the recent ones buy, and the more so the more they spent."""
    generator = np.random.default_rng(seed)
    features = np.zeros((num_rows, len(QUERY_FEATURES)), dtype=np.float32)
    features[:, :26] = generator.normal(
        size=(num_rows, 26)
    )  # a constant one costs LightGBM nothing
    spend = QUERY_FEATURES.index("spend_28d")
    chance = 1 / (1 + np.exp(2 * features[:, RECENCY] - features[:, spend]))
    labels = (generator.random(num_rows) < chance).astype(float)
    users = np.arange(num_rows)
    return Rows(users, features, labels, np.zeros(num_rows), users)


def test_each_stronger_baseline_ranks_better_than_the_weaker():
    """The base rate knows nothing, recency a part, LightGBM all that the features hold."""
    test = rows(2)
    found = HeadBaselines("purchase", train=rows(0), validation=rows(1), seed=0).predict(test)
    ranked = {name: auroc(test.labels, scores) for name, scores in found.items()}

    assert ranked["base_rate"] == 0.5
    assert 0.7 < ranked["recency"] < ranked["lightgbm"]


def test_probabilities_of_the_baselines_come_true_on_average():
    """A baseline that is not calibrated would be too easy to beat."""
    test = rows(2)
    found = HeadBaselines("churn", train=rows(0), validation=rows(1), seed=0).predict(test)

    for scores in found.values():
        assert scores.mean() == pytest.approx(test.labels.mean(), abs=0.03)


def test_the_constant_spend_is_the_best_constant_and_no_spend_is_negative():
    """The median has the least mean error; the window before is handed through."""
    train = rows(0, 200)
    spend, before = np.exp(train.features[:, 0]), np.arange(200.0)
    train = Rows(train.users, train.features, spend, before, train.users)

    found = HeadBaselines("spend", train=train, validation=rows(1, 200), seed=0).predict(train)

    assert set(found["constant"]) == {np.median(spend)}
    assert found["persistence"].tolist() == before.tolist()
    assert all((scores >= 0).all() for scores in found.values())


def test_spend_below_0_has_its_baselines_too():
    """LightGBM's Tweedie refuses a negative label, and the evaluation ended there."""
    train = rows(0, 400)
    spend = 10 * train.features[:, 0] + 8.0
    train = Rows(train.users, train.features, spend, spend - 9.0, train.users)
    found = HeadBaselines("spend", train=train, validation=train, seed=0).predict(train)

    assert spend.min() < 0
    assert found["lightgbm_mean"].mean() == pytest.approx(np.maximum(spend, 0).mean(), rel=0.2)
    assert all((scores >= 0).all() for scores in found.values())


def test_spend_that_is_seldom_above_0_has_its_baselines_too(monkeypatch):
    """LightGBM's Tweedie wants some; of one buyer in thousands the rows of a trial hold none."""
    monkeypatch.setattr(baselines, "_TRIAL_ROWS", 20)
    train = rows(0, 400)
    spend = np.zeros(400)
    spend[7] = 12.0
    train = Rows(train.users, train.features, spend, np.zeros(400), train.users)

    found = HeadBaselines("spend", train=train, validation=train, seed=0).predict(train)

    assert all(np.isfinite(scores).all() for scores in found.values())


def test_one_class_only_still_has_an_answer():
    """A log in which nobody ever left must not end an evaluation."""
    train = rows(0, 50)
    train = Rows(train.users, train.features, np.zeros(50), train.before, train.users)
    found = HeadBaselines("churn", train=train, validation=train, seed=0).predict(train)

    assert all(np.isfinite(scores).all() for scores in found.values())


def test_the_same_rows_give_the_same_baselines():
    """An evaluation that is run again says the same."""
    first, second = (
        HeadBaselines("purchase", train=rows(0), validation=rows(1), seed=5).predict(rows(2))
        for _ in range(2)
    )

    assert all((first[name] == second[name]).all() for name in first)


def test_rows_at_a_cutoff_do_not_change_with_the_future(shopping, horizons, zone):
    """What a baseline learns from is as of the cutoff."""
    early = CUTOFF - timedelta(days=28)
    past = shopping.before(instant(early, zone))

    found = Matured(shopping, horizons=horizons, zone=zone).rows("spend", [early])
    again = Matured(past, horizons=horizons, zone=zone).rows("spend", [early])

    assert found.users.tolist() == again.users.tolist() == [0, 1]
    assert (found.features == again.features).all()
