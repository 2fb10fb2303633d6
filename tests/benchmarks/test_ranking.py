"""The ranking benchmark: its configurations, and what its rows say."""

import pytest

from benchmarks.ranking import CONFIGS, PUBLISHED, main, rows_of
from models.config import load_next_item_config


def test_every_file_with_a_published_best_has_a_configuration():
    """A benchmark that could not be started would be found out only on the day of measuring."""
    names = {file.stem for file in CONFIGS.glob("*.yaml")}

    assert names == PUBLISHED.keys()
    assert all(load_next_item_config(CONFIGS / f"{name}.yaml").epochs for name in names)


def test_a_file_without_a_published_best_is_refused_before_anything_is_read(tmp_path, capsys):
    """Not after hours of training, when its rows are made."""
    with pytest.raises(SystemExit) as stopped:
        main(["--data", str(tmp_path / "beauty-s3rec.txt"), str(tmp_path / "ml-20m.txt")])

    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "benchmarks.ranking: error: --data ml-20m.txt: nothing published to stand beside, "
        "expected files of the first names beauty-s3rec, ml-1m"
    )


def test_rows_hold_means_and_spreads_beside_the_best_published():
    """Two seeds: the mean of each metric, and its deviation in a row of its own."""
    metrics = {
        f"{stage}/{name}": 0.05
        for stage in ("test", "val")
        for name in ("ndcg", "hit_rate", "ndcg_unfiltered", "hit_rate_unfiltered")
    }
    found = [
        {**metrics, "minutes": 9.0, "epoch": 3},
        {**metrics, "test/ndcg": 0.07, "minutes": 11.0, "epoch": 4},
    ]

    rows = {row["measure"]: row for row in rows_of("beauty-s3rec", found)}

    assert rows["test NDCG@10"]["nightshift"] == pytest.approx(0.06)
    assert rows["test NDCG@10"]["against"] == 0.0531
    assert rows["test NDCG@10"]["ratio"] == pytest.approx(1.13)
    assert rows["test NDCG@10, deviation"]["nightshift"] == pytest.approx(0.0141)
    assert rows["val NDCG@10"]["nightshift"] == pytest.approx(0.05)
    assert rows["training"]["nightshift"] == pytest.approx(10.0)
