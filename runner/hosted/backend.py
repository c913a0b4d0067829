"""A hosted provider as a backend: the same events as from this machine.

Owns one provider's quotes, requests and judgement of failures. Knows neither the router nor the
local room. Invariant: every upstream request is counted by the call and held by the ledger
before it leaves, and is closed, billed and judged however it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

import httpx

from runner.backend import BackendStatus, Embedding
from runner.catalog import Catalog, Entry, HostedOffer
from runner.config import HostedSettings
from runner.egress import Egress
from runner.errors import InvalidRequestError, RunnerError
from runner.ledger import Call, Ledger, Quote, Verdict
from runner.types import Event, GenerateRequest, TextDelta, TokenPrompt, Usage

from .attempt import Desk, Job, answer, cap_nusd
from .emulation import Abilities, compose, find_gaps
from .failure import diagnosis_of
from .health import Health, HealthReport
from .mistake import refuse_mistakes
from .pricing import Bound, bound
from .providers import Provider
from .reconcile import Reconciler


@dataclass(frozen=True, slots=True)
class House:
    """What every hosted backend is lent."""

    catalog: Catalog
    settings: HostedSettings
    egress: Egress
    ledger: Ledger
    clock: Callable[[], float]


class HostedBackend:
    """One provider."""

    def __init__(self, provider: Provider, house: House) -> None:
        self._provider = provider
        self._house = house
        self._client: httpx.AsyncClient | None = None
        self._health = Health(house.clock)
        self._without_tools: set[str] = set()
        self._reconciler = Reconciler(provider, house.ledger, self._open_client)
        self._desk = Desk(
            provider=provider,
            settings=house.settings,
            ledger=house.ledger,
            health=self._health,
            reconciler=self._reconciler,
            open_client=self._open_client,
            forget_tools=self._without_tools.add,
            clock=house.clock,
        )
        for sample in house.ledger.past_samples():
            if sample.provider == provider.name:
                self._health.remember(
                    is_ok=sample.is_ok,
                    first_token_s=sample.first_token_s,
                    tokens_per_s=sample.tokens_per_s,
                )

    @property
    def name(self) -> str:
        """The provider's name."""
        return self._provider.name

    @property
    def provider(self) -> Provider:
        """Address and dialect."""
        return self._provider

    @property
    def health(self) -> HealthReport:
        """How it has been doing."""
        return self._health.report()

    def serves(self, model: str) -> bool:
        """Whether the provider is known to host the model."""
        return self._find(model) is not None

    def offer(self, model: str) -> HostedOffer | None:
        """Its offer of a model, if it has one."""
        found = self._find(model)
        return found[1] if found else None

    def status(self, model: str) -> BackendStatus:
        """Whether a request could leave for it now."""
        found = self._find(model)
        if found is None:
            return BackendStatus("unavailable", f"{self.name} does not host {model}")
        trouble = self._trouble(found[1])
        if trouble is not None:
            return BackendStatus("unavailable", trouble)
        offer = found[1]
        return BackendStatus("ready", f"hosted as {offer.id}", num_context=offer.context)

    def quote(self, request: GenerateRequest) -> Quote | None:
        """What it would do for a request and at what cost; sends nothing."""
        found = self._find(request.model)
        if found is None:
            return None
        entry, offer = found
        gaps = find_gaps(request, self._abilities(entry, offer))
        terms = self._provider.terms(request, offer, self._house.settings)
        limit = self._bound(request, offer)
        refusals = [*terms.refusals, *self._why_not(request, offer, limit)]
        cooldown_s = self._health.cooldown_s
        if cooldown_s is not None:
            refusals.append(f"it asked to be left alone for {cooldown_s:.0f} s more")
        return Quote(
            provider=self.name,
            model_id=offer.id,
            max_tokens=limit.max_tokens,
            price=self._provider.price(offer),
            worst_nusd=limit.worst_nusd,
            refusals=tuple(refusals),
            emulated=gaps.emulated,
            unsupported=(*gaps.ignored, *terms.ignored),
            num_context=offer.context,
            is_degraded=self._health.is_degraded,
            latency_s=self._health.first_token_s,
            tokens_per_s=self._health.tokens_per_s,
            cooldown_s=cooldown_s if len(refusals) == 1 else None,
        )

    def judge(self, error: RunnerError) -> Verdict:
        """What may be tried after one of its failures."""
        return diagnosis_of(error).verdict

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Event]:
        """Answer without a router around: a call of its own, one upstream request and a repair."""
        stream = self.attempt(request, Call(request.id, 2, self._house.clock))
        try:
            async for event in stream:
                yield event
        finally:
            await stream.aclose()

    async def attempt(self, request: GenerateRequest, call: Call) -> AsyncGenerator[Event]:
        """Answer one request; raises `RunnerError` with its diagnosis."""
        job = self._prepare(request, call)
        if job.upstream.echo:
            yield TextDelta(job.upstream.echo)
        stream = answer(self._desk, job, call)
        try:
            async for event in stream:
                yield event
        finally:
            await stream.aclose()

    async def embed(
        self, model: str, inputs: Sequence[str | tuple[int, ...]]
    ) -> tuple[list[Embedding], Usage]:
        """Not offered: a vector from another model would be of no use."""
        raise InvalidRequestError(
            f"{self.name} makes no embeddings; use a model that runs here", param="model"
        )

    async def reconcile(self) -> int:
        """Look up the real cost of what is uncertain; returns how many were settled."""
        return await self._reconciler.settle_all()

    async def start(self) -> None:
        """Read the trusted certificates beforehand, off the loop, if a request could leave."""
        if not self._house.egress.offline and self._provider.missing() is None:
            await asyncio.to_thread(self._open_client)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._reconciler.aclose()
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _find(self, model: str) -> tuple[Entry, HostedOffer] | None:
        entry = self._house.catalog.find(model)
        if entry is None:
            return None
        rows = [row for row in entry.hosted if row.provider == self.name]
        own_id = next(
            (
                there
                for here, there in self._provider.ids.items()
                if self._house.catalog.find(here) is entry
            ),
            None,
        )
        if own_id is not None:
            known = [row for row in rows if row.id == own_id]
            return entry, (known or [HostedOffer(provider=self.name, id=own_id)])[0]
        live = [row for row in rows if row.live]
        return (entry, (live or rows)[0]) if rows else None

    def _abilities(self, entry: Entry, offer: HostedOffer) -> Abilities:
        known = self._provider.abilities(offer)
        if offer.id in self._without_tools:
            known -= {"tools", "tool_choice"}
        return Abilities(known, can_think="reasoning" in entry.capabilities)

    def _bound(self, request: GenerateRequest, offer: HostedOffer) -> Bound:
        left = self._house.ledger.left_nusd(cap_nusd(request), request.tenant)
        return bound(request, offer, self._provider.price(offer), left)

    def _trouble(self, offer: HostedOffer) -> str | None:
        if self._house.egress.offline:
            return "offline; run without --offline"
        if not offer.live:
            return f"it no longer offers {offer.id}"
        return self._provider.missing() or self._health.trouble

    def _why_not(self, request: GenerateRequest, offer: HostedOffer, limit: Bound) -> list[str]:
        reasons = []
        trouble = self._trouble(offer)
        if trouble is not None:
            reasons.append(trouble)
        if isinstance(request.prompt, TokenPrompt):
            reasons.append("a prompt of token ids cannot be sent to a provider")
        over = self._house.ledger.why_over(limit.worst_nusd, cap_nusd(request), request.tenant)
        if over is not None:
            reasons.append(over)
        return reasons

    def _prepare(self, request: GenerateRequest, call: Call) -> Job:
        found = self._find(request.model)
        if found is None or isinstance(request.prompt, TokenPrompt):
            raise InvalidRequestError(f"{self.name} cannot answer this for {request.model}")
        entry, offer = found
        refuse_mistakes(request, entry.chat_format)
        able = self._abilities(entry, offer)
        gaps = find_gaps(request, able)
        terms = self._provider.terms(request, offer, self._house.settings)
        limit = self._bound(request, offer)
        call.note(emulated=gaps.emulated, ignored=(*gaps.ignored, *terms.ignored))
        if limit.is_lowered:
            call.reasons.append(f"{self.name} writes at most {limit.max_tokens} tokens")
        return Job(request, offer, compose(request, able, limit.max_tokens), limit, terms)

    def _open_client(self) -> httpx.AsyncClient:
        """The client, built on first use; raises `OfflineError`."""
        if self._client is None:
            settings = self._house.settings
            timeout = httpx.Timeout(
                None,
                connect=settings.connect_timeout_s,
                write=settings.idle_timeout_s,
                pool=settings.connect_timeout_s,
            )
            self._client = self._house.egress.client(
                self._provider.base_url, purpose=f"asking {self.name}", timeout=timeout
            )
        return self._client
