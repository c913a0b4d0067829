"""From installed weights and settings to the order a child is given, by way of the planner.

Owns the one place where settings meet the plan. Knows no process. Invariant: what is loaded is
what the plan says, and a model that does not fit is known not to before anything is started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from runner.config import EngineSettings
from runner.engine.messages import Load
from runner.errors import DoesNotFitError, NotInstalledError, WeightsError
from runner.hardware import Hardware, detect
from runner.memory import LoadPlan, Wish, choose_quantization, plan, shape_from_header

from .pool import Order
from .shelf import Shelf, Weights

FRESH_S = 30.0
CHILD_SLACK_BYTES = 2 * 2**30  # embeddings, grammars and states come on top of the plan
RESERVE_BYTES = 2**30  # cache, buffers and the process, where the shape is not known


def wish_of(engine: EngineSettings) -> Wish:
    """The settings as the planner reads them: None where it may choose."""

    def chosen(value: int | str | None) -> int | None:
        return value if isinstance(value, int) else None

    return Wish(
        context=chosen(engine.context),
        parallel=chosen(engine.parallel),
        threads=chosen(engine.threads),
        gpu_layers=chosen(engine.gpu_layers),
        kv_type=None if engine.kv_type == "auto" else engine.kv_type,
        memory_budget_bytes=chosen(engine.memory_budget),
    )


class Planner:
    """Plans for models on this machine."""

    def __init__(
        self,
        shelf: Shelf,
        state_dir: Path,
        settings_for: Callable[[str], EngineSettings],
        clock: Callable[[], float],
    ) -> None:
        self._shelf = shelf
        self._state_dir = state_dir
        self._settings_for = settings_for
        self._clock = clock
        self._turns = str(state_dir / "turns.lock")
        self._hardware: Hardware | None = None
        self._plans: dict[str, tuple[float, LoadPlan | DoesNotFitError]] = {}
        self._prospects: dict[str, tuple[float, LoadPlan | WeightsError]] = {}

    def hardware(self) -> Hardware:
        """What this machine has; measured on the first call, which takes up to a second."""
        if self._hardware is None:
            self._hardware = detect(self._state_dir)
        return self._hardware

    def plan(self, model: str) -> LoadPlan:
        """How an installed model would be loaded now.

        Raises:
            NotInstalledError: there are no weights to plan for.
            DoesNotFitError: this machine cannot hold it.
        """
        known = self._plans.get(model)
        if known is None or self._clock() - known[0] > FRESH_S:
            known = (self._clock(), self._decide(model))
            self._plans[model] = known
        if isinstance(known[1], DoesNotFitError):
            raise known[1]
        return known[1]

    async def order(self, model: str) -> Order:
        """What a child is told to load, and what that takes. Raises as `plan`."""
        weights = self._require(model)
        settings = self._settings_for(weights.entry.id)
        decided = await asyncio.to_thread(self.plan, model)
        load = Load(
            weights=list(weights.paths),
            context=decided.context,
            parallel=decided.parallel,
            num_cells=decided.num_cells,
            threads=decided.threads,
            gpu_layers=decided.gpu_layers,
            kv_type=decided.kv_type,
            turns=self._turns,
            prefix_folder=str(self._state_dir / "prefixes"),
            prefix_bytes=settings.prefix_disk_bytes,
            memory_limit_bytes=2 * decided.total_ram_bytes + CHILD_SLACK_BYTES,
        )
        keep_alive_s = settings.ttl_s
        return Order(load, decided.total_ram_bytes, keep_alive_s)

    def prospect(self, model: str) -> LoadPlan:
        """How a model would be loaded if it were fetched: the best quantisation that fits.

        Raises:
            DoesNotFitError: none of its quantisations fits this machine.
            WeightsError: too little is known of it.
        """
        known = self._prospects.get(model)
        if known is None or self._clock() - known[0] > FRESH_S:
            known = (self._clock(), self._look_ahead(model))
            self._prospects[model] = known
        if isinstance(known[1], WeightsError):
            raise known[1]
        return known[1]

    def fits_bytes(self, size_bytes: int) -> bool:
        """Whether weights of that size leave room to work in; for files of unknown shape."""
        return size_bytes + RESERVE_BYTES < self.capacity_bytes()

    def _look_ahead(self, model: str) -> LoadPlan | WeightsError:
        reference = self._shelf.catalog.resolve(model)
        wish = wish_of(self._settings_for(reference.entry.id))
        quantization = reference.quantization
        try:
            return choose_quantization(reference.entry, self.hardware(), wish, quantization).plan
        except WeightsError as error:
            return error

    def capacity_bytes(self) -> int:
        """What all engines together may take: the budget of the settings, else what is free."""
        budget = wish_of(self._settings_for("")).memory_budget_bytes
        return budget if budget is not None else self.hardware().memory_available_bytes

    def _require(self, model: str) -> Weights:
        weights = self._shelf.find(model)
        if weights is None:
            raise NotInstalledError(f"{model} is not installed; runner pull {model} fetches it")
        return weights

    def _decide(self, model: str) -> LoadPlan | DoesNotFitError:
        weights = self._require(model)
        facts = self._shelf.facts(weights)
        shape = shape_from_header(facts, model, weights.entry.context)
        wish = wish_of(self._settings_for(weights.entry.id))
        try:
            return plan(shape, self.hardware(), wish)
        except DoesNotFitError as error:
            return error
