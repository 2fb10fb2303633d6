"""A database's address as it may be shown, and what a driver says of it: without a password.

Whoever writes a URI should percent-encode the password; whoever has not is not punished by seeing
it in a log. Where it is unclear what belongs to the password, more is hidden rather than less.
"""

import re
from urllib.parse import unquote

HIDDEN = "…"
_SCHEME = r"^(?:[^:/?@]*://|(?!.*://))"
# What may follow user and password. An `@` is a parameter's only after a path and `?name=`, where
# nothing but hosts and ports stand before it: libpq takes what lies before an `@` for a login.
_HOST = r"(?:\[[^\]/?@]*\]|[^\[\]:/?@,]*)(?::\d*)?"
_REST = rf"(?:{_HOST}(?:,{_HOST})*/[^@?]*\?[\w.-]+=.*|[^@/?]*(?:/[^@?]*)?(?:\?[^@]*)?)$"
_NO_WORD = re.compile(rf"{_SCHEME}(?:[^:/?@]*@)?{_REST}", re.DOTALL)
_CLEAN = re.compile(rf"(?P<user>{_SCHEME}[^:/?@]*):(?P<word>[^:/?@]*)@(?P<rest>{_REST})", re.DOTALL)
_UNCLEAR = re.compile(rf"(?P<user>{_SCHEME}[^:]*):(?P<word>.*)@(?P<rest>[^@]*)$", re.DOTALL)
_SECRET = r"[\w.-]*(?:password|passwd|secret|token|credential|access[-_.]key)[\w.-]*"
_QUOTED = r"'(?:[^'\\]|\\.)*'" + r'|"(?:[^"\\]|\\.)*"'
_PARAMETER = re.compile(  # of a URI, or of keywords and values as libpq reads them
    rf"(?P<name>[?&]{_SECRET}\s*=)(?P<word>[^&]*)"
    rf"|(?P<key>(?:\s|^){_SECRET}\s*=\s*)(?P<value>(?:{_QUOTED}|\\.|\S)*)",
    re.IGNORECASE | re.DOTALL,
)
_URI = re.compile(  # a password may hold blanks; a port may not
    r"[A-Za-z][\w+.-]*://(?:[^\s:/?@\[]*:(?!\d*(?:[/?,\s]|$))(?:(?!://)[^@\n'\"])*@)?\S*"
)
_SAID = re.compile(  # what programs print of their variables: NAME=value, {'name': 'value'}
    rf"(?P<name>(?<![\w.-]){_SECRET}(?:=(?!=)|['\"]\s*:\s*(?=['\"])))"
    rf"(?:{_QUOTED}|[^\s&,;)}}\]]+)",
    re.IGNORECASE,
)
_NAME = re.compile(_SECRET, re.IGNORECASE)


def without_password(uri: str) -> str:
    """Neither the user's nor that of a key: ``sslpassword`` is one too."""
    found = _user_and_word(uri)
    shown = f"{found['user']}@{found['rest']}" if found else uri
    return _PARAMETER.sub(lambda one: f"{one['name'] or one['key']}{HIDDEN}", shown)


def hide_passwords(text: str) -> str:
    """A text with every URI in it as `without_password` shows it, and no value of a secret name."""
    text = _URI.sub(lambda match: without_password(match[0]), text)
    return _SAID.sub(rf"\g<name>{HIDDEN}", text)


def is_secret(name: str) -> bool:
    """Does the name of a setting or a variable say that its value is not to be shown?"""
    return _NAME.fullmatch(name) is not None


def without_password_of(uri: str, text: str) -> str:
    """What a driver says of the URI; of a password that it took apart it may quote a part."""
    found = _user_and_word(uri)
    words = [found["word"]] if found else []
    words += [one["word"] or (one["value"] or "").strip("'\"") for one in _PARAMETER.finditer(uri)]
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
