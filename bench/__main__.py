"""`python -m bench`: make the models, find llama-server, run both in turn, print the table.

Owns the order of things and the flags. A workload is run by ours and by the reference in turn,
round after round, before the next workload begins; every second round the reference goes first.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import baseline, machine, report
from .client import RequestFailedError
from .measure import measured, summarise
from .model import FILE_TYPES, SHAPES, ensure_model
from .server import Contender, Kind
from .toolchain import Toolchain, ensure_toolchain
from .workload import WORKLOADS, Workload
from .workload.task import QUICK, Scale, Task

WITH_BASELINE = ("one", "eight")


@dataclass(slots=True)
class Record:
    """All figures of one run, round by round, and what failed."""

    ours: list[dict[str, float]] = field(default_factory=list)
    reference: list[dict[str, float]] = field(default_factory=list)
    baseline: list[dict[str, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def results(self) -> list[report.Result]:
        """The table's lines as far as they were measured."""
        return report.judge(
            {
                "ours": summarise(self.ours),
                "reference": summarise(self.reference),
                "baseline": summarise(self.baseline),
            }
        )


def say(line: str) -> None:
    """Progress goes to stderr; the table alone to stdout."""
    print(line, file=sys.stderr, flush=True)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "hermes-runner"
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(names), help="comma-separated: %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", choices=SHAPES, default=None, help="default: 1b")
    parser.add_argument("--type", choices=FILE_TYPES, default="q4_k_m")
    parser.add_argument("--threads", type=int, default=machine.physical_cores())
    parser.add_argument("--models", type=Path, default=cache / "bench" / "models")
    parser.add_argument("--cache", type=Path, default=cache / "bench", help="sources and builds")
    parser.add_argument("--llama-server", type=Path, help="the program, instead of building it")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--side", choices=("both", "ours", "reference"), default="both")
    parser.add_argument(
        "--quick", action="store_true", help="a tiny model and little work: does it all run?"
    )
    given = parser.parse_args(arguments)
    unknown = set(given.only.split(",")) - set(names)
    if unknown:
        parser.error(f"no workload {sorted(unknown)[0]!r}; there are {', '.join(names)}")
    given.shape = given.shape or ("tiny" if given.quick else "1b")
    return given


async def run(given: argparse.Namespace, folder: Path, tools: Toolchain, model: Path) -> Record:
    """Every wanted workload in every round."""
    record = Record()
    scale = QUICK if given.quick else Scale()
    sides: tuple[Kind, ...] = ("ours", "reference") if given.side == "both" else (given.side,)
    contenders = [Contender(kind, model, folder / kind, tools.server) for kind in sides]
    wanted = given.only.split(",")
    for workload in (one for one in WORKLOADS if one.name in wanted):
        for number in range(given.rounds):
            turn = contenders if number % 2 == 0 else contenders[::-1]
            for contender in turn:
                task = Task(contender, scale, given.threads, f"{workload.name} {number}")
                await _run_one(workload, task, record)
            if workload.name in WITH_BASELINE:
                _run_baseline(workload, given, tools, model, record)
    return record


async def _run_one(workload: Workload, task: Task, record: Record) -> None:
    """One contender's turn; a failure is noted, and the others go on."""
    kind = task.contender.kind
    try:
        figures = measured(await workload.run(task))
    except (RequestFailedError, SystemExit, TimeoutError, OSError) as error:
        record.failures.append(f"{workload.name}, {kind}: {error}")
        say(f"{workload.name}, {kind}: FAILED: {error}")
        return
    (record.ours if kind == "ours" else record.reference).append(figures)
    shown = ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
    say(f"{workload.name} ({workload.about}), {kind}: {shown}")


def _run_baseline(
    workload: Workload, given: argparse.Namespace, tools: Toolchain, model: Path, record: Record
) -> None:
    num_steps = 16 if given.quick else 128
    try:
        if workload.name == "one":
            figures = baseline.run_bare(model, given.threads, num_steps)
        elif tools.batched is not None:
            figures = baseline.run_batched(tools.batched, model, given.threads, num_steps)
        else:
            return
    except SystemExit as error:
        record.failures.append(f"{workload.name}, baseline: {error}")
        return
    record.baseline.append(figures)
    say("baseline: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()))


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when everything ran, whatever the verdicts; 1 when something failed."""
    given = parse(arguments)
    about = machine.describe()
    tools = Toolchain()
    if given.side != "ours" or given.llama_server is not None:
        tools = ensure_toolchain(given.llama_server, given.cache, say)
    model = ensure_model(given.shape, given.type, given.models, say, num_threads=given.threads)
    begun_s = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers are stopped too
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        record = asyncio.run(run(given, Path(folder), tools, model))
    results = record.results()
    settings = {name: getattr(given, name) for name in ("rounds", "shape", "type", "threads")}
    payload = {
        "machine": about,
        "settings": {**settings, "quick": given.quick, "only": given.only.split(",")},
        "duration_s": round(time.monotonic() - begun_s, 1),
        "rounds": {key: value for key, value in asdict(record).items() if key != "failures"},
        "failures": record.failures,
    }
    name = time.strftime("%Y-%m-%d-%H%M%S", time.gmtime())
    path = report.write(given.out, f"{'quick-' if given.quick else ''}{name}", payload, results)
    print(report.table(results))
    if given.quick:
        say("these figures are of a tiny model and little work; they say nothing about speed")
    say(f"written to {path.name} in {given.out}")
    return 1 if record.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
