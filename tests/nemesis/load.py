"""Mixed load: clients that ask for everything the server offers, and judge every answer.

Owns what was asked and how it ended. Judges answers one by one (invariant I2: nothing that failed
looks complete); knows nothing of faults.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.api.caller import MODEL, chat_body, tool

from .world import World

CHAT = "/v1/chat/completions"
HOSTED = "hermes-4-405b"
TOLERATED = {"rate_limit_exceeded", "engine_crashed", "load_failed"}
TOLERATED_ELSEWHERE = TOLERATED | {"upstream_error", "upstream_rate_limited", "no_route"}
NAMED_TOOL = {"type": "function", "function": {"name": "get_weather"}}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
BAD_BODIES = (b"", b"{", b"[1]", b'{"model":1}', b'{"a":NaN}', b"\xff", b'{"a":"\\ud800"}')


@dataclass(frozen=True)
class Pace:
    """How much is asked: so many clients, each with so long a pause after an answer, on average."""

    num_clients: int = 6
    pause_s: float = 0.0


@dataclass
class History:
    """How everything ended: outcomes by name, complete answers not yet checked, broken promises."""

    outcomes: Counter[str] = field(default_factory=Counter)
    completed: dict[str, tuple[float, int]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    last_row: int = 0  # of the ledger, up to which it has been checked


class Load:
    """Clients that go on asking until they are told to pause."""

    def __init__(self, world: World, pace: Pace) -> None:
        self.world = world
        self.pace = pace
        self.history = History()
        self._ids = itertools.count(1)
        self._go = asyncio.Event()
        self._num_busy = 0
        self._clients: list[asyncio.Task[None]] = []
        self._kinds = (
            self.ask_whole,
            self.ask_whole,
            self.ask_stream,
            self.ask_stream,
            self.ask_stream,
            self.ask_tool,
            self.ask_json,
            self.ask_embedding,
            self.ask_badly,
            self.ask_and_leave,
            self.ask_elsewhere,
            self.stream_elsewhere,
        )

    def start(self) -> None:
        """Let the clients go."""
        self._go.set()
        if not self._clients:
            num = self.pace.num_clients
            self._clients = [asyncio.create_task(self._ask_on()) for _ in range(num)]

    async def pause(self) -> None:
        """Wait until every client has had its answer."""
        self._go.clear()
        while self._num_busy:
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End the clients, and raise what went wrong in them."""
        await self.pause()
        for client in self._clients:
            client.cancel()
        ends = await asyncio.gather(*self._clients, return_exceptions=True)
        for end in ends:
            if not isinstance(end, asyncio.CancelledError) and isinstance(end, BaseException):
                raise end

    async def _ask_on(self) -> None:
        while True:
            await self._go.wait()
            self._num_busy += 1
            kind = self.world.chance.choice(self._kinds)
            try:
                await kind()
            except httpx.HTTPError as error:
                self._broken(kind.__name__, f"the connection failed: {error!r}")
            except (ValueError, LookupError) as error:
                self._broken(kind.__name__, f"the answer has the wrong shape: {error!r}")
            finally:
                self._num_busy -= 1
            if self.pace.pause_s:
                await asyncio.sleep(self.world.chance.uniform(0, 2 * self.pace.pause_s))

    # -- asking -----------------------------------------------------------------------------

    async def ask_whole(self) -> bool:
        """A whole answer; whether it came."""
        body = chat_body(self._question(), max_tokens=self.world.chance.randint(1, 60))
        answer = await self._post("whole", CHAT, body)
        return answer is not None and self._check_finish("whole", answer)

    async def ask_tool(self) -> None:
        """A tool call that has to come, with arguments that parse unless they were cut."""
        weather = tool()
        body = chat_body(self._question(), tools=[weather], tool_choice=NAMED_TOOL, max_tokens=80)
        answer = await self._post("tool", CHAT, body)
        if answer is not None and self._check_finish("tool", answer):
            choice = answer["choices"][0]
            if choice["finish_reason"] != "length":
                json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])

    async def ask_json(self) -> None:
        """A document that satisfies its schema unless it was cut."""
        wish = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
        body = chat_body(self._question(), response_format=wish, max_tokens=80)
        answer = await self._post("json", CHAT, body)
        if answer is not None and self._check_finish("json", answer):
            choice = answer["choices"][0]
            if choice["finish_reason"] == "stop":
                found = json.loads(choice["message"]["content"])
                if set(found) != {"name", "age"}:
                    self._broken("json", f"the schema was not kept: {found}")

    async def ask_embedding(self) -> None:
        """A vector."""
        body = {"model": MODEL, "input": self._question()}
        answer = await self._post("embedding", "/v1/embeddings", body)
        if answer is not None and not answer["data"][0]["embedding"]:
            self._broken("embedding", "the vector is empty")

    async def ask_badly(self) -> None:
        """What is no request has to be refused as such."""
        content = self.world.chance.choice(BAD_BODIES)
        headers = {"Content-Type": "application/json"}
        response = await self.world.http.post(CHAT, content=content, headers=headers)
        self._note("bad", response.status_code)
        if response.status_code != 400 or "error" not in response.json():
            self._broken("bad", f"answered with {response.status_code}: {response.text[:200]}")

    async def ask_elsewhere(self) -> None:
        """A whole answer of a model that this machine cannot hold."""
        body = chat_body(self._question(), model=HOSTED, max_tokens=40)
        answer = await self._post("hosted", CHAT, body)
        if answer is not None:
            self._check_finish("hosted", answer)

    async def stream_elsewhere(self) -> None:
        """A stream of one."""
        await self.ask_stream(model=HOSTED, kind="hosted stream")

    async def ask_stream(self, kind: str = "stream", **fields: Any) -> None:
        """A stream, read to its end."""
        request_id, raw, status = await self._stream(None, **fields)
        if status != 200:
            self._check_refusal(kind, status, raw)
            return
        events = [line[6:] for line in raw.split("\n\n") if line.startswith("data: ")]
        last = events[-1] if events else ""
        if last == "[DONE]":
            self._finish_stream(kind, request_id, [json.loads(event) for event in events[:-1]])
        elif last.startswith('{"error":'):
            self._note(kind, json.loads(last)["error"].get("code") or "error")
        else:
            self._broken(kind, f"it was cut without a word: ...{raw[-200:]!r}")

    async def ask_and_leave(self) -> None:
        """A stream that nobody waits for the end of."""
        _id, _raw, status = await self._stream(self.world.chance.randint(0, 6))
        self._note("left", status)

    async def _stream(self, num_pieces: int | None, **fields: Any) -> tuple[str, str, int]:
        """Its id, its text and its status; given up after `num_pieces`."""
        chance = self.world.chance
        num_tokens = 2000 if num_pieces is not None else chance.randint(1, 250)
        body = chat_body(
            self._question(), stream=True, ignore_eos=True, max_tokens=num_tokens,
            stream_options={"include_usage": True}, **fields,
        )  # fmt: skip
        request_id, raw = f"nemesis-{next(self._ids)}", ""
        headers = {"X-Request-Id": request_id}
        async with self.world.http.stream("POST", CHAT, json=body, headers=headers) as response:
            async for count, piece in _numbered(response):
                raw += piece
                if num_pieces is not None and count >= num_pieces:
                    break
        return request_id, raw, response.status_code

    def _finish_stream(self, kind: str, request_id: str, chunks: list[dict[str, Any]]) -> None:
        reasons = [
            choice["finish_reason"]
            for chunk in chunks
            for choice in chunk["choices"]
            if choice["finish_reason"]
        ]
        usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
        if len(reasons) != 1 or not usages:
            self._broken(kind, f"[DONE] came with the finish reasons {reasons}")
            return
        self._complete(kind, request_id, usages[-1]["completion_tokens"])

    async def _post(self, kind: str, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        request_id = f"nemesis-{next(self._ids)}"
        headers = {"X-Request-Id": request_id}
        response = await self.world.http.post(path, json=body, headers=headers)
        if response.status_code != 200:
            self._check_refusal(kind, response.status_code, response.text)
            return None
        answer: dict[str, Any] = response.json()
        if path == CHAT:
            self._complete(kind, request_id, answer["usage"]["completion_tokens"])
        else:
            self._note(kind, 200)
        return answer

    # -- judging ----------------------------------------------------------------------------

    def _question(self) -> str:
        return f"count from {self.world.chance.randint(1, 10**9)} upwards"

    def _check_finish(self, kind: str, answer: dict[str, Any]) -> bool:
        has_reason = all(choice["finish_reason"] for choice in answer["choices"])
        if not has_reason:
            self._broken(kind, "a 200 without a finish reason")
        return has_reason

    def _check_refusal(self, kind: str, status: int, text: str) -> None:
        """A refusal may be one of those that a fault explains, in the envelope."""
        try:
            code = json.loads(text)["error"]["code"]
        except (ValueError, KeyError, TypeError):
            code = None
        self._note(kind, f"{status} {code}")
        if code not in (TOLERATED_ELSEWHERE if "hosted" in kind else TOLERATED):
            self._broken(kind, f"refused with {status}: {text[:300]}")

    def _complete(self, kind: str, request_id: str, num_tokens: int) -> None:
        self._note(kind, 200)
        self.history.completed[request_id] = (time.monotonic(), num_tokens)

    def _note(self, kind: str, outcome: object) -> None:
        self.history.outcomes[f"{kind} {outcome}"] += 1

    def _broken(self, kind: str, what: str) -> None:
        self.history.violations.append(f"I2 {kind}: {what}")


async def _numbered(response: httpx.Response) -> Any:
    count = 0
    async for piece in response.aiter_text():
        count += 1
        yield count, piece
