"""A client that costs next to nothing while the clock runs.

Owns one request on one connection: bytes are only stamped with their time of arrival while they
come, and taken apart afterwards, so the client does not compete with the servers for the cores.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

READ_SIZE = 1 << 16
TIMEOUT_S = 900.0
Json = dict[str, Any]


class RequestFailedError(Exception):
    """A server answered with an error, or broke off."""


@dataclass(slots=True)
class Reply:
    """One streamed answer. Times in seconds of the monotonic clock."""

    sent_s: float
    times_s: list[float] = field(default_factory=list)
    text: str = ""
    tool_calls: list[Json] = field(default_factory=list)
    num_prompt: int = 0
    num_cached: int = 0
    num_generated: int = 0
    ended_s: float = 0.0

    @property
    def first_token_s(self) -> float:
        """From sending to the first piece of output."""
        return self.times_s[0] - self.sent_s

    @property
    def duration_s(self) -> float:
        """From sending to the last byte."""
        return self.ended_s - self.sent_s

    @property
    def decode_tok_s(self) -> float:
        """Tokens per second after the first one."""
        span_s = self.times_s[-1] - self.times_s[0]
        return (self.num_generated - 1) / span_s if span_s > 0 else 0.0

    @property
    def tokens_per_piece(self) -> float:
        """More than one where tokens came in groups."""
        return self.num_generated / max(1, len(self.times_s))


class Watched:
    """When the bytes of a stream came, for somebody who looks while it runs."""

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self._changed = asyncio.Event()

    def notice(self, at_s: float) -> None:
        """Bytes came."""
        self.times_s.append(at_s)
        self._changed.set()

    async def wait_for(self, count: int) -> None:
        """Return once bytes have come that many times."""
        while len(self.times_s) < count:
            self._changed.clear()
            await self._changed.wait()

    def gaps_s(self, start_s: float, stop_s: float) -> list[float]:
        """Times between neighbouring arrivals that both lie in the window."""
        inside = [at for at in self.times_s if start_s <= at <= stop_s]
        return [later - earlier for earlier, later in pairwise(inside)]


class Client:
    """Sends chat requests to one server."""

    def __init__(self, port: int, model: str) -> None:
        self.port = port
        self.model = model

    async def chat(
        self,
        messages: list[Json],
        *,
        max_tokens: int,
        watched: Watched | None = None,
        **more: Any,
    ) -> Reply:
        """One greedy streamed answer of exactly `max_tokens`, unless `more` says otherwise."""
        body = {
            "model": self.model,
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": True,
            "stream": True,
            "stream_options": {"include_usage": True},
            **more,
        }
        sent_s = time.monotonic()
        async with asyncio.timeout(TIMEOUT_S):
            arrivals = await _exchange(self.port, "/v1/chat/completions", body, watched)
        return read_reply(sent_s, arrivals)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Bytes as one read returned them."""

    at_s: float
    data: bytes


async def _exchange(port: int, path: str, body: Json, watched: Watched | None) -> list[Arrival]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    arrivals = []
    try:
        writer.write(head.encode() + data)
        while piece := await reader.read(READ_SIZE):
            arrivals.append(Arrival(time.monotonic(), piece))
            if watched is not None:
                watched.notice(arrivals[-1].at_s)
    finally:
        writer.close()
    return arrivals


def read_reply(sent_s: float, arrivals: list[Arrival]) -> Reply:
    """Take a stream apart. Raises RequestFailedError unless it ended with `[DONE]`."""
    reply = Reply(sent_s, ended_s=arrivals[-1].at_s if arrivals else sent_s)
    is_done = False
    for at_s, event in _events(arrivals):
        if event == b"[DONE]":
            is_done = True
        else:
            _take(reply, at_s, json.loads(event))
    if not is_done or not reply.times_s:
        whole = b"".join(arrival.data for arrival in arrivals)
        raise RequestFailedError(f"a stream broke off: {whole[-500:].decode(errors='replace')}")
    return reply


def _take(reply: Reply, at_s: float, event: Json) -> None:
    if "error" in event:
        raise RequestFailedError(str(event["error"]))
    usage = event.get("usage")
    if usage:
        reply.num_prompt = usage["prompt_tokens"]
        reply.num_generated = usage["completion_tokens"]
        reply.num_cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    for choice in event.get("choices", ()):
        delta = choice.get("delta") or {}
        text = (delta.get("content") or "") + (delta.get("reasoning_content") or "")
        calls = delta.get("tool_calls") or []
        if text or calls:
            reply.times_s.append(at_s)
        reply.text += text
        _merge_calls(reply.tool_calls, calls)


def _merge_calls(calls: list[Json], deltas: list[Json]) -> None:
    for delta in deltas:
        while len(calls) <= delta["index"]:
            calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        call = calls[delta["index"]]
        call["id"] = call["id"] or delta.get("id") or ""
        function = delta.get("function") or {}
        for part in ("name", "arguments"):
            call["function"][part] += function.get(part) or ""


def _events(arrivals: list[Arrival]) -> Iterator[tuple[float, bytes]]:
    """The data of each event with the time its last byte came."""
    pending = b""
    for at_s, data in _bodies(arrivals):
        pending += data
        *whole, pending = pending.split(b"\n\n")
        for event in whole:
            for line in event.splitlines():
                if line.startswith(b"data:"):
                    yield at_s, line[5:].strip()


def _bodies(arrivals: list[Arrival]) -> Iterator[tuple[float, bytes]]:
    """The response's body without its head and its chunked framing."""
    buffer, has_head, is_chunked = b"", False, False
    for arrival in arrivals:
        buffer += arrival.data
        if not has_head:
            if b"\r\n\r\n" not in buffer:
                continue
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            has_head, is_chunked = True, b"chunked" in head.lower()
            status = int(head.split(b" ", 2)[1])
            if status != 200:
                raise RequestFailedError(_failure(status, buffer, arrivals))
        if not is_chunked:
            yield arrival.at_s, buffer
            buffer = b""
            continue
        while (end := buffer.find(b"\r\n")) >= 0:
            size = int(buffer[:end].split(b";")[0], 16)
            if len(buffer) < end + 4 + size:
                break
            yield arrival.at_s, buffer[end + 2 : end + 2 + size]
            buffer = buffer[end + 4 + size :]


def _failure(status: int, start: bytes, arrivals: list[Arrival]) -> str:
    rest = b"".join(arrival.data for arrival in arrivals[1:])
    return f"status {status}: {(start + rest)[:500].decode(errors='replace')}"
