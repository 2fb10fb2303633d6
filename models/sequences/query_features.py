"""Everything that is told of a user as of a moment: what the query token and LightGBM both read.

P pairs of a user and a moment, F features.
"""

import numpy as np
from numpy.typing import NDArray

from models.sequences import features, rhythm
from models.sequences.features import FEATURE_NAMES, AsOfFeatures
from models.sequences.history import Histories, Ints
from models.sequences.instants import Instants
from models.sequences.rhythm import RHYTHM_NAMES, rhythm_features
from models.sequences.year_before import YEAR_BEFORE_NAMES, YearBefore

QUERY_FEATURES = (*FEATURE_NAMES, *RHYTHM_NAMES, *YEAR_BEFORE_NAMES)
# Of whole history that they need; what `year_before` lacks it says itself.
HISTORY_DAYS = max(features.HISTORY_DAYS, rhythm.NUM_DAYS)
# Columns that say what was spent lately, as log1p with its sign, and of how many days each is.
SPENT_DAYS = {
    **{QUERY_FEATURES.index(f"spend_{days}d"): days for days in features.WINDOW_DAYS},
    **{QUERY_FEATURES.index(f"spend_rate_{days}d"): 1 for days in rhythm.HALF_LIVES_DAYS},
}
BLOCK = 16_384  # pairs at a time: `rhythm` holds some numbers of each day of half a year


class QueryFeatures:
    """Features of any user at any moment, from running totals built once."""

    def __init__(self, histories: Histories, instants: Instants) -> None:
        self.histories, self.instants = histories, instants
        self.as_of = AsOfFeatures(histories, instants)
        self.year_before = YearBefore(histories, instants)

    def at(self, users: Ints, moments: Ints) -> NDArray[np.float32]:
        """(P,), (P,) microseconds -> (P, F)"""
        found = np.empty((len(users), len(QUERY_FEATURES)), dtype=np.float32)
        for start in range(0, len(users), BLOCK):
            block = slice(start, start + BLOCK)
            found[block] = self._block(users[block], moments[block])
        return found

    def _block(self, users: Ints, moments: Ints) -> NDArray[np.float32]:
        known = self.as_of.at(users, moments)
        days = rhythm_features(self.histories, self.instants, users, moments)
        return np.concatenate([known, days, self.year_before.at(users, moments)], axis=1)
