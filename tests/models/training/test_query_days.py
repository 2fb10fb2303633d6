"""On which days a training asks: never about what a user's row has lost."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from models.sequences.batch import BatchBuilder
from models.sequences.history import Histories
from models.sequences.labels import midnights
from models.sequences.query_features import QUERY_FEATURES
from models.sequences.vocabulary import Encoder, Vocabulary
from models.sequences.year_before import YEAR_BEFORE_NAMES
from models.training.query_days import QueryDays, can_be_asked
from tests.models.training.small_training import HORIZONS, config_of

pytestmark = pytest.mark.torch

BEGIN = datetime(2016, 1, 1, 10, tzinfo=UTC)
LIMIT = date(2017, 1, 1)
USER = np.zeros(1, dtype=np.int64)


@pytest.fixture
def daily(sequences):
    """A user who comes daily for a year and spends more each day, of whom some is stored."""

    def made(max_events: int = 1000) -> Histories:
        events = [
            ("u", f"{BEGIN + timedelta(days=n):%Y-%m-%dT%H:%M:%S}", "a", 1.0 + n)
            for n in range(366)
        ]
        return Histories.from_arrow(sequences(events, max_events=max_events))

    return made


def query_days(histories: Histories, zone) -> QueryDays:
    return QueryDays.of(
        int(histories.first_times[0]),
        limit=LIMIT,
        config=config_of("gru"),
        horizons=HORIZONS,
        zone=zone,
    )


def test_a_cut_row_is_asked_as_soon_as_it_answers_like_the_whole_one(daily, zone):
    """From its first day on it knows what the whole row would say; two days earlier it does not.

    But for the year before, of which a cut row says that it is not known.
    """
    cut, whole = daily(300), daily()
    (earliest,) = query_days(cut, zone).earliest_of(cut)

    def known(histories: Histories, day: int):
        encoder = Encoder(Vocabulary.of(whole, min_item_count=1))
        builder = BatchBuilder(histories, encoder, max_length=8, zone=zone)
        return builder.query_features(USER, midnights(np.array([day]), zone))

    year = len(QUERY_FEATURES) - len(YEAR_BEFORE_NAMES)
    np.testing.assert_allclose(
        known(cut, earliest)[:, :year], known(whole, earliest)[:, :year], rtol=1e-5, atol=1e-6
    )
    assert not known(cut, earliest)[:, year:].any()
    differs = np.abs(known(cut, earliest - 2) - known(whole, earliest - 2))[:, :year]
    assert differs.max() > 1e-3


def test_a_whole_row_is_asked_from_the_day_after_its_first_event(daily, zone):
    """What was never longer has lost nothing."""
    whole = daily()

    (earliest,) = query_days(whole, zone).earliest_of(whole)

    assert date.fromordinal(earliest) == BEGIN.date() + timedelta(days=1)


def test_a_row_that_lost_too_much_is_never_asked(daily, zone):
    """Half a year leaves no day to ask on; eighteen days more leave a few."""
    few, enough = daily(182), daily(200)

    assert can_be_asked(enough, LIMIT, HORIZONS, zone).all()
    assert not can_be_asked(few, LIMIT, HORIZONS, zone).any()
    days = query_days(few, zone)
    assert days.earliest_of(few)[0] > days.latest >= days.earliest_of(enough)[0]
