"""The key by which a deployment signs its verdicts: Ed25519, so that whoever checks cannot sign.

``verdict.key`` is the half that signs, for its owner alone; ``verdict.pub`` beside it is the half
that checks, and may be copied to wherever a version is served. Both are 32 bytes in hex.
"""

import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from contracts.errors import ConfigError
from models.whole_files import write_whole


class VerdictKey:
    """The half that checks; of a deployment that has signed nothing yet, it holds nothing."""

    def __init__(self, public: Ed25519PublicKey | None) -> None:
        self._public = public

    def has_signed(self, text: str, signature: str) -> bool:
        if self._public is None:
            return False
        try:
            self._public.verify(bytes.fromhex(signature), text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey(VerdictKey):
    def __init__(self, private: Ed25519PrivateKey) -> None:
        super().__init__(private.public_key())
        self._private = private

    def sign(self, text: str) -> str:
        return self._private.sign(text.encode()).hex()


def open_verdict_key(file: Path) -> VerdictKey:
    """Read ``verdict.pub``. Raises ConfigError where it holds something else."""
    if not file.is_file():
        return VerdictKey(None)
    return VerdictKey(Ed25519PublicKey.from_public_bytes(_read(file)))


def open_signing_key(file: Path) -> SigningKey:
    """Read ``verdict.key``, or make both halves. Raises ConfigError where others may read it."""
    if not file.exists():
        _write(file, Ed25519PrivateKey.generate().private_bytes_raw(), mode=0o600)
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        raise ConfigError(
            str(file),
            found=f"mode {mode:04o}",
            expected="0600: who reads it can sign verdicts",
            do="Run `chmod 600` on it; if somebody may have read it, remove it and its .pub, "
            "then evaluate and promote again.",
        )
    private = Ed25519PrivateKey.from_private_bytes(_read(file))
    if not file.with_suffix(".pub").exists():
        _write(file.with_suffix(".pub"), private.public_key().public_bytes_raw(), mode=0o644)
    return SigningKey(private)


def _write(file: Path, key: bytes, *, mode: int) -> None:
    """Whole or not at all; of two processes at once the first one's stays."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(file, key.hex(), mode=mode)


def _read(file: Path) -> bytes:
    try:
        key = bytes.fromhex(file.read_text())
    except (OSError, ValueError):
        key = b""
    if len(key) != 32:
        raise ConfigError(
            str(file),
            found="no key",
            expected="32 bytes in hex",
            do="Restore it from a copy; or remove verdict.key and verdict.pub, then evaluate and "
            "promote again.",
        )
    return key
