"""Pulls in a process of its own, to be killed: `pull_process ENDPOINT HOME [TALLY]`.

TALLY is a file of eight bytes that counts what the process took off its connections; it is mapped
into memory, so the count outlives a SIGKILL as the page cache does.
"""

from __future__ import annotations

import mmap
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runner.catalog import Catalog
from runner.egress import Egress
from runner.hub import Library, Pulled, Puller, Repositories
from runner.hub.transfer import Transfer
from tests.hub.conftest import QUICK, REPO

Body = Callable[..., Iterator[bytes]]


def counted(body: Body, count: Callable[[int], None]) -> Body:
    """`Transfer._body`, telling the size of every piece before anything is done with it."""

    def counting(self: Transfer, *arguments: Any) -> Iterator[bytes]:
        for data in body(self, *arguments):
            count(len(data))
            yield data

    return counting


def count_into(tally: Path) -> None:
    """From now on add every received byte up in the file."""
    with tally.open("r+b") as file:
        memory, lock = mmap.mmap(file.fileno(), 8), threading.Lock()

    def count(num_bytes: int) -> None:
        with lock:
            struct.pack_into("<Q", memory, 0, struct.unpack_from("<Q", memory)[0] + num_bytes)

    Transfer._body = counted(Transfer._body, count)  # type: ignore[method-assign]


def main(endpoint: str, home: str, tally: str = "") -> None:
    if tally:
        count_into(Path(tally))
    library = Library(Path(home) / "state", Path(home) / "cache", Catalog([]))
    repositories = Repositories(Egress(offline=False), endpoint=endpoint)
    for event in Puller(library, repositories, patience=QUICK).pull(f"hf.co/{REPO}"):
        if isinstance(event, Pulled):
            sys.stdout.write(f"{event.num_fetched_bytes}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
