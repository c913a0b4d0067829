"""A throw-away child that asks llama.cpp what it would allocate: `python -m runner.engine.probe`.

Owns the question and the answer: a `Load` as JSON on stdin, `Buffers` as JSON on stdout. Nothing is
allocated, so it takes tenths of a second and some 100 MB for any model. The parent's half imports
no llama.cpp: a file that kills its reader kills only the child.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from runner.errors import EngineLoadError

from .messages import Load

TIMEOUT_S = 30.0
MIB = 2**20
BUFFER_LINE = re.compile(r"(\S+) +(output|compute) buffer size = +([\d.]+) MiB")
CACHE_LINE = re.compile(r"llama_kv_cache\w*: size = +([\d.]+) MiB \( *(\d+) cells")
FEATURE = re.compile(r"(\w+) = 1")
KEPT_ENVIRONMENT = ("PATH", "HOME", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "SYSTEMROOT")


class Device(msgspec.Struct, frozen=True):
    """One device of llama.cpp's own list; `kind` is cpu, gpu, igpu or accel."""

    name: str
    description: str
    kind: str
    free_bytes: int
    total_bytes: int


class Buffers(msgspec.Struct, frozen=True):
    """What would be allocated. Compute and output by device, as llama.cpp names them."""

    model_bytes: int
    num_cells: int
    kv_bytes: int
    compute_bytes: dict[str, int]
    output_bytes: int
    features: list[str]
    devices: list[Device]


def probe(order: Load, *, timeout_s: float = TIMEOUT_S) -> Buffers:
    """Ask a child. Raises EngineLoadError where llama.cpp refuses the file or dies of it."""
    return msgspec.json.decode(
        _ask(msgspec.json.encode(_order_fields(order)), timeout_s), type=Buffers
    )


def list_devices(*, timeout_s: float = TIMEOUT_S) -> list[Device]:
    """llama.cpp's devices with their memory, processors included."""
    return msgspec.json.decode(_ask(b"null", timeout_s), type=list[Device])


def _ask(question: bytes, timeout_s: float) -> bytes:
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    root = str(Path(__file__).resolve().parents[2])
    try:
        answer = subprocess.run(
            [sys.executable, "-P", "-m", "runner.engine.probe"],
            input=question,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env={**kept, "PYTHONPATH": root, "GGML_NO_BACKTRACE": "1"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineLoadError(f"llama.cpp could not be asked about the file: {error}") from None
    if answer.returncode != 0:
        lines = answer.stderr.decode("utf-8", errors="replace").strip().splitlines()
        raise EngineLoadError(
            f"llama.cpp cannot plan this file (exit code {answer.returncode}): "
            f"{lines[-1] if lines else 'no reason given'}"
        )
    return answer.stdout


def _order_fields(order: Load) -> dict[str, object]:
    return {name: getattr(order, name) for name in order.__struct_fields__}


def read_log(lines: Iterable[str]) -> tuple[int, int, Mapping[str, int], int]:
    """Cells, bytes of the cache, of compute buffers by device, and of the output, from the log."""
    num_cells = kv = output = 0.0
    compute: dict[str, int] = {}
    for line in lines:
        if match := CACHE_LINE.search(line):
            kv, num_cells = kv + float(match[1]), max(num_cells, int(match[2]))
        elif match := BUFFER_LINE.search(line):
            size = float(match[3]) * MIB
            if match[2] == "output":
                output += size
            else:
                compute[match[1]] = round(size)
    return int(num_cells), round(kv * MIB), compute, round(output)


class _Lines(logging.Handler):
    """Keeps llama.cpp's log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def main() -> None:
    """The child."""
    from .llama import Context, DryModel, logger, system_info
    from .worker import options_for

    fields = msgspec.json.decode(sys.stdin.buffer.read())
    if fields is None:
        sys.stdout.buffer.write(msgspec.json.encode(read_devices()))
        return
    order = Load(**fields)
    options = options_for(order)
    log = _Lines()
    logger.addHandler(log)
    logger.setLevel(logging.DEBUG)
    try:
        model = DryModel(options)
        Context(model, options)
    except EngineLoadError as error:
        sys.exit(str(error))
    num_cells, kv, compute, output = read_log(log.lines)
    answer = Buffers(
        model_bytes=model.size_bytes,
        num_cells=num_cells,
        kv_bytes=kv,
        compute_bytes=dict(compute),
        output_bytes=output,
        features=[name.lower() for name in FEATURE.findall(system_info())],
        devices=read_devices(),
    )
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    sys.stdout.flush()
    os._exit(0)  # freeing what was never allocated is not worth a risk


def read_devices() -> list[Device]:
    """ggml's device list; its functions are in the libraries beside llama.cpp's."""
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parent / "lib"
    registry, base = _open(folder, "ggml"), _open(folder, "ggml-base")
    if registry is None or base is None:
        return []
    registry.ggml_backend_dev_count.restype = ctypes.c_size_t
    registry.ggml_backend_dev_get.restype = ctypes.c_void_p
    registry.ggml_backend_dev_get.argtypes = [ctypes.c_size_t]
    return [
        _describe(base, registry.ggml_backend_dev_get(index))
        for index in range(registry.ggml_backend_dev_count())
    ]


def _open(folder: Path, name: str) -> ctypes.CDLL | None:
    for file in (f"lib{name}.so", f"lib{name}.dylib", f"{name}.dll"):
        if (folder / file).is_file():
            return ctypes.CDLL(str(folder / file))
    return None


def _describe(base: ctypes.CDLL, device: int) -> Device:
    pointer = ctypes.c_void_p(device)
    for name in ("name", "description"):
        getattr(base, f"ggml_backend_dev_{name}").restype = ctypes.c_char_p
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    base.ggml_backend_dev_memory(pointer, ctypes.byref(free), ctypes.byref(total))
    kinds = {0: "cpu", 1: "gpu", 2: "igpu", 3: "accel"}
    return Device(
        name=base.ggml_backend_dev_name(pointer).decode("utf-8", errors="replace"),
        description=base.ggml_backend_dev_description(pointer).decode("utf-8", errors="replace"),
        kind=kinds.get(base.ggml_backend_dev_type(pointer), "accel"),
        free_bytes=free.value,
        total_bytes=total.value,
    )


if __name__ == "__main__":
    main()
