"""What is known as of a moment is what the events before it say, whatever comes later.

By every road: training's rows of all that ever happened, a night's rows of that day, and the raw
events of a request to the served model.
"""

from dataclasses import fields
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from contracts.windows import instant
from models.registry.predict import Predictor
from models.registry.serving import COLUMNS
from models.registry.serving import sequences as served_rows
from models.sequences.batch import BatchBuilder
from models.sequences.features import FEATURE_NAMES, exact_from
from models.sequences.history import Histories, microseconds
from models.sequences.labels import labels
from models.sequences.query_features import HISTORY_DAYS, QUERY_FEATURES
from models.sequences.vocabulary import Encoder, Vocabulary
from models.sequences.year_before import YEAR_BEFORE_NAMES
from tests.jobs.made_returns import DAYS, MAX_EVENTS, START, made_log, rows_of
from tests.models.as_of import as_of_features
from tests.models.conftest import HORIZONS, SMALL_ENCODERS, small_config, untrained

ZONE = ZoneInfo("America/New_York")
FIRST = START.date()
SEEDS, PAST = st.integers(0, 10**6), st.integers(20, DAYS - 1)
MONEY = st.sampled_from(["net", "gross"])


def asked(histories, encoder, cutoff, user_ids):
    """All that the network reads of these users as of the cutoff."""
    builder = BatchBuilder(histories, encoder, max_length=16, zone=ZONE)
    place = {user: n for n, user in enumerate(histories.user_ids)}
    users = np.array([place[user] for user in user_ids], dtype=np.int64)
    days = np.full(len(users), cutoff.toordinal())
    batch, _ = builder.build(users, np.arange(len(users)), days)
    return batch


def agree(found, expected):
    for name, one, other in zip(
        QUERY_FEATURES, found.query_features.T, expected.query_features.T, strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7, err_msg=name)
    for field in fields(found):  # items, amounts, instants, what may be bought again
        one, other = getattr(found, field.name), getattr(expected, field.name)
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7, err_msg=field.name)


def encoder_of(histories):
    return Encoder(Vocabulary.of(histories, min_item_count=1))


@examples(max_examples=40, deadline=None)
@given(seed=SEEDS, day=PAST, money=MONEY)
def test_a_feature_knows_nothing_of_what_comes_later(seed, day, money):
    """Every feature of every user, from rows of all events, as from the events before the cutoff.

    A return on day 30 lowered the `lifetime_spend` of day 10 to 0.
    """
    log, cutoff = made_log(seed), FIRST + timedelta(days=day)
    past = [event for event in log if event["event_time"] < instant(cutoff, ZONE)]
    then = Histories.from_arrow(rows_of(past, money=money), money=money)
    now = Histories.from_arrow(rows_of(log, money=money), money=money)

    encoder = encoder_of(now)
    agree(*(asked(one, encoder, cutoff, then.user_ids) for one in (now, then)))


@examples(max_examples=25, deadline=None)
@given(seed=SEEDS, day=st.integers(250, DAYS - 1), max_events=st.integers(20, 60))
def test_a_cut_history_is_exact_where_it_says_so(seed, day, max_events):
    """Of who has more events than are stored, at the moments that `exact_from` allows.

    Of the year before, a cut row says what the whole one does, or that it is not known: all 0.
    """
    log, cutoff = made_log(seed, orders=60), FIRST + timedelta(days=day)
    now = Histories.from_arrow(rows_of(log, max_events=max_events))
    past = [event for event in log if event["event_time"] < instant(cutoff, ZONE)]
    then = Histories.from_arrow(rows_of(past))
    is_exact = exact_from(now, HISTORY_DAYS) <= microseconds(instant(cutoff, ZONE))
    users = [user for user in now.user_ids[is_exact] if user in set(then.user_ids)]

    cut, whole = (
        asked(one, encoder_of(now), cutoff, users).query_features.numpy() for one in (now, then)
    )
    is_told = cut[:, -len(YEAR_BEFORE_NAMES) :].any(axis=1)
    for name, one, other in zip(QUERY_FEATURES, cut.T, whole.T, strict=True):
        rows = is_told if name in YEAR_BEFORE_NAMES else slice(None)
        np.testing.assert_allclose(one[rows], other[rows], rtol=1e-6, atol=1e-7, err_msg=name)


def test_the_return_of_a_month_later_is_not_known_on_day_ten():
    """User A buys for 100 on day 0 and returns it on day 30: as of day 10 it is 100."""

    def event(day, kind, amount):
        one = made_log(0)[0]
        return one | {
            "event_time": START + timedelta(days=day), "event_id": f"e{day}",
            "event_type": kind, "amount": amount, "user_id": "A",
        }  # fmt: skip

    rows = rows_of([event(0, "purchase", 100.0), event(30, "return", -100.0)])
    known = Histories.from_arrow(rows)

    def lifetime(day):
        found = as_of_features(known, instant(FIRST + timedelta(days=day), ZONE))
        return np.expm1(found[0, FEATURE_NAMES.index("lifetime_spend")])

    assert lifetime(10) == pytest.approx(100.0)
    assert lifetime(31) == pytest.approx(0.0)
    assert known.before(instant(FIRST + timedelta(days=10), ZONE)).lifetime_spend == [100.0]


def test_the_largest_amounts_that_are_taken_have_features():
    """A trillion in ten-thousandths is beyond what a float64 tells apart, and no error."""
    log = made_log(1)
    for event in log[::5]:
        event["amount"] = None if event["amount"] is None else 1e12 * np.sign(event["amount"])
    known, cutoff = Histories.from_arrow(rows_of(log)), FIRST + timedelta(days=200)
    batch = asked(known, encoder_of(known), cutoff, known.user_ids)

    assert np.isfinite(batch.query_features.numpy()).all()
    assert np.isfinite(labels(known, cutoff, HORIZONS, ZONE).spend).all()


@examples(max_examples=25, deadline=None)
@given(seed=SEEDS, day=PAST, money=MONEY)
def test_the_spend_label_is_what_the_window_moved(seed, day, money):
    """Counted by hand from the events: each on its own day, what came back below 0."""
    log, cutoff = made_log(seed), FIRST + timedelta(days=day)
    start, end = instant(cutoff, ZONE), instant(cutoff + timedelta(days=28), ZONE)
    known = Histories.from_arrow(rows_of(log, money=money), money=money)
    horizons = HORIZONS.model_copy(update={"money": money})
    found = labels(known, cutoff, horizons, ZONE).spend

    def moved(event):
        amount = event["amount"] or 0.0
        if money == "gross":
            return max(amount, 0.0) if event["event_type"] == "purchase" else 0.0
        return amount if event["event_type"] in ("purchase", "return") else 0.0

    for user, spend in zip(known.user_ids, found, strict=True):
        inside = [e for e in log if e["user_id"] == user and start <= e["event_time"] < end]
        assert spend == pytest.approx(sum(map(moved, inside)), abs=1e-6)


def test_night_training_and_served_answer_agree(tmp_path):
    """On logs with returns a fifth of the users differed.

    The request has returns as logs write them: with a minus, or without.
    """
    config = small_config(SMALL_ENCODERS["lstm"])
    predictor = Predictor.load(untrained(tmp_path / "model", config, HORIZONS))
    for seed in range(12):
        log, cutoff = made_log(seed), FIRST + timedelta(days=40 + 20 * seed)
        moment = instant(cutoff, ZONE)
        past = [event for event in log if event["event_time"] < moment]
        raw = pd.DataFrame(log)[list(COLUMNS)]
        without_sign = (raw["event_type"] == "return") & (seed % 2 == 0)
        for name in ("amount", "quantity"):
            raw.loc[without_sign, name] = raw.loc[without_sign, name].abs()
        request = served_rows(
            raw, before=moment, gap=timedelta(minutes=30), max_events=MAX_EVENTS, money="net"
        )
        answers = [
            predictor.predict(rows, cutoff=cutoff, top_k=3)
            for rows in (rows_of(past), rows_of(log), request)
        ]
        night = answers[0]
        for other in answers[1:]:
            places = [other.user_ids.index(user) for user in night.user_ids]
            for name in ("purchase", "churn", "spend", "item_scores", "embeddings"):
                np.testing.assert_allclose(
                    getattr(other, name)[places], getattr(night, name), rtol=1e-4, atol=1e-6
                )
