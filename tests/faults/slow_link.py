"""A pull over a slow link, to its end and given up: `python -m tests.faults.slow_link HOME`.

Runs in a network of its own; prints figures as one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from runner.catalog import Catalog
from runner.egress import Egress
from runner.hub import Library, Progress, Pulled, Puller, Repositories
from tests.fakes.hub import FakeHub
from tests.faults.link import raise_loopback, slow_loopback
from tests.hub.conftest import REPO, noise

NUM_BYTES = 500 * 2**10
GIVE_UP_S = 1.5


def puller(hub: FakeHub, home: Path) -> Puller:
    """One that takes its time."""
    library = Library(home / "state", home / "cache", Catalog([]))
    return Puller(library, Repositories(Egress(offline=False), endpoint=hub.endpoint))


def give_up(hub: FakeHub, home: Path) -> float:
    """Seconds from the wish to stop to having stopped."""
    begun_s = time.monotonic()
    events = puller(hub, home).pull(f"hf.co/{REPO}")
    for _event in events:
        if time.monotonic() - begun_s > GIVE_UP_S:
            break
    events.close()  # type: ignore[attr-defined]
    return time.monotonic() - begun_s - GIVE_UP_S


def main(home: Path) -> None:
    """Give one up, then finish it."""
    raise_loopback()
    slow_loopback("1mbit")
    with FakeHub() as hub:
        hub.publish(REPO, {"Model-Q4_0.gguf": b"GGUF" + noise(NUM_BYTES)})
        given_up_s = give_up(hub, home)
        begun_s = time.monotonic()
        events = list(puller(hub, home).pull(f"hf.co/{REPO}"))
        elapsed_s = time.monotonic() - begun_s
    figures = {
        "given_up_s": round(given_up_s, 2),
        "elapsed_s": round(elapsed_s, 2),
        "num_progress": sum(isinstance(event, Progress) for event in events),
        "is_pulled": isinstance(events[-1], Pulled),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
