"""Users' items in order, without times, as histories; leave-one-out.

The last item of a user is for the test, the one before it for validation.
"""

from dataclasses import dataclass

import numpy as np

from models.sequences.history import Histories, Ints
from models.sequences.instants import DAY

STEP = 7 * DAY  # between two items of a user: always the same weekday and hour, to say nothing


@dataclass(frozen=True)
class LeaveOneOut:
    """The last item of a user for the test, the one before it for validation."""

    training: Histories  # all but the last two of each user
    before_test: Histories  # all but the last
    validation_items: list[str]
    test_items: list[str]


def leave_one_out(sequences: list[list[str]]) -> LeaveOneOut:
    """Users with fewer than three items are left out: nothing of theirs could be trained on."""
    kept = [items for items in sequences if len(items) >= 3]
    return LeaveOneOut(
        training=histories_of([items[:-2] for items in kept]),
        before_test=histories_of([items[:-1] for items in kept]),
        validation_items=[items[-2] for items in kept],
        test_items=[items[-1] for items in kept],
    )


def histories_of(sequences: list[list[str]]) -> Histories:
    lengths = np.asarray([len(items) for items in sequences], dtype=np.int64)
    offsets: Ints = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    names, codes = np.unique(
        np.asarray([item for items in sequences for item in items], dtype=object),
        return_inverse=True,
    )
    places = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    nothing = np.zeros(offsets[-1], dtype=np.int64)
    return Histories(
        user_ids=np.arange(len(sequences)).astype(str).astype(object),
        offsets=offsets,
        times=places * STEP + STEP,
        item_codes=codes.astype(np.int64),
        event_type_codes=nothing,
        category_codes=nothing,
        quantities=np.ones(len(nothing)),
        amounts=np.zeros(len(nothing)),
        has_amount=np.zeros(len(nothing), dtype=bool),
        session_starts=np.ones(len(nothing), dtype=bool),
        item_ids=names,
        event_types=np.asarray(["view"], dtype=object),
        categories=np.asarray([""], dtype=object),
        text_codes=nothing,
        texts=np.asarray([""], dtype=object),
        lifetime_events=lengths,
        lifetime_spend=np.zeros(len(lengths)),
        first_times=np.full(len(lengths), STEP, dtype=np.int64),
    )
