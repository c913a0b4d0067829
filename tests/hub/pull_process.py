"""Pulls in a process of its own, to be killed: `python -m tests.hub.pull_process ENDPOINT HOME`."""

from __future__ import annotations

import sys
from pathlib import Path

from runner.catalog import Catalog
from runner.egress import Egress
from runner.hub import Library, Pulled, Puller, Repositories
from tests.hub.conftest import QUICK, REPO


def main(endpoint: str, home: str) -> None:
    library = Library(Path(home) / "state", Path(home) / "cache", Catalog([]))
    repositories = Repositories(Egress(offline=False), endpoint=endpoint)
    for event in Puller(library, repositories, patience=QUICK).pull(f"hf.co/{REPO}"):
        if isinstance(event, Pulled):
            sys.stdout.write(f"{event.num_fetched_bytes}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
