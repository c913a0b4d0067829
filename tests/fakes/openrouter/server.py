"""The fake on a real socket: raw asyncio, so that every byte and every fault is its own.

Owns connections, the journal of what came in, the ledger of what was billed, and the control
plane. Opens no outgoing connection.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .catalogue import reads
from .chunks import split
from .fault import FAULTS, as_bytes, envelope
from .gate import NUSD, RefusalError, admit
from .generation import Generation, GoneError, HangupError
from .profile import CREATED, PROFILES, Profile
from .scenario import Scenario

KEY = "sk-or-v1-CANARY-KEY-5519"
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


@dataclass
class Entry:
    """One request in the journal."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at_s: float
    scenario: str = ""
    generation_id: str = ""
    num_sent: int = 0
    gone_at_s: float | None = None
    is_complete: bool = False
    billed_nusd: int = 0

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body) if self.body else {}


@dataclass
class FakeOpenRouter:
    """One fake host. `async with fake.serve()` gives its base URL."""

    profile: Profile = PROFILES["openrouter"]
    key: str = KEY
    default: Scenario = Scenario()
    credit_nusd: int = 10 * NUSD
    price_scale: float = 1.0
    generation_after: int = 0
    list_reply: tuple[int, bytes] | None = None
    seed: int = 1
    queue: deque[Scenario] = field(default_factory=deque)
    per_model: dict[str, Scenario] = field(default_factory=dict)
    journal: list[Entry] = field(default_factory=list)
    generations: dict[str, dict[str, Any]] = field(default_factory=dict)
    port: int = 0
    num_connections: int = 0

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.profile.prefix}"

    @property
    def posts(self) -> list[Entry]:
        """The paid requests."""
        return [entry for entry in self.journal if entry.method == "POST"]

    @property
    def billed_nusd(self) -> int:
        return sum(entry.billed_nusd for entry in self.journal)

    @property
    def num_open(self) -> int:
        """Connections that are still served."""
        return len(self._tasks)

    def play(self, *names: str | Scenario) -> None:
        """Queue behaviours for the next requests."""
        self.queue.extend(FAULTS[n] if isinstance(n, str) else n for n in names)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[FakeOpenRouter]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=2048)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.num_connections += 1
        try:
            while await Exchange(self, reader, writer).run():
                pass
        except (
            ConnectionError,
            asyncio.IncompleteReadError,
            HangupError,
            GoneError,
            asyncio.CancelledError,
        ):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    def new_id(self) -> str:
        return f"gen-{CREATED}-" + "".join(self._rng.choices(ALPHABET, k=20))

    def pick(self, entry: Entry) -> Scenario:
        """The behaviour for one request: by header, queue or model, else the default."""
        named = entry.headers.get("x-fake-scenario")
        if named:
            return FAULTS[named]
        if self.queue:
            return self.queue.popleft()
        return self.per_model.get(str(entry.json.get("model")), self.default)


class Exchange:
    """One request and its reply."""

    def __init__(
        self, fake: FakeOpenRouter, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._fake = fake
        self._reader = reader
        self._writer = writer
        self._entry = Entry("", "", {}, b"", time.time())
        self._packer: Any = None

    async def run(self) -> bool:
        """Serve one request; whether the connection goes on."""
        if not await self._read():
            return False
        entry = self._entry
        self._fake.journal.append(entry)
        try:
            await self._answer()
        except RefusalError as refusal:
            await self._reply(refusal.status, json.dumps(refusal.body).encode())
        entry.is_complete = True
        return True

    async def _read(self) -> bool:
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        lines = head.decode("latin-1").split("\r\n")
        self._entry.method, self._entry.path, _ = lines[0].split(" ", 2)
        pairs = (line.split(":", 1) for line in lines[1:] if ":" in line)
        self._entry.headers = {name.lower(): value.strip() for name, value in pairs}
        length = int(self._entry.headers.get("content-length", 0))
        self._entry.body = await self._reader.readexactly(length)
        return True

    async def _answer(self) -> None:
        entry = self._entry
        url = urlsplit(entry.path)
        path = url.path.removeprefix(self._fake.profile.prefix)
        if url.path.startswith("/__fake/"):
            return await self._control(url.path.removeprefix("/__fake/"))
        if entry.method == "POST" and path in ("/chat/completions", "/completions"):
            return await self._complete(is_text=path == "/completions")
        if path == "/models" and self._fake.list_reply is not None:
            return await self._reply(*self._fake.list_reply)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        status, body, headers = reads(self._fake, path, query, self._is_known_key())
        await self._reply(status, json.dumps(body).encode(), headers)
        return None

    def _is_known_key(self) -> bool:
        return self._entry.headers.get("authorization") == f"Bearer {self._fake.key}"

    async def _control(self, path: str) -> None:
        fake, entry = self._fake, self._entry
        fake.journal.remove(entry)
        if path == "scenario":
            fake.play(*entry.json["names"])
        elif path == "reset":
            fake.queue.clear()
            fake.journal.clear()
        elif path == "prices":
            fake.price_scale = float(entry.json["scale"])
        seen = [
            {
                "path": one.path,
                "scenario": one.scenario,
                "body": one.body.decode("utf-8", "replace"),
            }
            for one in fake.journal
        ]
        replies = {"journal": seen, "ledger": {"billed_nusd": fake.billed_nusd}}
        await self._reply(200, json.dumps(replies.get(path, {})).encode())

    async def _complete(self, *, is_text: bool) -> None:
        entry, fake = self._entry, self._fake
        scenario = fake.pick(entry)
        entry.scenario = scenario.name
        if scenario.is_gzipped:
            self._packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
        if scenario.delay_s:
            await asyncio.sleep(scenario.delay_s)
        if scenario.connection != "serve":
            self._hang_up(is_reset=scenario.connection == "reset")
        if scenario.stall_headers:
            await self._wait_until_gone()
        if scenario.body is not None or scenario.status != 200:
            return await self._reply(
                scenario.status, as_bytes(scenario.body), dict(scenario.headers)
            )
        if not self._is_known_key():
            raise RefusalError(401, envelope(401, "No auth credentials found"))
        body = entry.json
        admitted = admit(fake.profile, body, fake.credit_nusd, fake.price_scale)
        entry.generation_id = fake.new_id()
        await Generation(self, scenario, admitted, is_text=is_text).run()
        return None

    # what a generation needs of its exchange

    @property
    def fake(self) -> FakeOpenRouter:
        return self._fake

    @property
    def entry(self) -> Entry:
        return self._entry

    async def begin_stream(self, headers: dict[str, str]) -> None:
        lines = [
            "HTTP/1.1 200 OK",
            "Content-Type: text/event-stream",
            "Cache-Control: no-cache",
            "Transfer-Encoding: chunked",
            f"X-Generation-Id: {self._entry.generation_id}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await self._writer.drain()

    async def send(self, data: bytes, wire: Any) -> None:
        if self._packer is not None:
            data = self._packer.compress(data) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        for piece in split(data, wire) if data else ():  # an empty piece would end the stream
            if self._writer.is_closing() or self._reader.at_eof():
                self.note_gone()
                raise GoneError
            self._writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self._entry.num_sent += len(piece)
            if wire.split != "event":
                await asyncio.sleep(0)
        await self._writer.drain()

    async def end_stream(self) -> None:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def note_gone(self) -> None:
        self._entry.gone_at_s = self._entry.gone_at_s or time.time()

    async def _wait_until_gone(self) -> None:
        await self._reader.read(1)
        self.note_gone()
        raise GoneError

    async def stall(self, comments: bytes, wire: Any) -> None:
        """Keep the socket open without content until the client has had enough."""
        if not comments:
            await self._wait_until_gone()
        while True:
            await self.send(comments, wire)
            await asyncio.sleep(0.01)

    def _hang_up(self, *, is_reset: bool) -> None:
        self.cut(is_reset=is_reset)

    def cut(self, *, is_reset: bool) -> None:
        """End the connection without another byte."""
        if is_reset:
            raw = self._writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        raise HangupError

    async def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        given = {"Content-Type": "application/json", **(headers or {})}
        lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in given.items()]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        await self._writer.drain()

    reply = _reply
