"""Whatever bytes come in, the answer is no 5xx, comes soon, and costs nobody an engine.

`RUNNER_TEST_RAW_CASES` sets how many requests are sent (120; the full run is 5000).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.caller import MODEL, engine_of
from tests.serving import Server, serve

from .wire import request

NUM_CASES = int(os.environ.get("RUNNER_TEST_RAW_CASES", "120"))
LIMIT_S = 2.0
MAX_BODY_BYTES = 200_000
CHAT = "/v1/chat/completions"
PATHS = (
    CHAT,
    "/v1/completions",
    "/v1/embeddings",
    "/v1/route/explain",
    "/tokenize",
    "/detokenize",
    "/apply-template",
    "/v1/models/" + "%2e%2e%2f" * 4 + "etc/passwd",
    "/v1/usage?since=9e99999",
    "/v1/nowhere",
)
VALUES = (
    "NaN",
    "-Infinity",
    "1e400",
    "-1e999",
    str(2**63),
    str(-(2**64) - 1),
    "9" * 5000,
    "1.5e300",
    "-0",
    "null",
    "true",
    '""',
    '"\\u0000"',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"<|im_end|>"',
    '"' + "a" * 60_000 + '"',
    "[" * 70 + "]" * 70,
    "[" * 100_000,
    '{"a":' * 500 + "1" + "}" * 500,
    "{}",
    "[]",
    "[null]",
    '[{"role":"user","content":"hi"}]',
    '[{"role":"user","content":"\\u0000"}]',
    '{"type":"json_schema","json_schema":{"name":"a","schema":{"$ref":"#"}}}',
    '{"type":"json_schema","json_schema":{"name":"a","schema":{"maxLength":100000}}}',
)
FIELDS = (
    "model",
    "messages",
    "prompt",
    "input",
    "content",
    "tokens",
    "temperature",
    "top_k",
    "seed",
    "n",
    "stop",
    "stream",
    "logit_bias",
    "tools",
    "response_format",
    "grammar",
    "max_cost_usd",
    "\x00",
    "model",
)
SMALL = f'"model":"{MODEL}","max_tokens":3,"messages":[{{"role":"user","content":"hi"}}]'
GARBAGE = (b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\x00", b"\xef\xbb\xbf{}", b"{" * 90_000)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """JSON with something wrong in it, now and then not even that."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.one_of(st.sampled_from(GARBAGE), st.binary(max_size=200)))
    fields = draw(st.lists(st.tuples(st.sampled_from(FIELDS), st.sampled_from(VALUES)), max_size=3))
    extra = [json.dumps(name) + ":" + value for name, value in fields]
    whole = "{" + ",".join([SMALL, '"prompt":"hi","input":"hi","content":"hi"', *extra]) + "}"
    body = whole.encode()
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.sampled_from(GARBAGE)) + body[at:]
    return body


@dataclass(frozen=True)
class Raw:
    """What is sent, and whether more is said to come. Shown in short."""

    data: bytes
    is_half: bool = False

    def __repr__(self) -> str:
        shown = self.data if len(self.data) < 900 else self.data[:500] + b" ... " + self.data[-300:]
        return f"Raw({shown!r}, {len(self.data)} bytes, is_half={self.is_half})"


@st.composite
def requests(draw: st.DrawFn) -> Raw:
    """A request, whole or half, as a socket would see it."""
    path, body = draw(st.sampled_from(PATHS)), draw(bodies())
    method = draw(st.sampled_from(["POST"] * 8 + ["GET", "PUT", "HEAD", "OPTIONS", "DELETE"]))
    how = draw(st.sampled_from(["whole"] * 6 + ["chunked", "giant", "half", "type", "noise"]))
    close = "Connection: close"
    match how:
        case "chunked":
            head = request(path, b"", close, "Transfer-Encoding: chunked", method=method)
            head = head.replace(b"Content-Length: 0\r\n", b"")
            return Raw(head + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
        case "giant":
            head = request(path, b"", close, "Transfer-Encoding: chunked", method=method)
            head = head.replace(b"Content-Length: 0\r\n", b"")
            return Raw(head + (b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 12)
        case "half":
            whole = request(path, body, close, method=method)
            return Raw(whole[: draw(st.integers(0, len(whole)))], is_half=True)
        case "type":
            kind = draw(st.sampled_from([b"text/plain", b"", b"\xff", b"application/xml", b"json"]))
            whole = request(path, body, close, method=method)
            return Raw(whole.replace(b"application/json", kind, 1))
        case "noise":
            noise = draw(st.binary(max_size=300))
            return Raw(noise + request(path, body, close, method=method))
    return Raw(request(path, body, close, method=method))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of our own with small bodies, so that giant ones are cheap to send."""
    home = tmp_path_factory.mktemp("raw")
    with serve(home, MODEL, "--offline", RUNNER_SERVER__MAX_BODY_BYTES=str(MAX_BODY_BYTES)) as it:
        yield it


def send(server: Server, raw: Raw) -> bytes:
    """Send, hang up after half a request, else read what comes back."""
    host, port = server.origin.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(raw.data)
            if raw.is_half:
                client.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := client.recv(65536):
                answer += piece
        return answer


def check_answer(answer: bytes) -> int:
    """The status: no 5xx, and every refusal in the envelope. 0 where it was hung up."""
    if not answer:
        return 0
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    assert status < 500, answer[:500]
    if status >= 400 and body:
        error: dict[str, Any] = json.loads(body)["error"]
        assert {"message", "type", "param", "code"} <= set(error)
    return status


@pytest.mark.timeout(60 + NUM_CASES)
def test_no_bytes_hurt(server: Server) -> None:
    pid = engine_of(server)["pid"]
    slowest_s = 0.0
    statuses: Counter[int] = Counter()

    @settings(
        max_examples=NUM_CASES, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(raw=requests())
    def try_one(raw: Raw) -> None:
        nonlocal slowest_s
        begun_s = time.monotonic()
        status = check_answer(send(server, raw))
        assert status or raw.is_half
        statuses[status] += 1
        elapsed_s = time.monotonic() - begun_s
        slowest_s = max(slowest_s, elapsed_s)
        assert elapsed_s < LIMIT_S

    try_one()
    sys.stderr.write(
        f"{NUM_CASES} requests, the slowest took {slowest_s:.2f} s, {dict(statuses)}\n"
    )
    assert engine_of(server)["pid"] == pid
    log = (Path(server.home) / "server.log").read_text()
    assert "Traceback" not in log, log[-3000:]


def test_a_giant_body_without_a_length_is_a_413(server: Server) -> None:
    head = request(CHAT, b"", "Transfer-Encoding: chunked", "Connection: close")
    head = head.replace(b"Content-Length: 0\r\n", b"")
    answer = send(server, Raw(head + (b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 12))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"request_too_large" in answer


def test_duplicate_keys_are_answered_like_any_json(server: Server) -> None:
    body = ("{" + SMALL + ',"max_tokens":2}').encode()
    answer = send(server, Raw(request(CHAT, body, "Connection: close")))
    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("since", ["9" * 400, "99999999999999"])
def test_a_moment_outside_all_calendars_is_a_400(server: Server, since: str) -> None:
    asked = request(f"/v1/usage?since={since}", b"", "Connection: close", method="GET")
    answer = send(server, Raw(asked))
    assert answer.startswith(b"HTTP/1.1 400")
