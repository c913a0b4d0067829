"""The pages of `runner plan`: a table of the family, one model in detail, two side by side.

Owns words and layout only: lines of text from verdicts. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.catalog import Entry, HostedOffer
    from runner.errors import WeightsError
    from runner.hardware import Hardware
    from runner.memory import LoadPlan

GIB = 2**30
BAR_WIDTH = 56
WORDS_PER_TOKEN = 0.75
WORDS_PER_PAGE = 500
PARTS = (("█", "weights"), ("▓", "KV cache"), ("▒", "buffers"), ("░", "process"), ("·", "free"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found for one model: a plan, or why there is none."""

    name: str
    entry: Entry | None
    quantization: str | None
    source: str
    plan: LoadPlan | None
    error: WeightsError | None


def list_offers(entry: Entry | None) -> list[HostedOffer]:
    """Live hosted offers with a price, the cheapest first."""
    priced = [
        offer
        for offer in (entry.hosted if entry else ())
        if offer.live and offer.completion_usd_per_mtok is not None
    ]
    return sorted(priced, key=lambda offer: offer.completion_usd_per_mtok or 0.0)


def _price(offer: HostedOffer) -> str:
    return (
        f"{offer.provider} ${offer.prompt_usd_per_mtok:g} in, "
        f"${offer.completion_usd_per_mtok:g} out per million tokens ({offer.as_of})"
    )


def family(verdicts: list[Verdict], hardware: Hardware) -> Iterator[str]:
    """One line a model: how it would run here, else where it is hosted."""
    width = max(len(verdict.name) for verdict in verdicts)
    yield _machine(hardware)
    yield ""
    head = f"{'MODEL':<{width}}  FITS  {'QUANT':<10} {'MEMORY':>9} {'CONTEXT':>7} {'SPEED':>11}"
    yield f"{head}  HOSTED"
    for verdict in verdicts:
        offers = list_offers(verdict.entry)
        hosted = _price(offers[0]) if offers else "-"
        yield f"{verdict.name:<{width}}  {_family_cells(verdict)}  {hosted}"
    yield ""
    yield "One model in detail, with the sums: runner plan MODEL"


def _family_cells(verdict: Verdict) -> str:
    plan = verdict.plan
    if plan is None:
        needed = getattr(verdict.error, "needed_bytes", None)
        memory = _gib(needed) if needed else "?"
        return f"{'no' if needed else '?':<4}  {'-':<10} {memory:>9} {'-':>7} {'-':>11}"
    return (
        f"{'yes':<4}  {plan.quantization:<10} {_gib(_everything(plan)):>9} {plan.context:>7} "
        f"{_speed(plan):>11}"
    )


def detail(verdict: Verdict, hardware: Hardware) -> Iterator[str]:
    """One model: the decision, the sums, the limit, and what fits in one request."""
    title = verdict.name + (f"  {verdict.quantization}" if verdict.quantization else "")
    plan = verdict.plan
    if plan is None:
        yield f"{title}: no"
        yield f"  {verdict.error}"
        yield from _hosted_lines(verdict)
        return
    from_file = verdict.source == "file"
    yield f"{title}: fits ({'from its header' if from_file else f'by the {verdict.source}'})"
    yield ""
    yield from _bars(plan)
    yield ""
    yield from _sums(plan)
    yield ""
    for reason in plan.reasons:
        yield f"  - {reason}"
    yield (
        f"  loaded with: --ctx {plan.context} --parallel {plan.parallel} --threads {plan.threads} "
        f"--gpu-layers {plan.gpu_layers} --kv-type {plan.kv_type}"
    )
    yield f"  speed: {_speed(plan)} for one answer, predicted from {_bandwidth(hardware)}"
    yield (
        f"  one request holds {_capacity(plan.context)} "
        f"(at {WORDS_PER_TOKEN} words a token, {WORDS_PER_PAGE} words a page)"
    )
    yield from _hosted_lines(verdict)


def _bars(plan: LoadPlan) -> Iterator[str]:
    """What goes where, drawn to scale."""
    sums = plan.footprint
    buffers = sums.compute_bytes + sums.output_bytes + sums.embedding_bytes
    ram = (plan.weights_ram_bytes, sums.kv_bytes, buffers, sums.process_bytes)
    yield _bar("memory", ram, plan.available_ram_bytes)
    if plan.gpu_layers:
        gpu_buffers = sums.gpu_compute_bytes + sums.gpu_embedding_bytes
        gpu = (sums.gpu_weights_bytes, sums.gpu_kv_bytes, gpu_buffers, 0)
        yield _bar("GPU", gpu, plan.available_gpu_bytes)
    yield " " * 9 + "  ".join(f"{mark} {name}" for mark, name in PARTS)


def _bar(label: str, sizes: tuple[int, ...], available: int) -> str:
    drawn, end, total = "", 0.0, max(available, sum(sizes), 1)
    for size, (mark, _) in zip(sizes, PARTS, strict=False):
        end += size * BAR_WIDTH / total
        drawn += mark * (round(end) - len(drawn))
    rest = PARTS[-1][0] * (BAR_WIDTH - len(drawn))
    return f"  {label:<6} {drawn}{rest} {_gib(sum(sizes))} of {_gib(available)}"


def _sums(plan: LoadPlan) -> Iterator[str]:
    sums = plan.footprint
    yield f"  {'':<22}{'memory':>11}{'GPU' if plan.gpu_layers else '':>11}"
    rows = (
        ("weights", plan.weights_ram_bytes, sums.gpu_weights_bytes),
        (f"KV cache, {plan.num_cells} cells", sums.kv_bytes, sums.gpu_kv_bytes),
        ("compute buffers", sums.compute_bytes, sums.gpu_compute_bytes),
        ("output buffers", sums.output_bytes, 0),
        ("embeddings, if asked", sums.embedding_bytes, sums.gpu_embedding_bytes),
        ("process, vocabulary", sums.process_bytes, 0),
        ("needed", plan.needed_ram_bytes, plan.total_gpu_bytes),
    )
    for name, ram, gpu in rows:
        yield f"  {name:<22}{_gib(ram):>11}{_gib(gpu) if plan.gpu_layers else '':>11}"
    spare = plan.total_ram_bytes - plan.needed_ram_bytes
    if spare > 0.05 * GIB:
        yield (
            f"  the process may show {_gib(spare)} more: file pages read once while loading, "
            "which the system takes back when it needs them"
        )


def _hosted_lines(verdict: Verdict) -> Iterator[str]:
    offers = list_offers(verdict.entry)
    if offers:
        yield "  hosted:"
    for offer in offers:
        context = f", context {offer.context}" if offer.context else ""
        yield f"    {_price(offer)}{context}"
    if not offers and verdict.plan is None:
        yield "  hosted: no provider with a known price"


def comparison(verdicts: list[Verdict]) -> Iterator[str]:
    """Side by side, one fact a line."""
    rows = [_facts(verdict) for verdict in verdicts]
    widths = [max(len(value) for value in row.values()) for row in rows]
    for key in rows[0]:
        cells = (f"{row[key]:<{width}}" for row, width in zip(rows, widths, strict=True))
        yield f"{key:<14} {'  '.join(cells)}"


def _facts(verdict: Verdict) -> dict[str, str]:
    plan, entry = verdict.plan, verdict.entry
    offers = list_offers(entry)
    parameters = entry.num_parameters if entry else None
    missing = getattr(verdict.error, "needed_bytes", None)
    return {
        "": verdict.name,
        "fits here": "yes" if plan else "no",
        "parameters": f"{parameters / 1e9:.1f} billion" if parameters else "?",
        "quantisation": verdict.quantization or "?",
        "memory": _gib(_everything(plan)) if plan else _gib(missing) if missing else "?",
        "context": str(plan.context) if plan else "-",
        "trained for": str(entry.context) if entry and entry.context else "?",
        "one request": _capacity(plan.context) if plan else "-",
        "speed here": _speed(plan) if plan else "-",
        "hosted": _price(offers[0]) if offers else "-",
        "capabilities": ", ".join(entry.capabilities) if entry and entry.capabilities else "-",
        "license": (entry.license if entry else None) or "?",
    }


def _machine(hardware: Hardware) -> str:
    gpus = ", ".join(f"{gpu.name} ({_gib(gpu.free_bytes)} free)" for gpu in hardware.gpus)
    return (
        f"{hardware.physical_cores} cores, {_gib(hardware.memory_available_bytes)} of "
        f"{_gib(hardware.memory_total_bytes)} memory free, {_bandwidth(hardware)}, "
        f"{gpus or 'no GPU that llama.cpp can use'}, {_gib(hardware.disk_free_bytes)} disk free"
    )


def _bandwidth(hardware: Hardware) -> str:
    return f"{hardware.memory_bandwidth_bytes_per_s / 1e9:.0f} GB/s memory bandwidth"


def _everything(plan: LoadPlan) -> int:
    return plan.needed_ram_bytes + plan.total_gpu_bytes


def _speed(plan: LoadPlan) -> str:
    speed = plan.predicted_tokens_per_s
    return "unknown" if speed is None else f"{speed:.{1 if speed < 10 else 0}f} tok/s"


def _capacity(context: int) -> str:
    words = context * WORDS_PER_TOKEN
    return f"{context} tokens, {words:.0f} words, {words / WORDS_PER_PAGE:.0f} pages"


def _gib(size_bytes: float) -> str:
    if size_bytes < GIB:
        return f"{size_bytes / 2**20:.0f} MiB"
    return f"{size_bytes / GIB:.1f} GiB"
