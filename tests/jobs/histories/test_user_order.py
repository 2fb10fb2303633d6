"""The order of a user's events: total, and cheap where a part of it is known."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from jobs.histories.user_order import order_events, rank

EVENTS = st.tuples(
    st.integers(0, 2),  # user
    st.sampled_from([0, 1, 2**50, 2**62]),  # years apart: more than fit beside a user in one word
    st.sampled_from("abc"),
    st.integers(0, 1),
)


@examples(deadline=None, max_examples=300)
@given(known=st.lists(EVENTS, max_size=8), new=st.lists(EVENTS, max_size=8))
def test_events_lie_by_user_time_and_what_is_said_of_them(known, new):
    """Whatever was in order before: as if all had been sorted at once."""
    log = sorted(known) + new
    user, time, word, number = (
        (list(column) for column in zip(*log, strict=True)) if log else [[]] * 4
    )
    ties = pa.table({"word": pa.array(word, pa.string()), "number": pa.array(number, pa.int64())})
    order = order_events(
        np.array(user, dtype=np.int64),
        np.array(time, dtype=np.int64),
        lambda rows: ties.take(pa.array(rows)),
        num_ordered=len(known),
    )

    assert [log[place] for place in order] == sorted(log)


def test_a_rank_is_a_place_among_the_different_values():
    ranks, values = rank(pa.chunked_array([["b", "a"], ["c", "b"]]))

    assert ranks.tolist() == [1, 0, 2, 1]
    assert values.to_pylist() == ["a", "b", "c"]
