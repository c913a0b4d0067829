"""Everything that works without a network, where there is none; `... -m tests.faults.cut_off HOME`.

Runs in a network of its own with nothing in it but loopback; says what it did, or fails.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.api.caller import MODEL, chat_body, tool
from tests.faults.link import raise_loopback
from tests.serving import Server, serve

CHAT = "/v1/chat/completions"
COMMANDS = (["list"], ["plan"], ["verify"], ["doctor"])
MAX_REFUSAL_S = 20.0


def check_alone() -> None:
    """There is no way out of here."""
    try:
        socket.create_connection(("192.0.2.1", 443), timeout=2).close()
    except OSError:
        return
    raise SystemExit("there is a network here")


def use(server: Server) -> None:
    """Every kind of answer that needs nobody else."""
    with httpx.Client(base_url=server.origin, timeout=60) as client:
        for fields in ({}, {"tools": [tool()], "tool_choice": "required", "max_tokens": 90}):
            assert client.post(CHAT, json=chat_body(**fields)).status_code == 200
        stream = client.post(CHAT, json=chat_body(stream=True))
        assert stream.text.endswith("data: [DONE]\n\n")
        for path, body in (
            ("/v1/completions", {"model": MODEL, "prompt": "Once", "max_tokens": 8}),
            ("/v1/embeddings", {"model": MODEL, "input": "word"}),
            ("/tokenize", {"model": MODEL, "content": "word"}),
            ("/v1/route/explain", chat_body()),
        ):
            assert client.post(path, json=body).status_code == 200, path
        for path in ("/v1/models", "/v1/usage", "/health", "/metrics", "/v1/providers", "/"):
            assert client.get(path).status_code == 200, path
        begun_s = time.monotonic()
        refused = client.post(CHAT, json=chat_body(model="hermes-4-405b"))
        elapsed_s = time.monotonic() - begun_s
        assert refused.status_code in (502, 503), refused.text
        assert elapsed_s < MAX_REFUSAL_S
        sys.stdout.write(f"hosted was refused with {refused.status_code} in {elapsed_s:.2f} s\n")


def command(home: Path, words: list[str]) -> None:
    """A command of the command line."""
    folders = {"HOME": str(home), "RUNNER_HOME": str(home / "state"), "HF_HOME": str(home / "hf")}
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    ran = subprocess.run(
        [sys.executable, "-m", "runner", *words, "--json"],
        env={**kept, **folders},
        cwd=home,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, (words, ran.stdout[-500:], ran.stderr[-500:])
    json.loads(ran.stdout)


def main(home: Path) -> None:
    """All of it."""
    raise_loopback()
    check_alone()
    with serve(home, MODEL, OPENROUTER_API_KEY="sk-or-none") as server:
        use(server)
        assert server.stop() == 0
    for words in COMMANDS:
        command(home, words)
    sys.stdout.write(f"everything answered, and {len(COMMANDS)} commands\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
