"""A pull that is killed, or has company, loses next to nothing and never lies."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import signal
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from runner.catalog import Catalog
from runner.errors import DownloadError
from runner.hub import Library, Waiting
from runner.hub.lock import TransferLock
from runner.hub.partial import Partial
from tests.fakes.hub import FakeHub
from tests.fakes.random_gguf import write_random_gguf
from tests.hub.conftest import REPO, Place, noise

MIB = 2**20
NUM_KILLS = int(os.environ.get("RUNNER_TEST_KILLS", "3"))
NUM_BYTES = int(os.environ.get("RUNNER_TEST_PULL_MIB", "16")) * MIB
ROOT = Path(__file__).parents[2]


def start_pull(hub: FakeHub, home: Path, *tally: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.hub.pull_process", hub.endpoint, str(home), *tally],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_bytes(hub: FakeHub, num_bytes: int, process: subprocess.Popen[str]) -> None:
    while hub.num_body_bytes < num_bytes and process.poll() is None:
        time.sleep(0.002)


def publish_model(hub: FakeHub, folder: Path) -> int:
    """A model of random weights in shards of about a third; its size."""
    files = write_random_gguf(
        folder / "Model-F16.gguf",
        num_layers=max(1, NUM_BYTES // (9 * MIB)),
        hidden_size=512,
        num_heads=8,
        num_kv_heads=8,
        ffn_size=2240,
        max_shard_bytes=NUM_BYTES // 3 + MIB,
    )
    hub.publish(REPO, {path.name: path for path in files})
    return sum(path.stat().st_size for path in files)


def kept_bytes(home: Path) -> int:
    """What is on disk and will not be asked for again, as the next run itself counts it."""
    num_bytes = 0
    for path in (home / "cache").glob("models--*/blobs/*"):
        if path.suffix == ".partial":
            file = Partial(path.with_suffix(""), path.stat().st_size)
            num_bytes += file.num_done
            file.close()
        elif path.suffix != ".progress":
            num_bytes += path.stat().st_size
    return num_bytes


@dataclass(frozen=True)
class Cut:
    """One kill: what the process had received, and what of it is kept on disk."""

    received: int
    kept: int

    @property
    def lost(self) -> int:
        return self.received - self.kept


def pull_and_kill(hub: FakeHub, home: Path, at: int) -> Cut:
    """Pull until the Hub has sent `at` bytes in all, then SIGKILL."""
    tally, before = home / "tally", kept_bytes(home)
    tally.write_bytes(bytes(8))
    process = start_pull(hub, home, str(tally))
    wait_for_bytes(hub, at, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return Cut(struct.unpack("<Q", tally.read_bytes())[0], kept_bytes(home) - before)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mib_per_s", [5, 50])
def test_killed_at_random_moments_it_resumes_and_the_model_loads(
    hub: FakeHub, tmp_path: Path, mib_per_s: int
) -> None:
    """Each kill makes the client fetch at most 1 MiB again.

    Counted, for each kill by itself: the body bytes that the killed process had taken off its
    connections (all of them together, counted as they arrive and before anything is done with
    them), less the bytes that its partial files, read as the next run reads them, gained. Of a
    piece that arrived at the very moment of the kill the count may not know, but then it is the one
    piece of its connection; so the true bound is `NUM_CONNECTIONS` pieces of `RECEIVE_BYTES`.

    Not counted is what the killed process had not received: bytes that still lay in the kernels'
    buffers, which it shares with the line: as many as fit there when the process gets no processor
    time (megabytes on a busy machine), next to none when it keeps up. Smaller buffers would bound
    them and cost speed on long lines. What the Hub sent in vain, with them, is in the log.
    """
    size = publish_model(hub, tmp_path)
    hub.bytes_per_s = mib_per_s * MIB
    dice, cuts, in_vain = random.Random(mib_per_s), list[Cut](), [0]
    for kill in range(NUM_KILLS):
        aim = size * (kill + dice.random()) / (NUM_KILLS + 1)
        cuts.append(pull_and_kill(hub, tmp_path, int(aim) + in_vain[-1]))
        in_vain.append(hub.num_body_bytes - kept_bytes(tmp_path))
    hub.bytes_per_s = None
    process = start_pull(hub, tmp_path)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    logging.getLogger("figures").info(
        "%d bytes at %d MiB/s a connection, %d kills: at most %d bytes received and lost in one, "
        "%d in all; the Hub sent at most %d bytes in vain for one, %d in all",
        size, mib_per_s, NUM_KILLS, max(cut.lost for cut in cuts), sum(cut.lost for cut in cuts),
        max(after - before for before, after in pairwise(in_vain)), hub.num_body_bytes - size,
    )  # fmt: skip
    assert [cut for cut in cuts if not 0 <= cut.lost <= MIB] == []
    assert sum(cut.received > 0 for cut in cuts) >= NUM_KILLS * 0.6
    [installed] = Library(tmp_path / "state", tmp_path / "cache", Catalog([])).installed()
    assert installed.verified and installed.size_bytes == size
    for path in installed.paths:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.resolve().name
    load(installed.paths[0])


def load(path: Path) -> None:
    import llama_cpp  # noqa: TID251 - the real loader judges what was fetched

    llama = llama_cpp.Llama(str(path), n_ctx=64, n_threads=1, verbose=False)
    assert llama.create_completion("hello", max_tokens=2)["usage"]["completion_tokens"] == 2
    llama.close()


def test_eight_processes_transfer_the_three_files_of_a_model_once(
    hub: FakeHub, tmp_path: Path
) -> None:
    size = 2 * MIB
    names = [f"Model-Q4_0-0000{part}-of-00003.gguf" for part in (1, 2, 3)]
    hub.publish(REPO, {name: noise(size + place) for place, name in enumerate(names)})
    hub.bytes_per_s = 8 * MIB
    processes = [start_pull(hub, tmp_path) for _ in range(8)]
    results = [process.communicate(timeout=90) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, results
    assert hub.num_body_bytes == 3 * size + 3
    assert sum(int(output) for output, _ in results) == hub.num_body_bytes


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
