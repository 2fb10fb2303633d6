"""Events dealt by user: every row goes to one bucket, and a user's rows to the same."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from jobs.histories.user_blocks import _call, blocks_of, buckets_of, gather


def rows_of(users):
    return pa.table({"user_id": pa.array(users, pa.string()), "n": np.arange(len(users))})


@examples(deadline=None, max_examples=50)
@given(
    users=st.lists(st.text(max_size=4), min_size=1, max_size=60),
    num_buckets=st.integers(1, 300),
)
def test_rows_in_are_rows_out(users, num_buckets):
    """In any number of blocks; a bucket holds all of its users and keeps their order."""
    table = rows_of(users)
    halves = [*blocks_of(table[: len(users) // 2], num_buckets)] if len(users) > 1 else []
    halves += [*blocks_of(table[len(users) // 2 :], num_buckets)] if len(users) > 1 else []
    found: dict[str, list[tuple[int, int]]] = {}
    for block in halves or blocks_of(table, num_buckets):
        bucket, (rows,) = gather(iter([block]))
        for row in rows.to_pylist():
            found.setdefault(row["user_id"], []).append((bucket, row["n"]))

    for user, places in found.items():
        assert len({bucket for bucket, _ in places}) == 1
        assert [n for _, n in places] == [n for n, each in enumerate(users) if each == user]
    assert sum(map(len, found.values())) == len(users)


def test_events_of_nobody_are_dealt_to_nobody():
    """Whoever reads users' events never meets one without a user."""
    blocks = [*blocks_of(rows_of([None, "ann", None, "bob", None]), 1)]
    _, (rows,) = gather(iter(blocks))

    assert rows.to_pylist() == [{"user_id": "ann", "n": 1}, {"user_id": "bob", "n": 3}]
    assert not [*blocks_of(rows_of([None, None]), 4)]


def test_a_bucket_is_the_same_on_every_machine():
    """It follows from the user's own letters, not from who came first."""
    users = pa.chunked_array([["ann", "bob", "cy"]])
    turned = pa.chunked_array([["cy", "ann"], ["bob", "ann"]])

    ann, bob, cy = buckets_of(users, 1000).tolist()
    assert buckets_of(turned, 1000).tolist() == [cy, ann, bob, ann]


def test_a_bucket_to_which_nothing_is_dealt_is_called_all_the_same():
    """So that its task can read what lies there already; without a bucket it has no work."""
    called = gather(iter([_call(7)]))

    assert called == (7, [])
    assert gather(iter([])) is None
