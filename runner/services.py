"""The composition root: builds everything once, starts it, stops it.

Owns the wiring and nothing else: no policy, no HTTP. What is built here is passed in everywhere;
nobody looks anything up.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from dataclasses import dataclass, replace
from functools import partial

from runner.catalog import Catalog, Entry
from runner.catalog import load as load_catalog
from runner.config import Settings
from runner.egress import Egress
from runner.hosted import HostedBackend, House, build_backends, reference_price, with_refreshed
from runner.hub import Library, Puller, Repositories, hub_cache_dir
from runner.ledger import Budget, Ledger
from runner.local.backend import LocalBackend, Surroundings
from runner.local.fetching import Fetcher
from runner.local.figures import engine_figures, residency_figures
from runner.local.planning import Planner
from runner.local.pool import Pool
from runner.local.shelf import Shelf
from runner.metrics import Metrics
from runner.router import Hooks, Router
from runner.router.policy import Rules
from runner.types import ChatPrompt, GenerateRequest, Message, SamplingParams

DEFAULT_PARALLEL = 8
CARE_EVERY_S = 0.5


@dataclass(slots=True)
class Services:
    """The house, built."""

    settings: Settings
    library: Library
    shelf: Shelf
    planner: Planner
    egress: Egress
    pool: Pool
    local: LocalBackend
    hosted: tuple[HostedBackend, ...]
    ledger: Ledger
    router: Router
    metrics: Metrics
    started_s: float
    _care: asyncio.Task[None] | None = None
    _is_stopped: bool = False

    @property
    def catalog(self) -> Catalog:
        """The catalogue with everything imported or cached beside it."""
        return self.shelf.catalog

    async def start(self, models: tuple[str, ...] = ()) -> None:
        """Load models before the server says that it is ready. Raises RunnerError."""
        self._care = asyncio.create_task(self._care_for_engines())
        await asyncio.gather(*(backend.start() for backend in self.hosted))
        for model in models:
            await self.pool.engine(self.shelf.model_id(model))

    async def _care_for_engines(self) -> None:
        while True:
            await asyncio.sleep(CARE_EVERY_S)
            await self.pool.tick()

    async def stop(self) -> None:
        """Close everything; the engines last."""
        if self._care is not None:
            self._care.cancel()
        if self._is_stopped:
            return
        self._is_stopped = True
        await self.router.aclose()
        await self.ledger.flush()
        self.ledger.close()

    def default_model(self) -> Entry | None:
        """The model to serve when none was named: one that was fetched, else the bundled one."""
        here = [entry for entry in self.catalog if self.shelf.find(entry.id)]
        return min(here, key=lambda entry: entry.bundled is not None, default=None)

    def where(self, model: str) -> str:
        """Where an ordinary request would be answered: `local`, `hosted` or `unavailable`."""
        prompt = ChatPrompt((Message("user", "Hello"),))
        decision = self.router.explain(
            GenerateRequest(id="where", model=model, prompt=prompt, max_tokens=256)
        )
        if not decision.choices:
            return "unavailable"
        return "local" if decision.choices[0].backend == self.local.name else "hosted"

    def alternatives(self, request: GenerateRequest) -> tuple[str, ...]:
        """Models that could answer on this machine instead, the largest first."""
        sizes = {
            one.model_id: one.size_bytes
            for one in self.shelf.installed()
            if one.model_id != request.model
        }
        return tuple(sorted(sizes, key=lambda model: -sizes[model]))

    def make_puller(self) -> Puller:
        """Fetches into this machine's library, from where `HF_ENDPOINT` says the Hub is."""
        return open_puller(self.library, self.egress)

    def sampling_defaults(self, model: str) -> SamplingParams:
        """The catalogue's recommended sampling, under the settings' own."""
        params = SamplingParams()
        entry = self.shelf.entry(model)
        own = self.settings.models.get(entry.id)
        rows = [entry.sampling, own.sampling if own else None]
        for row in rows:
            if row is not None:
                given = {k: v for k, v in row.model_dump().items() if v is not None}
                params = replace(params, **given)
        return params


def build(settings: Settings) -> Services:
    """Everything, not yet started."""
    state_dir = settings.state_dir
    catalog = with_refreshed(load_catalog((state_dir / "models.toml",)), state_dir)
    library = Library(state_dir, hub_cache_dir(os.environ), catalog)
    shelf = Shelf(library, time.monotonic)
    planner = Planner(shelf, state_dir, settings.engine_for, time.monotonic)
    egress = Egress(offline=settings.offline)
    fetcher = None
    if settings.server.auto_pull and not settings.offline:
        fetcher = Fetcher(shelf, planner, partial(open_puller, library, egress), time.monotonic)
    order = planner.order if fetcher is None else fetcher.order
    pool = Pool(order, clock=time.monotonic, capacity_bytes=planner.capacity_bytes)
    surroundings = Surroundings(
        shelf=shelf,
        planner=planner,
        queue_length=lambda model: settings.engine_for(model).queue + DEFAULT_PARALLEL,
        clock=time.monotonic,
        random_seed=lambda: random.SystemRandom().getrandbits(32),
        fetcher=fetcher,
    )
    local = LocalBackend(pool, surroundings)
    ledger = Ledger.open(state_dir, Budget.of(settings.budget))
    house = House(catalog, settings.hosted, egress, ledger, time.monotonic)
    hosted = build_backends(settings.providers, os.environ, house)
    services = Services(
        settings=settings,
        library=library,
        shelf=shelf,
        planner=planner,
        egress=egress,
        pool=pool,
        local=local,
        hosted=hosted,
        ledger=ledger,
        router=Router(local, hosted, rules_of(settings)),
        metrics=Metrics(lambda: engine_figures(pool), lambda: residency_figures(pool)),
        started_s=time.time(),
    )
    hooks = Hooks(
        alternatives=services.alternatives,
        reference_price=lambda model: reference_price(catalog, model),
        on_answered=ledger.record,
    )
    services.router = Router(local, hosted, rules_of(settings), hooks)
    return services


def open_puller(library: Library, egress: Egress) -> Puller:
    """Fetches into a library, from where `HF_ENDPOINT` says the Hub is."""
    return Puller(library, Repositories.of(egress, os.environ))


def rules_of(settings: Settings) -> Rules:
    """The settings that bear on the route."""
    return Rules(
        fallback_on=frozenset(settings.fallback.on),
        sort=settings.hosted.sort,
        continue_streams=settings.fallback.continue_streams,
        max_attempts=settings.fallback.max_attempts,
    )
