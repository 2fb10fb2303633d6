"""A line between a client and its PostgreSQL server that is cut at the commit of a night.

It passes bytes on, both ways, and reads along. Once a session has named itself after the run (as a
publisher does) and has copied into the ledger, its next COMMIT is the night's.
"""

import re
import socket
import threading
import time
from types import TracebackType

ENTERS = re.compile(rb'COPY [^(]*"publish_ledger" ')


class CutLine:
    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._run_key: bytes | None = None
        self._is_delivered = self._stays_down = False
        self._late_seconds = 0.0
        self._is_down = threading.Event()
        self.num_cuts = 0

    def __enter__(self) -> "CutLine":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()

    def through(self, uri: str) -> str:
        """The same database, by way of this line."""
        return uri.replace(f":{self._server[1]}/", f":{self._listener.getsockname()[1]}/")

    def cut_at_commit_of(
        self,
        run_key: str,
        *,
        is_delivered: bool,
        stays_down: bool = False,
        late_seconds: float = 0.0,
    ) -> None:
        """With ``is_delivered`` the server commits, so late, and only its answer is lost."""
        self._run_key = run_key.encode()
        self._is_delivered, self._stays_down = is_delivered, stays_down
        self._late_seconds = late_seconds

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_down.is_set():
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(self._server)
        threading.Thread(target=self._answers, args=(server, client), daemon=True).start()
        has_entered = False
        try:
            while data := client.recv(65536):
                has_entered = has_entered or ENTERS.search(data) is not None
                if has_entered and b"COMMIT" in data and self._run_key:
                    self._cut(client, server, data)
                    return
                server.sendall(data)
        except OSError:
            pass
        finally:
            server.close()
            client.close()

    def _cut(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        self.num_cuts += 1
        self._run_key = None
        if self._stays_down:
            self._is_down.set()
        client.shutdown(socket.SHUT_RDWR)
        if self._is_delivered:
            time.sleep(self._late_seconds)
            server.sendall(data)
            server.shutdown(socket.SHUT_WR)  # the server carries it out, answers, and is not heard
        else:
            server.shutdown(socket.SHUT_RDWR)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        try:
            while data := server.recv(65536):
                client.sendall(data)
        except OSError:
            pass
        try:
            while server.recv(65536):
                pass
        except OSError:
            pass
