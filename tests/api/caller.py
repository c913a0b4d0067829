"""A plain HTTP client of the server, for tests: bodies in, JSON or the chunks of a stream out.

Knows the wire only: nothing of the program is imported.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx

from tests.serving import Server

MODEL = "hermes-tiny"
STRICT = {"X-Runner-Strict": "true"}
Json = dict[str, Any]


@dataclass(frozen=True)
class Stream:
    """A streamed answer, read to its end."""

    response: httpx.Response
    frames: list[str]

    @property
    def is_done(self) -> bool:
        """Whether `[DONE]` came, as the very last event."""
        return bool(self.frames) and self.frames[-1] == "[DONE]"

    @property
    def chunks(self) -> list[Json]:
        """Every event but `[DONE]`."""
        return [json.loads(frame) for frame in self.frames if frame != "[DONE]"]

    def deltas(self, index: int = 0) -> list[Json]:
        """The deltas of one choice."""
        choices = [choice for chunk in self.chunks for choice in chunk["choices"]]
        return [choice["delta"] for choice in choices if choice["index"] == index]

    def text(self, index: int = 0, field: str = "content") -> str:
        """One choice's text, put together."""
        return "".join(delta.get(field) or "" for delta in self.deltas(index))

    def finishes(self, index: int = 0) -> list[str]:
        """Every finish reason of one choice."""
        choices = [choice for chunk in self.chunks for choice in chunk["choices"]]
        mine = [choice for choice in choices if choice["index"] == index]
        return [choice["finish_reason"] for choice in mine if choice["finish_reason"]]


class Caller:
    """Requests to one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.http = httpx.Client(base_url=server.origin, timeout=60)

    def post(self, path: str, body: Json, headers: dict[str, str] | None = None) -> httpx.Response:
        """A POST as it is answered, whatever the status."""
        return self.http.post(path, json=body, headers=headers)

    def json(self, path: str, body: Json, headers: dict[str, str] | None = None) -> Json:
        """The body of an answer that has to be a 200."""
        response = self.post(path, body, headers)
        assert response.status_code == 200, response.text
        answer: Json = response.json()
        return answer

    def refused(self, path: str, body: Json, headers: dict[str, str] | None = None) -> Json:
        """The error of an answer that has to be a 400."""
        response = self.post(path, body, headers)
        assert response.status_code == 400, response.text
        error: Json = response.json()["error"]
        return error

    def chat(self, text: str = "Hello, who are you?", **fields: Any) -> Json:
        """A whole chat completion."""
        return self.json("/v1/chat/completions", chat_body(text, **fields))

    def say(self, text: str = "Hello, who are you?", **fields: Any) -> str:
        """The text of a chat completion."""
        content: str = self.chat(text, **fields)["choices"][0]["message"]["content"]
        return content

    def complete(self, prompt: Any = "Once upon a time", **fields: Any) -> Json:
        """A whole text completion."""
        body = {"model": MODEL, "prompt": prompt, "max_tokens": 16, **fields}
        return self.json("/v1/completions", body)

    def stream(self, path: str, body: Json, headers: dict[str, str] | None = None) -> Stream:
        """A stream, whole; raw framing is checked on the way."""
        with self.http.stream(
            "POST", path, json={**body, "stream": True}, headers=headers
        ) as response:
            raw = response.read().decode()
        assert response.status_code == 200, raw
        return Stream(response, data_lines(raw))

    def stream_chat(self, text: str = "Hello, who are you?", **fields: Any) -> Stream:
        """A streamed chat completion."""
        return self.stream("/v1/chat/completions", chat_body(text, **fields))


def chat_body(text: str = "Hello, who are you?", **fields: Any) -> Json:
    """A small chat request."""
    messages = [{"role": "user", "content": text}]
    return {"model": MODEL, "messages": messages, "max_tokens": 24, **fields}


def data_lines(raw: str) -> list[str]:
    """The events of a stream: one `data:` line each, a blank line after each, comments apart."""
    assert raw.endswith("\n\n"), raw[-300:]
    events = [event for event in raw.split("\n\n") if event and not event.startswith(":")]
    assert all(event.startswith("data: ") and "\n" not in event for event in events)
    return [event.removeprefix("data: ") for event in events]


def tool(name: str = "get_weather", **properties: Json) -> Json:
    """A tool with required parameters."""
    properties = properties or {"city": {"type": "string", "maxLength": 24}}
    parameters = {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }
    description = f"Call {name.replace('_', ' ')}."
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


def engine_of(server: Server, *, within_s: float = 20) -> Json:
    """What `/health` says of the one engine, as soon as it has reported at all."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        engines: Any = server.health()["engines"]
        if engines and "pid" in engines[0]:
            engine: Json = engines[0]
            return engine
        time.sleep(0.02)
    raise AssertionError(f"no engine has reported after {within_s} s")


def wait_idle(server: Server, *, within_s: float = 20) -> Json:
    """The engine, as soon as nothing is being generated or waiting any more."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        engine = engine_of(server)
        if engine["running"] + engine["waiting"] == 0:
            return engine
        time.sleep(0.02)
    raise AssertionError(f"answers were still being generated after {within_s} s")
