"""Heavy users at a past cutoff: as a night of then knew them, read from events again."""

from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.tables import EVENTS, SEQUENCES
from contracts.windows import Window, instant, one_day
from jobs.evaluate import as_nights_knew
from jobs.histories.read_sequences import sequences_as_of
from jobs.lake.column_types import arrow_schema
from jobs.lake.commits import Staged
from jobs.lake.lake import open_lake
from models.registry.predict import Predictor
from models.sequences.history import Histories, microseconds
from models.sequences.instants import Instants
from models.sequences.matured import Matured
from models.sequences.query_features import QueryFeatures
from tests.jobs.made_returns import DAYS, START, made_log, rows_of
from tests.models.conftest import HORIZONS, SMALL_ENCODERS, small_config, untrained

ZONE = ZoneInfo("America/New_York")
CUTOFF = START.date() + timedelta(days=DAYS)
FIRST = CUTOFF - timedelta(days=28)
MAX_EVENTS = 30
NAMES = ("purchase", "churn", "spend", "embeddings")


def commit(lake, home, table, rows, window, *, reads):
    """Rows in a file of the lake, without Spark."""
    file = Path(home) / "lake" / table.name / "data" / "part.parquet"
    file.parent.mkdir(parents=True)
    pq.write_table(rows.cast(arrow_schema(table)), file, row_group_size=97)
    staged = Staged(table, [f"file://{file}"], window, f"{table.name}-1", len(rows), "hash")
    facts = {"money": "net", "max_events": str(MAX_EVENTS), "gap_minutes": "30"}
    return lake.commit(staged, reads=reads, facts=facts).snapshot_id


@pytest.fixture
def log():
    """Five users, some of whom have hundreds of events, and a light one."""
    light = made_log(5, num_users=1, orders=1)
    return made_log(4, orders=150) + [event | {"user_id": "light"} for event in light]


@pytest.fixture
def found(settings, log, request):
    """The sequences as of the cutoff; they name their events, or come from who knows where."""
    return sequences_of(settings, log, is_named=getattr(request, "param", True))


def sequences_of(settings, log, *, is_named=True):
    lake, reads = open_lake(settings), {}
    if is_named:
        day = CUTOFF - timedelta(days=1)
        more = dict.fromkeys(EVENTS.column_names) | {"properties": []}
        rows = [more | event | {"ingest_date": day} for event in log]
        events = pa.Table.from_pylist(rows, schema=arrow_schema(EVENTS))
        window = Window(day, CUTOFF)
        reads = {"events": commit(lake, settings.home, EVENTS, events, window, reads={})}
    rows = rows_of(log, max_events=MAX_EVENTS)
    commit(lake, settings.home, SEQUENCES, rows, one_day(CUTOFF), reads=reads)
    return sequences_as_of(lake, CUTOFF)


def judged(found, settings):
    changed = settings.sequences.model_copy(update={"max_events": MAX_EVENTS})
    settings = settings.model_copy(update={"sequences": changed})
    (rows,) = found.read_buckets(SEQUENCES.column_names)
    return as_nights_knew(found, rows, settings, first=FIRST)


def matured_of(rows):
    histories = Histories.from_arrow(rows)
    return Matured(histories, horizons=HORIZONS, zone=ZONE, max_events=MAX_EVENTS)


def features_of(rows, cutoff):
    """(N, F) of every user as of the cutoff: what the query token and the baselines read."""
    histories = Histories.from_arrow(rows)
    users = np.arange(len(histories))
    moments = np.full(len(users), microseconds(instant(cutoff, ZONE)))
    return QueryFeatures(histories, Instants.of(histories)).at(users, moments)


def test_a_heavy_user_is_judged_as_the_night_of_then_scored_them(found, settings, log, tmp_path):
    """Everybody's answer and features at a past cutoff are those of that night's own rows.

    Whoever had more events since than are kept was passed over.
    """
    config = small_config(SMALL_ENCODERS["lstm"])
    predictor = Predictor.load(untrained(tmp_path / "model", config, HORIZONS))
    rows = judged(found, settings)
    for cutoff in (FIRST, FIRST + timedelta(days=14)):
        past = [event for event in log if event["event_time"] < instant(cutoff, ZONE)]
        that_night = rows_of(past, max_events=MAX_EVENTS)
        night = predictor.predict(that_night, cutoff=cutoff, top_k=3)
        now = predictor.predict(rows, cutoff=cutoff, top_k=3, max_events=MAX_EVENTS)
        places = [now.user_ids.index(user) for user in night.user_ids]
        asked = matured_of(rows).rows("spend", [cutoff])
        features = features_of(that_night, cutoff)

        assert len(asked.users) == len(night.user_ids) == 6
        for name in NAMES:
            np.testing.assert_allclose(
                getattr(now, name)[places], getattr(night, name), rtol=1e-4, atol=1e-6
            )
        order = np.argsort(asked.users)[np.argsort(np.argsort(places))]
        np.testing.assert_allclose(asked.features[order], features, rtol=1e-6)


def test_what_came_true_for_a_heavy_user_is_known(found, settings, log):
    """The spend label of the four weeks, counted from the events themselves."""
    matured = matured_of(judged(found, settings))
    rows = matured.rows("spend", [FIRST])
    start, end = instant(FIRST, ZONE), instant(CUTOFF, ZONE)

    for user, label in zip(matured.histories.user_ids[rows.users], rows.labels, strict=True):
        paid = sum(
            event["amount"] or 0.0
            for event in log
            if event["user_id"] == user
            and start <= event["event_time"] < end
            and event["event_type"] in ("purchase", "return")
        )
        assert label == pytest.approx(paid, abs=1e-6)


def test_whether_a_heavy_user_is_judged_does_not_depend_on_what_came_true(settings):
    """Of two with the same past, one comes back: whoever does not was passed over, as a churner."""
    template, noon = made_log(0)[0], timedelta(hours=12)
    start = instant(FIRST, ZONE) + noon

    def visits(user, days):
        return [
            template
            | {
                "user_id": user, "event_id": f"{user}{day}", "event_type": "purchase",
                "event_time": start + timedelta(days=day), "quantity": 1.0, "amount": 5.0,
            }
            for day in days
        ]  # fmt: skip

    log = visits("stays", [*range(-60, 0), 3, 9]) + visits("leaves", range(-60, 0))
    matured = matured_of(judged(sequences_of(settings, log), settings))
    rows = matured.rows("churn", [FIRST])

    labels = dict(zip(matured.histories.user_ids[rows.users], rows.labels, strict=True))
    assert labels == {"stays": 0.0, "leaves": 1.0}
    assert matured.passed_over([FIRST]).users == 0


@pytest.mark.parametrize("found", [False], indirect=True)
def test_who_cannot_be_judged_is_counted_with_the_share_of_the_money(found, settings):
    """Where nobody knows which events made the rows, nothing is guessed, and it is said."""
    rows = judged(found, settings)
    matured = matured_of(rows)
    passed = matured.passed_over([FIRST])
    heavy = [user for user in rows["user_id"].to_pylist() if user != "light"]
    paid = dict(zip(rows["user_id"].to_pylist(), rows["lifetime_spend"].to_pylist(), strict=True))

    assert matured.histories.user_ids[matured.rows("spend", [FIRST]).users].tolist() == ["light"]
    assert passed.users == len(heavy) == 5
    share = sum(paid[user] for user in heavy) / sum(paid.values())
    assert passed.spend_share == pytest.approx(share)
    assert str(passed) == (
        f"5 of 6 users, with {share:.1%} of all spend, are scored and were not judged: of their "
        "events, more than sequences.max_events, too few are stored"
    )
