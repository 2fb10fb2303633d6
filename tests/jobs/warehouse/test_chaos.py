"""What readers see while publishers are killed, doubled, refused, cut off and out of disk.

In a history checker's words: no reader ever sees a mixed, partial or older-than-before night, no
row is lost or doubled, and every run ends in a state that the next run can go on from.
"""

import itertools
import json
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest

from contracts.errors import AuditError, BusyError, UnknownOutcomeError, UnreachableError
from contracts.tables import NIGHTLY
from jobs.warehouse import postgres_sql
from jobs.warehouse.warehouse import Warehouse

from .cut_line import CutLine
from .one_night import (
    TUESDAY,
    WEDNESDAY,
    nightly,
    open_at,
    publication,
    publish,
    refuse,
    shares,
)
from .small_disk import small_disk

HERE = Path(__file__).parent
FORECASTS = ("item_demand", "category_demand")  # with one row a night here, whoever the users are
Seen = list[list]  # [table, cutoff, share, rows] of one look
Night = tuple[str, float]  # cutoff, share


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def start_publisher(
    uri: str, point: str, *, cutoff: date = WEDNESDAY, run: str = "run-killed", share: float = 0.2
) -> subprocess.Popen[str]:
    return start("publish_one.py", uri, cutoff, run, share, point)


def publish_soon(warehouse: Warehouse, cutoff: date, run: str, share: float) -> None:
    """As the scheduler's next try does: a server needs a moment to see that its client is dead."""
    deadline = time.monotonic() + 60
    while True:
        try:
            publish(warehouse, cutoff, run, share)
            return
        except (BusyError, UnreachableError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def nights_of(warehouse: Warehouse, table: str) -> list[tuple[str, float, int]]:
    """Every cutoff that is there, with its share and rows."""
    columns = {"user_scores": "purchase_probability_7d", "user_recommendations": "score"}
    found = warehouse.query(
        f"SELECT CAST(cutoff AS VARCHAR), {columns.get(table, 'expected_units')}, count(*) AS num "
        f"FROM {table} GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return [tuple(row.values()) for row in found.to_pylist()]


def check_rows(warehouse: Warehouse, nights: dict[date, float], *, users: int = 2) -> None:
    """Each table holds these nights, each once and whole, and nothing else."""
    for table in NIGHTLY:
        num = 1 if table.name in FORECASTS else users
        expected = [(str(cutoff), share, num) for cutoff, share in sorted(nights.items())]
        assert nights_of(warehouse, table.name) == expected


# ---- kill -9 -------------------------------------------------------------------------------------

KILLED_BEFORE = ("staging", "auditing", "comparing", "before_commit")
POINTS = [
    *((database, point) for database in ("duckdb", "postgresql") for point in KILLED_BEFORE),
    ("duckdb", "reply_lost"),  # of the copy's commit: the file is still the old one
    ("duckdb", "before_rename"),
    ("duckdb", "after_rename"),
    ("postgresql", "reply_lost"),
]


@pytest.mark.parametrize(("warehouse_uri", "point"), POINTS, indirect=["warehouse_uri"])
def test_a_publisher_killed_anywhere_leaves_a_whole_night_and_no_obstacle(warehouse_uri, point):
    """The old night answers, or the new one; the next run puts its own in place."""
    warehouse = open_at(warehouse_uri)
    publish(warehouse, TUESDAY, "run-1", 0.1)
    killed = start_publisher(warehouse_uri, point)
    _, said = killed.communicate(timeout=120)
    after_kill = shares(warehouse)
    publish_soon(warehouse, WEDNESDAY, "run-next", 0.3)
    runs = warehouse.query("SELECT DISTINCT run_key FROM publish_ledger ORDER BY 1")

    assert killed.returncode == -signal.SIGKILL, said
    is_published = point == ("reply_lost" if "://" in warehouse_uri else "after_rename")
    assert after_kill == ([0.2] if is_published else [0.1])
    check_rows(warehouse, {TUESDAY: 0.1, WEDNESDAY: 0.3})
    assert runs["run_key"].to_pylist() == sorted(
        ["run-1", "run-next", *(["run-killed"] if is_published else [])]
    )
    assert leftovers_of(warehouse_uri, warehouse) == []


def leftovers_of(uri: str, warehouse: Warehouse) -> list[str]:
    """Copies of a file; tables of a server that nobody asked for."""
    if "://" not in uri:
        return [path.name for path in Path(uri).parent.glob("*.run*")]
    found = warehouse.query(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND NOT relispartition "
        "AND relnamespace = 'public'::regnamespace"
    )["relname"].to_pylist()
    kept = {"models", "publish_ledger", postgres_sql.SETUP, postgres_sql.LOCK}
    return sorted({*found} - kept)


# ---- the answer to COMMIT is lost ----------------------------------------------------------------


@pytest.fixture
def line(postgres, postgres_uri) -> Iterator[CutLine]:
    """A line to a database that has one night, which can be cut at the next commit of a night."""
    publish(open_at(postgres_uri), TUESDAY, "run-1", 0.1)
    with CutLine(postgres.port) as cut:
        yield cut


@pytest.mark.parametrize("is_delivered", [True, False], ids=["committed", "never arrived"])
def test_a_lost_answer_to_a_commit_is_settled_by_the_ledger(postgres_uri, line, is_delivered):
    """Both look alike to the driver: the night is there, or it is not and the run says so."""
    warehouse = open_at(line.through(postgres_uri))
    line.cut_at_commit_of("run-2", is_delivered=is_delivered)
    if is_delivered:
        published = publish(warehouse, WEDNESDAY, "run-2", 0.2)
        assert published["user_scores"].num_rows == 2
    else:
        with pytest.raises(UnreachableError, match="Nothing was published"):
            publish(warehouse, WEDNESDAY, "run-2", 0.2)
    direct = open_at(postgres_uri)
    runs = direct.query("SELECT count(*) AS n FROM publish_ledger WHERE run_key = 'run-2'")

    assert line.num_cuts == 1
    assert runs["n"].to_pylist() == [len(NIGHTLY) if is_delivered else 0]
    check_rows(direct, {TUESDAY: 0.1, **({WEDNESDAY: 0.2} if is_delivered else {})})


def test_a_commit_that_is_still_on_its_way_is_waited_for(postgres_uri, line):
    """The ledger does not have the run yet when it is asked first: that is no answer."""
    line.cut_at_commit_of("run-2", is_delivered=True, late_seconds=2)
    published = publish(open_at(line.through(postgres_uri)), WEDNESDAY, "run-2", 0.2)

    assert published["user_scores"].num_rows == 2
    check_rows(open_at(postgres_uri), {TUESDAY: 0.1, WEDNESDAY: 0.2})


@pytest.mark.parametrize("is_delivered", [True, False], ids=["committed", "never arrived"])
def test_an_outcome_that_cannot_be_asked_is_an_error_of_its_own(
    postgres_uri, line, monkeypatch, is_delivered
):
    """The server stays away: neither published nor not, and the next run goes on from either."""
    monkeypatch.setattr("jobs.warehouse.postgres.ANSWER_SECONDS", 0.5)
    warehouse = open_at(line.through(postgres_uri))
    line.cut_at_commit_of("run-2", is_delivered=is_delivered, stays_down=True)
    with pytest.raises(UnknownOutcomeError) as caught:
        publish(warehouse, WEDNESDAY, "run-2", 0.2)
    direct = open_at(postgres_uri)
    found = shares(direct)
    publish_soon(direct, WEDNESDAY, "run-2", 0.3)

    assert "no answer to the commit of run-2" in caught.value.found
    assert found == ([0.2] if is_delivered else [0.1])
    check_rows(direct, {TUESDAY: 0.1, WEDNESDAY: 0.2 if is_delivered else 0.3})


# ---- two at once ---------------------------------------------------------------------------------


def test_of_publishers_at_once_each_publishes_whole_or_is_refused(warehouse_uri):
    """Three processes start together, each with a night of its own; none waits, none mixes."""
    warehouse = open_at(warehouse_uri)
    publish(warehouse, TUESDAY, "run-0", 0.01)
    days = {n: TUESDAY + timedelta(days=n) for n in range(1, 4)}
    many = {
        n: start_publisher(warehouse_uri, "never", cutoff=day, run=f"run-{n}", share=n / 100)
        for n, day in days.items()
    }
    said = {n: one.communicate(timeout=120)[1] for n, one in many.items()}
    won = [n for n, one in many.items() if one.returncode == 0]

    assert won
    assert all("BusyError" in said[n] for n in many if n not in won), said
    check_rows(warehouse, {TUESDAY: 0.01, **{days[n]: n / 100 for n in won}})
    assert shares(warehouse) == [max(won) / 100]


def test_a_second_publisher_is_refused_while_the_first_lives_and_not_after(warehouse_uri):
    """The lock goes with its holder, however that one ends."""
    warehouse = open_at(warehouse_uri)
    publish(warehouse, TUESDAY, "run-1", 0.1)
    first = start_publisher(warehouse_uri, "waits")
    assert first.stdout is not None
    assert first.stdout.readline() == "ready\n"
    with pytest.raises(BusyError, match="run-killed"):
        publish(warehouse, WEDNESDAY, "run-2", 0.3)
    first.kill()
    first.communicate()
    publish_soon(warehouse, WEDNESDAY, "run-2", 0.3)

    check_rows(warehouse, {TUESDAY: 0.1, WEDNESDAY: 0.3})


# ---- readers -------------------------------------------------------------------------------------


@contextmanager
def readers(uri: str, folder: Path, *, num: int) -> Iterator[list[list[Seen]]]:
    """Readers in processes of their own; what each saw is there when the block has ended."""
    stop, seen = folder / "stop", list[list[Seen]]()
    files = [folder / f"reader-{n}" for n in range(num)]
    many = []
    for file in files:
        with file.open("w") as out:
            command = [sys.executable, str(HERE / "watch.py"), uri, str(stop)]
            many.append(subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, text=True))
    deadline = time.monotonic() + 60
    while not all(file.stat().st_size for file in files):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    try:
        yield seen
    finally:
        stop.touch()
        said = [one.communicate(timeout=60)[1] for one in many]
    assert [one.returncode for one in many] == [0] * num, said
    seen += [[json.loads(look) for look in file.read_text().splitlines()] for file in files]


def check_history(seen: list[list[Seen]], history: list[Night], *, users: int) -> int:
    """Every look of every reader is one whole night of the history, and none goes back.

    ``history``: what `_latest` was, in the order in which it was published. Returns the looks.
    """
    for looks in seen:
        at = 0
        for look in looks:
            nights = {(cutoff, share) for _, cutoff, share, _ in look}
            assert len(nights) == 1, f"a mixed night: {look}"
            counts = {table: num for table, _, _, num in look}
            whole = {table.name: users for table in NIGHTLY} | dict.fromkeys(FORECASTS, 1)
            assert counts == whole, f"a partial night: {look}"
            (night,) = nights
            assert night in history, f"a night that was never published: {look}"
            found = history.index(night)
            assert found >= at, f"{night} after {history[at]}"
            at = found
    return sum(map(len, seen))


TURNS = ("new", "again", "older", "refused", "new", "again", "killed")


def publish_for(uri: str, seconds: float, *, users: int, turns: Sequence[str]) -> list[Night]:
    """One night after another, each as its turn says, for so long and until all had their turn.

    Returns what `_latest` was, in order.
    """
    warehouse = open_at(uri, keep_nights=6)
    history, newest = [(str(TUESDAY), 0.001)], TUESDAY
    until = time.monotonic() + seconds
    for run, what in enumerate(itertools.cycle(turns), start=2):
        if time.monotonic() > until and run > len(turns) + 2:
            return history
        day = {"again": 0, "older": -1}.get(what, 1)
        cutoff, share = newest + timedelta(days=day), run / 1000
        rows = nightly(cutoff, share=share, users=tuple(f"u{n}" for n in range(users)))
        night = publication(cutoff, f"run-{run}", nightly=rows)
        if what == "killed":
            point = "comparing" if "://" in uri else "before_rename"
            start_publisher(uri, point, cutoff=cutoff, run=f"run-{run}").communicate(timeout=60)
            continue
        try:
            warehouse.publish(night, check=refuse if what == "refused" else lambda rows: None)
        except BusyError:  # the server still clears away the one that was killed
            time.sleep(0.1)
            continue
        except AuditError:
            assert what == "refused"
            continue
        newest = max(newest, cutoff)
        if cutoff == newest:
            history.append((str(cutoff), share))
    raise AssertionError("an endless cycle has ended")


@pytest.mark.parametrize(
    ("num_readers", "seconds", "turns"),
    [
        pytest.param(2, 3, TURNS[:-1], id="seconds"),
        pytest.param(8, 60, TURNS, id="a minute", marks=[pytest.mark.chaos, pytest.mark.slow]),
    ],
)
def test_readers_see_whole_nights_only_and_none_goes_back(
    warehouse_uri, tmp_path, num_readers, seconds, turns
):
    """Beside a publisher of new, repeated, older, refused and killed nights."""
    users = 40
    first = nightly(TUESDAY, share=0.001, users=tuple(f"u{n}" for n in range(users)))
    open_at(warehouse_uri).publish(
        publication(TUESDAY, "run-0", nightly=first), check=lambda rows: None
    )
    with readers(warehouse_uri, tmp_path, num=num_readers) as seen:
        history = publish_for(warehouse_uri, seconds, users=users, turns=turns)
    num_looks = check_history(seen, history, users=users)

    print(f"{len(history)} nights, {num_looks} looks of {num_readers} readers")
    assert len(history) > 2
    assert num_looks > num_readers * seconds
    assert any(len({str(look) for look in looks}) > 1 for looks in seen), "never overtaken"


WHOLE = [["category_demand", "a", 0.1, 1], ["item_demand", "a", 0.1, 1]]
WHOLE += [["user_recommendations", "a", 0.1, 2], ["user_scores", "a", 0.1, 2]]


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        ([[*WHOLE[:3], ["user_scores", "b", 0.2, 2]]], "mixed"),
        ([WHOLE[:3]], "partial"),
        ([[*WHOLE[:3], ["user_scores", "a", 0.1, 1]]], "partial"),
        ([[]], "mixed"),
        ([[[*row[:2], 0.9, row[3]] for row in WHOLE]], "never published"),
        ([[[row[0], "b", 0.2, row[3]] for row in WHOLE], WHOLE], "after"),
    ],
)
def test_the_history_checker_finds_what_it_looks_for(looks, said):
    """A checker that says yes to everything would make the tests above worthless."""
    history = [("a", 0.1), ("b", 0.2)]
    with pytest.raises(AssertionError, match=said):
        check_history([looks], history, users=2)

    assert check_history([[WHOLE, WHOLE]], history, users=2) == 2


# ---- the server, the disk ------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restarted", "crashed"])
def test_a_server_that_goes_down_in_the_middle_publishes_nothing(postgres, postgres_uri, how):
    """The night before answers as soon as the server does, and the next run publishes."""
    warehouse = open_at(postgres_uri)
    publish(warehouse, TUESDAY, "run-1", 0.1)

    def go_down(staged: object) -> None:
        postgres.stop(how)
        postgres.start()

    with pytest.raises(UnreachableError, match="Nothing was published"):
        warehouse.publish(publication(WEDNESDAY, "run-2", 0.2), check=go_down)
    found = shares(warehouse)
    publish_soon(warehouse, WEDNESDAY, "run-3", 0.3)

    assert found == [0.1]
    check_rows(warehouse, {TUESDAY: 0.1, WEDNESDAY: 0.3})
    assert leftovers_of(postgres_uri, warehouse) == []


@pytest.mark.parametrize("database", ["duckdb", "postgresql"])
def test_a_full_disk_publishes_nothing_and_leaves_room_for_the_next_run(
    database, tmp_path, request
):
    """What was begun is taken away again; the night before answers all the while."""
    with small_disk(tmp_path, megabytes=24) as disk:
        if database == "duckdb":
            uri = str(disk / "warehouse.duckdb")
        else:
            uri = request.getfixturevalue("postgres").database_on(disk, "on_a_small_disk")
        warehouse = open_at(uri)
        publish(warehouse, TUESDAY, "run-1", 0.1)
        many = tuple(secrets.token_hex(50) for _ in range(200_000))  # nothing to compress
        big = publication(WEDNESDAY, "run-2", nightly=nightly(WEDNESDAY, users=many))
        with pytest.raises(UnreachableError, match="Nothing was published") as caught:
            warehouse.publish(big, check=lambda rows: None)
        found = shares(warehouse)
        publish_soon(warehouse, WEDNESDAY, "run-3", 0.3)

        assert "space" in caught.value.found
        assert found == [0.1]
        check_rows(warehouse, {TUESDAY: 0.1, WEDNESDAY: 0.3})
        if database == "postgresql":
            request.getfixturevalue("postgres").drop_database_on("on_a_small_disk")
