"""Past cutoffs, and who is asked about what there."""

from datetime import date, timedelta

from models.sequences.history import Histories
from models.sequences.matured import Matured, plans

CUTOFF = date(2017, 11, 28)


def test_no_window_that_was_fitted_on_reaches_into_a_later_stage(horizons):
    """Training windows have closed when validation starts, validation's when the test starts."""
    days = {"purchase": 7, "churn": 28, "spend": 28, "next_item": 7}
    for head, plan in plans(CUTOFF, horizons).items():
        window = timedelta(days=days[head])

        assert max(plan.train) + window <= min(plan.validation) == date(2017, 10, 3)
        assert max(plan.validation) + window <= min(plan.test) == date(2017, 10, 31)
        assert max(plan.test) + window == CUTOFF


def test_short_windows_are_tested_on_several_cutoffs_without_overlap(horizons):
    """A week's outcome is counted once."""
    found = plans(CUTOFF, horizons)

    assert found["purchase"].test == [CUTOFF - timedelta(days=n) for n in (28, 21, 14, 7)]
    assert found["churn"].test == [CUTOFF - timedelta(days=28)]


def test_only_users_seen_before_the_cutoff_are_asked_about(sequences, horizons, zone):
    """A user who comes later is nobody at the cutoff; one long silent is not asked of churn."""
    events = [
        ("silent", "2017-06-01 12:00", "milk", 1.0),
        ("active", "2017-10-30 12:00", "milk", 2.0),
        ("active", "2017-11-02 12:00", "milk", 3.0),
        ("later", "2017-10-31 00:00", "milk", 4.0),
    ]
    histories = Histories.from_arrow(sequences(events))
    matured = Matured(histories, horizons=horizons, zone=zone)
    cutoff = date(2017, 10, 31)

    purchase, churn = matured.rows("purchase", [cutoff]), matured.rows("churn", [cutoff])

    assert histories.user_ids[purchase.users].tolist() == ["silent", "active"]
    assert purchase.labels.tolist() == [0.0, 1.0]
    assert purchase.num_instants.tolist() == [1, 1]
    assert histories.user_ids[churn.users].tolist() == ["active"]
    assert matured.bought_items(cutoff)[0].tolist() == [1]


def test_a_user_whose_history_was_cut_is_asked_only_where_it_is_known(sequences, horizons, zone):
    """What was cut off did happen: that the store has nothing of it is no label."""
    days = [CUTOFF - timedelta(days=number) for number in range(299, 0, -1)]
    events = [("busy", f"{day} 12:00", "milk", 1.0) for day in days]
    events += [("calm", "2017-01-05 12:00", "milk", 1.0)]
    histories = Histories.from_arrow(sequences(events, max_events=200))
    matured = Matured(histories, horizons=horizons, zone=zone)
    gone, half, stored = (CUTOFF - timedelta(days=number) for number in (250, 100, 8))

    found = {cutoff: matured.rows("purchase", [cutoff]) for cutoff in (gone, half, stored)}

    assert [histories.user_ids[rows.users].tolist() for rows in found.values()] == [
        ["calm"],
        ["calm"],
        ["busy", "calm"],
    ]
    assert found[stored].labels.tolist() == [1.0, 0.0]
    assert all((rows.num_instants > 0).all() for rows in found.values())
    assert not len(matured.bought_items(half)[0])
    assert len(matured.bought_items(stored)[0]) == 1
