"""A file that is there is whole."""

import stat
import threading

import pytest

from models.whole_files import write_whole


def test_a_write_that_fails_leaves_no_file(tmp_path):
    """Neither an empty one, which would pass for a key, nor the draft."""
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "key", "\ud800", mode=0o600)

    assert list(tmp_path.iterdir()) == []


def test_the_first_of_two_stays_unless_it_is_replaced(tmp_path):
    file = tmp_path / "key"
    threads = [
        threading.Thread(target=write_whole, args=(file, str(n)), kwargs={"mode": 0o600})
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = file.read_text()
    write_whole(file, "second", mode=0o600)
    assert file.read_text() == first
    write_whole(file, "third", mode=0o600, replaces=True)

    assert file.read_text() == "third"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
