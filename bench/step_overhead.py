"""What a decode step costs beside llama_decode: fill, sample, detokenise, encode, send.

`python -m bench.step_overhead` runs the real engine loop over a real socket on a one-layer model
with a vocabulary of 128k, eight sequences at a time, and subtracts the time inside
`Context.decode` from every step. The reader of the socket is a process of its own, as the parent
is in earnest. The verdict is on wall time; the thread's own processor time beside it tells how much
of that was other programs on the same cores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from runner.engine.llama import Context
from runner.engine.loop import Loop
from runner.engine.messages import Load, Submit
from runner.engine.worker import Pipe, load
from runner.types import SamplingParams

from . import machine
from .model import ensure_wide_model

TARGET_MS = 2.5
NUM_SEQUENCES = 8
CONTEXT = 1024
PROMPT = 32
NUM_WARM_STEPS = 20
DRAIN = "import socket, sys\ns = socket.socket(fileno=int(sys.argv[1]))\nwhile s.recv(65536): pass"
WAYS = {
    "greedy": SamplingParams(temperature=0),
    "greedy, no end": SamplingParams(temperature=0, ignore_eos=True),
    "sampled": SamplingParams(temperature=0.7, top_k=40, top_p=0.95, min_p=0.05, seed=1),
    "temperature only": SamplingParams(temperature=1, seed=1),
    "top_p, no top_k": SamplingParams(temperature=0.7, top_p=0.95, seed=1),
}
JUDGED = ("greedy", "greedy, no end", "sampled")


@dataclass(frozen=True, slots=True)
class Overhead:
    """Milliseconds per step of eight sequences, and what llama_decode took of the same steps."""

    way: str
    median_ms: float
    p95_ms: float
    processor_ms: float
    decode_ms: float
    num_steps: int
    is_met: bool | None


@dataclass(slots=True)
class Reading:
    """One step: wall and processor time outside llama_decode, and wall time inside, in ms."""

    outside_ms: float
    processor_ms: float
    decode_ms: float


class Stopwatch:
    """Measures one step, and takes the time spent in `Context.decode` off it."""

    def __init__(self) -> None:
        self._decode = Context.decode
        self._wall_s = self._processor_s = 0.0

    def installed(self) -> Any:
        """A context manager in which every decode is timed."""
        watch = self

        def decode(context: Context, *arguments: Any, **more: Any) -> Any:
            wall_s, processor_s = time.perf_counter(), time.thread_time()
            try:
                return watch._decode(context, *arguments, **more)
            finally:
                watch._wall_s += time.perf_counter() - wall_s
                watch._processor_s += time.thread_time() - processor_s

        return mock.patch.object(Context, "decode", decode)

    def read(self, step: Callable[[], None]) -> Reading:
        """Run the step."""
        self._wall_s = self._processor_s = 0.0
        wall_s, processor_s = time.perf_counter(), time.thread_time()
        step()
        wall_s, processor_s = time.perf_counter() - wall_s, time.thread_time() - processor_s
        return Reading(
            outside_ms=(wall_s - self._wall_s) * 1e3,
            processor_ms=(processor_s - self._processor_s) * 1e3,
            decode_ms=self._wall_s * 1e3,
        )


def measure(way: str, params: SamplingParams, loop: Loop, pipe: Pipe, num_steps: int) -> Overhead:
    """Steps in which all sequences decode, until there are enough of them."""

    def step() -> None:
        while not pipe.inbox.empty():
            loop.handle(pipe.inbox.get())
        loop.step()

    watch = Stopwatch()
    readings: list[Reading] = []
    _submit(loop, params, num_steps + NUM_WARM_STEPS + 2)
    with watch.installed():
        while not loop.is_idle:
            before = loop.status().tokens_generated
            reading = watch.read(step)
            if loop.status().tokens_generated - before >= NUM_SEQUENCES:
                readings.append(reading)
    return _summary(way, readings[NUM_WARM_STEPS:])


def _summary(way: str, readings: list[Reading]) -> Overhead:
    if len(readings) < 2:
        raise SystemExit(f"{way}: no step with {NUM_SEQUENCES} sequences; ask for more --steps")
    outside_ms = [reading.outside_ms for reading in readings]
    median_ms = statistics.median(outside_ms)
    return Overhead(
        way=way,
        median_ms=median_ms,
        p95_ms=statistics.quantiles(outside_ms, n=20)[-1],
        processor_ms=statistics.median(reading.processor_ms for reading in readings),
        decode_ms=statistics.median(reading.decode_ms for reading in readings),
        num_steps=len(readings),
        is_met=median_ms <= TARGET_MS if way in JUDGED else None,
    )


def _submit(loop: Loop, params: SamplingParams, max_tokens: int) -> None:
    chance = random.Random(7)
    for number in range(NUM_SEQUENCES):
        tokens = [chance.randrange(1000, 100_000) for _ in range(PROMPT)]
        loop.handle(
            Submit(
                id=number + 1,
                pieces=[],
                tokens=tokens,
                sampling=params,
                max_tokens=max_tokens,
                cache_prompt=False,
            )
        )


def run(models: Path, num_steps: int) -> list[Overhead]:
    """Every way of sampling on a fresh sequence set of one engine."""
    weights = ensure_wide_model(models)
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-c", DRAIN, str(theirs.fileno())]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as reader:
        theirs.close()
        pipe = Pipe(ours)
        order = Load(
            weights=[str(weights)],
            context=CONTEXT,
            parallel=NUM_SEQUENCES,
            num_cells=CONTEXT * NUM_SEQUENCES,
            threads=1,
        )
        loop = load(order, pipe)
        found = [measure(way, params, loop, pipe, num_steps) for way, params in WAYS.items()]
        ours.shutdown(socket.SHUT_RDWR)
        reader.wait()
    return found


def _line(one: Overhead) -> str:
    verdict = {True: "met", False: "MISSED", None: ""}[one.is_met]
    target = f"target <= {TARGET_MS} ms" if one.is_met is not None else ""
    shown = f"{one.way:<18} median {one.median_ms:6.2f} ms  p95 {one.p95_ms:6.2f} ms  "
    beside = f"(processor {one.processor_ms:.2f} ms, llama_decode {one.decode_ms:.1f} ms)"
    return f"{shown}{beside}  {target}  {verdict}".rstrip()


def main(arguments: Sequence[str]) -> int:
    """Print the table; exit code 1 when a target is missed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    parser = argparse.ArgumentParser(prog="python -m bench.step_overhead")
    parser.add_argument("--steps", type=int, default=500, help="at most 900")
    parser.add_argument("--models", type=Path, default=cache / "hermes-runner" / "bench" / "models")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file too")
    given = parser.parse_args(arguments)
    found = run(given.models, given.steps)
    print(f"{NUM_SEQUENCES} sequences, vocabulary 128256; everything but llama_decode, per step")
    for one in found:
        print(_line(one))
    if given.out is not None:
        payload = {"machine": machine.describe(), "overhead": [asdict(one) for one in found]}
        given.out.write_text(json.dumps(payload, indent=1) + "\n", encoding="utf-8")
    return 1 if any(one.is_met is False for one in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
