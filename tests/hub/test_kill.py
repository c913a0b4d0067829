"""A pull that is killed, or has company, loses next to nothing and never lies."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runner.catalog import Catalog
from runner.errors import DownloadError
from runner.hub import Library, Waiting
from runner.hub.lock import TransferLock
from tests.fakes.hub import FakeHub
from tests.fakes.random_gguf import write_random_gguf
from tests.hub.conftest import REPO, Place, noise

MIB = 2**20
NUM_KILLS = int(os.environ.get("RUNNER_TEST_KILLS", "3"))
NUM_BYTES = int(os.environ.get("RUNNER_TEST_PULL_MIB", "16")) * MIB
ROOT = Path(__file__).parents[2]


def start_pull(hub: FakeHub, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.hub.pull_process", hub.endpoint, str(home)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_bytes(hub: FakeHub, num_bytes: int, process: subprocess.Popen[str]) -> None:
    while hub.num_body_bytes < num_bytes and process.poll() is None:
        time.sleep(0.005)


@pytest.mark.timeout(1800)
def test_killed_at_random_moments_it_resumes_and_the_model_loads(
    hub: FakeHub, tmp_path: Path
) -> None:
    layers = max(1, NUM_BYTES // (9 * MIB))
    files = write_random_gguf(
        tmp_path / "Model-F16.gguf",
        num_layers=layers,
        hidden_size=512,
        num_heads=8,
        num_kv_heads=8,
        ffn_size=2240,
        max_shard_bytes=NUM_BYTES // 3 + MIB,
    )
    size = sum(path.stat().st_size for path in files)
    hub.publish(REPO, {path.name: path for path in files})
    hub.bytes_per_s = 5 * MIB  # slow enough that nothing waits in the kernel
    dice, lost = random.Random(5), []
    for kill in range(NUM_KILLS):
        aim = size * (kill + dice.random()) / (NUM_KILLS + 1)
        process = start_pull(hub, tmp_path)
        wait_for_bytes(hub, int(aim) + sum(lost), process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        lost.append(0)
    hub.bytes_per_s = None
    process = start_pull(hub, tmp_path)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    refetched = hub.num_body_bytes - size
    library = Library(tmp_path / "state", tmp_path / "cache", Catalog([]))
    [installed] = library.installed()
    assert installed.verified
    for path in installed.paths:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.resolve().name
    assert refetched <= NUM_KILLS * MIB
    load(installed.paths[0])
    logging.getLogger("figures").info(
        "%d bytes in %d shards, %d kills, %d bytes fetched again (%.2f MiB per kill)",
        size, len(files), NUM_KILLS, refetched, refetched / max(1, NUM_KILLS) / MIB,
    )  # fmt: skip


def load(path: Path) -> None:
    import llama_cpp  # noqa: TID251 - the real loader judges what was fetched

    llama = llama_cpp.Llama(str(path), n_ctx=64, n_threads=1, verbose=False)
    assert llama.create_completion("hello", max_tokens=2)["usage"]["completion_tokens"] == 2
    llama.close()


def test_four_processes_transfer_a_model_once(hub: FakeHub, tmp_path: Path) -> None:
    size = 6 * MIB
    hub.publish(REPO, {"Model-Q4_0.gguf": noise(size)})
    hub.bytes_per_s = 8 * MIB
    processes = [start_pull(hub, tmp_path) for _ in range(4)]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, results
    assert hub.num_body_bytes == size
    assert sorted(int(output) for output, _ in results)[:3] == [0, 0, 0]


def test_a_stopped_holder_is_noticed_and_named(place: Place, hub: FakeHub, tmp_path: Path) -> None:
    hub.publish(REPO, {"Model-Q4_0.gguf": noise(6 * MIB)})
    hub.bytes_per_s = 2 * MIB
    process = start_pull(hub, tmp_path / "one")
    wait_for_bytes(hub, MIB, process)
    process.send_signal(signal.SIGSTOP)
    try:
        events = place.puller.pull(f"hf.co/{REPO}")
        with pytest.raises(DownloadError, match=rf"process {process.pid} .*kill -CONT"):
            for event in events:
                if isinstance(event, Waiting):
                    assert event.pid == process.pid
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    hub.bytes_per_s = None
    place.pull()
    assert place.library.installed()[0].verified


def test_a_lock_is_free_again_when_its_holder_leaves(tmp_path: Path) -> None:
    slept: list[float] = []
    with TransferLock(tmp_path / "a.lock", "a") as first:
        assert list(first.wait(slept.append)) == []
        with TransferLock(tmp_path / "a.lock", "a") as second:
            holder = next(second.wait(slept.append))
            assert (holder.pid, holder.is_stopped) == (os.getpid(), False)
    with TransferLock(tmp_path / "a.lock", "a") as third:
        assert list(third.wait(slept.append)) == []
