"""Every error says where, what was found, what was expected and what to do, word for word."""

import pickle

import pytest

from contracts import errors
from contracts.errors import (
    BadLinesError,
    BusyError,
    ConfigError,
    ConservationError,
    DamagedModelError,
    DataError,
    EmptyDayError,
    GateError,
    LossNotFiniteError,
    MissingColumnsError,
    MissingPartitionError,
    MissingRawError,
    MissingSnapshotError,
    NightshiftError,
    NoChampionError,
    NotAdmittedError,
    OtherMoneyError,
    ProcessLostError,
    PromotionRefusedError,
    TooLittleMemoryError,
    TrainingBusyError,
    TrainingStoppedError,
    UnknownKeyError,
    UnknownOutcomeError,
    UnreachableError,
)

MESSAGES = [
    (
        OtherMoneyError("nightshift version 3", counted="gross", money="net", do="Train another"),
        "nightshift version 3: found spend counted gross, "
        "expected spend counted net, as the setting money says. "
        "Train another, or set money to what it was (docs/money.md).",
    ),
    (
        OtherMoneyError("nightshift version 3", counted=None, money="net", do="Train another"),
        "nightshift version 3: found no word on how spend was counted, "
        "expected spend counted net, as the setting money says. "
        "Train another, or set money to what it was (docs/money.md).",
    ),
    (
        UnknownKeyError("nightshift.yaml", key="gapp", known=["source", "raw"]),
        "nightshift.yaml: found the key 'gapp', expected one of raw, source. "
        "Correct the spelling or remove the key.",
    ),
    (
        UnknownKeyError("nightshift.yaml", key="spark.mastre", known=["master", "partitions"]),
        "nightshift.yaml: found the key 'spark.mastre', expected one of master, partitions. "
        "Did you mean master? Correct the spelling or remove the key.",
    ),
    (
        MissingRawError("raw/ingest_date=2017-11-28"),
        "raw/ingest_date=2017-11-28: found no raw file, "
        "expected at least one for this ingestion day. "
        "Check that the collector delivered the day, then run this again. "
        "If the shop was closed, say so with ingest.closed_days or ingest.closed_weekdays.",
    ),
    (
        MissingRawError("raw/ingest_date=2017-11-26", "raw/ingest_date=2017-11-28"),
        "raw/ingest_date=2017-11-26: found no raw file, nor in raw/ingest_date=2017-11-28, "
        "expected at least one for each of these ingestion days. "
        "Check that the collector delivered the days, then run this again. "
        "If the shop was closed, say so with ingest.closed_days or ingest.closed_weekdays.",
    ),
    (
        EmptyDayError("raw/ingest_date=2017-12-25"),
        "raw/ingest_date=2017-12-25: found 0 lines, expected at least 1 for this ingestion day. "
        "Check that the collector delivered the day, then run this again; "
        "to accept a day without events, set ingest.allow_empty_days to true.",
    ),
    (
        BadLinesError(
            "raw/ingest_date=2017-11-28",
            bad=3,
            lines=10,
            max_bad_fraction=0.01,
            reasons={"unreadable line": 2, "missing user_id": 1},
        ),
        "raw/ingest_date=2017-11-28: found 3 bad lines of 10 "
        "(unreadable line 2, missing user_id 1), expected at most 1.00%. "
        "Nothing was committed. Mend the file or its mapping, then run this again.",
    ),
    (
        BadLinesError(
            "raw/ingest_date=2017-11-28",
            bad=15,
            lines=90,
            max_bad_fraction=0.01,
            reasons={"a": 1, "b": 2, "c": 4, "d": 3, "e": 5},
            show="nightshift sources check raw/ingest_date=2017-11-28/log.csv --rows 50",
        ),
        "raw/ingest_date=2017-11-28: found 15 bad lines of 90 "
        "(e 5, c 4, d 3, 2 other reasons 3), expected at most 1.00%. "
        "Nothing was committed. See examples of each with "
        "`nightshift sources check raw/ingest_date=2017-11-28/log.csv --rows 50`. "
        "Mend the file or its mapping, then run this again.",
    ),
    (
        DamagedModelError("weights", found="2 bytes", expected="weights as this code writes them"),
        "weights: found 2 bytes, expected weights as this code writes them. Nothing was made with "
        "it. Restore the file from a copy, go back to the champion before with `nightshift "
        "rollback`, or train, evaluate and promote again; and find out who writes to MLflow's "
        "folder.",
    ),
    (
        NotAdmittedError("nightshift version 3", found="no admission", hint="TRY"),
        "nightshift version 3: found no admission, expected a version that the gate admitted and "
        "a promotion signed. An alias alone admits nothing. Run `nightshift evaluate` and "
        "`nightshift promote` (`nightshift train-demand` for demand), or `nightshift rollback`. "
        "To try a candidate, set TRY=1.",
    ),
    (
        ConservationError(
            "raw/ingest_date=2017-11-28/part-0.jsonl",
            found="10 lines, 7 events, 1 duplicates and 1 quarantined",
        ),
        "raw/ingest_date=2017-11-28/part-0.jsonl: "
        "found 10 lines, 7 events, 1 duplicates and 1 quarantined, "
        "expected lines = events + duplicates + quarantined, as counted and as written. "
        "Nothing was committed. Were the raw files changed meanwhile? Run this again.",
    ),
    (
        MissingColumnsError(
            "raw", missing=["price"], present=["sales", "item"], mapping="sources/shop.yaml"
        ),
        "raw: found the columns item, sales, expected also price. "
        "Correct the mapping in sources/shop.yaml, or ask the collector for the column.",
    ),
    (
        MissingPartitionError(
            "events",
            partition="ingest_date=2017-11-28",
            producer="nightshift ingest --cutoff 2017-11-29",
        ),
        "events/ingest_date=2017-11-28: found no committed partition, "
        "expected one, committed whole. "
        "Run `nightshift ingest --cutoff 2017-11-29` first, then run this again.",
    ),
    (
        MissingSnapshotError("events", snapshot_id=7, found="no such snapshot"),
        "events at snapshot 7: found no such snapshot, "
        "expected the snapshot, with every file that it names. "
        "Neither a night nor `nightshift vacuum` removes one: look for another program "
        "that expires snapshots or removes files, and restore them from a copy.",
    ),
    (
        PromotionRefusedError("nightshift", reasons=["churn is worse than recency", "version 3"]),
        "nightshift: found churn is worse than recency; version 3, "
        "expected the promotion rule to hold for every head. "
        "The champion alias did not move. Read the evaluation report, train again, "
        "and evaluate the new candidate.",
    ),
    (
        NoChampionError("nightshift"),
        "nightshift: found no version with the alias champion, expected one that passed the gate. "
        "Run `nightshift train`, `nightshift evaluate` and `nightshift promote`; "
        "nothing is scored without a champion.",
    ),
    (
        UnreachableError(
            "the raw folder",
            address="/mnt/raw",
            reason="no such folder",
            do="Check that the folder is mounted.",
        ),
        "the raw folder at /mnt/raw: found no such folder, expected an answer. "
        "Check that the folder is mounted.",
    ),
    (
        UnknownOutcomeError(
            "the warehouse at postgresql://db", run_key="publish-1", reason="connection refused"
        ),
        "the warehouse at postgresql://db: found no answer to the commit of publish-1, and then "
        "connection refused, expected the commit's answer, or the ledger's. The night is published "
        "whole or not at all, and the ledger knows which: "
        "`SELECT * FROM publish_ledger WHERE run_key = 'publish-1'`. "
        "Once the warehouse answers, run this again: a night that is there is replaced whole.",
    ),
    (
        TooLittleMemoryError(
            "training on 2 processes",
            wanted="tried to allocate 9 GiB",
            setting="batch_size",
            value=5,
        ),
        "training on 2 processes: found no memory left (tried to allocate 9 GiB), "
        "expected room for a step of training. "
        "Lower batch_size from 5 to 2, then run this again.",
    ),
    (
        LossNotFiniteError(
            "step 7 of 90",
            losses={"loss": float("nan"), "spend": float("inf")},
            files=["runs/a/not-finite-rank0.json", "runs/a/not-finite-rank1.json"],
            learning_rate=0.003,
        ),
        "step 7 of 90: found loss nan, spend inf, expected numbers. "
        "Look at the events of the users in runs/a/not-finite-rank0.json, "
        "runs/a/not-finite-rank1.json: an amount may be absurd. "
        "If they are sound, lower learning_rate (it is 0.003).",
    ),
    (
        TrainingStoppedError("SIGTERM", step=37, total=800),
        "after step 37 of 800: found SIGTERM, expected to be let finish. "
        "The step is saved: run this again with the same arguments, and it goes on there.",
    ),
    (
        TrainingStoppedError("SIGTERM", step=0, total=0),
        "before the first step: found SIGTERM, expected to be let finish. "
        "Nothing is saved yet: run this again with the same arguments.",
    ),
    (
        ProcessLostError("training on 2 processes", reason="Connection closed by peer"),
        "training on 2 processes: found that another process of the training has ended "
        "(Connection closed by peer), expected all of them to go on. "
        "Run this again with the same arguments: it goes on from its newest checkpoint. "
        "If that process was killed for its memory, lower batch_size or --devices.",
    ),
]


@pytest.mark.parametrize(("error", "message"), MESSAGES, ids=lambda value: type(value).__name__)
def test_a_message_says_where_what_and_what_next(error, message):
    """What an operator reads at night is what was written here."""
    assert str(error) == message


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ConfigError, 2),
        (TooLittleMemoryError, 2),
        (DataError, 3),
        (LossNotFiniteError, 3),
        (GateError, 4),
        (BusyError, 1),
        (TrainingBusyError, 1),
        (TrainingStoppedError, 1),
        (ProcessLostError, 1),
        (UnreachableError, 1),
    ],
)
def test_an_error_ends_its_program_with_the_code_of_its_branch(kind, code):
    """Schedulers decide by exit code whether trying again can help."""
    assert kind.exit_code == code


@pytest.mark.parametrize("error", [error for error, _ in MESSAGES], ids=lambda e: type(e).__name__)
def test_an_error_survives_a_process_boundary(error):
    """Raised in a worker, it reaches the driver as itself, with its message and its parts."""
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert (copy.where, copy.do, copy.exit_code) == (error.where, error.do, error.exit_code)


def test_every_error_is_in_the_tree_at_the_top_of_the_file():
    """Who reads the docstring has seen them all, each with its parent's exit code."""
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, NightshiftError)
    ]

    assert len(kinds) > 10
    for kind in kinds:
        assert kind.__name__ in (errors.__doc__ or "")


def test_no_error_of_ours_shows_a_password_whatever_it_was_told():
    """Messages go to logs, pages and chats."""
    error = UnreachableError(
        "MLflow",
        address="http://ann:s3cret@h:5000",
        reason="GET http://ann:s3cret@h:5000/api: refused",
        do="Start it.",
    )

    assert str(error) == (
        "MLflow at http://ann@h:5000: found GET http://ann@h:5000/api: refused, expected an "
        "answer. Start it."
    )
    assert "s3cret" not in repr(vars(error))
