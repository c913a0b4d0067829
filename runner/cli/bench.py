"""`runner bench`: how fast a model is on this machine, with a picture.

Owns the page and the file the figures are kept in; the measuring is done elsewhere. The engine is
loaded exactly as `serve` would load it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from runner.services import Services

    from .measurement import Work
    from .plot import Bars

FILE_NAME = "bench.json"
GIB = 2**30
BUSY_SHARE = 0.5
Facts = dict[str, Any]


def command(
    model: Annotated[
        str | None, typer.Argument(help="Model to measure; the default one if not given.")
    ] = None,
    streams: Annotated[int, typer.Option(min=1, help="Most requests at once.")] = 8,
    prompt_tokens: Annotated[int, typer.Option(min=32, help="Tokens of the long prompt.")] = 512,
    tokens: Annotated[int, typer.Option(min=2, help="Tokens of each answer.")] = 128,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the median counts.")] = 3,
    png: Annotated[
        Path | None, typer.Option("--png", "--plot", help="Draw the figures to this PNG, too.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure this machine: prompt and decode speed, first token, loading, memory.

    The model is loaded as `serve` would load it, in an engine of its own. Prompts are random
    tokens, so nothing is reused; the median of the rounds counts. The figures are drawn in the
    terminal, kept in the state folder, and drawn to a file to share:

    \b
    runner bench hermes-tiny --plot bench.png
    """
    import asyncio
    import sys

    from . import plot
    from .measurement import Work

    if png is not None:
        plot.check_png(png)
    work = Work(prompt_tokens, tokens, streams, rounds)
    facts = asyncio.run(_measure(model, work, quiet=json_ or not sys.stderr.isatty()))
    if png is not None:
        plot.write_png(chart(facts), png)
    if json_:
        typer.echo(json.dumps(facts))
        return
    from shutil import get_terminal_size

    for line in page(facts, get_terminal_size().columns):
        typer.echo(line)


async def _measure(model: str | None, work: Work, *, quiet: bool) -> Facts:
    """The figures with everything they depend on; kept in the state folder."""
    from dataclasses import asdict

    from runner.config import load
    from runner.services import build

    from .chat import choose
    from .measurement import measure

    services = build(load().settings)
    try:
        chosen = choose(services, model)
        order = await services.planner.order(chosen)
        facts = _circumstances(services, chosen)

        def tell(what: str) -> None:
            if not quiet:
                typer.secho(f"{chosen}: {what}", dim=True, err=True)

        facts |= asdict(await measure(order, work, tell))
        keep(services.settings.state_dir / FILE_NAME, facts)
        return facts
    finally:
        await services.stop()


def _circumstances(services: Services, model: str) -> Facts:
    """What the figures hold for: the model, the plan it is loaded by, the machine."""
    from datetime import UTC, datetime

    import psutil

    from runner import __version__

    plan, machine = services.planner.plan(model), services.planner.hardware()
    return {
        "model": model,
        "quantization": plan.quantization,
        "version": __version__,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": processor_name(),
            "physical_cores": machine.physical_cores,
            "memory_bytes": machine.memory_total_bytes,
            "gpus": [gpu.name for gpu in machine.gpus],
            "load_average": round(psutil.getloadavg()[0], 2),
        },
        "settings": {
            "gpu_layers": plan.gpu_layers,
            "context": plan.context,
            "parallel": plan.parallel,
            "kv_type": plan.kv_type,
        },
        "predicted_tokens_per_s": plan.predicted_tokens_per_s,
    }


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor as the system calls it."""
    import platform

    with contextlib.suppress(OSError):
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def keep(path: Path, facts: Facts) -> None:
    """Put the figures beside those of other models; a folder that cannot be written is no fault."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(read_kept(path) | {facts["model"]: facts}, indent=1))
        draft.replace(path)


def read_kept(path: Path) -> Facts:
    """The figures of every model that was measured, by id."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def page(facts: Facts, width: int) -> Iterator[str]:
    """The figures for people, with their picture."""
    from .plot import bar_lines

    drawn = chart(facts)
    yield from (*drawn.heads, "")
    yield from bar_lines(drawn, width)
    yield from ("", *drawn.notes)
    machine = facts["machine"]
    if machine["load_average"] > BUSY_SHARE * machine["physical_cores"]:
        yield (
            f"the machine was busy beforehand (load {machine['load_average']:.1f}); on an idle one "
            "the figures are better"
        )


def chart(facts: Facts) -> Bars:
    """The figures as a chart."""
    from .plot import Bar, Bars

    settings = facts["settings"]
    rows = [("prompt", facts["prompt_tokens_per_s"])]
    for speed in facts["decode"]:
        rows.append((_counted(speed["streams"], "stream"), speed["tokens_per_s"]))
    return Bars(
        heads=(
            f"{facts['model']} {facts['quantization']}",
            f"{_machine(facts['machine'])}; {_counted(facts['num_threads'], 'thread')}, "
            f"{_layers(settings['gpu_layers'])}",
        ),
        bars=tuple(Bar(name, value, f"{value:.1f} tokens/s") for name, value in rows),
        notes=(
            f"first token after {facts['first_token_s'] * 1e3:.0f} ms "
            f"(prompt of {facts['num_prompt_tokens']} tokens)",
            f"loaded in {facts['load_s']:.2f} s, {facts['memory_bytes'] / GIB:.2f} GiB of memory; "
            f"hermes-runner {facts['version']}, {facts['at'][:10]}",
        ),
    )


def _machine(machine: Facts) -> str:
    gpus = "".join(f", {name}" for name in machine["gpus"])
    memory = f"{machine['memory_bytes'] / GIB:.0f} GiB"
    return f"{machine['processor']}, {machine['physical_cores']} cores, {memory}{gpus}"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _layers(count: int) -> str:
    return f"{_counted(count, 'layer')} on a GPU" if count else "nothing on a GPU"
