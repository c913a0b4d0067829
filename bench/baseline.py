"""What stands beside the two servers: the bare C API, and llama-batched-bench.

Owns running them as processes and reading what they print.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from .server import ROOT, WAITING_VARIABLES

PROMPT = 64
NUM_TRIES = 5


def run_bare(model: Path, num_threads: int, num_steps: int) -> dict[str, float]:
    """Decode tokens per second of a plain loop over the C API at batch 1 and 8."""
    command = [sys.executable, "-m", "bench.bare", str(model), "--threads", str(num_threads)]
    speeds = json.loads(_output([*command, "--steps", str(num_steps)]))
    return {"bare_one_tok_s": speeds["1"], "bare_eight_tok_s": speeds["8"]}


def run_batched(program: Path, model: Path, num_threads: int, num_steps: int) -> dict[str, float]:
    """Decode tokens per second of llama-batched-bench at batch 8 and 1.

    Its log writer may lose the last lines when it exits (seen on a loaded machine), so the row that
    matters comes first, and a run without it is repeated.
    """
    cells = 8 * (PROMPT + num_steps)
    command = [str(program), "-m", str(model), "-c", str(-(-cells // 256) * 256)]
    command += ["-t", str(num_threads), "-npp", str(PROMPT), "-ntg", str(num_steps)]
    command += ["-npl", "8,1", "-kvu", "--output-format", "jsonl"]
    for _ in range(NUM_TRIES):
        rows = [json.loads(line) for line in _output(command).splitlines() if line[:1] == "{"]
        speeds = {row["pl"]: float(row["speed_tg"]) for row in rows}
        if 8 in speeds:
            names = {8: "batched_eight_tok_s", 1: "batched_one_tok_s"}
            return {names[batch]: speed for batch, speed in speeds.items()}
    raise SystemExit(f"{program.name} printed no figure for batch 8")


def _output(command: list[str]) -> str:
    environ = {key: value for key, value in os.environ.items() if key not in WAITING_VARIABLES}
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed: {done.stderr[-1000:]}")
    return done.stdout
