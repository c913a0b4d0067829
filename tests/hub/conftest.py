"""A fake Hub with one small model in two shards, and everything that pulls from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from runner.catalog import Catalog, Entry
from runner.egress import Egress
from runner.hub import Library, Puller, PullEvent, Repositories
from runner.hub.transfer import Patience
from tests.fakes.hub import FakeHub

REPO = "maker/Model-GGUF"
QUICK = Patience(
    connect_timeout_s=2.0,
    stall_timeout_s=0.4,
    min_bytes_per_s=2000.0,
    max_failures=3,
    first_pause_s=0.01,
    max_pause_s=0.05,
)


def noise(num_bytes: int, seed: int = 0) -> bytes:
    """Bytes that look like weights: no two runs of them alike."""
    return np.random.default_rng(seed).bytes(num_bytes)


@dataclass
class Place:
    """One user's machine: a state folder, a cache, and a way to the Hub."""

    library: Library
    puller: Puller
    hub: FakeHub

    def pull(self, name: str = f"hf.co/{REPO}") -> list[PullEvent]:
        return list(self.puller.pull(name))

    def blob_names(self) -> set[str]:
        """What lies under a final name in the cache."""
        return {
            one.name
            for one in self.library.cache_dir.glob("models--*/blobs/*")
            if one.suffix not in (".partial", ".progress")
        }

    def leftovers(self) -> list[Path]:
        return [*self.library.cache_dir.glob("models--*/blobs/*.*")]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def make_place(tmp_path: Path, hub: FakeHub) -> Callable[..., Place]:
    def make(
        name: str = "one",
        *,
        entries: tuple[Entry, ...] = (),
        free_bytes: int = 10**12,
        offline: bool = False,
        token: str | None = None,
    ) -> Place:
        library = Library(tmp_path / name / "state", tmp_path / name / "cache", Catalog(entries))
        repositories = Repositories(
            Egress(offline=offline), endpoint=hub.endpoint, token=token, sleep=lambda _: None
        )
        puller = Puller(library, repositories, patience=QUICK, free_bytes=lambda _: free_bytes)
        return Place(library, puller, hub)

    return make


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    return make_place()
