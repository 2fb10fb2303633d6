"""A database's address as it may be shown, and what a driver says of it: without a password.

Whoever writes a URI should percent-encode the password; whoever has not is not punished by seeing
it in a log. Where it is unclear what belongs to the password, more is hidden rather than less.
"""

import re
from urllib.parse import unquote

HIDDEN = "…"
_SCHEME, _REST = r"^(?:[^:/?@]*://|(?!.*://))", r"[^@/?]*(?:/[^@?]*)?(?:\?.*)?$"
_NO_WORD = re.compile(rf"{_SCHEME}(?:[^:/?@]*@)?{_REST}", re.DOTALL)
_CLEAN = re.compile(rf"(?P<user>{_SCHEME}[^:/?@]*):(?P<word>[^:/?@]*)@(?P<rest>{_REST})", re.DOTALL)
_UNCLEAR = re.compile(rf"(?P<user>{_SCHEME}[^:/?]*):(?P<word>.*)@(?P<rest>[^@]*)$", re.DOTALL)
_SECRET = r"[\w.-]*(?:password|passwd|secret|token|credential|access[-_.]key)[\w.-]*"
_PARAMETER = re.compile(rf"(?P<name>(?:[?&\s]|^){_SECRET}\s*=)(?P<word>[^&\s]*)", re.IGNORECASE)
_URI = re.compile(r"[A-Za-z][\w+.-]*://\S*")
_NAME = re.compile(_SECRET, re.IGNORECASE)


def without_password(uri: str) -> str:
    """Neither the user's nor that of a key: ``sslpassword`` is one too."""
    found = _user_and_word(uri)
    shown = f"{found['user']}@{found['rest']}" if found else uri
    return _PARAMETER.sub(rf"\g<name>{HIDDEN}", shown)


def hide_passwords(text: str) -> str:
    """A text with every URI in it as `without_password` shows it."""
    return _URI.sub(lambda match: without_password(match[0]), text)


def is_secret(name: str) -> bool:
    """Does the name of a setting or a variable say that its value is not to be shown?"""
    return _NAME.fullmatch(name) is not None


def without_password_of(uri: str, text: str) -> str:
    """What a driver says of the URI; of a password that it took apart it may quote a part."""
    found = _user_and_word(uri)
    words = [found["word"]] if found else []
    words += [parameter["word"] for parameter in _PARAMETER.finditer(uri)]
    words = [*filter(None, {form for word in words for form in (word, unquote(word))})]
    parts = {part for word in words for part in _parts(word)}

    def quoted(match: re.Match[str]) -> str:
        return f'"{HIDDEN}"' if parts & _parts(match[1]) else match[0]

    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, HIDDEN)
    return re.sub(r'"([^"]*)"', quoted, text)


def _user_and_word(uri: str) -> re.Match[str] | None:
    return None if _NO_WORD.match(uri) else _CLEAN.match(uri) or _UNCLEAR.match(uri)


def _parts(text: str) -> set[str]:
    return {part for part in re.split(r"[:/?@&=\s]", text) if part}
