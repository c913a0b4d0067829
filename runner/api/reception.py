"""The front door: takes connections in at a pace, and lets the urgent ones overtake.

Owns a connection until its first bytes are there; then it belongs to the protocol that `welcome`
gives it. Thousands of requests that come at once would otherwise be begun in one turn of the loop,
and nothing else would be answered until all of them are. Invariant: whoever is let in is served in
the order in which the requests came, but a question for health is served at once.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable

URGENT = b"GET /health"
MAX_ACCEPTS = 64  # connections taken from the kernel in one turn of the loop
MAX_BEGUN = 2  # requests begun in one turn
SILENT_S = 1.0  # without a byte; from then on the protocol's own patience counts
NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
NO_ROOM_S = 0.2  # until it is tried again


class Reception:
    """Takes connections of one listening socket, which stays the caller's to close."""

    def __init__(
        self, listening: socket.socket, welcome: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        self._listening = listening
        self._welcome = welcome
        self._loop = asyncio.get_running_loop()
        self._silent: dict[socket.socket, asyncio.TimerHandle] = {}
        self._waiting: deque[socket.socket] = deque()
        self._arrivals: set[asyncio.Task[object]] = set()
        self._is_open = True
        listening.setblocking(False)
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Take nobody in any more, and send away who still waits."""
        if not self._is_open:
            return
        self._is_open = False
        self._loop.remove_reader(self._listening)
        for connected in list(self._silent):
            self._forget_silent(connected)
            connected.close()
        while self._waiting:
            self._waiting.popleft().close()

    def _accept(self) -> None:
        for _ in range(MAX_ACCEPTS):
            try:
                connected, _address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                self._loop.remove_reader(self._listening)
                self._loop.call_later(NO_ROOM_S, self._accept_again)
                return
            connected.setblocking(False)
            self._look_at(connected)

    def _accept_again(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._listening, self._accept)

    def _look_at(self, connected: socket.socket) -> None:
        """Find out what a connection wants, or wait until it says so."""
        try:
            begin = connected.recv(len(URGENT), socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            if connected not in self._silent:
                self._loop.add_reader(connected, self._look_at, connected)
                late = self._loop.call_later(SILENT_S, self._begin, connected)
                self._silent[connected] = late
            return
        except OSError:
            self._forget_silent(connected)
            connected.close()
            return
        self._forget_silent(connected)
        if begin == URGENT:
            self._begin(connected)
        else:
            self._waiting.append(connected)
            if len(self._waiting) == 1:
                self._loop.call_soon(self._begin_some)

    def _forget_silent(self, connected: socket.socket) -> None:
        late = self._silent.pop(connected, None)
        if late is not None:
            late.cancel()
            self._loop.remove_reader(connected)

    def _begin_some(self) -> None:
        for _ in range(min(MAX_BEGUN, len(self._waiting))):
            self._begin(self._waiting.popleft())
        if self._waiting:
            self._loop.call_soon(self._begin_some)

    def _begin(self, connected: socket.socket) -> None:
        self._forget_silent(connected)
        arrival = self._loop.create_task(self._hand_over(connected))
        self._arrivals.add(arrival)
        arrival.add_done_callback(self._arrivals.discard)

    async def _hand_over(self, connected: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._welcome, connected)
        except OSError:
            connected.close()
