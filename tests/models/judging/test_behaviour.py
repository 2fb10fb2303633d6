"""What every model must do, and that a model which does not is found out."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.config import load_train_config
from models.judging.behaviour import check_behaviour
from models.registry.artifact import Manifest, save_artifact
from models.registry.predict import Predictions, Predictor
from models.sequences.history import Histories
from models.sequences.vocabulary import Vocabulary
from models.training.calibration import IDENTITY, BaseRates, Calibration
from tests.models.behaving_network import network_that_behaves

pytestmark = pytest.mark.torch
CUTOFF = date(2017, 10, 31)
FUTURE, LINES, BATCH, UNSEEN, ORDER, PURCHASE = range(6)
ITEMS = ("apple", "bread", "cheese", "date", "egg", "fig", "grape")


@pytest.fixture
def log(sequences) -> pa.Table:
    """Users with one to eight baskets of three lines, half of them after the cutoff."""
    events = []
    for user in range(6):
        for basket in range(user + 3):
            for line in range(3):
                item = ITEMS[(user + basket * line + line) % len(ITEMS)]
                day = f"2017-10-{28 - 2 * basket:02d}" if basket % 2 else f"2017-11-0{basket + 1}"
                events.append((f"u{user}", f"{day} 10:00", item, 1.0 + user + line))
        events.append((f"u{user}", "2017-09-01 09:00", ITEMS[user], 2.0))
    return sequences(events)


@pytest.fixture
def predictor(log, tmp_path: Path, horizons) -> Predictor:
    """A real network that has learnt nothing: behaviour does not ask for wisdom."""
    config = load_train_config(
        Path(__file__).resolve().parents[3] / "configs" / "models" / "gru.yaml"
    )
    vocabulary = Vocabulary.of(Histories.from_arrow(log), min_item_count=1)
    manifest = Manifest(
        config=config,
        horizons=horizons,
        time_zone="America/New_York",
        training_cutoff=date(2017, 11, 28),
        label_limit=date(2017, 10, 3),
        snapshot_ids={},
        session_gap_minutes=30,
        max_events=2048,
        base_rates=BaseRates(purchase=0.5, churn=0.1, spend=20.0),
        calibration=Calibration(purchase=IDENTITY, churn=IDENTITY, spend=1.0),
        metrics={},
    )
    network = network_that_behaves(config.encoder, vocabulary)
    save_artifact(tmp_path, manifest, vocabulary, network.state_dict())
    return Predictor.load(tmp_path)


def passed(predictor: Predictor, log: pa.Table, zone) -> list[bool]:
    return [check.passed for check in check_behaviour(predictor, log, cutoff=CUTOFF, zone=zone)]


def test_a_sound_model_passes_every_check(predictor, log, zone):
    """The real scoring path, with a real network."""
    found = check_behaviour(predictor, log, cutoff=CUTOFF, zone=zone)

    assert [check.found for check in found if not check.passed] == []
    assert len(found) == 6


def test_a_limit_that_cuts_through_a_basket_passes_too(predictor, log, zone):
    """A heavy user's oldest basket: whichever of its lines come first, the score is the same."""
    predictor.manifest = predictor.manifest.model_copy(update={"max_events": 5})

    lines = check_behaviour(predictor, log, cutoff=CUTOFF, zone=zone)[LINES]

    assert lines.passed, lines.found


class Broken(Predictor):
    """Answers that also depend on something they must not depend on."""

    def predict(self, sequences, *, cutoff, top_k) -> Predictions:
        found = super().predict(sequences, cutoff=cutoff, top_k=top_k)
        found.purchase[:] = np.clip(found.purchase + 0.01 * self.leak(sequences), 0, 1)
        return found

    def leak(self, sequences) -> np.ndarray:
        raise NotImplementedError


class SeesTheFuture(Broken):
    def leak(self, sequences):
        return np.array([sum(row) / 100 for row in sequences["amounts"].to_pylist()])


class ReadsTheFirstLine(Broken):
    def leak(self, sequences):
        rows = zip(
            sequences["event_times"].to_pylist(), sequences["item_ids"].to_pylist(), strict=True
        )
        start = [[item for time, item in zip(*row, strict=True) if time.month < 11] for row in rows]
        return np.array([len(row[1]) if len(row) > 1 else 0.0 for row in start])


class CountsTheBatch(Broken):
    def leak(self, sequences):
        return np.full(len(sequences), float(len(sequences)))


class GuessesForTheUnseen(Broken):
    def leak(self, sequences):
        first = sequences["event_times"].to_pylist()
        return np.array([float(not times or times[0].month >= 11) for times in first])


class ForgetsTheOrder(Predictor):
    """A bag of items: the same state in whatever order they were bought."""

    def predict(self, sequences, *, cutoff, top_k) -> Predictions:
        found = super().predict(sequences, cutoff=cutoff, top_k=top_k)
        counts = [len(set(items)) for items in sequences["item_ids"].to_pylist()]
        found.embeddings[:] = np.asarray(counts, dtype=np.float32)[:, None]
        return found


class TakesAPurchaseForAGoodbye(Broken):
    def leak(self, sequences):
        return -np.asarray(sequences["lifetime_events"].to_pylist(), dtype=float)


@pytest.mark.parametrize(
    ("broken", "found_by"),
    [
        (SeesTheFuture, FUTURE),
        (ReadsTheFirstLine, LINES),
        (CountsTheBatch, BATCH),
        (GuessesForTheUnseen, UNSEEN),
        (ForgetsTheOrder, ORDER),
        (TakesAPurchaseForAGoodbye, PURCHASE),
    ],
)
def test_a_model_that_must_not_pass_is_found_out(predictor, log, zone, broken, found_by):
    """Each check fails on a model broken in just the way that it is there for."""
    predictor.__class__ = broken

    assert not passed(predictor, log, zone)[found_by]


def once(user: int) -> list[tuple[str, str, str, float]]:
    """Two lines of one visit before the cutoff, and one of a visit after it."""
    lines = [(f"v{user}", "2017-10-20 10:00", item, 2.0) for item in ("apple", "bread")]
    return [*lines, (f"v{user}", "2017-11-20 10:00", "cheese", 2.0)]


def test_the_order_of_visits_is_asked_of_those_who_have_one(predictor, log, sequences, zone):
    """Most users of many shops come once: told backwards, they are who they were."""
    shop = pa.concat_tables([log, sequences([event for user in range(20) for event in once(user)])])

    assert passed(predictor, shop, zone)[ORDER]
    predictor.__class__ = ForgetsTheOrder
    assert not passed(predictor, shop, zone)[ORDER]


def test_where_nobody_came_twice_there_is_no_order_to_judge(predictor, sequences, zone):
    """It passes, and says why."""
    shop = sequences([event for user in range(20) for event in once(user)])

    found = check_behaviour(predictor, shop, cutoff=CUTOFF, zone=zone)[ORDER]

    assert found.passed
    assert found.found == "no user has visits that differ, so there is no order to tell"


def test_a_score_that_is_not_a_number_is_found_out(predictor, log, zone):
    """NaN equals nothing, itself included, and must not slip through a comparison."""

    class SaysNothing(Broken):
        def leak(self, sequences):
            return np.full(len(sequences), np.nan)

    predictor.__class__ = SaysNothing

    found = passed(predictor, log, zone)

    assert [place for place, holds in enumerate(found) if holds] == [ORDER]  # which asks for states
