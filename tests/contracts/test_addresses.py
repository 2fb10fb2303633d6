"""No password is shown: not in an address, not in a driver's reason, however it was written."""

import pytest

from contracts.addresses import (
    hide_passwords,
    is_secret,
    without_password,
    without_password_of,
)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://ann:s3c/r@et@h:1/d", "postgresql://ann@h:1/d"),
        ("postgresql://ann:s:e@c?r=e/t@h:1/d?x=1", "postgresql://ann@h:1/d?x=1"),
        ("postgresql://ann:secret@h:1/d?x=1", "postgresql://ann@h:1/d?x=1"),
        ("postgresql://ann:secret@h:1/d?x=a@b:c", "postgresql://ann@h:1/d?x=a@b:c"),
        ("postgresql://ann:secret@h:1,i:2/d", "postgresql://ann@h:1,i:2/d"),
        (
            "postgresql://h/d?user=ann&password=secret&x=1",
            "postgresql://h/d?user=ann&password=…&x=1",
        ),
        (
            "postgresql://h/d?sslpassword=secret&SSLPassword=s@t",
            "postgresql://h/d?sslpassword=…&SSLPassword=…",
        ),
        ("postgresql+psycopg2://ann:secret@h/d", "postgresql+psycopg2://ann@h/d"),
        (
            "postgresql://h:5432/d?application_name=a@b",
            "postgresql://h:5432/d?application_name=a@b",
        ),
        ("postgresql://ann@corp:secret@h/d", "postgresql://ann@corp@h/d"),
        ("postgresql://ann@h:1/d?x=a:b@c", "postgresql://ann@h:1/d?x=a:b@c"),
        ("postgresql://ann@h:1/d", "postgresql://ann@h:1/d"),
        ("postgresql://h/d", "postgresql://h/d"),
        ("postgresql://[::1]:5432/d", "postgresql://[::1]:5432/d"),
        ("sqlite:////data/catalog.db", "sqlite:////data/catalog.db"),
    ],
)
def test_no_password_is_shown(uri, shown):
    """Not in an error, not in a summary, not in the demo's last lines."""
    assert without_password(uri) == shown


@pytest.mark.parametrize(
    ("uri", "reason", "shown"),
    [
        ("postgresql://ann:s3c/r@h/d", 'invalid port: "s3c"', 'invalid port: "…"'),
        ("postgresql://ann:pa@ss@h/d", 'no host "ss@h"', 'no host "…"'),
        ("postgresql://ann:a%20b@h/d", "wrong: a b", "wrong: …"),
        ("postgresql://h/d?sslpassword=secret", "key secret", "key …"),
        ("postgresql://ann:secret@h/d", 'user "ann" at "h"', 'user "ann" at "h"'),
        ("postgresql://h/d", 'no host "h"', 'no host "h"'),
    ],
)
def test_no_reason_quotes_a_password(uri, reason, shown):
    """Nor a part of one that the driver took for something else."""
    assert without_password_of(uri, reason) == shown


def test_every_uri_of_a_text_is_shown_without_its_password():
    """A library's own sentence may hold several."""
    text = "tried http://ann:s3cret@h:1/x, then 'postgress://bob:s3c@ret@i/d': no answer"

    assert hide_passwords(text) == "tried http://ann@h:1/x, then 'postgress://bob@i/d': no answer"


@pytest.mark.parametrize(
    ("name", "is_hidden"),
    [
        ("s3.secret-access-key", True),
        ("NIGHTSHIFT__LAKE__CATALOG__TOKEN", True),
        ("client.access-key-id", True),
        ("credential", True),
        ("sslpassword", True),
        ("uri", False),
        ("keep_nights", False),
    ],
)
def test_a_name_says_whether_its_value_is_secret(name, is_hidden):
    """Of a catalog's properties, of a URI's parameters, of variables."""
    assert is_secret(name) is is_hidden
