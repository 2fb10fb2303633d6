"""The business benchmark: what each side may know, and what its rows say."""

from datetime import date, timedelta

import numpy as np
import pytest

from benchmarks.business import (
    CHOICE,
    CONFIGS,
    HEADS,
    TEST,
    is_kept,
    measured,
    plans_at,
    pooled,
)
from benchmarks.complete_journey import HORIZONS
from models.config import load_train_config
from models.judging.contestants import HeadRows
from models.registry.artifact import Manifest
from models.training.calibration import IDENTITY, BaseRates, Calibration

DAYS = {
    "purchase": HORIZONS.purchase_days,
    "churn": HORIZONS.churn_days,
    "spend": HORIZONS.spend_days,
    "next_item": HORIZONS.items_days,
}


def test_nothing_is_fitted_or_chosen_on_a_window_that_was_open():
    """What trains and validates has closed by each test cutoff; so had what was chosen on."""
    for head in HEADS:
        for cutoff in TEST[head]:
            plan = plans_at(cutoff)[head]
            known = [*plan.train, *plan.validation]
            assert max(known) + timedelta(days=DAYS[head]) <= cutoff
            assert plan.test == [cutoff]
    first_test = min(cutoff for cutoffs in TEST.values() for cutoff in cutoffs)
    assert max(CHOICE) + timedelta(days=HORIZONS.longest_days) <= first_test


def test_a_kept_version_is_used_again_only_with_its_own_configuration(tmp_path):
    """One of another learning rate, or of code with other settings, is trained anew."""
    config = load_train_config(CONFIGS / "gru.yaml")
    manifest = Manifest(
        config=config,
        horizons=HORIZONS,
        time_zone="UTC",
        training_cutoff=date(2017, 9, 1),
        label_limit=date(2017, 7, 7),
        snapshot_ids={},
        session_gap_minutes=30,
        max_events=2048,
        base_rates=BaseRates(purchase=0.5, churn=0.5, spend=1.0),
        calibration=Calibration(purchase=IDENTITY, churn=IDENTITY, spend=1.0),
        metrics={},
    )
    before = is_kept(tmp_path, config)
    (tmp_path / "manifest.json").write_text(manifest.model_dump_json())
    other = config.model_copy(update={"learning_rate": 0.1})

    assert not before
    assert is_kept(tmp_path, config)
    assert not is_kept(tmp_path, other)
    (tmp_path / "manifest.json").write_text("{}")
    assert not is_kept(tmp_path, config)


def test_every_test_window_has_closed_by_the_end_of_the_year():
    """A window that the data do not cover would count as nobody's purchase."""
    for head, cutoffs in TEST.items():
        assert max(cutoffs) + timedelta(days=DAYS[head]) <= date(2018, 1, 1)


@pytest.fixture
def purchase_rows():
    """Four users at one cutoff: two seeds and LightGBM."""

    def made(cutoff: date) -> HeadRows:
        return HeadRows(
            head="purchase",
            users=np.arange(4),
            num_instants=np.ones(4, dtype=np.int64),
            favourites=np.asarray([""] * 4, dtype=object),
            labels=np.array([1.0, 1.0, 0.0, 0.0]),
            scores={
                "0": np.array([0.9, 0.8, 0.2, 0.1]),  # AUROC 1
                "1": np.array([0.9, 0.3, 0.4, 0.1]),  # 0.75
                "lightgbm": np.array([0.9, 0.1, 0.4, 0.2]),  # 0.5
            },
            cutoffs=[cutoff],
        )

    return made


def test_rows_hold_the_mean_of_the_seeds_their_spread_and_the_gain(purchase_rows):
    """Seeds of 1 and 0.75 beside LightGBM's 0.5."""
    both = pooled([purchase_rows(date(2017, 10, 2)), purchase_rows(date(2017, 11, 1))])

    mean, deviation, gain = measured("pooled", both, "auroc", True, "lightgbm")

    assert len(both.users) == 8
    assert (mean["nightshift"], mean["against"], mean["ratio"]) == (0.875, 0.5, 1.75)
    assert deviation["nightshift"] == pytest.approx(0.1768)
    assert gain["nightshift"] == pytest.approx(0.375)
    assert gain["against_name"].startswith("lightgbm; [+0.0000, ")


def test_a_smaller_error_is_a_gain(purchase_rows):
    """Of the Brier score, less is more."""
    *_, gain = measured("one", purchase_rows(date(2017, 10, 2)), "brier", False, "lightgbm")

    assert gain["nightshift"] > 0
