"""The login of the MLflow that `nightshift up` starts: one password, in a file of its owner's.

Programs read it there, so that it stands in no address, command line or log.
"""

import os
import secrets
from pathlib import Path
from urllib.parse import urlparse

from jobs.running.kept_secrets import has_secret, kept_secret
from jobs.running.settings import Settings

USER = "admin"
USER_VARIABLE, PASSWORD_VARIABLE = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
OURS = {"127.0.0.1", "localhost"}  # another server is told no password of this one


def password_file(home: Path) -> Path:
    return home / "mlflow" / "password"


def make_password(home: Path) -> str:
    """The password of before, or a new one; MLflow's users of before go with the old one."""
    file = password_file(home)
    if not has_secret(file):
        users_file(home).unlink(missing_ok=True)
    return kept_secret(file, lambda: secrets.token_urlsafe(18))


def users_file(home: Path) -> Path:
    """MLflow's own database of users: SQLite."""
    return home / "mlflow" / "users.db"


def sign_in(settings: Settings) -> None:
    """Give this process the login, where MLflow is a server here and nobody gave another."""
    address = urlparse(settings.mlflow.tracking_uri)
    file = password_file(settings.home)
    if address.scheme != "http" or address.hostname not in OURS or not has_secret(file):
        return
    if USER_VARIABLE not in os.environ:
        os.environ |= {USER_VARIABLE: USER, PASSWORD_VARIABLE: file.read_text()}
