"""From weights and settings to the order a child is given, by way of the planner.

Owns the one place where settings meet the plan, for what is installed and for what could be. Knows
no process and no network. Invariant: what is loaded is what the plan says, and a model that does
not fit is known not to before anything is started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from runner.catalog import Entry
from runner.config import EngineSettings
from runner.engine.messages import Load, Loaded
from runner.errors import DoesNotFitError, NotInstalledError, WeightsError
from runner.hardware import Hardware, detect
from runner.hub import Offer, Pick, by_size
from runner.memory import LoadPlan, Wish, choose_quantization, plan, shape_from_header

from .companion import find_companion
from .offer import as_entry, why
from .pool import Order
from .shelf import Shelf, Weights
from .tuning import WORTH_TRYING_BYTES, Tunings, thread_choices

FRESH_S = 30.0
CHILD_SLACK_BYTES = 2 * 2**30  # grammars and states come on top of the plan
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
        look: Callable[[Path], Hardware] = detect,
    ) -> None:
        self._shelf = shelf
        self._look = look
        self._state_dir = state_dir
        self._settings_for = settings_for
        self._clock = clock
        self._tunings = Tunings(state_dir)
        self._turns = str(state_dir / "turns.lock")
        self._hardware: Hardware | None = None
        self._plans: dict[str, tuple[float, LoadPlan | DoesNotFitError]] = {}
        self._prospects: dict[str, tuple[float, LoadPlan | WeightsError]] = {}

    def hardware(self) -> Hardware:
        """What this machine has; measured on the first call, which takes up to a second."""
        if self._hardware is None:
            self._hardware = self._look(self._state_dir)
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
        companion = None
        if settings.draft:
            companion = find_companion(
                self._shelf, weights, decided, self.hardware(), self.capacity_bytes()
            )
        ram_bytes = decided.total_ram_bytes + (companion.ram_bytes if companion else 0)
        threads, choices = self._threads(weights, decided, settings)
        load = Load(
            weights=list(weights.paths),
            context=decided.context,
            parallel=decided.parallel,
            num_cells=decided.num_cells,
            threads=threads,
            gpu_layers=decided.gpu_layers,
            kv_type=decided.kv_type,
            turns=self._turns,
            prefix_folder=str(self._state_dir / "prefixes"),
            prefix_bytes=settings.prefix_disk_bytes,
            memory_limit_bytes=2 * ram_bytes + CHILD_SLACK_BYTES,
            draft=list(companion.paths) if companion else [],
            thread_choices=choices,
        )
        return Order(load, ram_bytes, settings.ttl_s, partial(self._note, weights))

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

    def choose(self, entry: Entry, offer: Offer) -> Pick:
        """Of what a repository really holds, the quantisation this machine would load best.

        Sizes are the repository's, the shape is the catalogue's, else that of the header. Raises
        DoesNotFitError where none fits.
        """
        known, wish = as_entry(entry, offer), wish_of(self._settings_for(entry.id))
        try:
            choice = choose_quantization(known, self.hardware(), wish)
        except DoesNotFitError as error:
            smallest = min(offer.candidates, key=lambda one: one.size_bytes).quantization
            raise DoesNotFitError(
                f"{error}; add :{smallest} to fetch it anyway",
                needed_bytes=error.needed_bytes,
                available_bytes=error.available_bytes,
            ) from None
        except WeightsError:
            return by_size(self.fits_bytes)(entry, offer)
        first = choice.candidate.files[0].name
        picked = next(one for one in offer.candidates if one.files[0].name == first)
        return Pick(picked, why(known, choice, self.hardware(), wish))

    def fits_bytes(self, size_bytes: int) -> bool:
        """Whether weights of that size leave room to work in; for files of unknown shape."""
        return size_bytes + RESERVE_BYTES < self.capacity_bytes()

    def _threads(
        self, weights: Weights, decided: LoadPlan, settings: EngineSettings
    ) -> tuple[int, list[int]]:
        """How many threads to compute with, and which numbers to try first."""
        is_small = weights.size_bytes <= WORTH_TRYING_BYTES
        if settings.threads != "auto" or is_small or decided.gpu_layers > decided.num_layers:
            return decided.threads, []
        known = self._tunings.find(weights.paths, self.hardware())
        if known is not None:
            return known.num_threads, []
        return decided.threads, thread_choices(self.hardware())

    def _note(self, weights: Weights, loaded: Loaded) -> None:
        if loaded.tokens_per_s:
            self._tunings.keep(
                weights.paths, self.hardware(), loaded.num_threads, loaded.tokens_per_s
            )

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
