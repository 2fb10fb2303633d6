"""What a request to a served model may say, and what is refused of it."""

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from contracts.errors import ConfigError, CutoffError, MissingColumnsError
from models.registry.predict import Predictor
from models.registry.request import MAX_TOP_K, cutoff_of, days, instants, numbers, top_k_of
from models.registry.serving import Served, input_example

pytestmark = pytest.mark.torch


@pytest.fixture
def encoder_config():
    from models.config import GRUConfig

    return GRUConfig(max_length=16, dim=8, num_layers=1, dropout=0.0)


@pytest.fixture
def served(artifact) -> Served:
    return Served(Predictor.load(artifact))


def test_without_a_cutoff_there_is_no_answer(served):
    """It was the training's own: what was asked today was answered as of weeks ago."""
    events, given = input_example()
    for params in (None, {}, {"cutoff": ""}, {"top_k": 3}):
        with pytest.raises(CutoffError) as refused:
            served.predict(events, params)

    assert str(refused.value) == (
        "the request: cutoff: found none, expected a day written YYYY-MM-DD, the first that the "
        'model may not see. Send {"params": {"cutoff": "YYYY-MM-DD"}}: the answer is as of that '
        "day."
    )
    assert len(served.predict(events, given)) == 2


@pytest.mark.parametrize(
    "text", ["03/11/2017", "2017-11-3", "20171103", "2017-W44-5", "2017-02-30", "today", 20171103]
)
def test_a_cutoff_is_written_in_one_way(text):
    """The third of November is the eleventh of March to others."""
    with pytest.raises(CutoffError, match=f"found {text!r}, expected a day written YYYY-MM-DD"):
        cutoff_of(text)
    assert cutoff_of("2017-11-03") == date(2017, 11, 3)


@pytest.mark.parametrize("top_k", [-1, 0, MAX_TOP_K + 1, True, 2.5, float("inf"), float("nan")])
def test_how_many_items_is_a_number_of_items(served, top_k):
    """-1 was all but one of them, 0 was ten, and 5,000 a thousand."""
    events, given = input_example()
    with pytest.raises(ConfigError) as refused:
        served.predict(events, {**given, "top_k": top_k})

    assert str(refused.value) == (
        f"the request: top_k: found {top_k!r}, expected a whole number from 1 to 1000. "
        "Correct the value, or leave it out for 10."
    )
    assert top_k_of(1) == 1


@pytest.mark.parametrize("column", ["amount", "quantity"])
@pytest.mark.parametrize("value", [float("inf"), -float("inf"), "inf", "much", 1e13, -1e305])
def test_an_amount_is_one_that_a_night_takes(served, column, value):
    """JSON's 1e999 is infinity; what is empty is not known, as before."""
    events, given = input_example()
    events[column] = [1.0, value, None]
    with pytest.raises(ConfigError) as refused:
        served.predict(events, given)

    assert str(refused.value) == (
        f"the request: {column} of row 1: found {value!r}, and 0 more like it, "
        "expected a number of at most 1,000,000,000,000. "
        "Correct the rows and send them again; nothing was answered."
    )
    assert numbers(pd.Series([None, 2]), unknown=0.0).tolist() == [0.0, 2.0]


@pytest.mark.parametrize(
    "text", ["03/11/2017", "11/03/2017 17:20", "1512000000", 1512000000, None, "2017-13-01", "now"]
)
def test_an_instant_is_written_as_iso_8601(served, text):
    """`03/11/2017` was read as a day of March, and a number as nanoseconds after 1970."""
    events, given = input_example()
    events["event_time"] = ["2017-11-03T17:20:00Z", text, text]
    with pytest.raises(ConfigError) as refused:
        served.predict(events, given)

    assert refused.value.where == "the request: event_time of row 1"
    assert refused.value.found == f"{text!r}, and 1 more like it"
    assert refused.value.expected == "an instant such as 2017-11-03T17:20:00Z"


@pytest.mark.parametrize(
    "given",
    [
        "2017-11-03T17:20:00Z",
        "2017-11-03T18:20:00+01:00",
        "2017-11-03 17:20",
        "2017-11-03T17:20:00.000000Z",
        datetime(2017, 11, 3, 17, 20, tzinfo=UTC),
        pd.Timestamp("2017-11-03T17:20:00Z"),
    ],
)
def test_what_is_an_instant_is_taken(given):
    """As text with or without an offset, and as what Python and pandas have for it."""
    for column in (pd.Series([given]), pd.Series([given], dtype=object)):
        column.name = "event_time"
        assert instants(column).tolist() == [pd.Timestamp("2017-11-03T17:20:00Z")]
    mixed = pd.Series([given, "2017-11-03T17:20:00Z", "2017-11-03"], dtype=object)
    assert instants(mixed).tolist()[:2] == [pd.Timestamp("2017-11-03T17:20:00Z")] * 2


def test_a_day_is_written_in_one_way_too():
    """Of the units of a forecaster; a date of Python or pandas is one."""
    for wrong in ("03/11/2017", "2017-11-03T10:00:00Z", 3, None):
        with pytest.raises(ConfigError, match="expected a day such as 2017-11-03"):
            days(pd.Series(["2017-11-03", wrong], name="day", dtype=object))
    third = np.asarray(["2017-11-03"], dtype="datetime64[D]")
    for right in ("2017-11-03", date(2017, 11, 3), pd.Timestamp("2017-11-03")):
        assert days(pd.Series([right], name="day")) == third


def test_a_forecaster_is_asked_in_the_same_words():
    """It needs its columns, finite units and real days; its newest day may stand for a cutoff."""
    from models.registry.demand_serving import ServedForecaster
    from models.registry.demand_serving import input_example as units_by_day

    served = ServedForecaster(None)  # type: ignore[arg-type]  # refused before it is asked
    rows, given = units_by_day()

    with pytest.raises(MissingColumnsError, match="units by day: found the columns"):
        served.predict(rows.drop(columns=["units"]), given)
    for column, value in (("units", float("inf")), ("units", None), ("day", "03/11/2017")):
        wrong = rows.astype(object)
        wrong.loc[3, column] = value
        with pytest.raises(ConfigError, match=f"the request: {column} of row 3: found "):
            served.predict(wrong, given)
    with pytest.raises(CutoffError, match=r"found '29\.11\.2017'"):
        served.predict(rows, {"cutoff": "29.11.2017"})
    with pytest.raises(CutoffError, match="found none"):
        served.predict(rows.head(0), {})
