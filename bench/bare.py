"""The bare C API: what decoding costs with nothing around it, at batch 1 and 8.

`python -m bench.bare MODEL` prints tokens per second as JSON; `--forever` instead says one line
when it runs and decodes until it is killed, to be somebody's noisy neighbour. A process of its
own, so that its threads and memory are nobody else's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as lib

from .model import silence_llama

CONTEXT = 1024
START = 64


class BareLoop:
    """One context with `batch` sequences; every step decodes one greedy token of each."""

    def __init__(self, path: Path, batch: int, num_threads: int) -> None:
        silence_llama()
        lib.llama_backend_init()
        self._model = lib.llama_model_load_from_file(
            str(path).encode(), lib.llama_model_default_params()
        )
        if not self._model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_seq_max, params.kv_unified = CONTEXT * batch, batch, True
        params.n_threads = params.n_threads_batch = num_threads
        self._context = lib.llama_init_from_model(self._model, params)
        self._sampler = lib.llama_sampler_init_greedy()
        self._batch: Any = lib.llama_batch_init(max(batch, START), 0, 1)
        self._tokens = [0] * batch
        self._position = START
        for row in range(batch):
            self._prefill(row)

    def _prefill(self, row: int) -> None:
        for position in range(START):
            self._put(position, 100 + position + row, position, row, wants=position == START - 1)
        self._decode(START)
        self._tokens[row] = lib.llama_sampler_sample(self._sampler, self._context, START - 1)

    def _put(self, place: int, token: int, position: int, row: int, *, wants: bool) -> None:
        batch = self._batch
        batch.token[place], batch.pos[place], batch.logits[place] = token, position, wants
        batch.n_seq_id[place], batch.seq_id[place][0] = 1, row

    def _decode(self, count: int) -> None:
        self._batch.n_tokens = count
        code = lib.llama_decode(self._context, self._batch)
        if code != 0:
            raise SystemExit(f"llama_decode returned {code}")

    def step(self) -> None:
        """One token of every sequence; starts over when the context is full."""
        if self._position == CONTEXT:
            memory = lib.llama_get_memory(self._context)
            lib.llama_memory_seq_rm(memory, -1, START, -1)
            self._position = START
        for row, token in enumerate(self._tokens):
            self._put(row, token, self._position, row, wants=True)
        self._decode(len(self._tokens))
        for row in range(len(self._tokens)):
            self._tokens[row] = lib.llama_sampler_sample(self._sampler, self._context, row)
        self._position += 1


def measure(path: Path, batch: int, num_threads: int, num_steps: int) -> float:
    """Tokens per second over the steps, after a few that do not count."""
    loop = BareLoop(path, batch, num_threads)
    for _ in range(4):
        loop.step()
    begun_s = time.monotonic()
    for _ in range(num_steps):
        loop.step()
    return batch * num_steps / (time.monotonic() - begun_s)


def main(arguments: Sequence[str]) -> None:
    """Measure, or keep the cores busy."""
    parser = argparse.ArgumentParser(prog="python -m bench.bare")
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--forever", action="store_true")
    given = parser.parse_args(arguments)
    if given.forever:
        loop = BareLoop(given.model, 1, given.threads)
        print("busy", flush=True)
        while True:
            loop.step()
    speeds = {
        str(batch): measure(given.model, batch, given.threads, given.steps)
        for batch in given.batches
    }
    print(json.dumps(speeds))


if __name__ == "__main__":
    main(sys.argv[1:])
