"""`python -m tests.nemesis --minutes N [--seed S] [--faults kill,hang]`: exit code 0 when clean."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from .faults import FAULTS
from .nemesis import run


def main() -> int:
    """Run, and print a line for each fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.nemesis", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--faults", default="", help="names, separated by commas; all by default")
    chosen = parser.parse_args()
    names = set(filter(None, chosen.faults.split(",")))
    unknown = names - {fault.name for fault in FAULTS}
    if unknown:
        parser.error(f"no fault is called {', '.join(sorted(unknown))}")
    faults = [fault for fault in FAULTS if not names or fault.name in names]

    def tell(line: str) -> None:
        sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
        sys.stdout.flush()

    tell(f"seed {chosen.seed}, {len(faults)} kinds of fault")
    with tempfile.TemporaryDirectory(prefix="nemesis-", ignore_cleanup_errors=True) as folder:
        verdict = asyncio.run(run(Path(folder), chosen.minutes * 60, chosen.seed, tell, faults))
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main())
