"""Just enough HTTP/1.1 on a loopback socket to lie with: heads, bodies, cuts and resets.

Owns connections and threads; decides nothing about what is answered.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import BinaryIO
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the server read it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]

    def range(self) -> tuple[int, int | None] | None:
        """First and last byte asked for."""
        text = self.headers.get("range", "")
        if not text.startswith("bytes="):
            return None
        first, _, last = text.removeprefix("bytes=").partition("-")
        return int(first), int(last) if last else None


class Wire:
    """Writes answers to one connection."""

    def __init__(self, connection: socket.socket, method: str) -> None:
        self._connection = connection
        self._method = method
        self.is_open = True

    def head(self, status: int, headers: dict[str, str], length: int) -> None:
        """The status line and headers."""
        lines = [f"HTTP/1.1 {status} X", f"Date: {formatdate(usegmt=True)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {length}", "", ""]
        self.send("\r\n".join(lines).encode())

    def send(self, data: bytes | memoryview) -> None:
        """Bytes, as they are."""
        self._connection.sendall(data)

    def json(self, body: object, headers: dict[str, str] | None = None, status: int = 200) -> None:
        """A JSON answer."""
        data = json.dumps(body).encode()
        self.head(status, {"Content-Type": "application/json", **(headers or {})}, len(data))
        if self._method != "HEAD":
            self.send(data)

    def error(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        """A refusal as the Hub words it."""
        named = {"X-Error-Code": code, "X-Error-Message": message} if code else {}
        self.json({"error": message}, {**named, **(headers or {})}, status)

    def html(self) -> None:
        """What a captive portal answers to everything."""
        data = b"<!DOCTYPE html><html><body>Please log in to the WiFi</body></html>"
        self.head(200, {"Content-Type": "text/html"}, len(data))
        if self._method != "HEAD":
            self.send(data)

    def close(self) -> None:
        """End the connection in order (FIN), whatever was promised."""
        self.is_open = False

    def reset(self) -> None:
        """End the connection by a reset."""
        linger = struct.pack("ii", 1, 0)
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.is_open = False


class Server:
    """Accepts on a loopback port and serves each connection in a thread of its own."""

    def __init__(self, handler: Callable[[Request, Wire], None]) -> None:
        self._handler = handler
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def start(self) -> None:
        self._accepting.start()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for connection in list(self._connections):
            _shut(connection)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.add(connection)
            thread = threading.Thread(target=self._converse, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _converse(self, connection: socket.socket) -> None:
        reader = connection.makefile("rb")
        try:
            while (request := _read_request(reader)) is not None:
                wire = Wire(connection, request.method)
                self._handler(request, wire)
                if not wire.is_open:
                    return
        except OSError:
            return
        finally:
            reader.close()
            connection.close()
            self._connections.discard(connection)


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _read_request(reader: BinaryIO) -> Request | None:
    line = reader.readline().decode("latin-1").split()
    if len(line) != 3:
        return None
    headers = {}
    while text := reader.readline().decode("latin-1").strip():
        name, _, value = text.partition(":")
        headers[name.strip().lower()] = value.strip()
    target = urlsplit(line[1])
    return Request(line[0], target.path, target.query, headers)
