"""Is the plan right? Twelve models: the plan from the header beside llama.cpp's word and the truth.

    python bench/memory_plan.py                 llama.cpp's own buffers, nothing is loaded
    python bench/memory_plan.py --load          and the peak of a real engine child at work
    python bench/memory_plan.py --load --speed  and predicted beside measured decode speed

Weights are holes in files, so the disk stays empty, but loading takes the memory of real ones.
Peaks are the kernel's high-water mark (Linux). Speed only means something on an idle machine.
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
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from runner.engine.messages import (
    Done,
    Failed,
    FrameSplitter,
    FromChild,
    Load,
    Loaded,
    LoadFailed,
    Outputs,
    Submit,
    decode_from_child,
    encode,
)
from runner.engine.probe import probe
from runner.gguf import read_file
from runner.hardware import Hardware, detect
from runner.local.process import child_environment
from runner.memory import LoadPlan, ModelShape, Wish, plan, shape_from_header
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
BATCH_TOKENS = 640  # a little over one batch of 512, over all slots
NUM_DECODED = 48
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


@dataclass(slots=True)
class Row:
    """What was found; sizes in MiB, None where it was not looked for."""

    case: Case
    probed_buffers_mib: float
    planned_buffers_mib: float
    planned_peak_mib: float
    measured_peak_mib: float | None = None
    predicted_tokens_per_s: float | None = None
    measured_tokens_per_s: float | None = None

    @property
    def is_size_right(self) -> bool | None:
        """Within 3 % or 40 MB, and never more than 1 % under."""
        if self.measured_peak_mib is None:
            return None
        over = self.planned_peak_mib - self.measured_peak_mib
        allowed = max(ALLOWED_BYTES / MIB, ALLOWED_SHARE * self.measured_peak_mib)
        return -ALLOWED_UNDER * self.measured_peak_mib <= over <= allowed

    @property
    def is_speed_right(self) -> bool | None:
        """Within 25 %."""
        if self.measured_tokens_per_s is None or self.predicted_tokens_per_s is None:
            return None
        return abs(self.predicted_tokens_per_s / self.measured_tokens_per_s - 1) <= ALLOWED_SPEED


class Child:
    """A real engine child, spoken to as the parent does."""

    def __init__(self, order: Load) -> None:
        self._ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "runner.engine.child", str(theirs.fileno())]
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            cwd=Path(__file__).parents[1],
            stderr=subprocess.DEVNULL,
            env=child_environment(os.environ),
        )
        theirs.close()
        self._splitter = FrameSplitter()
        self._ours.sendall(encode(order))
        self._wait_for(Loaded)

    def work(self, num_slots: int, num_vocab: int) -> None:
        """Fill a whole batch, then generate a little in every slot."""
        length = max(8, BATCH_TOKENS // num_slots)
        for slot in range(num_slots):
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
        while data := self._ours.recv(1 << 16):
            for body in self._splitter.feed(data):
                message = decode_from_child(body)
                if isinstance(message, LoadFailed | Failed):
                    sys.exit(f"the child failed: {message.message}")
                yield message
        sys.exit(f"the child ended with code {self._process.wait()}")


def run(case: Case, hardware: Hardware, folder: Path, *, load: bool, speed: bool) -> Row:
    """One case, from writing the file to the row."""
    hollow = SHAPES[case.shape]
    path = write_hollow_gguf(folder / "model.gguf", hollow, case.quantization)
    shape = shape_from_header(read_file(path))
    order = Load(
        weights=[str(path)],
        context=case.context,
        parallel=case.slots,
        num_cells=case.context * case.slots,
        threads=hardware.physical_cores if speed else 1,
        kv_type=case.kv_type,
    )
    buffers = probe(order)
    sums = measure(
        shape,
        Loading(order.num_cells, case.slots, case.kv_type),
        place(shape, 0, hardware.instruction_sets),
    )
    probed = buffers.kv_bytes + buffers.output_bytes + sum(buffers.compute_bytes.values())
    planned = sums.kv_bytes + sums.output_bytes + sums.reserved_compute_bytes
    row = Row(case, probed / MIB, planned / MIB, sums.peak_ram_bytes / MIB)
    if load:
        child = Child(order)
        child.work(case.slots, hollow.vocab_size)
        if speed:
            row.predicted_tokens_per_s = predict(shape, hardware, case).predicted_tokens_per_s
            row.measured_tokens_per_s = child.decode_speed(hollow.vocab_size)
        row.measured_peak_mib = child.peak_bytes() / MIB
        child.close()
    path.unlink()
    return row


def predict(shape: ModelShape, hardware: Hardware, case: Case) -> LoadPlan:
    """The plan a user would see for it."""
    return plan(shape, hardware, Wish(case.context, 1, hardware.physical_cores, 0, case.kv_type))


def show(row: Row) -> str:
    """One line of the table."""
    case = row.case
    name = f"{case.shape} {case.quantization:<6} {case.context:>6} x {case.slots:<2} {case.kv_type}"
    text = f"{name:<28} {row.probed_buffers_mib:>9.1f} {row.planned_buffers_mib:>9.1f}"
    text += f" {row.planned_peak_mib:>10.1f}"
    if row.measured_peak_mib is not None:
        over = row.planned_peak_mib - row.measured_peak_mib
        share = over / row.measured_peak_mib
        verdict = "ok" if row.is_size_right else "OFF"
        text += f" {row.measured_peak_mib:>9.1f} {over:>+8.1f} {share:>+7.1%} {verdict:<3}"
    if row.measured_tokens_per_s is not None:
        verdict = "ok" if row.is_speed_right else "OFF"
        predicted = row.predicted_tokens_per_s or 0.0
        text += f" {predicted:>8.2f} {row.measured_tokens_per_s:>8.2f} {verdict}"
    return text


def main() -> None:
    """Print the table; exit code 1 where a row is off."""
    parser = argparse.ArgumentParser(description="The plan beside llama.cpp and the truth.")
    parser.add_argument("--load", action="store_true", help="load and measure the peak")
    parser.add_argument("--speed", action="store_true", help="with --load: measure decoding")
    parser.add_argument("--only", default="", help="only shapes of this name, for example 1B")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        hardware = detect(Path(name))
        print(f"{hardware.memory_bandwidth_bytes_per_s / 1e9:.1f} GB/s, {hardware.physical_cores}")
        print(
            "MiB: buffers by llama.cpp, by plan; peak by plan, measured, over; tok/s by plan, real"
        )
        for case in CASES:
            if options.only in ("", case.shape):
                rows.append(run(case, hardware, Path(name), load=options.load, speed=options.speed))
                print(show(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    sys.exit(any(False in (row.is_size_right, row.is_speed_right) for row in rows))


if __name__ == "__main__":
    main()
