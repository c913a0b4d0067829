"""One upstream attempt, from the hold to the last event.

Owns the order of things within an attempt: money held, request sent, chunks read, bill closed,
failure judged. Knows neither router nor quotes. Invariant: however it ends, the connection is
closed, the bill is closed once, and the breaker hears about it.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace

import httpx

from runner.catalog import HostedOffer
from runner.config import HostedSettings
from runner.errors import RunnerError, UpstreamError
from runner.ledger import Call, HoldRequest, Ledger, Sample, Verdict, to_nusd
from runner.types import (
    ChatPrompt,
    Event,
    Finished,
    GenerateRequest,
    ReasoningDelta,
    TextDelta,
    Timings,
    Usage,
)

from .answer import AnswerReader
from .bill import Bill
from .chunk import Chunk
from .emulation import Upstream, with_correction
from .failure import Diagnosis, HostedError, Scrubber, diagnosis_of
from .health import Health
from .pricing import MIN_MAX_TOKENS, Bound
from .providers import Provider, Terms
from .reconcile import Reconciler
from .upstream import Address, Exchange
from .validation import bare_document, find_fault

MIN_SECRET_CHARS = 12  # shorter texts of a prompt are no secret worth blotting out
LENGTH_WISHES = frozenset({"max_tokens", "max_completion_tokens"})
MIN_SPAN_S = 0.05  # over less than this no speed can be told


@dataclass(frozen=True, slots=True)
class Job:
    """One client request, ready to be sent to one offer."""

    request: GenerateRequest
    offer: HostedOffer
    upstream: Upstream
    bound: Bound
    terms: Terms


@dataclass(frozen=True, slots=True)
class Desk:
    """What every attempt at one provider shares."""

    provider: Provider
    settings: HostedSettings
    ledger: Ledger
    health: Health
    reconciler: Reconciler
    open_client: Callable[[], httpx.AsyncClient]
    forget_tools: Callable[[str], None]
    clock: Callable[[], float]


def answer(desk: Desk, job: Job, call: Call) -> AsyncGenerator[Event]:
    """The events of one answer; raises `RunnerError` with its diagnosis."""
    if job.upstream.check is not None and job.upstream.check.is_held:
        return _answer_held(desk, job, call)
    return _answer_once(Attempt(desk, job, call))


async def _answer_once(attempt: Attempt) -> AsyncGenerator[Event]:
    events = attempt.events()
    try:
        async for event in events:
            yield event
    finally:
        await events.aclose()


async def _answer_held(desk: Desk, job: Job, call: Call) -> AsyncGenerator[Event]:
    """Show nothing but reasoning until the whole answer is right; one try to repair it."""
    fault: str | None = None
    for is_repair in (False, True):
        held: list[Event] = []
        attempt = Attempt(desk, job, call)
        events = attempt.events()
        try:
            async for event in events:
                if not isinstance(event, ReasoningDelta):
                    held.append(event)
                elif not is_repair:
                    yield event
        finally:
            await events.aclose()
        shown, fault = verify(job.upstream, held, is_stopped=attempt.reader.is_stopped)
        if fault is None:
            for event in shown:
                yield event
            return
        call.end(call.attempts[-1], "failed", f"it did not answer as asked: {fault}")
        if call.num_upstream_left <= 0:
            break
        call.note(emulated=("repair",))
        correction = with_correction(job.upstream, attempt.reader.raw_text, fault)
        job = replace(job, upstream=correction)
    raise HostedError(
        f"{desk.provider.name} did not answer as asked: {fault}; try again or ask for less",
        provider=desk.provider.name,
        diagnosis=Diagnosis(Verdict("other"), "bytes_seen", is_providers_fault=False),
    )


def verify(
    upstream: Upstream, held: list[Event], *, is_stopped: bool = False
) -> tuple[list[Event], str | None]:
    """The events to show of a whole answer, and what is wrong with it, if anything.

    A document that ends at the caller's own stop string is as long as the caller wants it.
    """
    check, last = upstream.check, held[-1]
    if check is None or not isinstance(last, Finished) or last.reason == "length":
        return held, None
    if check.kind == "call":
        return held, None if last.reason == "tool_calls" else "it had to call a tool"
    if last.reason == "tool_calls" or is_stopped:
        return held, None
    text = "".join(event.text for event in held if isinstance(event, TextDelta))
    document = bare_document(text)
    fault = find_fault(document, check.schema, must_be_object=check.must_be_object)
    return [TextDelta(document), last], fault


class Attempt:
    """One upstream request."""

    def __init__(self, desk: Desk, job: Job, call: Call) -> None:
        self._desk = desk
        self._job = job
        self._call = call
        self._name = desk.provider.name
        self._has_compared = False
        self.reader = AnswerReader(job.upstream, _new_call_id)

    async def events(self) -> AsyncGenerator[Event]:
        """Hold the money, send, read, close."""
        client = self._desk.open_client()
        bill = await self._hold()
        try:
            self._call.begin(self._name)
        except RunnerError:
            bill.release()
            raise
        exchange = self._exchange(client)
        self._desk.health.admit()
        is_judged = False
        reading = self._read(exchange)
        try:
            async for event in reading:
                yield event
            finished = self._conclude(exchange, bill)
            is_judged = True
            yield finished
        except RunnerError as error:
            is_judged = True
            self._reconsider(error)
            self._blame(error, bill)
            raise
        finally:
            await reading.aclose()
            if not is_judged:
                self._desk.health.forgive()
            bill.doubt(exchange.generation_id)
            if bill.is_doubtful:
                self._desk.reconciler.look_up(bill.hold_id, exchange.generation_id)

    async def _read(self, exchange: Exchange) -> AsyncGenerator[Event]:
        """The events of the chunks, up to where nothing more counts."""
        chunks = exchange.chunks()
        try:
            async for chunk in chunks:
                self._compare(chunk)
                for event in self.reader.feed(chunk):
                    yield event
                if self.reader.is_over:
                    break
            for event in self.reader.finish():
                yield event
        finally:
            await chunks.aclose()

    def _exchange(self, client: httpx.AsyncClient) -> Exchange:
        desk, job = self._desk, self._job
        body = {"model": job.offer.id, **job.upstream.body, **job.terms.body}
        address = Address(self._name, job.upstream.path, body, desk.provider.headers())
        return Exchange(client, address, desk.settings, self._scrubber(), desk.clock)

    async def _hold(self) -> Bill:
        desk, request = self._desk, self._job.request
        wanted = HoldRequest(
            request_id=request.id,
            model=request.model,
            provider=self._name,
            tenant=request.tenant,
            amount_nusd=self._job.bound.worst_nusd,
            request_cap_nusd=cap_nusd(request),
            price=desk.provider.price(self._job.offer),
        )
        return await Bill.open(desk.ledger, wanted, names_cost=desk.provider.names_cost)

    def _conclude(self, exchange: Exchange, bill: Bill) -> Finished:
        """Judge a complete answer, close its bill and make its last event."""
        reason = self.reader.reason()
        if reason != "length":
            self._check_whole()
        usage = self.reader.usage
        cost_usd = bill.settle(usage, exchange.generation_id)
        if exchange.num_skipped:
            self._call.reasons.append(f"{exchange.num_skipped} unreadable events were skipped")
        if usage is None:  # nobody counted: pieces seen, a third of the prompt's upper bound
            num_prompt, num_out = self._job.bound.num_prompt // 3, self.reader.num_pieces
            counted = Usage(num_prompt, num_out, cost_usd=cost_usd)
        else:
            counted = Usage(
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                cached_tokens=usage.cached_tokens,
                reasoning_tokens=usage.reasoning_tokens,
                cost_usd=cost_usd,
            )
        return Finished(reason, counted, self._measure(exchange, counted))

    def _check_whole(self) -> None:
        """Refuse what would look complete and is not: half a tool call, a document that is none."""
        if self.reader.is_broken:
            raise HostedError(
                f"{self._name} made a tool call that cannot be read; try again",
                provider=self._name,
                diagnosis=Diagnosis(Verdict("never"), "tool_call_seen"),
            )
        check = self._job.upstream.check
        if check is None or check.is_held or check.kind != "json":
            return
        if self.reader.num_calls or self.reader.is_stopped:
            return
        fault = find_fault(self.reader.text, check.schema, must_be_object=check.must_be_object)
        if fault is not None:
            raise HostedError(
                f"{self._name} promised structured output and broke it: {fault}; try again",
                provider=self._name,
                diagnosis=Diagnosis(Verdict("never"), "bytes_seen"),
            )

    def _measure(self, exchange: Exchange, counted: Usage) -> Timings:
        """How fast it was, for the answer and for the provider's health."""
        first_s = exchange.first_token_s
        span_s = exchange.elapsed_s - (first_s or 0.0)
        speed = counted.completion_tokens / span_s if span_s > MIN_SPAN_S else None
        self._desk.health.succeed(first_s, speed)
        self._desk.ledger.sample(Sample(self._name, True, first_s, speed))
        return Timings(
            prompt_n=counted.prompt_tokens,
            prompt_ms=(first_s or 0.0) * 1000,
            cache_n=counted.cached_tokens,
            predicted_n=counted.completion_tokens,
            predicted_ms=span_s * 1000,
        )

    def _reconsider(self, error: RunnerError) -> None:
        """A shorter answer than the caller asked for is no help, nor is none at all."""
        left = diagnosis_of(error).verdict.max_tokens
        if left is None or not isinstance(error, HostedError):
            return
        is_asked_for = bool(LENGTH_WISHES & self._job.request.given)
        if is_asked_for or not MIN_MAX_TOKENS <= left < self._job.bound.max_tokens:
            error.diagnosis = replace(
                error.diagnosis, verdict=Verdict("other"), opens_breaker=not is_asked_for
            )

    def _blame(self, error: RunnerError, bill: Bill) -> None:
        """Tell money, breaker and memory what a failure means."""
        found, health = diagnosis_of(error), self._desk.health
        if found.is_billed is False:
            bill.release()
        if found.lacks_tools:
            self._desk.forget_tools(self._job.offer.id)
        if found.cooldown_s:
            health.cool_down(found.cooldown_s)
        elif found.opens_breaker:
            health.refuse(str(error))
        elif found.is_providers_fault and isinstance(error, UpstreamError):
            health.fail(str(error))
            self._desk.ledger.sample(Sample(self._name, False))
        else:
            health.forgive()

    def _compare(self, chunk: Chunk) -> None:
        """Say who really answered, and notice when that is not the model that was asked for."""
        if chunk.model is None or self._has_compared:
            return
        self._has_compared = True
        self._call.model = chunk.model
        if chunk.provider is not None:
            self._call.reasons.append(f"{self._name} passed it to {chunk.provider}")
        asked = self._job.offer.id
        if not _is_same_model(chunk.model, asked):
            words = f"{self._name} was asked for {asked}, {chunk.model} answered"
            self._call.reasons.append(words)

    def _scrubber(self) -> Scrubber:
        key, prompt = self._desk.provider.key, self._job.request.prompt
        secrets = [key] if key else []
        if isinstance(prompt, ChatPrompt):
            texts = (message.content for message in prompt.messages)
            secrets += [text for text in texts if len(text) >= MIN_SECRET_CHARS]
        return Scrubber(tuple(secrets))


def cap_nusd(request: GenerateRequest) -> int | None:
    """The request's own cap."""
    return None if request.max_cost_usd is None else to_nusd(request.max_cost_usd)


def _new_call_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"


def _is_same_model(told: str, asked: str) -> bool:
    """Alike but for case, variant and the dated suffixes that hosts add."""
    told, asked = told.lower(), asked.lower().partition(":")[0]
    return told.startswith(asked) or asked.rpartition("/")[2] == told.rpartition("/")[2]
