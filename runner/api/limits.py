"""Who is let in, how many at once, and until when: hosts, origins, keys, room, bodies, presence.

Owns the layers between the wire and the endpoints; knows no endpoint and no service. Plain ASGI,
so that streams pass through untouched. Invariant: whoever is refused is told so at once, in
OpenAI's envelope, and has taken nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runner.config import ServerSettings
from runner.errors import ConfigError

from .auth import Keyring
from .errors import ApiError, AuthenticationError, describe

HEALTH = "/health"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
HARMLESS_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_HEADER_BYTES = 16 * 2**10
BODY_TIMEOUT_S = 30.0
FULL_RETRY_S = 1.0
STOPPING_RETRY_S = 5.0
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/@\[\]]+)(?::[0-9]{1,5})?")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/*\s]+")


def is_loopback(host: str) -> bool:
    """Whether listening on `host` is listening to this machine only."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _as_in_header(host: str) -> str:
    """A host as a Host header has it, without a port: lower case, IPv6 in brackets."""
    host = host.strip().lower()
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


@dataclass(frozen=True, slots=True)
class Visitors:
    """Which Host and Origin headers are let in. `names` None: every host.

    A page elsewhere can have its own name resolve to this machine (DNS rebinding) or post here
    without being able to read the answer (CSRF). Rebinding needs a name, so that addresses may
    be let in where this machine has more of them than we know. A key ends both: no page knows it.
    """

    names: frozenset[str] | None
    takes_addresses: bool
    origins: frozenset[str]
    checks_origins: bool

    @classmethod
    def of(cls, server: ServerSettings) -> Visitors:
        """The rule that the settings stand for. Raises ConfigError for an inexact origin."""
        for origin in server.allowed_origins:
            if not _ORIGIN.fullmatch(origin):
                raise ConfigError(
                    f"server.allowed_origins: {origin!r} is not an exact origin; write it like "
                    "'http://localhost:3000', without a path or '*'"
                )
        is_keyless = server.api_key is None and not server.api_keys
        is_wide = not is_loopback(server.host)
        own = {_as_in_header(name) for name in (server.host, *server.allowed_hosts)}
        takes_any = is_wide and not is_keyless and not server.allowed_hosts
        return cls(
            names=None if takes_any else LOOPBACK_NAMES | own,
            takes_addresses=is_wide and not server.allowed_hosts,
            origins=frozenset(server.allowed_origins),
            checks_origins=is_keyless,
        )

    def takes_host(self, header: str) -> bool:
        """Whether a request to that host is meant for this server; any port will do."""
        if self.names is None:
            return True
        parsed = _HOST.fullmatch(header.lower())
        if parsed is None:
            return False
        host = parsed[1]
        return host in self.names or (self.takes_addresses and _is_address(host))

    def takes_origin(self, origin: str | None, host: str) -> bool:
        """Whether a page of that origin may change anything here: our own, or a configured one."""
        if origin is None or not self.checks_origins or origin in self.origins:
            return True
        return origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")

    def refusal(self, method: str, headers: Headers) -> ApiError | None:
        """Why a request is not let in, if it is not."""
        host = headers.get("host", "")
        if not self.takes_host(host):
            return ApiError(
                400,
                "invalid_request_error",
                f"this server is not called {host[:100]!r}; add the name to server.allowed_hosts",
                "host_not_allowed",
            )
        origin = headers.get("origin")
        if method not in HARMLESS_METHODS and not self.takes_origin(origin, host):
            return ApiError(
                403,
                "invalid_request_error",
                f"pages of {(origin or '')[:100]!r} may not use this server; add the origin to "
                "server.allowed_origins",
                "origin_not_allowed",
            )
        return None


class VisitorGuard:
    """Lets in only requests that are meant for this server, with headers of bounded size."""

    def __init__(self, app: ASGIApp, visitors: Visitors, max_bytes: int = MAX_HEADER_BYTES) -> None:
        self._app = app
        self._visitors = visitors
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        answer = refusal.response() if refusal is not None else self._app
        await answer(scope, receive, send)

    def _refusal(self, scope: Scope) -> ApiError | None:
        size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        size += sum(len(name) + len(value) for name, value in scope["headers"])
        if size > self._max_bytes:
            return headers_too_large(self._max_bytes)
        return self._visitors.refusal(scope["method"], Headers(scope=scope))


def headers_too_large(max_bytes: int) -> ApiError:
    """The error for a head of more than `max_bytes`."""
    message = f"the request's headers are larger than {max_bytes} bytes; send less"
    return ApiError(431, "invalid_request_error", message, "headers_too_large")


class KeyGuard:
    """Asks for the key before anything else is looked at, on whatever path; see `is_public`."""

    def __init__(self, app: ASGIApp, keyring: Keyring) -> None:
        self._app = app
        self._keyring = keyring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._app
        if scope["type"] == "http" and not is_public(scope["method"], scope["path"]):
            try:
                self._keyring.name_of(Request(scope))
            except AuthenticationError as error:
                answer = describe(error).response()
        await answer(scope, receive, send)


def is_public(method: str, path: str) -> bool:
    """Health, and the files of the page, which hold no secret; the page itself sends the key."""
    is_file = path == "/" or path.startswith("/static/")
    return path == HEALTH or (is_file and method in ("GET", "HEAD"))


class Gate:
    """How many requests are open, and whether new ones are still taken."""

    def __init__(self, max_open: int) -> None:
        self.max_open = max_open
        self.num_open = 0
        self.is_stopping = False

    def refusal(self, path: str) -> ApiError | None:
        """Why a request is not taken now, if it is not; health is, however full it is."""
        if self.is_stopping:
            message = "the server is shutting down; try again when it is back"
            return ApiError(
                503, "server_error", message, "shutting_down", retry_after_s=STOPPING_RETRY_S
            )
        if self.num_open < self.max_open or path == HEALTH:
            return None
        return ApiError(
            429,
            "rate_limit_error",
            f"{self.num_open} requests are open, which is all this server takes at once; try "
            "again soon, or raise server.max_open_requests",
            "rate_limit_exceeded",
            retry_after_s=FULL_RETRY_S,
        )


class Admission:
    """Lets a request through the gate, and gives its body a limited time to come."""

    def __init__(self, app: ASGIApp, gate: Gate, body_timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._app = app
        self._gate = gate
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._gate.refusal(scope["path"])
        if refusal is not None:
            response = refusal.response()
            if self._gate.is_stopping:
                response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        is_counted = scope["path"] != HEALTH
        self._gate.num_open += is_counted
        try:
            body = TimedBody(receive, self._body_timeout_s)
            await Presence(body, send).serve(self._app, scope)
        finally:
            self._gate.num_open -= is_counted


class TimedBody:
    """A request's messages; the body has to be complete in time, what follows it has not."""

    def __init__(self, receive: Receive, timeout_s: float) -> None:
        self._receive = receive
        self._timeout_s = timeout_s
        self._deadline_s = asyncio.get_running_loop().time() + timeout_s
        self._is_complete = False

    async def __call__(self) -> Message:
        if self._is_complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline_s):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(
                408, f"the body did not come within {self._timeout_s:g} s; send it faster"
            ) from None
        self._is_complete = not message.get("more_body", False)
        return message


class Presence:
    """Cancels a streamed answer when its client has gone: once, so that it can end in peace.

    The framework's own way, taken unless the server claims ASGI 2.4, cancels again at every wait
    in which the answer is being closed, until some of it is left running.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._answering = asyncio.current_task()
        self._watch: asyncio.Task[None] | None = None
        self._is_gone = False

    async def serve(self, app: ASGIApp, scope: Scope) -> None:
        """Run the application until it has answered or the client has gone."""
        asgi = {**scope.get("asgi", {}), "spec_version": "2.4"}
        try:
            await app({**scope, "asgi": asgi}, self._receive, self._pass_on)
        except asyncio.CancelledError:
            if not self._is_gone or self._answering is None:
                raise
            self._answering.uncancel()
        finally:
            self._stop_watching()

    async def _pass_on(self, message: Message) -> None:
        """Send; between the first part of a body and its last, look out for the client."""
        is_body = message["type"] == "http.response.body"
        if is_body and not message.get("more_body", False):
            self._stop_watching()
        elif is_body and self._watch is None:
            self._watch = asyncio.create_task(self._watch_client())
        await self._send(message)

    async def _watch_client(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        if self._answering is not None:
            self._answering.cancel()

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
