"""The composition root: builds everything once, starts it, stops it.

Owns the wiring and nothing else: no policy, no HTTP. What is built here is passed in everywhere;
nobody looks anything up.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from runner.catalog import Catalog, Entry
from runner.catalog import load as load_catalog
from runner.config import EngineSettings, Settings
from runner.egress import Egress
from runner.engine.messages import Load
from runner.errors import NotInstalledError
from runner.local.backend import LocalBackend, Surroundings, Weights
from runner.local.pool import Pool
from runner.metrics import EngineFigures, Metrics
from runner.router import Router
from runner.router.policy import Rules
from runner.types import SamplingParams

DATA = Path(__file__).parent / "data"
DEFAULT_PARALLEL = 8
DEFAULT_CONTEXT = 8192


@dataclass(slots=True)
class Services:
    """The house, built."""

    settings: Settings
    catalog: Catalog
    egress: Egress
    pool: Pool
    local: LocalBackend
    router: Router
    metrics: Metrics
    started_s: float

    async def start(self, models: tuple[str, ...] = ()) -> None:
        """Load models before the server says that it is ready. Raises EngineLoadError."""
        for model in models:
            await self.pool.engine(self.catalog.get(model).id)

    async def stop(self) -> None:
        """Close everything; the engines last."""
        await self.router.aclose()
        await self.local.aclose()

    def installed(self) -> Iterator[Entry]:
        """Entries whose weights are on this disk."""
        return (entry for entry in self.catalog if self.local.serves(entry.id))

    def default_model(self) -> Entry | None:
        """The model to serve when none was named."""
        return next(self.installed(), None)

    def sampling_defaults(self, model: str) -> SamplingParams:
        """The catalogue's recommended sampling, under the settings' own."""
        params = SamplingParams()
        own = self.settings.models.get(model)
        rows = [self.catalog.get(model).sampling, own.sampling if own else None]
        for row in rows:
            if row is not None:
                given = {k: v for k, v in row.model_dump().items() if v is not None}
                params = replace(params, **given)
        return params


def build(settings: Settings) -> Services:
    """Everything, not yet started."""
    catalog = load_catalog((settings.state_dir / "models.toml",))

    def find_weights(model: str) -> Weights | None:
        entry = catalog.find(model)
        if entry is None or entry.bundled is None or not (DATA / entry.bundled).is_file():
            return None
        path = str(DATA / entry.bundled)
        return Weights((path,), chat_format=entry.chat_format, num_context=entry.context)

    async def plan(model: str) -> Load:
        weights = find_weights(model)
        if weights is None:
            raise NotInstalledError(f"{model} is not installed; runner pull {model} fetches it")
        return order_for(weights, settings.engine_for(model))

    pool = Pool(plan, clock=time.monotonic)
    surroundings = Surroundings(
        find_weights=find_weights,
        queue_length=lambda model: settings.engine_for(model).queue + DEFAULT_PARALLEL,
        clock=time.monotonic,
        random_seed=lambda: random.SystemRandom().getrandbits(32),
    )
    local = LocalBackend(pool, surroundings)
    rules = Rules(
        fallback_on=frozenset(settings.fallback.on),
        sort=settings.hosted.sort,
        continue_streams=settings.fallback.continue_streams,
        max_attempts=settings.fallback.max_attempts,
    )
    return Services(
        settings=settings,
        catalog=catalog,
        egress=Egress(offline=settings.offline),
        pool=pool,
        local=local,
        router=Router(local, (), rules),
        metrics=Metrics(lambda: engine_figures(pool)),
        started_s=time.time(),
    )


def order_for(weights: Weights, engine: EngineSettings) -> Load:
    """What a child is told to load, as the settings have it."""
    parallel = DEFAULT_PARALLEL if engine.parallel == "auto" else engine.parallel
    known = weights.num_context or DEFAULT_CONTEXT
    context = min(known, DEFAULT_CONTEXT) if engine.context == "auto" else engine.context
    return Load(
        weights=list(weights.paths),
        context=context,
        parallel=parallel,
        num_cells=context * parallel,
        threads=1 if engine.threads == "auto" else engine.threads,
        gpu_layers=0 if engine.gpu_layers == "auto" else engine.gpu_layers,
        kv_type="f16" if engine.kv_type == "auto" else engine.kv_type,
    )


def engine_figures(pool: Pool) -> Iterator[EngineFigures]:
    """What every loaded engine last said of itself."""
    for model in pool.models():
        resident = pool.resident(model)
        status = resident.engine.status if resident and resident.engine else None
        if resident is None or status is None:
            continue
        yield EngineFigures(
            model=model,
            num_running=status.num_running,
            num_waiting=status.num_waiting,
            num_cells=status.num_cells,
            num_free_cells=status.num_free,
            num_cached_cells=status.num_cached,
            num_live_cells=status.num_live,
            tokens_generated=status.tokens_generated,
            prompt_tokens=status.prompt_tokens,
            cached_tokens=status.cached_tokens,
            tokens_per_s=status.tokens_per_s,
            num_crashes=resident.num_crashes,
        )
