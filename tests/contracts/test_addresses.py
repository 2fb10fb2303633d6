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
        ("postgresql://ann:hun?ter2@127.0.0.1:1/d", "postgresql://ann@127.0.0.1:1/d"),
        ("postgresql://ann:secret?@h/d", "postgresql://ann@h/d"),
        ("postgresql://ann:?secret@h:5432/d?sslmode=x", "postgresql://ann@h:5432/d?sslmode=x"),
        ("postgresql://ann:hun/t?er2@h/d", "postgresql://ann@h/d"),
        ("postgresql://ann:1234?secret@h:1/d", "postgresql://ann@h:1/d"),
        ("postgresql://ann:1234?a=secret@h:1/d", "postgresql://ann@h:1/d"),
        ("postgresql://ann:1?2/secret@h:1/d", "postgresql://ann@h:1/d"),
        ("postgresql://ann:se@cr?et@h:1/d", "postgresql://ann@h:1/d"),
        ("postgresql://a?nn:secret@h:1/d", "postgresql://a?nn@h:1/d"),
        ("ann:hun?ter2@h/d", "ann@h/d"),
        (
            "postgresql://h:5432,[::1]:2/d?options=a@b:c",
            "postgresql://h:5432,[::1]:2/d?options=a@b:c",
        ),
        ("postgresql:///d?host=/run&options=a@b:c", "postgresql:///d?host=/run&options=a@b:c"),
        ("postgresql://h/d?password=hun ter2&x=1", "postgresql://h/d?password=…&x=1"),
        ("host=h password='hun ter2' dbname=d", "host=h password=… dbname=d"),
        ("host=h password = hun\\ t&er2 dbname=d", "host=h password = … dbname=d"),
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
        ("postgresql://ann:hun?ter2@h/d", "login hun?ter2 failed", "login … failed"),
        ("postgresql://h/d?sslpassword=secret", "key secret", "key …"),
        ("password='hun ter2' dbname=d", "key hun ter2", "key …"),
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
    ("text", "shown"),
    [
        (
            "no answer of postgresql://ann:hun ter2@h/d, ever",
            "no answer of postgresql://ann@h/d, ever",
        ),
        (
            "jdbc:postgresql://h/d?user=a&password=hunter2 is down",
            "jdbc:postgresql://h/d?user=a&password=… is down",
        ),
        ("{'uri': 'x', 'password': 'hun\\'ter2', 'n': 1}", "{'uri': 'x', 'password': …, 'n': 1}"),
        ('{"s3.secret-access-key":"hunter2"}', '{"s3.secret-access-key":…}'),
        ("AWS_SECRET_ACCESS_KEY=hunter2 was set", "AWS_SECRET_ACCESS_KEY=… was set"),
        ("connect(host='h', password='hun ter2')", "connect(host='h', password=…)"),
        ("http://h:1/x refused; ask ops@corp", "http://h:1/x refused; ask ops@corp"),
        ("http://h: no answer for ann@corp", "http://h: no answer for ann@corp"),
        ("expected a token: 'password' == found", "expected a token: 'password' == found"),
        ("{'tokens': 12}", "{'tokens': 12}"),
    ],
)
def test_no_secret_is_shown_that_a_library_prints(text, shown):
    """Of a URI with a blank, a variable, a dictionary; other words stay as they are."""
    assert hide_passwords(text) == shown


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
