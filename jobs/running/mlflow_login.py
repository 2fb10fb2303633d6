"""The login of the MLflow that `nightshift up` starts: one password, in a file of its owner's.

Programs read it there, so that it stands in no address, command line or log.
"""

import os
import secrets
from pathlib import Path
from urllib.parse import urlparse

from jobs.running.settings import Settings

USER = "admin"
USER_VARIABLE, PASSWORD_VARIABLE = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
OURS = {"127.0.0.1", "localhost"}  # another server is told no password of this one


def password_file(home: Path) -> Path:
    return home / "mlflow" / "password"


def make_password(home: Path) -> str:
    """The password of before, or a new one; MLflow's users of before go with the old one."""
    file = password_file(home)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        users_file(home).unlink(missing_ok=True)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write(secrets.token_urlsafe(18))
    return file.read_text()


def users_file(home: Path) -> Path:
    """MLflow's own database of users: SQLite."""
    return home / "mlflow" / "users.db"


def sign_in(settings: Settings) -> None:
    """Give this process the login, where MLflow is a server here and nobody gave another."""
    address = urlparse(settings.mlflow.tracking_uri)
    file = password_file(settings.home)
    if address.scheme != "http" or address.hostname not in OURS or not file.is_file():
        return
    if USER_VARIABLE not in os.environ:
        os.environ |= {USER_VARIABLE: USER, PASSWORD_VARIABLE: file.read_text()}
