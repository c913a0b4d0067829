"""The disk is full or read-only from the start, or the power goes in the middle of a pull.

Rows D1 (the server's part), D3 and D4. `RUNNER_TEST_POWER_CUTS` sets how often the power goes (2;
the full run is 20).
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from runner.catalog import Catalog
from runner.egress import Egress
from runner.hub import Library, Puller, Repositories
from tests.api.caller import MODEL, chat_body
from tests.fakes.hub import FakeHub
from tests.hub.conftest import QUICK, REPO, noise
from tests.integration.hosting import HOSTED, stage, wire
from tests.serving import serve

from .cells import mounted, remount

ROOT = Path(__file__).parents[2]
CHAT = "/v1/chat/completions"
NUM_CUTS = int(os.environ.get("RUNNER_TEST_POWER_CUTS", "2"))
MIB = 2**20
NUM_BYTES = 12 * MIB
IMAGE_BYTES = 2048 * MIB  # mostly holes; a pull leaves one GiB free


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as hub:
        hub.publish(REPO, {"Model-Q4_0.gguf": b"GGUF" + noise(NUM_BYTES, seed=3)})
        yield hub


def fill(filler: Path) -> None:
    """Write until nothing more goes in."""
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_a_server_starts_and_answers_although_its_disk_takes_nothing(
    tmp_path: Path, how: str
) -> None:
    """D1 and D3."""
    state_dir = tmp_path / "runner-home"
    with mounted(state_dir, "-t", "tmpfs", "-o", "size=1m"):
        if how == "full":
            fill(state_dir / "filler")
        else:
            remount(state_dir, "ro")
        with serve(tmp_path, MODEL, "--offline") as server:
            for _ in range(2):
                answer = httpx.post(server.origin + CHAT, json=chat_body(), timeout=60)
                assert answer.status_code == 200
            assert httpx.get(server.origin + "/health", timeout=20).status_code == 200
            assert httpx.get(server.origin + "/v1/usage", timeout=20).status_code < 500
            assert server.stop() == 0
        log = (tmp_path / "server.log").read_text()
        assert "Traceback" not in log
        assert "ledger" in log


def test_money_that_cannot_be_written_down_is_not_spent(tmp_path: Path) -> None:
    """D3, with a budget."""
    state_dir = tmp_path / "runner-home"
    with mounted(state_dir, "-t", "tmpfs", "-o", "size=1m"):
        remount(state_dir, "ro")
        with stage(tmp_path, RUNNER_BUDGET__DAILY_USD="5") as place:
            refused = place.post(CHAT, wire(HOSTED))
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "no_route")
            assert "ledger" in refused.json()["error"]["message"]
            assert place.fake.posts == []


def test_a_pull_proves_its_bytes_to_the_disk_before_it_names_them(
    hub: FakeHub, tmp_path: Path
) -> None:
    """D4, by the system calls: what is renamed to its final name was synced before."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    log = tmp_path / "strace.log"
    calls = "openat,fsync,fdatasync,rename,renameat,renameat2,link,linkat,close"
    words = ["strace", "-f", "-y", "-qq", "-s", "400", "-e", f"trace={calls}", "-o", str(log)]
    pull = [sys.executable, "-m", "tests.hub.pull_process", hub.endpoint, str(tmp_path)]
    tried = subprocess.run([*words, *pull], cwd=ROOT, capture_output=True, text=True)
    if tried.returncode and "ptrace" in tried.stderr.lower():
        pytest.skip("strace may not trace here")
    assert tried.returncode == 0, tried.stderr
    synced: set[str] = set()
    named = []
    for line in log.read_text().splitlines():
        if " fsync(" in line or " fdatasync(" in line:
            synced.update(re.findall(r"<([^>]+)>", line))
        elif match := re.search(
            r" (?:rename|link)\w*\(.*\"([^\"]+\.partial)\".*\"([^\"]+)\"", line
        ):
            named.append(match[1])
            assert match[1] in synced, f"named before it was synced: {line}"
            synced.add(f"named {match[2]}")
    assert named, "nothing was renamed"


@pytest.mark.timeout(120 + 20 * NUM_CUTS)
def test_whatever_the_power_leaves_under_a_final_name_is_whole(
    hub: FakeHub, tmp_path: Path
) -> None:
    """D4: the pull is killed, and what was on the disk by then is all there is."""
    mkfs = shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if mkfs is None:
        pytest.skip("mkfs.ext4 is not installed")  # of e2fsprogs, which small systems lack
    hub.bytes_per_s = 20 * MIB
    dice, finished = random.Random(11), 0
    for cut in range(NUM_CUTS):
        image, home = tmp_path / f"disk-{cut}", tmp_path / f"home-{cut}"
        subprocess.run(["truncate", "-s", str(IMAGE_BYTES), str(image)], check=True)
        subprocess.run([mkfs, "-q", "-F", str(image)], check=True)
        with mounted(home, "-o", "loop,commit=300", source=str(image)):
            command = [sys.executable, "-m", "tests.hub.pull_process", hub.endpoint, str(home)]
            pull = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            begun = hub.num_body_bytes
            aim = NUM_BYTES * (0.97 + 0.06 * dice.random() if cut % 2 else dice.random())
            while hub.num_body_bytes - begun < aim and pull.poll() is None:
                time.sleep(0.002)
            if cut % 2:
                time.sleep(dice.uniform(0, 0.3))  # about when the file gets its name
            pull.send_signal(signal.SIGKILL)
            finished += bool(pull.communicate()[0])
            lost = tmp_path / f"after-{cut}"
            # without anything that only memory knew
            subprocess.run(["cp", "--sparse=always", str(image), str(lost)], check=True)
        after = tmp_path / f"after-home-{cut}"
        with mounted(after, "-o", "loop", source=str(lost)):
            check_and_finish(hub, after)
    sys.stderr.write(f"D4: {NUM_CUTS} cuts, {finished} of them after the last byte\n")


def check_and_finish(hub: FakeHub, home: Path) -> None:
    """Every file under a final name is what it says, and the pull can be finished."""
    for blob in home.glob("cache/models--*/blobs/*"):
        if re.fullmatch(r"[0-9a-f]{64}", blob.name):
            assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    hub.bytes_per_s = None
    library = Library(home / "state", home / "cache", Catalog([]))
    repositories = Repositories(Egress(offline=False), endpoint=hub.endpoint)
    list(Puller(library, repositories, patience=QUICK).pull(f"hf.co/{REPO}"))
    [installed] = library.installed()
    assert installed.verified
    hub.bytes_per_s = 20 * MIB
