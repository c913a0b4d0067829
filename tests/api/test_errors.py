"""The contract's table of errors, each in OpenAI's envelope, and keys."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.serving import Server, serve

from .caller import MODEL, Caller, chat_body, data_lines, wait_idle

CHAT = "/v1/chat/completions"
KEY = {"Authorization": "Bearer sesame"}
POSTS = (
    CHAT,
    "/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/tokenize",
    "/detokenize",
    "/apply-template",
)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a key, small bodies and a short queue."""
    limits = {"RUNNER_SERVER__MAX_BODY_BYTES": "20000", "RUNNER_ENGINE__QUEUE": "1"}
    home = tmp_path_factory.mktemp("narrow")
    arguments = (MODEL, "--api-key", "sesame", "--parallel", "12")
    with serve(home, *arguments, **limits) as server:
        yield server


@pytest.fixture(scope="module")
def client(narrow: Server) -> Iterator[httpx.Client]:
    """A client that sends the key."""
    with httpx.Client(base_url=narrow.origin, headers=KEY, timeout=60) as client:
        yield client


def envelope(response: httpx.Response) -> dict[str, Any]:
    """The error, in the four keys that are always there."""
    body = response.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert isinstance(error["message"], str)
    assert error["message"]
    assert isinstance(error["type"], str)
    assert error["param"] is None or isinstance(error["param"], str)
    assert error["code"] is None or isinstance(error["code"], str)
    return error


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"a":NaN}', b'{"a":1e999}', b"\xff", b"[]", b"5", b'{"a":"\\ud800"}']
)
def test_malformed_json_is_a_400(caller: Caller, path: str, data: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    response = caller.http.post(path, content=data, headers=headers)
    assert response.status_code == 400
    assert envelope(response)["type"] == "invalid_request_error"


def test_deep_json_is_a_400(caller: Caller) -> None:
    data = b'{"a":' * 5000 + b"1" + b"}" * 5000
    response = caller.http.post(CHAT, content=data, headers={"Content-Type": "application/json"})
    assert response.status_code == 400


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": "1"}, "temperature"),
        ({"temperature": 9}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        ({"stop": 5}, "stop"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"seed": 2**64}, "seed"),
        ({"logit_bias": {"a": 101}}, "logit_bias"),
        ({"logit_bias": {"999999": 1}}, "logit_bias"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": ""}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools.0.function.name"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"route": "elsewhere"}, "route"),
        ({"overflow": "spill"}, "overflow"),
    ],
)
def test_a_wrong_value_is_a_400_that_names_the_parameter(
    caller: Caller, fields: dict[str, Any], param: str
) -> None:
    response = caller.post(CHAT, chat_body(**fields))
    assert response.status_code == 400
    error = envelope(response)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


def test_a_part_that_is_no_text_is_a_400(caller: Caller) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    error = caller.refused(CHAT, chat_body(messages=[{"role": "user", "content": [picture]}]))
    assert error["param"] == "messages.0.content"


def test_a_schema_that_cannot_be_enforced_is_a_400_naming_the_keyword(caller: Caller) -> None:
    named = {"name": "x", "schema": {"type": "object", "unevaluatedProperties": {"type": "null"}}}
    wish = {"type": "json_schema", "json_schema": named}
    assert (
        "unevaluatedProperties" in caller.refused(CHAT, chat_body(response_format=wish))["message"]
    )


def test_a_prompt_longer_than_the_context_is_a_400_with_numbers(caller: Caller) -> None:
    error = caller.refused(CHAT, chat_body("hello " * 9000))
    assert error["code"] == "context_length_exceeded"
    assert error["n_prompt_tokens"] > error["n_ctx"] > 0


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"])
def test_an_unknown_model_is_a_404_with_the_nearest_names(caller: Caller, path: str) -> None:
    body = {
        "model": "hermes-4-70",
        "messages": chat_body()["messages"],
        "prompt": "a",
        "input": "a",
    }
    response = caller.post(path, body)
    assert response.status_code == 404
    error = envelope(response)
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "hermes-4-70b" in error["message"]
    assert caller.http.get("/v1/models/hermes-4-70").status_code == 404


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"])
def test_a_model_nobody_may_serve_is_a_503_with_reasons(caller: Caller, path: str) -> None:
    body = {
        "model": "hermes-4-405b",
        "messages": chat_body()["messages"],
        "prompt": "a",
        "input": "a",
    }
    response = caller.post(path, body)
    assert response.status_code == 503
    error = envelope(response)
    assert error["code"] == "no_route"
    assert error["reasons"]
    assert isinstance(error["alternatives"], list)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nowhere", 404), ("GET", CHAT, 405), ("DELETE", "/v1/models", 405)],
)
def test_an_unknown_path_or_method_has_the_envelope(
    caller: Caller, method: str, path: str, status: int
) -> None:
    response = caller.http.request(method, path)
    assert response.status_code == status
    envelope(response)


def test_a_form_post_is_refused(caller: Caller) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = caller.http.post(CHAT, content=b"{}", headers=headers)
    assert response.status_code == 400
    assert "application/json" in envelope(response)["message"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"X-Api-Key": "no"}])
@pytest.mark.parametrize("path", [*POSTS, "/v1/models", "/metrics"])
def test_no_or_a_wrong_key_is_a_401(narrow: Server, path: str, headers: dict[str, str]) -> None:
    method = "POST" if path in POSTS else "GET"
    response = httpx.request(method, narrow.origin + path, headers=headers, timeout=10)
    assert response.status_code == 401
    assert envelope(response)["code"] == "invalid_api_key"
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "headers", [KEY, {"authorization": "bearer sesame"}, {"X-Api-Key": "sesame"}]
)
def test_the_key_opens_in_either_header(narrow: Server, headers: dict[str, str]) -> None:
    url = f"{narrow.url}/models"
    assert httpx.get(url, headers=headers, timeout=10).status_code == 200


def test_health_needs_no_key(narrow: Server) -> None:
    assert narrow.health()["status"] == "ok"


@pytest.mark.parametrize("declares", [True, False])
def test_a_body_over_the_limit_is_a_413(client: httpx.Client, declares: bool) -> None:
    data = b'{"model": "' + b"x" * 30000 + b'"}'
    content: Any = data if declares else iter([data[:10000], data[10000:]])
    headers = {"Content-Type": "application/json"}
    response = client.post(CHAT, content=content, headers=headers)
    assert response.status_code == 413
    assert envelope(response)["code"] == "request_too_large"


def test_a_full_queue_is_a_429_that_says_when_to_come_back(client: httpx.Client) -> None:
    body = chat_body(stream=True, ignore_eos=True, max_tokens=6000)
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            response = stack.enter_context(client.stream("POST", CHAT, json=body))
            if response.status_code != 200:
                break
        response.read()
    assert response.status_code == 429
    assert envelope(response)["code"] == "rate_limit_exceeded"
    assert int(response.headers["retry-after"]) >= 1


def test_a_failure_after_the_stream_began_never_looks_complete(
    narrow: Server, client: httpx.Client
) -> None:
    """Whoever answers goes on, or the stream ends with its error and without `[DONE]`."""
    engine = wait_idle(narrow)
    body = chat_body(stream=True, ignore_eos=True, max_tokens=6000)
    with client.stream("POST", CHAT, json=body) as response:
        assert response.status_code == 200
        pieces = response.iter_text()
        raw = next(pieces)
        os.kill(engine["pid"], signal.SIGKILL)
        raw += "".join(pieces)
    last = data_lines(raw)[-1]
    if last != "[DONE]":
        assert last.startswith('{"error":')
    assert client.post(CHAT, json=chat_body()).status_code == 200
