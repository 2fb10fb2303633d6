"""A PostgreSQL server of the tests' own: its folder, its port, its process, nobody else's.

The server refuses to run as root, so root starts it as ``postgres`` or ``nobody``.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

LOCAL = {"listen_addresses": "127.0.0.1"}
OPTIONS = {
    "fsync": "off",  # the tests kill processes, not the machine
    "max_connections": "40",
    "shared_buffers": "64MB",
}


def find_binaries() -> Path | None:
    """The folder of the newest server that is installed."""
    on_path = shutil.which("postgres")
    found = [Path(on_path).parent] if on_path else []
    installed = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = sorted(installed, key=lambda file: float(file.parts[-3]))
    return ([*found, *(file.parent for file in newest)] or [None])[-1]


class PostgresServer:
    """Made once, started and stopped at will."""

    def __init__(self, binaries: Path, *, options: Mapping[str, str] = OPTIONS) -> None:
        self._binaries, self._options = binaries, {**LOCAL, **options}
        self._user = _unprivileged()
        self.folder = Path(tempfile.mkdtemp(prefix="nightshift-postgres-"))
        self.own(self.folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        init = ["--pgdata", str(self.folder / "data"), "--username", "nightshift"]
        command = [str(binaries / "initdb"), *init, "--auth", "trust", "--no-sync", "--encoding"]
        self._run([*command, "UTF8", "--locale", "C"]).wait()

    def start(self) -> None:
        options = [f"--{name.replace('_', '-')}={value}" for name, value in self._options.items()]
        places = ["-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder)]
        self._process = self._run([str(self._binaries / "postgres"), *places, *options])
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.uri("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends sessions and shuts down; SIGQUIT dies at once, as a crash does."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(timeout=60)

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def uri(self, database: str, user: str = "nightshift") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def new_database(self, name: str, *, tablespace: str = "pg_default") -> str:
        """Its URI."""
        create = sql.SQL("CREATE DATABASE {} TABLESPACE {}")
        statement = create.format(sql.Identifier(name), sql.Identifier(tablespace))
        with psycopg.connect(self.uri("postgres"), autocommit=True) as connection:
            connection.execute(statement)
        return self.uri(name)

    def database_on(self, disk: Path, name: str) -> str:
        """A database whose tables lie on another disk; its URI."""
        folder = disk / "tablespace"
        folder.mkdir()
        self.own(folder)
        for above in folder.parents:
            above.chmod(above.stat().st_mode | 0o111)  # pytest's folders are for their owner only
        statement = sql.SQL("CREATE TABLESPACE {} LOCATION {}")
        with psycopg.connect(self.uri("postgres"), autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Literal(str(folder))))
        return self.new_database(name, tablespace=name)

    def drop_database_on(self, name: str) -> None:
        """And the tablespace that was made for it."""
        with psycopg.connect(self.uri("postgres"), autocommit=True) as connection:
            for what in ("DATABASE", "TABLESPACE"):
                statement = sql.SQL(f"DROP {what} {{}}").format(sql.Identifier(name))
                connection.execute(statement)

    def own(self, folder: Path) -> None:
        """Let the server write there."""
        folder.chmod(0o755)
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        who = {"user": self._user.pw_uid, "group": self._user.pw_gid} if self._user else {}
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                extra_groups=[] if self._user else None,
                **who,
            )


def _unprivileged() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    names = {one.pw_name: one for one in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]
