"""From a model's shape, a machine and a wish to how it will be loaded, or why it cannot be.

Owns the decision. Pure: same facts, same plan; the reasons are kept. Invariant: what was fixed by
the wish is never changed, it is met or refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from runner.errors import DoesNotFitError
from runner.hardware import Hardware

from .budget import Budget, find_budget
from .footprint import CELL_MULTIPLE, Footprint, Loading, Placement, measure, place
from .refusal import describe_refusal
from .shape import ModelShape
from .speed import predict_tokens_per_s

DEFAULT_CONTEXT = 8192
CONTEXT_FLOOR = 2048
MANY_PARALLEL, FEW_PARALLEL = 8, 4
SMALL_WEIGHTS_BYTES = 4 * 2**30
ONE_THREAD_BYTES = 64 * 2**20  # under this, threads only get in each other's way
KV_TYPES = ("f16", "q8_0")
ALL_LAYERS = -1
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for; None leaves the choice to the plan. `gpu_layers` -1 means all."""

    context: int | None = None
    parallel: int | None = None
    threads: int | None = None
    gpu_layers: int | None = None
    kv_type: str | None = None
    memory_budget_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """How a model will be loaded, what it takes, and why so. Bytes, tokens, tokens per second.

    `is_cramped` is true where memory forced a shorter context or a smaller KV type.
    """

    model: str
    quantization: str
    context: int
    num_cells: int
    parallel: int
    threads: int
    gpu_layers: int
    num_layers: int
    kv_type: str
    footprint: Footprint
    available_ram_bytes: int
    available_gpu_bytes: int
    predicted_tokens_per_s: float | None
    reasons: tuple[str, ...]
    is_exact: bool
    is_cramped: bool

    @property
    def weights_ram_bytes(self) -> int:
        """Weights in main memory that are used: mapped ones, and those kept as a copy."""
        parts = self.footprint
        return parts.mapped_bytes - parts.spare_bytes + parts.repacked_bytes

    @property
    def weights_gpu_bytes(self) -> int:
        """Weights on GPUs."""
        return self.footprint.gpu_weights_bytes

    @property
    def kv_bytes(self) -> int:
        """The whole KV cache, wherever it lies."""
        return self.footprint.kv_bytes + self.footprint.gpu_kv_bytes

    @property
    def compute_bytes(self) -> int:
        """Room for intermediate results, wherever it lies."""
        return self.footprint.compute_bytes + self.footprint.gpu_compute_bytes

    @property
    def output_bytes(self) -> int:
        """Room for logits."""
        return self.footprint.output_bytes

    @property
    def process_bytes(self) -> int:
        """The process itself, with the vocabulary."""
        return self.footprint.process_bytes

    @property
    def embedding_bytes(self) -> int:
        """Room that is taken from the first embedding on, wherever it lies."""
        return self.footprint.embedding_bytes + self.footprint.gpu_embedding_bytes

    @property
    def needed_ram_bytes(self) -> int:
        """Main memory that has to be free for it; what the decision is made on."""
        return self.footprint.needed_ram_bytes

    @property
    def total_ram_bytes(self) -> int:
        """The peak the process will be seen with, spare file pages included."""
        return self.footprint.peak_ram_bytes

    @property
    def total_gpu_bytes(self) -> int:
        """Memory on GPUs."""
        return self.footprint.gpu_bytes


def plan(shape: ModelShape, hardware: Hardware, wish: Wish | None = None) -> LoadPlan:
    """The best way to load that fits.

    The whole context as 16-bit KV cache comes first, then as 8-bit, then ever shorter contexts;
    then as many cells for concurrent requests as memory allows.

    Raises:
        DoesNotFitError: not even the smallest way fits; the message shows the sums.
    """
    planner = _Planner(shape, hardware, wish or Wish())
    for context, kv_type in planner.choices():
        found = planner.try_choice(context, kv_type)
        if found is not None:
            return found
    raise planner.refusal()


def confirm(
    planned: LoadPlan, *, kv_bytes: int, reserved_compute_bytes: int, output_bytes: int
) -> LoadPlan:
    """The plan with the buffers that llama.cpp itself said it would allocate in main memory."""
    sums = planned.footprint
    touched = sums.compute_bytes
    if reserved_compute_bytes > 1.05 * sums.reserved_compute_bytes:
        touched = round(touched * reserved_compute_bytes / sums.reserved_compute_bytes)
    footprint = replace(
        sums,
        kv_bytes=kv_bytes,
        compute_bytes=touched,
        output_bytes=output_bytes,
        reserved_compute_bytes=reserved_compute_bytes,
    )
    return replace(planned, footprint=footprint, is_exact=True)


class _Planner:
    """One decision being made."""

    def __init__(self, shape: ModelShape, hardware: Hardware, wish: Wish) -> None:
        self._shape, self._hardware, self._wish = shape, hardware, wish
        self._budget = find_budget(hardware, wish.memory_budget_bytes)
        self._parallel = wish.parallel or (
            MANY_PARALLEL if shape.weights_bytes < SMALL_WEIGHTS_BYTES else FEW_PARALLEL
        )
        self._longest = wish.context or min(shape.context, DEFAULT_CONTEXT)
        self._placements: dict[int, Placement] = {}

    def choices(self) -> Iterator[tuple[int, str]]:
        """Contexts and KV types, the best first."""
        kv_types = (self._wish.kv_type,) if self._wish.kv_type else KV_TYPES
        contexts = [self._longest]
        floor = min(CONTEXT_FLOOR, self._shape.context)
        while self._wish.context is None and contexts[-1] // 2 >= floor:
            contexts.append(contexts[-1] // 2)
        return ((context, kv_type) for context in contexts for kv_type in kv_types)

    def try_choice(self, context: int, kv_type: str) -> LoadPlan | None:
        """A plan with at least one context's worth of cells, or None."""
        least = _round_up(context)
        gpu_layers = self._gpu_layers(least, kv_type)
        if gpu_layers is None:
            return None
        most = max(least, _round_up(context * self._parallel))
        while least < most:  # the largest number of cells that still fits
            middle = _round_up((least + most) // 2 + 1)
            if self._fits(Loading(middle, self._parallel, kv_type), gpu_layers):
                least = min(middle, most)
            else:
                most = middle - CELL_MULTIPLE
        return self._write(context, Loading(least, self._parallel, kv_type), gpu_layers)

    def refusal(self) -> DoesNotFitError:
        """Why not even the smallest way fits."""
        context, kv_type = list(self.choices())[-1]
        loading = Loading(_round_up(context), self._parallel, kv_type)
        layers = self._asked_layers()
        sums = self._measure(loading, self._most_layers(loading) if layers is None else layers)
        return describe_refusal(
            f"{self._shape.name} {self._shape.quantization}", sums, self._budget
        )

    def _asked_layers(self) -> int | None:
        asked = self._wish.gpu_layers
        every = self._shape.num_layers + 1
        return every if asked == ALL_LAYERS else asked if asked is None else min(asked, every)

    def _gpu_layers(self, num_cells: int, kv_type: str) -> int | None:
        """The most layers on GPUs with which everything fits, None if nothing does."""
        loading = Loading(num_cells, self._parallel, kv_type)
        asked = self._asked_layers()
        if asked is not None:
            return asked if self._fits(loading, asked) else None
        layers = self._most_layers(loading)
        return layers if self._fits(loading, layers) else None

    def _most_layers(self, loading: Loading) -> int:
        """The most layers that the GPUs hold."""
        low, high = 0, self._shape.num_layers + 1 if self._budget.gpu_bytes > 0 else 0
        while low < high:
            middle = (low + high + 1) // 2
            if self._measure(loading, middle).gpu_bytes <= self._budget.gpu_bytes:
                low = middle
            else:
                high = middle - 1
        return low

    def _fits(self, loading: Loading, gpu_layers: int) -> bool:
        sums = self._measure(loading, gpu_layers)
        shared = sums.gpu_bytes if self._budget.is_shared else 0
        return (
            sums.needed_ram_bytes + shared <= self._budget.ram_bytes
            and sums.gpu_bytes <= self._budget.gpu_bytes
        )

    def _measure(self, loading: Loading, gpu_layers: int) -> Footprint:
        placement = self._placements.get(gpu_layers)
        if placement is None:
            placement = place(self._shape, gpu_layers, self._hardware.instruction_sets)
            self._placements[gpu_layers] = placement
        return measure(self._shape, loading, placement)

    def _threads(self) -> int:
        if self._wish.threads is not None:
            return self._wish.threads
        return 1 if self._shape.weights_bytes < ONE_THREAD_BYTES else self._hardware.physical_cores

    def _write(self, context: int, loading: Loading, gpu_layers: int) -> LoadPlan:
        threads = self._threads()
        return LoadPlan(
            model=self._shape.name,
            quantization=self._shape.quantization,
            context=context,
            num_cells=loading.num_cells,
            parallel=self._parallel,
            threads=threads,
            gpu_layers=gpu_layers,
            num_layers=self._shape.num_layers,
            kv_type=loading.kv_type,
            footprint=self._measure(loading, gpu_layers),
            available_ram_bytes=self._budget.ram_bytes,
            available_gpu_bytes=self._budget.gpu_bytes,
            predicted_tokens_per_s=predict_tokens_per_s(
                self._shape,
                self._hardware,
                gpu_layers=gpu_layers,
                threads=threads,
                kv_type=loading.kv_type,
            ),
            reasons=tuple(self._reasons(context, loading, gpu_layers)),
            is_exact=self._shape.is_exact,
            is_cramped=context < self._longest or self._is_kv_reduced(loading),
        )

    def _is_kv_reduced(self, loading: Loading) -> bool:
        return self._wish.kv_type is None and loading.kv_type != KV_TYPES[0]

    def _reasons(self, context: int, loading: Loading, gpu_layers: int) -> Iterator[str]:
        yield _where(gpu_layers, self._shape.num_layers, self._hardware, self._budget)
        if context > self._shape.context:
            yield f"{context} tokens are more than the {self._shape.context} it was trained on"
        elif context < self._longest:
            yield f"the context is {context} tokens, not {self._longest}: memory allows no more"
        if self._is_kv_reduced(loading):
            yield f"the KV cache is {loading.kv_type}: as f16 it would not fit"
        if loading.num_cells < _round_up(context * self._parallel):
            yield (
                f"{loading.num_cells} cells are shared by {self._parallel} requests: memory "
                f"allows {loading.num_cells // context} full contexts at once"
            )
        yield self._budget.ram_reason


def _where(gpu_layers: int, num_layers: int, hardware: Hardware, budget: Budget) -> str:
    if gpu_layers > num_layers:
        return "all layers on the GPU"
    if gpu_layers > 0:
        return (
            f"{gpu_layers} of {num_layers + 1} layers on the GPU, the rest on the processor: "
            f"{budget.gpu_bytes / GIB:.1f} GiB can be used there"
        )
    if hardware.idle_gpus:
        return f"on the processor: this build of llama.cpp cannot use {hardware.idle_gpus[0]}"
    return "on the processor: " + ("as was asked" if hardware.gpus else "there is no GPU")


def _round_up(num_cells: int) -> int:
    """llama.cpp's own rounding of a context."""
    return -(-num_cells // CELL_MULTIPLE) * CELL_MULTIPLE
