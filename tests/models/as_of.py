"""The features of every user as of one moment."""

from datetime import datetime

import numpy as np

from models.sequences.features import AsOfFeatures
from models.sequences.history import Histories, microseconds
from models.sequences.instants import Instants


def as_of_features(histories: Histories, instant: datetime) -> np.ndarray:
    """(N, F)"""
    users = np.arange(len(histories))
    moments = np.full(len(histories), microseconds(instant))
    return AsOfFeatures(histories, Instants.of(histories)).at(users, moments)
