"""The key of a deployment: who checks cannot sign, and nobody else reads what signs."""

import stat
import threading

import pytest

from contracts.errors import ConfigError
from models.registry.signing import open_signing_key, open_verdict_key


def test_what_was_signed_is_known_by_the_other_half(tmp_path):
    """A word changed, or a key of another deployment, is seen."""
    key = open_signing_key(tmp_path / "a" / "verdict.key")
    other = open_signing_key(tmp_path / "b" / "verdict.key")
    public = open_verdict_key(tmp_path / "a" / "verdict.pub")
    signature = key.sign("admitted: true")

    assert public.has_signed("admitted: true", signature)
    assert not public.has_signed("admitted: false", signature)
    assert not public.has_signed("admitted: true", other.sign("admitted: true"))
    assert not public.has_signed("admitted: true", "no hex")
    assert not public.has_signed("admitted: true", "")
    assert not hasattr(public, "sign")


def test_only_its_owner_reads_what_signs(tmp_path):
    """And it stays the same."""
    file = tmp_path / "keys" / "verdict.key"
    first = open_signing_key(file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert open_signing_key(file).has_signed("text", first.sign("text"))
    assert sorted(path.name for path in file.parent.iterdir()) == ["verdict.key", "verdict.pub"]


def test_a_key_that_others_read_signs_nothing(tmp_path):
    file = tmp_path / "verdict.key"
    open_signing_key(file)
    file.chmod(0o640)
    with pytest.raises(ConfigError) as raised:
        open_signing_key(file)

    assert str(raised.value) == (
        f"{file}: found mode 0640, expected 0600: who reads it can sign verdicts. Run `chmod 600` "
        "on it; if somebody may have read it, remove it and its .pub, then evaluate and promote "
        "again."
    )


@pytest.mark.parametrize("text", ["ab" * 31, ""])
def test_a_damaged_key_is_refused(tmp_path, text):
    file = tmp_path / "verdict.pub"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        open_verdict_key(file)

    assert str(raised.value) == (
        f"{file}: found no key, expected 32 bytes in hex. Restore it from a copy; or remove "
        "verdict.key and verdict.pub, then evaluate and promote again."
    )


def test_where_nothing_was_ever_signed_nothing_is_known(tmp_path):
    """No file is no key, and no error: the gate's own refusal says what to do."""
    assert not open_verdict_key(tmp_path / "verdict.pub").has_signed("text", "00" * 64)


def test_two_that_make_it_at_once_have_one_key(tmp_path):
    """A training and a promotion may both be the first."""
    file, keys = tmp_path / "verdict.key", []
    threads = [threading.Thread(target=lambda: keys.append(open_signing_key(file))) for _ in "1234"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(keys) == 4
    assert all(keys[0].has_signed("x", key.sign("x")) for key in keys)
    assert open_verdict_key(file.with_suffix(".pub")).has_signed("x", keys[0].sign("x"))
