"""Offline means offline: nothing leaves this machine, and what runs here still answers."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.hosting import HOSTED, LOCAL, Stage, stage, wire

WATCHER = """
import os, sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        with open(os.environ["WATCHED"], "a") as log:
            print(event, *(repr(one) for one in arguments[-2:]), file=log)

sys.addaudithook(watch)
"""
ADDRESS = re.compile(r'inet_addr\("([\d.]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
NEAR = {"127.0.0.1", "::1", "0.0.0.0", "::"}


def use_everything(place: Stage) -> None:
    """Ask for what is here and for what is not, in every way, and look at every page."""
    for wish in ({}, {"route": "hosted"}, {"max_cost_usd": 1.0}, {"stream": True}):
        reply = place.post("/v1/chat/completions", wire(**wish))
        error = reply.json()["error"]
        assert (reply.status_code, error["code"]) == (503, "no_route")
        assert "offline" in error["message"] and "offline" in " ".join(error["reasons"])
        assert error["alternatives"] == [LOCAL]
    assert "offline" in place.explain()["error"]["message"]
    assert place.post("/v1/completions", {"model": HOSTED, "prompt": "x"}).status_code == 503
    for path in ("/v1/models", "/v1/usage", "/health", "/metrics"):
        assert place.http.get(path).status_code == 200
    [row] = [
        r for r in place.http.get("/v1/providers").json()["providers"] if "router" in r["name"]
    ]
    assert row["state"] == "offline"
    answer = place.whole(LOCAL)
    assert (answer["provider"], answer["usage"]["cost"]) == ("local", 0)
    assert place.chunks(LOCAL)[-1]["x_route"]["served_by"] == "local"
    assert place.post("/v1/chat/completions", wire(LOCAL, route="hosted")).status_code == 503


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_offline_nothing_is_sent_or_looked_up_and_local_models_answer(
    tmp_path: Path, how: str
) -> None:
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCHER)
    log = tmp_path / "watched.log"
    environment = {"PYTHONPATH": str(tmp_path / "watch"), "WATCHED": str(log)}
    if how == "environment":
        environment["RUNNER_OFFLINE"] = "1"
    with stage(tmp_path, *["--offline"] * (how == "flag"), **environment) as place:
        use_everything(place)
        assert place.fake.journal == [] and place.fake.num_connections == 0
        assert place.server.stop() == 0
    seen = log.read_text().splitlines() if log.exists() else []
    assert [line for line in seen if not is_near(line)] == []


def is_near(line: str) -> bool:
    """Whether what was watched stayed on this machine: binding looks up its own address."""
    return any(f"'{host}'" in line for host in ("127.0.0.1", "::1", "localhost"))


def test_the_watcher_sees_what_leaves_when_it_may(tmp_path: Path) -> None:
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCHER)
    log = tmp_path / "watched.log"
    with stage(tmp_path, PYTHONPATH=str(tmp_path / "watch"), WATCHED=str(log)) as place:
        assert place.whole(HOSTED)["provider"] == "openrouter"
        assert place.fake.num_connections == 1
    assert f"{place.fake.port}" in log.read_text()


def tracer() -> str | None:
    """Why system calls cannot be watched here; None when they can."""
    if not sys.platform.startswith("linux"):
        return "strace is for Linux"
    path = shutil.which("strace")
    if path is None:
        return "strace is not installed"
    tried = subprocess.run([path, "-f", "-qq", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "strace may not trace here"


def addresses_used(
    home: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[set[str], Stage]:
    """Where a server and its engine connected or sent to, by the system calls they made."""
    log, wrapper = home / "strace.log", home / "traced-python"
    calls = "connect,sendto,sendmsg,sendmmsg"
    traced = f"strace -D -f -qq -s 0 -e trace={calls} -o '{log}' '{sys.executable}'"
    wrapper.write_text(f'#!/bin/sh\nexec {traced} "$@"\n')
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(wrapper))
    with stage(home, *arguments) as place:
        if "--offline" in arguments:
            use_everything(place)
        else:
            assert place.whole(HOSTED)["provider"] == "openrouter"
        assert place.server.stop() == 0
    text = log.read_text()
    assert "sendto(" in text  # it did watch: the server's own answers
    return {v4 or v6 for v4, v6 in ADDRESS.findall(text)}, place


@pytest.mark.skipif(tracer() is not None, reason=str(tracer()))
def test_offline_no_process_of_ours_connects_to_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "offline").mkdir()
    (tmp_path / "online").mkdir()
    with monkeypatch.context() as patch:
        used, place = addresses_used(tmp_path / "offline", patch, "--offline")
        assert used <= NEAR and place.fake.journal == []
    with monkeypatch.context() as patch:
        used, place = addresses_used(tmp_path / "online", patch)
        assert used == {"127.0.0.1"} and len(place.fake.posts) == 1
