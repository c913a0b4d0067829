"""What the machine has is seen through its limits, and nothing that cannot be seen is invented."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from runner.hardware import Gpu, Hardware, Readers, detect, measure_bandwidth, read_nvml
from runner.hardware.detection import HostMemory

GIB = 2**30
CARD = Gpu("Card", "cuda", 24 * GIB, 20 * GIB, 900e9)


class Machine:
    """A folder that plays `/`, and readers that say what they are told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.num_measured = 0
        self.bandwidth = 40e9
        self.kernels: dict[str, float] = {}
        self.load = 0.0
        self.devices: tuple[Gpu, ...] = ()
        self.cards: tuple[Gpu, ...] = ()
        self.backends: frozenset[str] = frozenset()
        self.num_asked = 0

    def write(self, path: str, text: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def detect(self, state_dir: Path | None = None) -> Hardware:
        def measure(num_threads: int) -> float:
            self.num_measured += 1
            return self.bandwidth

        def devices() -> tuple[Gpu, ...]:
            self.num_asked += 1
            return self.devices

        readers = Readers(
            root=self.root,
            host_memory=lambda: HostMemory(16 * GIB, 12 * GIB),
            physical_cores=lambda: 8,
            usable_cores=lambda: 16,
            backends=lambda: self.backends,
            nvml=lambda: self.cards,
            engine_devices=devices,
            disk_free=lambda folder: 100 * GIB,
            bandwidth=measure,
            kernels=lambda num_threads: self.kernels,
            load=lambda: self.load,
        )
        return detect(state_dir or self.root / "state", readers)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_without_limits_the_host_is_what_there_is(machine: Machine) -> None:
    found = machine.detect()
    assert (found.memory_total_bytes, found.memory_available_bytes) == (16 * GIB, 12 * GIB)
    assert (found.physical_cores, found.logical_cores) == (8, 16)
    assert not found.is_memory_limited
    assert found.gpus == () and found.idle_gpus == ()


def test_a_version_2_limit_counts_and_page_cache_is_free(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/box/inner\n")
    machine.write("sys/fs/cgroup/box/inner/memory.max", "max\n")
    machine.write("sys/fs/cgroup/box/memory.max", f"{4 * GIB}\n")
    machine.write("sys/fs/cgroup/box/memory.current", f"{3 * GIB}\n")
    stat = f"anon {GIB}\ninactive_file {GIB}\nactive_file {GIB // 2}\n"
    machine.write("sys/fs/cgroup/box/memory.stat", stat)
    found = machine.detect()
    assert found.memory_total_bytes == 4 * GIB
    assert found.memory_available_bytes == 2.5 * GIB
    assert found.is_memory_limited


def test_the_tightest_limit_on_the_way_up_decides(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/a/b\n")
    machine.write("sys/fs/cgroup/a/memory.max", f"{2 * GIB}\n")
    machine.write("sys/fs/cgroup/a/memory.current", f"{GIB}\n")
    machine.write("sys/fs/cgroup/a/b/memory.max", f"{8 * GIB}\n")
    machine.write("sys/fs/cgroup/a/b/memory.current", "0\n")
    assert machine.detect().memory_available_bytes == GIB


def test_a_version_1_limit_counts_and_its_huge_number_is_none(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "5:cpu,cpuacct:/\n4:memory:/box\n")
    machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    machine.write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", f"{GIB}\n")
    machine.write("sys/fs/cgroup/memory/box/memory.usage_in_bytes", f"{GIB // 2}\n")
    machine.write("sys/fs/cgroup/memory/box/memory.stat", f"total_inactive_file {GIB // 4}\n")
    assert machine.detect().memory_available_bytes == 0.75 * GIB


def test_damaged_control_files_are_no_limit(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "nonsense\n0::/x\n::::\n")
    machine.write("sys/fs/cgroup/x/memory.max", "a lot\n")
    assert machine.detect().memory_total_bytes == 16 * GIB


@pytest.mark.parametrize(("quota", "cores"), [("200000 100000", 2), ("150000 100000", 2)])
def test_a_processor_quota_limits_the_cores(machine: Machine, quota: str, cores: int) -> None:
    machine.write("proc/self/cgroup", "0::/\n")
    machine.write("sys/fs/cgroup/cpu.max", quota)
    found = machine.detect()
    assert (found.physical_cores, found.logical_cores) == (cores, cores)


def test_instruction_sets_have_the_engines_names(machine: Machine) -> None:
    machine.write("proc/cpuinfo", "processor : 0\nflags\t\t: fpu avx2 avx512f fma\n")
    assert machine.detect().instruction_sets == {"avx2", "avx512", "fma"}
    machine.write("proc/cpuinfo", "Features\t: fp asimd asimddp i8mm\n")
    assert machine.detect().instruction_sets == {"neon", "dotprod", "matmul_int8"}


def test_bandwidth_is_measured_once_and_remembered(machine: Machine) -> None:
    machine.detect()
    machine.bandwidth = 1.0
    assert machine.detect().memory_bandwidth_bytes_per_s == 40e9
    assert machine.num_measured == 1


def test_what_was_measured_beside_other_work_is_measured_again_when_idle(machine: Machine) -> None:
    machine.load, machine.bandwidth = 8.0, 5e9
    assert machine.detect().memory_bandwidth_bytes_per_s == 5e9
    assert machine.detect().memory_bandwidth_bytes_per_s == 5e9
    assert machine.num_measured == 1
    machine.load, machine.bandwidth = 0.1, 40e9
    assert machine.detect().memory_bandwidth_bytes_per_s == 40e9
    machine.bandwidth = 1.0
    assert machine.detect().memory_bandwidth_bytes_per_s == 40e9


def test_the_engines_kernels_are_measured_once_by_whoever_can(machine: Machine) -> None:
    assert machine.detect().core_bytes_per_s == {}
    machine.kernels = {"Q8_0": 20e9}
    assert machine.detect().core_bytes_per_s == {"Q8_0": 20e9}
    machine.kernels = {}
    assert machine.detect().core_bytes_per_s == {"Q8_0": 20e9}
    machine.kernels = {"Q8_0": 1.0}
    assert machine.detect().core_bytes_per_s == {"Q8_0": 20e9}
    assert machine.num_measured == 1


def test_kernels_measured_beside_other_work_are_measured_again_when_idle(machine: Machine) -> None:
    machine.load, machine.kernels = 8.0, {"Q8_0": 5e9}
    assert machine.detect().core_bytes_per_s == {"Q8_0": 5e9}
    machine.load, machine.kernels = 0.1, {"Q8_0": 20e9}
    assert machine.detect().core_bytes_per_s == {"Q8_0": 20e9}


@pytest.mark.parametrize("kept", ["", "[]", "{", '{"num_threads": 8}', '{"num_threads": 2}'])
def test_a_damaged_memory_of_it_is_measured_anew(machine: Machine, kept: str) -> None:
    machine.write("state/hardware.json", kept)
    assert machine.detect().memory_bandwidth_bytes_per_s == 40e9
    assert json.loads((machine.root / "state/hardware.json").read_text())["num_threads"] == 8


def test_a_state_folder_that_cannot_be_made_is_no_error(machine: Machine) -> None:
    machine.write("file", "")
    assert machine.detect(machine.root / "file" / "state").memory_bandwidth_bytes_per_s == 40e9


def test_a_card_the_engine_cannot_use_is_named_but_not_offered(machine: Machine) -> None:
    machine.cards = (CARD,)
    found = machine.detect()
    assert found.gpus == () and found.idle_gpus == ("Card",)
    machine.backends = frozenset({"cuda"})
    found = machine.detect()
    assert found.gpus == (CARD,) and found.idle_gpus == ()
    assert machine.num_asked == 0


def test_other_backends_are_asked_of_the_engine_itself(machine: Machine) -> None:
    machine.backends = frozenset({"metal"})
    machine.devices = (Gpu("Apple", "metal", 12 * GIB, 10 * GIB, shares_ram=True),)
    assert machine.detect().gpus == machine.devices


def test_nvml_cards_come_with_free_memory_and_bandwidth(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = ModuleType("pynvml")
    fake.__dict__.update(
        NVMLError=RuntimeError,
        NVML_CLOCK_MEM=2,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=24 * GIB, free=20 * GIB),
        nvmlDeviceGetName=lambda handle: b"Card",
        nvmlDeviceGetMaxClockInfo=lambda handle, kind: 10_000,
        nvmlDeviceGetMemoryBusWidth=lambda handle: 384,
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    assert read_nvml() == (Gpu("Card", "cuda", 24 * GIB, 20 * GIB, 960e9),)


def test_without_the_nvidia_library_there_are_no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert read_nvml() == ()


def test_bandwidth_is_bytes_over_the_threads_own_time() -> None:
    ticks = iter(float(n) for n in range(1000))
    measured = measure_bandwidth(
        1, buffer_bytes=8000, clock=lambda: 0.0, thread_clock=lambda: next(ticks)
    )
    assert measured == 8000.0


def test_this_machine_can_be_looked_at(tmp_path: Path) -> None:
    found = detect(tmp_path)
    assert 1 <= found.physical_cores <= found.logical_cores
    assert 0 < found.memory_available_bytes <= found.memory_total_bytes
    assert 1e8 < found.memory_bandwidth_bytes_per_s < 1e13
    start = time.process_time()
    assert detect(tmp_path).memory_bandwidth_bytes_per_s == found.memory_bandwidth_bytes_per_s
    assert time.process_time() - start < 0.5
