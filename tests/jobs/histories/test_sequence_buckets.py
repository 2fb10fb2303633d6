"""Who reads what: earlier rows where they lie, or dealt anew."""

import pytest

from jobs.histories.sequence_buckets import EVENTS_PER_BUCKET, Earlier, Plan, plan_buckets
from jobs.lake.files import RowGroup


def file(bucket, buckets=4, run="r"):
    name = f"run={run}/partition=2017-01-09/part-{bucket:05}-of-{buckets:05}-af0.parquet"
    return RowGroup(name, 0, 10)


def earlier(*row_groups, kept=0):
    return Earlier([*row_groups], kept)


def test_a_bucket_reads_its_own_file():
    """A bucket without users has none; a file of many row groups is read once."""
    plan = plan_buckets(earlier(file(0), file(2), file(2)), num_new=10, at_least=4)

    assert plan == Plan(4, {0: [file(0).path], 2: [file(2).path]}, [])


def test_the_nights_upon_a_bucket_come_after_it():
    """As they were given, so that a fold finds most of its events in order already."""
    groups = [file(0, run="z"), file(1, run="z"), file(0, run="a"), file(0, run="b")]
    plan = plan_buckets(earlier(*groups), num_new=10, at_least=4)

    assert plan.files == {0: [groups[n].path for n in (0, 2, 3)], 1: [groups[1].path]}


@pytest.mark.parametrize(
    ("known", "kept", "num_new", "at_least", "expected"),
    [
        (4, 0, 0, 2, 4),  # twice too many, and twice too few: as they are
        (4, 7 * EVENTS_PER_BUCKET - 1, EVENTS_PER_BUCKET, 2, 4),
        (4, 7 * EVENTS_PER_BUCKET, EVENTS_PER_BUCKET, 2, 9),
        (5, 0, 0, 2, 2),
        (3, 0, 0, 7, 7),
    ],
)
def test_buckets_stay_until_they_are_far_too_large_or_small(
    known, kept, num_new, at_least, expected
):
    """Then every row is dealt once more, and a bucket is again what a task can hold."""
    before = earlier(file(0, known), file(1, known), kept=kept)
    plan = plan_buckets(before, num_new=num_new, at_least=at_least)

    assert plan.num_buckets == expected
    assert plan.dealt == ([] if expected == known else before.row_groups)


@pytest.mark.parametrize(
    "before",
    [
        Earlier([RowGroup("run=r/part-00000-af0.c000.zstd.parquet", 0, 10)]),
        earlier(file(0), RowGroup("run=r/compacted-af0.parquet", 0, 10)),
        earlier(file(0), file(1, 5)),
    ],
    ids=["older layout", "one file of another program", "of two runs"],
)
def test_files_of_no_bucket_are_dealt(before):
    plan = plan_buckets(before, num_new=10, at_least=4)

    assert plan == Plan(4, {}, before.row_groups)
