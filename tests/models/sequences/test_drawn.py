"""Who is drawn: about the share that is wanted, the same users every time."""

import numpy as np
import pytest

from models.sequences.drawn import is_drawn

NAMES = [f"u{n}" for n in range(20_000)]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 1.0, 3.0])
def test_about_so_many_are_drawn_as_the_share_says(share):
    """Everybody where as many are wanted as there are, or more."""
    drawn = is_drawn(NAMES, share, purpose="judging")

    assert abs(drawn.mean() - min(share, 1.0)) < 0.01
    assert drawn.all() == (share >= 1.0)


def test_who_is_drawn_depends_on_nothing_but_the_name():
    """In any order, beside anybody, and when more are wanted."""
    drawn = is_drawn(NAMES, 0.25, purpose="judging")

    backwards = is_drawn(NAMES[::-1], 0.25, purpose="judging")[::-1]
    assert (backwards == drawn).all()
    assert (is_drawn(NAMES[:9], 0.25, purpose="judging") == drawn[:9]).all()
    assert not (drawn & ~is_drawn(NAMES, 0.5, purpose="judging")).any()


def test_each_purpose_draws_by_itself():
    """Of those who choose an epoch no more judge it than of all others."""
    choose, judge = (is_drawn(NAMES, 0.25, purpose=name) for name in ("validation", "judging"))

    assert abs(np.mean(choose & judge) - 0.25 * 0.25) < 0.01


def test_of_nobody_nobody_is_drawn():
    """A bucket may be empty."""
    assert is_drawn([], 0.5, purpose="judging").shape == (0,)
