"""What the hosted tests share: a fake OpenRouter in its own thread, and answers as plain JSON.

The server under test is a real process; the client is the real `openai` package.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai

from tests.fakes.openrouter import FakeOpenRouter
from tests.serving import Server, serve

Json = dict[str, Any]
LOCAL = "hermes-tiny"
HOSTED = "hermes-4-405b"
KEY = "sk-or-canary-77c0ffee5519"
QUESTION = "Hello, who are you?"
STRICT = {"X-Runner-Strict": "true"}
USAGE: Any = {"stream_options": {"include_usage": True}}
THINK: Any = {"extra_body": {"reasoning": {"enabled": True}}, "max_tokens": 200}
LOOK: Any = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look somewhere.",
        "parameters": {
            "type": "object",
            "properties": {"at": {"type": "string", "enum": ["sky", "sea"]}},
            "required": ["at"],
            "additionalProperties": False,
        },
    },
}
SCHEMA: Any = {
    "type": "object",
    "properties": {
        "colour": {"type": "string", "enum": ["red", "green"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["colour", "count"],
    "additionalProperties": False,
}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "pick", "schema": SCHEMA}}
SMALL = {"RUNNER_ENGINE__MEMORY_BUDGET": str(4 * 2**30)}  # no test machine holds the 405B


@dataclass(frozen=True)
class Stage:
    """A server, the fake it may ask, and a client of each kind."""

    server: Server
    fake: FakeOpenRouter
    api: openai.OpenAI
    http: httpx.Client

    def whole(self, model: str, text: str = QUESTION, **fields: Any) -> Json:
        """The body of an answer."""
        return self.api.chat.completions.create(**body(model, text, **fields)).model_dump(
            exclude_unset=True
        )

    def chunks(self, model: str, text: str = QUESTION, **fields: Any) -> list[Json]:
        """The chunks of a streamed answer."""
        stream = self.api.chat.completions.create(**body(model, text, **fields), stream=True)
        return [chunk.model_dump(exclude_unset=True) for chunk in stream]

    def post(self, path: str, sent: Json, headers: dict[str, str] | None = None) -> httpx.Response:
        """A POST as it is answered, whatever the status."""
        return self.http.post(path, json=sent, headers=headers)

    def refused(self, model: str = HOSTED, **fields: Any) -> openai.APIStatusError:
        """The error that an answer ends in."""
        try:
            answer = self.whole(model, **fields)
        except openai.APIStatusError as error:
            return error
        raise AssertionError(f"it was answered: {answer}")

    def explain(self, **fields: Any) -> Json:
        """The decision for a request."""
        decision: Json = self.post("/v1/route/explain", wire(**fields)).json()
        return decision

    def usage(self) -> Json:
        """The totals of the ledger."""
        totals: Json = self.http.get("/v1/usage").json()["totals"]
        return totals


def body(model: str, text: str = QUESTION, **fields: Any) -> Json:
    """A small chat request, as the `openai` package takes it."""
    messages = [{"role": "user", "content": text}]
    return {"model": model, "messages": messages, "max_tokens": 60, "temperature": 0, **fields}


def wire(model: str = HOSTED, text: str = QUESTION, **fields: Any) -> Json:
    """The same request, as it is sent."""
    return {**body(model, text), **fields}


@contextmanager
def fake_openrouter(**settings: Any) -> Iterator[FakeOpenRouter]:
    """The fake on loopback, in a thread of its own."""
    fake = FakeOpenRouter(**{"key": KEY, **settings})
    loop = asyncio.new_event_loop()
    is_open, is_over = threading.Event(), asyncio.Event()

    async def stand() -> None:
        async with fake.serve():
            is_open.set()
            await is_over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(stand()), daemon=True)
    thread.start()
    assert is_open.wait(20)
    try:
        yield fake
    finally:
        loop.call_soon_threadsafe(is_over.set)
        thread.join(20)
        loop.close()


@contextmanager
def stage(
    home: Path, *arguments: str, fake: FakeOpenRouter | None = None, **environment: str
) -> Iterator[Stage]:
    """A real server that knows the fake's address, and its key unless told otherwise."""
    with ExitStack() as stack:
        fake = fake or stack.enter_context(fake_openrouter())
        given = {"OPENROUTER_BASE_URL": fake.base_url, "OPENROUTER_API_KEY": KEY, **SMALL}
        server = stack.enter_context(serve(home, *arguments, **{**given, **environment}))
        http = stack.enter_context(
            httpx.Client(base_url=server.origin, timeout=60, trust_env=False)
        )
        api = stack.enter_context(
            openai.OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=60)
        )
        yield Stage(server, fake, api, http)


def until(is_so: Callable[[], bool], within_s: float = 15) -> float:
    """Seconds until it is so."""
    begun_s = time.monotonic()
    while not is_so():
        assert time.monotonic() - begun_s < within_s, "it did not come to be in time"
        time.sleep(0.02)
    return time.monotonic() - begun_s


def keys_of(value: Any) -> Any:
    """The shape of JSON: names all the way down, without values; of a list its first item."""
    if isinstance(value, dict):
        return {name: keys_of(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [keys_of(value[0])] if value and isinstance(value[0], dict) else []
    return None


def joined(chunks: list[Json], field: str = "content") -> str:
    """One field of every delta, put together."""
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return "".join(choice["delta"].get(field) or "" for choice in choices)


def finishes(chunks: list[Json]) -> list[str]:
    """Every finish reason of a stream."""
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
