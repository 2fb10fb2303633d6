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


def visits_of(first: date, last: date, users: int = 4) -> list[tuple[str, str, str, float]]:
    """Users who come on every third day, one after another, from the first day on."""
    days = [first + timedelta(days=n) for n in range(0, (last - first).days + 1, 3)]
    return [(f"u{n % users}", f"{day} 12:00", "milk", 1.0) for n, day in enumerate(days)]


def test_baselines_learn_from_a_year_of_cutoffs_where_the_log_is_that_long(
    sequences, horizons, zone
):
    """Each season is met once; a log of less than a year gives the cutoffs at which it was warm."""
    found = plans(CUTOFF, horizons)["purchase"]
    assert len(found.train) == 26
    assert (found.train[-1] - found.train[0]).days == 350
    num_rows = {}
    for name, first in (("two years", date(2015, 11, 1)), ("a year", date(2016, 11, 28))):
        histories = Histories.from_arrow(sequences(visits_of(first, CUTOFF)))
        rows = Matured(histories, horizons=horizons, zone=zone).training_rows("purchase", found)
        num_rows[name] = len(rows.labels)

    assert num_rows["two years"] == 26 * 4
    # Half a year of history by 2017-05-29: the oldest of the twelve latest is older.
    assert num_rows["a year"] == 12 * 4


def test_of_many_users_some_are_drawn_at_each_cutoff_the_same_each_time(sequences, horizons, zone):
    """A large log is judged in bounded memory; whoever is drawn does not hang on other cutoffs."""
    first = date(2015, 11, 1)
    histories = Histories.from_arrow(sequences(visits_of(first, CUTOFF, users=40)))
    matured = Matured(histories, horizons=horizons, zone=zone)
    found = plans(CUTOFF, horizons)["purchase"]

    all_rows = matured.training_rows("purchase", found)
    some = matured.training_rows("purchase", found, max_rows=300)
    again = matured.training_rows("purchase", found, max_rows=300)

    assert 200 < len(some.labels) < 400 < len(all_rows.labels)
    assert (some.features == again.features).all()
    assert len({*some.users.tolist()}) > 30


def test_the_share_of_spend_passed_over_is_a_share_though_more_came_back(sequences, horizons, zone):
    """Whoever brought back more than was bought would make the rest more than all."""
    events = [("heavy", f"2017-10-{day:02d}T10:00", "apple", 500.0) for day in range(1, 31)]
    events += [
        ("back", "2017-09-01T10:00", "fig", 10.0),
        ("back", "2017-10-02T10:00", "fig", -12e3),
    ]
    histories = Histories.from_arrow(sequences(events, max_events=5))
    matured = Matured(histories, horizons=horizons, zone=zone)

    assert matured.passed_over([date(2017, 10, 31)]).spend_share == 1.0
