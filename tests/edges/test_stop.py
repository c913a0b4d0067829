"""Told to stop, the server takes nothing new, ends what is open in time, and leaves with 0."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import httpx
import psutil

from tests.api.caller import MODEL, chat_body, data_lines
from tests.fakes.slow_model import ONE_THREAD, SLOW, install_slow_model
from tests.integration.test_streams import open_stream
from tests.serving import serve

CHAT = "/v1/chat/completions"
ENDLESS = chat_body(model=SLOW, stream=True, ignore_eos=True, max_tokens=7000)
GRACE_S = 2.0
SLACK_S = 4.0  # two seconds are promised; the machine may be busy


def test_open_streams_get_their_time_and_then_an_error(tmp_path: Path) -> None:
    install_slow_model(tmp_path)
    with serve(tmp_path, SLOW, *ONE_THREAD, RUNNER_SERVER__STOP_TIMEOUT_S=str(GRACE_S)) as server:
        children = psutil.Process(server.process.pid).children()
        with httpx.stream("POST", server.origin + CHAT, json=ENDLESS, timeout=20) as stream:
            pieces = stream.iter_text()
            raw = next(pieces)
            begun_s = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)  # it looks for signals ten times a second
            refused = httpx.post(server.origin + CHAT, json=chat_body(), timeout=10)
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "shutting_down"
            assert int(refused.headers["retry-after"]) >= 1
            raw += "".join(pieces)
        assert server.process.wait(timeout=20) == 0
        assert GRACE_S <= time.monotonic() - begun_s < GRACE_S + SLACK_S
        assert data_lines(raw)[-1].startswith('{"error":')
        assert not any(child.is_running() for child in children)
        assert "Traceback" not in (tmp_path / "server.log").read_text()


def test_a_stream_that_ends_in_time_ends_whole(tmp_path: Path) -> None:
    body = chat_body(stream=True, ignore_eos=True, max_tokens=300)
    with serve(tmp_path, MODEL) as server:
        with httpx.stream("POST", server.origin + CHAT, json=body, timeout=30) as stream:
            pieces = stream.iter_text()
            raw = next(pieces)
            server.process.send_signal(signal.SIGTERM)
            raw += "".join(pieces)
        assert data_lines(raw)[-1] == "[DONE]"
        assert server.process.wait(timeout=20) == 0


def test_a_client_that_does_not_read_does_not_hold_up_the_end(tmp_path: Path) -> None:
    install_slow_model(tmp_path)
    with serve(tmp_path, SLOW, *ONE_THREAD, RUNNER_SERVER__STOP_TIMEOUT_S="1") as server:
        clients = [open_stream(server, ENDLESS) for _ in range(4)]
        begun_s = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=20) == 0
        assert time.monotonic() - begun_s < 1 + SLACK_S
        for client in clients:
            client.close()
