"""One client's connection: uvicorn's protocol with the limits that it does not have itself.

Owns the patience for a request's head, for what is left of a refused body, and for a client that
does not read. Knows bytes and timers, no endpoint. Invariant: a connection on which nothing moves
is closed after a bounded time, with a bounded number of bytes waiting in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .errors import ApiError
from .limits import MAX_HEADER_BYTES, headers_too_large

SEND_BUFFER_BYTES = 256 * 2**10  # the kernel would keep some MiB for each slow reader


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client may take, in seconds."""

    head_s: float = 10.0
    write_stall_s: float = 30.0


class Connection(H11Protocol):
    """An HTTP/1.1 connection that ends when its client stops talking or listening."""

    patience = Patience()
    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrowing
        """Keep next to nothing in our own buffer, so that paused means the client is not reading.

        Then wait for a request, but not for ever.
        """
        transport.set_write_buffer_limits(high=0)
        connected = transport.get_extra_info("socket")
        if connected is not None:
            with contextlib.suppress(OSError):
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        super().connection_made(transport)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """No timer outlives its connection."""
        for timer in (self._head_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    # -- reading ----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take bytes in."""
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
        """Go on to the next request, if the client sends what is left of this one."""
        super().on_response_complete()
        self._watch_head()

    def _watch_head(self) -> None:
        """One timer from the first byte owed to the last, however slowly they drip."""
        if not self._is_owed_bytes():
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
        elif self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self.patience.head_s, self._on_head_late)

    def _is_owed_bytes(self) -> bool:
        """Whether a head is awaited or incomplete, or an answered request has body to come."""
        theirs = self.conn.their_state
        if theirs is h11.IDLE:
            return self.cycle is None or bool(self.conn.trailing_data[0])
        return theirs is h11.SEND_BODY and self.conn.our_state is h11.DONE

    def _on_head_late(self) -> None:
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            limit = f"{self.patience.head_s:g} s"
            self._refuse(
                ApiError(
                    408,
                    "invalid_request_error",
                    f"the request's headers did not come within {limit}; send them faster",
                )
            )
        else:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """The envelope, for bytes that are not HTTP or whose head is too large."""
        is_large = len(self.conn.trailing_data[0]) > MAX_HEADER_BYTES
        self._refuse(
            headers_too_large(MAX_HEADER_BYTES)
            if is_large and self.conn.our_state is h11.IDLE
            else ApiError(400, "invalid_request_error", "what came is not valid HTTP/1.1")
        )

    def _refuse(self, error: ApiError) -> None:
        """Answer in place of the application, and close."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        response = error.response()
        headers = [*response.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=error.status, headers=headers),
            h11.Data(data=bytes(response.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    # -- writing ----------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The client is behind: from now on it has to read something now and then."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _watch_writing(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._stall_timer = self.loop.call_later(
            self.patience.write_stall_s, self._on_stall, waiting
        )

    def _on_stall(self, num_waiting_before: int) -> None:
        """Nothing read: cut it off, which cancels the answer. Something read: go on waiting."""
        if self.transport.get_write_buffer_size() < num_waiting_before:
            self._watch_writing()
        else:
            self._stall_timer = None
            self.transport.abort()


def connection_type(patience: Patience) -> type[Connection]:
    """Connections with a patience of their own."""
    return type("PatientConnection", (Connection,), {"patience": patience})
