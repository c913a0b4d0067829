"""Is the plan right? Twelve models: the plan from the header beside llama.cpp's word and the truth.

    python bench/memory_plan.py                 llama.cpp's own buffers, nothing is loaded
    python bench/memory_plan.py --load          and the peak of a real engine child at work
    python bench/memory_plan.py --load --speed  and predicted beside measured decode speed
    python bench/memory_plan.py --only 1B,8B-Q4_K_M   some of them, by the start of their names

Weights are holes in files, so the disk stays empty. In memory they are not: each page of a hole has
a page of its own in the page cache and is read as fast as a written one (Linux, ext4: both measured
at 34 GB/s). Peaks are the kernel's high-water mark. Speed only means something on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from runner.engine.embedding import CHUNK_TOKENS
from runner.engine.kernel import measure_kernels
from runner.engine.messages import (
    Done,
    Embed,
    Failed,
    FrameSplitter,
    FromChild,
    Load,
    Loaded,
    LoadFailed,
    Outputs,
    Submit,
    Vector,
    decode_from_child,
    encode,
)
from runner.engine.probe import probe
from runner.gguf import read_file
from runner.hardware import Hardware, Readers, detect
from runner.local.process import child_environment
from runner.memory import Footprint, ModelShape, Wish, plan, shape_from_header
from runner.memory.footprint import Loading, measure, place
from runner.types import SamplingParams
from tests.fakes.hollow_gguf import HollowShape, write_hollow_gguf

MIB = 2**20
SHAPES = {
    "1B": HollowShape(16, 2048, 32, 8, 8192, 128_256, head_dim=64),
    "3B": HollowShape(28, 3072, 24, 8, 8192, 128_256, is_tied=True),
    "7B": HollowShape(32, 4096, 32, 32, 11_008, 32_000),
    "8B": HollowShape(32, 4096, 32, 8, 14_336, 128_256),
}
LONG_TOKENS, SHORT_TOKENS = 584, 16  # one slot fills a whole batch of 512, all of them generate
PATIENT_CHILD = """
from runner.engine.cell import enter
enter()
from runner.engine import pace
pace.TARGET_ALONE_S = 1e6
from runner.engine.worker import main
main()
"""
NUM_DECODED = 32
SPARE_BYTES = 2**30  # left to the rest of the machine
RESULTS = Path(__file__).parent / "results" / "memory_plan.json"
ALLOWED_BYTES = 40 * MIB
ALLOWED_SHARE = 0.03
ALLOWED_UNDER = 0.01
ALLOWED_SPEED = 0.25


@dataclass(frozen=True, slots=True)
class Case:
    """One model and one way of loading it."""

    shape: str
    quantization: str
    context: int
    slots: int
    kv_type: str

    @property
    def name(self) -> str:
        """What `--only` looks for the start of."""
        return f"{self.shape}-{self.quantization}-{self.context}x{self.slots}-{self.kv_type}"


CASES = (
    Case("1B", "F16", 2048, 1, "f16"),
    Case("1B", "Q8_0", 8192, 16, "f16"),
    Case("1B", "Q4_K_M", 65_536, 1, "f16"),
    Case("1B", "Q2_K", 4096, 4, "q8_0"),
    Case("3B", "Q4_K_M", 8192, 4, "f16"),
    Case("3B", "Q6_K", 32_768, 1, "q8_0"),
    Case("3B", "Q3_K_M", 2048, 16, "f16"),
    Case("7B", "Q4_0", 4096, 1, "f16"),
    Case("7B", "Q2_K", 4096, 4, "q8_0"),
    Case("8B", "Q4_K_M", 65_536, 1, "q8_0"),
    Case("8B", "Q8_0", 8192, 4, "f16"),
    Case("8B", "Q2_K", 16_384, 2, "f16"),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """What the plan said and what was true, in one unit."""

    planned: float
    measured: float

    @property
    def ratio(self) -> float:
        """Over 1: the plan said too much."""
        return self.planned / self.measured

    def is_size_right(self) -> bool:
        """Within 3 % or 40 MB, and never more than 1 % under; in MiB."""
        over = self.planned - self.measured
        allowed = max(ALLOWED_BYTES / MIB, ALLOWED_SHARE * self.measured)
        return -ALLOWED_UNDER * self.measured <= over <= allowed

    def is_enough(self) -> bool:
        """What is promised, and may not all be taken: never more than 1 % under."""
        return self.planned >= (1 - ALLOWED_UNDER) * self.measured

    def is_speed_right(self) -> bool:
        """Within 25 %."""
        return abs(self.ratio - 1) <= ALLOWED_SPEED


@dataclass(frozen=True, slots=True)
class Row:
    """What was found of one case: MiB, and tokens a second; None where it was not looked for.

    `peak` is of generating, `whole` of generating and then an embedding.
    """

    case: Case
    buffers: Pair
    peak: Pair | None = None
    whole: Pair | None = None
    speed: Pair | None = None

    @property
    def is_right(self) -> bool:
        """Everything that was looked for is within its bound."""
        return (
            (self.peak is None or self.peak.is_size_right())
            and (self.whole is None or self.whole.is_enough())
            and (self.speed is None or self.speed.is_speed_right())
        )


class Child:
    """A real engine child, spoken to as the parent does.

    It computes a prompt in whole batches, which an engine on a slow machine cuts into smaller ones:
    so it takes the most that the same child takes on any machine.
    """

    def __init__(self, order: Load) -> None:
        self._ours, theirs = socket.socketpair()
        command = [sys.executable, "-c", PATIENT_CHILD, str(theirs.fileno())]
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            cwd=Path(__file__).parents[1],
            stderr=subprocess.DEVNULL,
            env=child_environment(os.environ),
        )
        theirs.close()
        self._splitter = FrameSplitter()
        self._heard: deque[FromChild] = deque()
        self._ours.sendall(encode(order))
        self._wait_for(Loaded)

    def work(self, num_slots: int, num_vocab: int) -> None:
        """Fill a whole batch, then generate a little in every slot."""
        for slot in range(num_slots):
            length = SHORT_TOKENS if slot else LONG_TOKENS
            tokens = [(7 * place + 13 * slot) % (num_vocab - 300) for place in range(length)]
            self._submit(slot, tokens, 4)
        for _ in range(num_slots):
            self._wait_for(Done)

    def decode_speed(self, num_vocab: int) -> float:
        """Tokens a second of one answer alone, from its second token on."""
        self._submit(10_000, [n % (num_vocab - 300) for n in range(32)], NUM_DECODED)
        stamps: list[tuple[float, int]] = []
        for message in self._messages():
            if isinstance(message, Outputs):
                count = sum(len(output.tokens) for output in message.outputs)
                stamps.append((time.perf_counter(), count))
            elif isinstance(message, Done):
                break
        seconds = stamps[-1][0] - stamps[0][0]
        return sum(count for _, count in stamps[1:]) / seconds

    def embed(self) -> None:
        """One vector of a whole chunk: everything that embeddings ever take is taken."""
        self._ours.sendall(encode(Embed(20_000, [], list(range(CHUNK_TOKENS)))))
        self._wait_for(Vector)

    def peak_bytes(self) -> int:
        """The most it ever had in memory."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024

    def close(self) -> None:
        """It ends when its parent is gone."""
        self._ours.close()
        self._process.wait(timeout=60)

    def _submit(self, number: int, tokens: list[int], max_tokens: int) -> None:
        sampling = SamplingParams(temperature=1.0, top_k=40, seed=number, ignore_eos=True)
        order = Submit(
            id=number, pieces=[], tokens=tokens, sampling=sampling, max_tokens=max_tokens
        )
        self._ours.sendall(encode(order))

    def _wait_for(self, kind: type[FromChild]) -> None:
        for message in self._messages():
            if isinstance(message, kind):
                return

    def _messages(self) -> Iterator[FromChild]:
        """What the child says; whoever stops listening leaves the rest to the next."""
        while True:
            while self._heard:
                yield self._heard.popleft()
            data = self._ours.recv(1 << 16)
            if not data:
                sys.exit(f"the child ended with code {self._process.wait()}")
            for body in self._splitter.feed(data):
                message = decode_from_child(body)
                if isinstance(message, LoadFailed | Failed):
                    sys.exit(f"the child failed: {message.message}")
                self._heard.append(message)


def run(case: Case, hardware: Hardware, folder: Path, *, load: bool, speed: bool) -> Row:
    """One case, from writing the file to the row."""
    path = write_hollow_gguf(folder / "model.gguf", SHAPES[case.shape], case.quantization)
    try:
        shape = shape_from_header(read_file(path))
        order = Load(
            weights=[str(path)],
            context=case.context,
            parallel=case.slots,
            num_cells=case.context * case.slots,
            threads=hardware.physical_cores if speed else 1,
            kv_type=case.kv_type,
        )
        sums = measure(
            shape,
            Loading(order.num_cells, case.slots, case.kv_type),
            place(shape, 0, hardware.instruction_sets),
        )
        row = Row(case, compare_buffers(order, sums))
        if load:
            row = at_work(row, order, sums, predict(shape, hardware, case) if speed else None)
        return row
    finally:
        path.unlink()


def compare_buffers(order: Load, sums: Footprint) -> Pair:
    """The plan's buffers beside llama.cpp's own word."""
    told = probe(order)
    buffers = told.kv_bytes + told.output_bytes + sum(told.compute_bytes.values())
    planned = sums.kv_bytes + sums.output_bytes + sums.reserved_compute_bytes
    return Pair(planned / MIB, buffers / MIB)


def at_work(row: Row, order: Load, sums: Footprint, predicted_tokens_per_s: float | None) -> Row:
    """The row with what a child was seen to take, and how fast it was."""
    free_bytes = psutil.virtual_memory().available - SPARE_BYTES
    if sums.peak_ram_bytes > free_bytes:
        sys.exit(
            f"{row.case.name} takes {sums.peak_ram_bytes / MIB:.0f} MiB and only "
            f"{free_bytes / MIB:.0f} can be used: choose others with --only"
        )
    num_vocab = SHAPES[row.case.shape].vocab_size
    child = Child(order)
    try:
        child.work(row.case.slots, num_vocab)
        if predicted_tokens_per_s is not None:
            speed = Pair(predicted_tokens_per_s, child.decode_speed(num_vocab))
            row = replace(row, speed=speed)
        peak = Pair(sums.generating_peak_bytes / MIB, child.peak_bytes() / MIB)
        child.embed()
        whole = Pair(sums.peak_ram_bytes / MIB, child.peak_bytes() / MIB)
        return replace(row, peak=peak, whole=whole)
    finally:
        child.close()


def predict(shape: ModelShape, hardware: Hardware, case: Case) -> float:
    """The speed that a user would see in the plan; memory is no object here."""
    roomy = replace(hardware, memory_available_bytes=2**40)
    wish = Wish(case.context, 1, hardware.physical_cores, 0, case.kv_type)
    return plan(shape, roomy, wish).predicted_tokens_per_s or 0.0


HEAD = (
    f"{'case':<26} {'buffers':>8} {'real':>8} | {'peak':>7} {'real':>7} {'ratio':>5}      | "
    f"{'+embed':>7} {'real':>7} {'ratio':>5}      | {'tok/s':>7} {'real':>7} {'ratio':>5}"
)


def show(row: Row) -> str:
    """One line of the table."""
    cells = [f"{row.case.name:<26} {row.buffers.planned:>8.1f} {row.buffers.measured:>8.1f}"]
    if row.peak is not None:
        cells.append(cell(row.peak, 0, row.peak.is_size_right()))
    if row.whole is not None:
        cells.append(cell(row.whole, 0, row.whole.is_enough()))
    if row.speed is not None:
        cells.append(cell(row.speed, 2, row.speed.is_speed_right()))
    return " | ".join(cells)


def cell(pair: Pair, digits: int, is_right: bool) -> str:
    """Planned, measured, their ratio, and the verdict."""
    verdict = "pass" if is_right else "MISS"
    return (
        f"{pair.planned:>7.{digits}f} {pair.measured:>7.{digits}f} {pair.ratio:>5.2f} {verdict:<4}"
    )


def chosen(only: str) -> list[Case]:
    """The cases whose name starts with one of the words; all without a word."""
    starts = tuple(only.split(","))
    found = [case for case in CASES if case.name.startswith(starts)]
    return found or sys.exit(
        f"no case starts with {only}; there are " + ", ".join(case.name for case in CASES)
    )


def main() -> None:
    """Print the table; exit code 1 where a row is off."""
    parser = argparse.ArgumentParser(description="The plan beside llama.cpp and the truth.")
    parser.add_argument("--load", action="store_true", help="load and measure the peak")
    parser.add_argument("--speed", action="store_true", help="with --load: measure decoding")
    parser.add_argument("--only", default="", help="starts of names, for example 1B,8B-Q4_K_M")
    parser.add_argument(
        "--out", type=Path, nargs="?", const=RESULTS, help=f"write JSON there ({RESULTS})"
    )
    options = parser.parse_args()
    cases, rows = chosen(options.only), []
    with tempfile.TemporaryDirectory() as name:
        readers = Readers(kernels=measure_kernels) if options.speed else Readers()
        hardware = detect(Path(name), readers)
        print(describe(hardware))
        print("MiB by plan and really; tokens a second by plan and really")
        print(HEAD, flush=True)
        for case in cases:
            rows.append(run(case, hardware, Path(name), load=options.load, speed=options.speed))
            print(show(rows[-1]), flush=True)
    num_right = sum(row.is_right for row in rows)
    print(f"{num_right} of {len(rows)} are within their bounds")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        found = {"machine": asdict(hardware), "rows": [asdict(row) for row in rows]}
        options.out.write_text(json.dumps(found, indent=1, default=sorted), encoding="utf-8")
    sys.exit(num_right < len(rows))


def describe(hardware: Hardware) -> str:
    """The machine in one line, with what a core works through of each type."""
    paces = ", ".join(
        f"{kind} {rate / 1e9:.1f}" for kind, rate in hardware.core_bytes_per_s.items()
    )
    memory = f"{hardware.memory_bandwidth_bytes_per_s / 1e9:.1f} GB/s of memory"
    return f"{hardware.physical_cores} cores, {memory}; GB/s of a core: {paces or 'not measured'}"


if __name__ == "__main__":
    main()
