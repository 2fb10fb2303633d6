"""What a program said of itself is there for the next one."""

from datetime import date

from jobs.running.summaries import keep_summary, read_summaries

CUTOFF = date(2017, 11, 29)


def test_the_latest_summary_of_each_job_is_kept(tmp_path):
    """A run again replaces the one before; other cutoffs are apart; nothing unfinished is left."""
    for rows in (1, 2):
        keep_summary(tmp_path, CUTOFF, {"job": "score", "cutoff": CUTOFF, "rows": rows})
    keep_summary(tmp_path, date(2017, 11, 28), {"job": "publish"})

    assert read_summaries(tmp_path, CUTOFF) == {
        "score": {"job": "score", "cutoff": "2017-11-29", "rows": 2}
    }
    assert [file.name for file in (tmp_path / "summaries" / "2017-11-29").iterdir()] == [
        "score.json"
    ]


def test_a_night_that_never_ran_has_none(tmp_path):
    assert read_summaries(tmp_path, CUTOFF) == {}
