"""`python -m tests.nemesis --minutes N [--seed S] [--faults kill,hang]`: exit code 0 when clean.

For hours in the background: `nice -n 19 python -m tests.nemesis --minutes 120 --modest`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from .faults import FAULTS
from .load import Pace
from .nemesis import Plan, run


def main() -> int:
    """Run, and print a line for each fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.nemesis", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--faults", default="", help="names, separated by commas; all by default")
    parser.add_argument("--modest", action="store_true", help="two clients, a fault a minute")
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
        plan = modest(chosen.minutes * 60) if chosen.modest else Plan(chosen.minutes * 60)
        verdict = asyncio.run(run(Path(folder), plan, chosen.seed, tell, faults))
    return 1 if verdict.violations else 0


def modest(duration_s: float) -> Plan:
    """A load beside which others can work."""
    return Plan(duration_s, Pace(num_clients=2, pause_s=1.0), calm_s=(40.0, 60.0))


if __name__ == "__main__":
    sys.exit(main())
