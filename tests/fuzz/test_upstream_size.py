"""A host that sends without end: told apart at once, and never held in memory (U3).

Over real sockets, by a server of its own. Where the system tells the largest size a process had
(Linux), that is what is measured; elsewhere the size afterwards.
"""

from __future__ import annotations

import gzip
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.fakes.openrouter import Scenario
from tests.integration.hosting import HOSTED, stage, wire

MIB = 2**20
SIZE = 200 * MIB
MAX_GROWTH_BYTES = 32 * MIB
LIMIT_S = 15.0
CHAT = "/v1/chat/completions"
EVENTS = ("Content-Type", "text/event-stream")
PACKED = ("Content-Encoding", "gzip")


def packed(data: bytes) -> bytes:
    return gzip.compress(data, 1)


def scenario_of(name: str) -> Scenario:
    """Made when it is needed: each takes the memory that the server must not take."""
    line = b"data: " + b"x" * SIZE
    match name:
        case "line":
            return Scenario(name, body=line, headers=(EVENTS,))
        case "line behind tokens":
            return Scenario(name, noise_after=3, noise=line)
        case "document":
            return Scenario(name, body=b'{"choices":"' + line)
        case "comments":
            return Scenario(name, body=b":\n\n" * (SIZE // 3), headers=(EVENTS,))
        case "gzip line":
            return Scenario(name, body=packed(line), headers=(EVENTS, PACKED))
        case "gzip comments":
            return Scenario(name, body=packed(b":\n\n" * (SIZE // 3)), headers=(EVENTS, PACKED))
        case "gzip document":
            return Scenario(name, body=packed(line), headers=(PACKED,))
    return Scenario(name, status=500, body=packed(line), headers=(PACKED,))


def peak_bytes(process: psutil.Process, *, anew: bool = False) -> int:
    """The most memory it had; from now on, with `anew`."""
    if sys.platform != "linux":
        return int(process.memory_info().rss)
    folder = Path(f"/proc/{process.pid}")
    if anew:
        (folder / "clear_refs").write_text("5")
    [line] = [
        one for one in (folder / "status").read_text().splitlines() if one.startswith("VmHWM:")
    ]
    return int(line.split()[1]) * 1024


@pytest.mark.timeout(90)
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "name",
    [
        "line",
        "line behind tokens",
        "document",
        "comments",
        "gzip line",
        "gzip comments",
        "gzip document",
        "gzip error",
    ],
)
def test_what_never_ends_is_refused_and_not_kept(
    tmp_path: Path, name: str, is_stream: bool
) -> None:
    scenario = scenario_of(name)
    with stage(tmp_path) as hosted:
        assert hosted.post(CHAT, wire(HOSTED, route="hosted")).status_code == 200
        hosted.fake.default = scenario
        process = psutil.Process(hosted.server.process.pid)
        before, begun_s = peak_bytes(process, anew=True), time.monotonic()
        reply = hosted.post(CHAT, wire(HOSTED, route="hosted", stream=is_stream))
        taken_s = time.monotonic() - begun_s
        grown = peak_bytes(process) - before
        sys.stderr.write(
            f"U3 {name}: {reply.status_code}, {taken_s:.2f} s, {grown / MIB:+.1f} MiB, "
            f"{len(hosted.fake.posts) - 1} attempts: {reply.text[-200:]}\n"
        )
        assert grown < MAX_GROWTH_BYTES
        assert taken_s < LIMIT_S
        assert "upstream_error" in reply.text
        assert reply.status_code == 502 or (is_stream and name == "line behind tokens")
        assert hosted.http.get("/health").status_code == 200
