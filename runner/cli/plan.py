"""`runner plan`: before any download, what would fit here, where it would go and how fast it is.

Owns the questions; the decisions are the planner's, the words `plan_page`'s. Nothing is fetched: of
a file on this disk the header is read, any other is estimated from the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .plan_page import (
    WORDS_PER_PAGE,
    WORDS_PER_TOKEN,
    Verdict,
    comparison,
    detail,
    family,
    list_offers,
)

if TYPE_CHECKING:
    from runner.catalog import Entry
    from runner.config import Settings
    from runner.hardware import Hardware
    from runner.hub import Installed
    from runner.memory import Wish


def command(
    models: Annotated[
        list[str] | None, typer.Argument(help="One model in detail, or two to compare.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ctx: Annotated[int | None, typer.Option(help="Tokens of context for one request.")] = None,
    parallel: Annotated[int | None, typer.Option(help="Requests generated at once.")] = None,
    gpu_layers: Annotated[int | None, typer.Option(help="Layers on the GPU, -1 for all.")] = None,
    kv_type: Annotated[str | None, typer.Option(help="KV cache: f16, q8_0 or q4_0.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file (runner.toml).")] = None,
) -> None:
    """Say whether models fit this machine, where each part goes, and how fast they would be."""
    import json

    from runner.config import load
    from runner.hardware import Readers, detect

    flags = {
        "engine.context": ctx,
        "engine.parallel": parallel,
        "engine.gpu_layers": gpu_layers,
        "engine.kv_type": kv_type,
    }
    settings = load(flags, config_file=config).settings
    readers = Readers(engine_devices=_engine_devices, kernels=_engine_kernels)
    hardware = detect(settings.state_dir, readers)
    verdicts = list(_judge(models or [], settings, hardware))
    if json_:
        typer.echo(json.dumps([_as_json(verdict) for verdict in verdicts], default=str))
        return
    if models and len(models) == 1:
        shown = detail(verdicts[0], hardware)
    elif models:
        shown = comparison(verdicts)
    else:
        shown = family(verdicts, hardware)
    for line in shown:
        typer.echo(line.rstrip())


def _judge(names: list[str], settings: Settings, hardware: Hardware) -> Iterator[Verdict]:
    """One verdict for each name, or for the whole catalogue."""
    from runner.local.planning import wish_of

    from .weights import open_library

    library = open_library(settings)
    if not names:
        here = {one.model_id: one for one in library.installed()}
        for entry in library.catalog_with_imports():
            yield _judge_entry(entry, None, here.get(entry.id), settings, hardware)
    for name in names:
        path = Path(name)
        if name.endswith(".gguf") and path.is_file():
            yield _judge_file(name, None, (path,), wish_of(settings.engine_for(name)), hardware)
            continue
        reference, installed = library.resolve(name)
        yield _judge_entry(reference.entry, reference.quantization, installed, settings, hardware)


def _judge_entry(
    entry: Entry,
    quantization: str | None,
    installed: Installed | None,
    settings: Settings,
    hardware: Hardware,
) -> Verdict:
    """From the header of the installed file, else from the catalogue's numbers."""
    from runner.errors import WeightsError
    from runner.local.planning import wish_of
    from runner.memory import choose_quantization

    wish = wish_of(settings.engine_for(entry.id))
    if installed is not None:
        return _judge_file(entry.id, entry, installed.paths, wish, hardware)
    try:
        choice = choose_quantization(entry, hardware, wish, quantization)
    except WeightsError as error:
        return Verdict(entry.id, entry, quantization, "catalogue", None, error)
    source = "catalogue" if choice.candidate.files else "catalogue, no file is known"
    return Verdict(entry.id, entry, choice.plan.quantization, source, choice.plan, None)


def _judge_file(
    name: str, entry: Entry | None, paths: tuple[Path, ...], wish: Wish, hardware: Hardware
) -> Verdict:
    """Exactly, from the header."""
    from runner.errors import WeightsError
    from runner.gguf import check_loadable, read_file
    from runner.memory import plan, shape_from_header

    quantization = None
    try:
        facts = read_file(paths[0])
        check_loadable(facts)
        quantization = facts.quantization
        shape = shape_from_header(facts, name, entry.context if entry else None)
        return Verdict(name, entry, quantization, "file", plan(shape, hardware, wish), None)
    except WeightsError as error:
        return Verdict(name, entry, quantization, "file", None, error)


def _engine_devices() -> tuple[Any, ...]:
    """The devices that llama.cpp itself can compute on, processors left out."""
    from runner.engine.probe import list_devices
    from runner.errors import EngineLoadError
    from runner.hardware import Gpu

    try:
        devices = list_devices()
    except EngineLoadError:
        return ()
    return tuple(
        Gpu(
            name=device.description,
            backend=device.name.rstrip("0123456789").lower(),
            total_bytes=device.total_bytes,
            free_bytes=device.free_bytes,
            shares_ram=device.kind == "igpu" or device.name.startswith(("Metal", "MTL")),
        )
        for device in devices
        if device.kind in ("gpu", "igpu")
    )


def _engine_kernels(num_threads: int) -> dict[str, float]:
    """How fast llama.cpp's own kernels are here; asked once for a machine."""
    from runner.engine.kernel import measure_kernels

    return measure_kernels(num_threads)


def _as_json(verdict: Verdict) -> dict[str, Any]:
    """All of it, for programs."""
    from dataclasses import asdict

    plan = verdict.plan
    row: dict[str, Any] = {
        "model": verdict.name,
        "quantization": verdict.quantization,
        "fits": plan is not None,
        "source": verdict.source,
        "capabilities": list(verdict.entry.capabilities) if verdict.entry else [],
        "hosted": [offer.model_dump(mode="json") for offer in list_offers(verdict.entry)],
    }
    if plan is None:
        needed = getattr(verdict.error, "needed_bytes", None)
        available = getattr(verdict.error, "available_bytes", None)
        missing = needed - available if needed is not None and available is not None else None
        return row | {
            "reason": str(verdict.error),
            "needed_bytes": needed,
            "available_bytes": available,
            "missing_bytes": missing,
        }
    return row | {
        "plan": asdict(plan)
        | {
            "needed_ram_bytes": plan.needed_ram_bytes,
            "total_ram_bytes": plan.total_ram_bytes,
            "total_gpu_bytes": plan.total_gpu_bytes,
        },
        "one_request": {
            "tokens": plan.context,
            "words": round(plan.context * WORDS_PER_TOKEN),
            "pages": round(plan.context * WORDS_PER_TOKEN / WORDS_PER_PAGE, 1),
        },
    }
