"""A lock is worth something only where nobody else can take it."""

import stat

from jobs.running.private_files import open_private


def test_a_private_file_is_its_owners_alone_however_it_was_made(tmp_path):
    """A file of an earlier version is closed up, and what is in it stays."""
    old, new = tmp_path / "old.lock", tmp_path / "new.lock"
    old.write_text("process 7")
    old.chmod(0o666)
    for file in (old, new):
        with open_private(file, "a+") as opened:
            opened.seek(0)
            content = opened.read()

        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert content == ("process 7" if file == old else "")
