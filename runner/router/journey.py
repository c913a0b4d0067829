"""One request on its way: who is asked next, what a failure allows, and the record of it all.

Owns the events between the backends and the client for a single request. Knows backends only by
their protocol. Invariant: exactly one `Finished` or one error ends it, nothing is asked again
once content has reached the client unless the seam is safe, and every stream is closed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import cast

from runner.backend import Backend
from runner.errors import (
    EngineCrashedError,
    EngineError,
    RunnerError,
    UpstreamError,
    UpstreamRateLimitedError,
)
from runner.ledger import AnswerRow, Attempt, Outcome, Verdict, to_usd
from runner.types import Event, Finished, GenerateRequest

from .continuation import OverlapFilter, Spoken, continued, merge_usage, seam_fault
from .failure import as_final, cause_of
from .policy import LOCAL, Choice, Rules
from .record import RouteRecord
from .seam import Hooks, HostedBackend, ReportingBackend

FIRST_BACKOFF_S = 0.5


class Journey:
    """Travels the choices of one decision until one of them has answered."""

    def __init__(
        self,
        request: GenerateRequest,
        record: RouteRecord,
        backends: Mapping[str, Backend],
        rules: Rules,
        hooks: Hooks,
    ) -> None:
        self._request = request
        self._record = record
        self._call = record.call
        self._backends = backends
        self._rules = rules
        self._hooks = hooks
        self._waiting = deque(record.decision.choices)
        self._spoken = Spoken()
        self._num_before_seam = 0
        self._is_first_half_paid = False
        self._first_refusal: RunnerError | None = None
        self._num_repeats = 0
        self._is_booked = False

    async def events(self) -> AsyncGenerator[Event]:
        """The answer's events, whoever they come from; raises the error that remains."""
        try:
            while True:
                choice = self._waiting.popleft()
                self._depart(choice)
                leg = self._travel(choice)
                try:
                    async for event in leg:
                        yield event
                    return
                except RunnerError as error:
                    delay_s = self._after(choice, error)
                finally:
                    await leg.aclose()
                if delay_s:
                    await self._hooks.sleep(delay_s)
        except (asyncio.CancelledError, GeneratorExit):
            self._book("cancelled")
            raise
        except BaseException:
            self._book("failed")
            raise

    def _depart(self, choice: Choice) -> None:
        record = self._record
        record.served_by = choice.backend
        record.quantization = choice.quote.quantization if choice.quote else None
        self._call.model = self._call.quantization = None
        if choice.backend == LOCAL:
            record.quantization = self._backends[LOCAL].status(self._request.model).quantization
        for reason in choice.reasons:
            words = f"{choice.backend}: {reason}"
            if words not in record.reasons:
                record.reasons.append(words)

    async def _travel(self, choice: Choice) -> AsyncGenerator[Event]:
        """One leg: one backend's events, with its attempts opened and closed around them."""
        num_known = len(self._call.attempts)
        if choice.backend == LOCAL:
            self._call.begin(LOCAL, is_upstream=False)
        stream = self._answer_of(choice)
        try:
            async for event in stream:
                if isinstance(event, Finished):
                    self._close(choice, num_known, "ok")
                    event = self._arrive(event, choice)
                yield event
            if not self._is_booked:
                raise _unfinished(choice)
        except RunnerError as error:
            outcome: Outcome = "cut" if self._spoken.num_deltas else "failed"
            self._close(choice, num_known, outcome, str(error))
            raise
        except (asyncio.CancelledError, GeneratorExit):
            self._close(choice, num_known, "cancelled")
            raise
        except BaseException as error:
            self._close(choice, num_known, "failed", type(error).__name__)
            raise
        finally:
            await stream.aclose()

    async def _answer_of(self, choice: Choice) -> AsyncGenerator[Event]:
        """What the backend yields; after a seam it is asked for the rest, without repetitions."""
        request = self._request
        overlap = None
        if self._spoken.num_deltas:
            request = continued(request, self._spoken)
            overlap = OverlapFilter(self._spoken.text)
        backend = self._backends[choice.backend]
        if isinstance(backend, ReportingBackend):
            stream = cast("AsyncGenerator[Event]", backend.attempt(request, self._call))
        else:
            stream = cast("AsyncGenerator[Event]", backend.generate(request))
        try:
            async for event in stream:
                for passed in overlap.feed(event) if overlap else (event,):
                    self._spoken.add(passed)
                    yield passed
        finally:
            await stream.aclose()

    def _close(
        self, choice: Choice, num_known: int, outcome: Outcome, error: str | None = None
    ) -> None:
        """Close what this leg opened; one refused before its first attempt is noted as such."""
        if len(self._call.attempts) == num_known:
            self._call.attempts.append(Attempt(choice.backend, started_s=self._call.clock()))
            outcome = "refused" if outcome == "failed" else outcome
        for attempt in self._call.attempts[num_known:]:
            self._call.end(attempt, outcome, error)

    def _arrive(self, finished: Finished, choice: Choice) -> Finished:
        """Close the books before the last event is passed on, so that the record is final by it."""
        usage = finished.usage
        if self._num_before_seam:
            usage = merge_usage(
                self._num_before_seam, usage, is_first_paid=self._is_first_half_paid
            )
        finished = replace(finished, usage=usage)
        self._record.cost_usd = usage.cost_usd
        self._book("ok", finished)
        return finished

    def _after(self, choice: Choice, error: RunnerError) -> float:
        """Put in order who is next, and return the wait before; raises when it is over."""
        if self._is_booked:
            raise error
        if self._spoken.num_deltas:
            return self._after_cut(choice, error)
        if choice.backend == LOCAL:
            return self._after_local(error)
        return self._after_hosted(choice, error)

    def _after_local(self, error: RunnerError) -> float:
        cause = cause_of(error)
        self._drop_unaffordable()
        if cause not in self._record.decision.fallback_on or not self._waiting:
            raise error
        self._call.reasons.append(f"local failed ({cause}): {error}")
        return 0.0

    def _after_hosted(self, choice: Choice, error: RunnerError) -> float:
        verdict = self._judge(choice, error)
        if self._first_refusal is None or not isinstance(error, UpstreamRateLimitedError):
            self._first_refusal = error
        if verdict.again == "never":
            raise self._final(error) from error
        if verdict.max_tokens is not None:
            self._request = replace(self._request, max_tokens=verdict.max_tokens)
        if verdict.again == "same":
            self._waiting.append(choice)
        self._drop_unaffordable()
        if not self._waiting:
            raise self._final(self._first_refusal) from error
        return self._wait_before_next(choice, verdict)

    def _after_cut(self, choice: Choice, error: RunnerError) -> float:
        """Go on elsewhere, if the seam, the settings and the failure all allow it."""
        fault = self._seam_fault(choice, error)
        if fault is None and choice.backend != LOCAL:
            verdict = self._judge(choice, error)
            if verdict.again == "same":
                self._waiting.append(choice)
            fault = "the provider's words are final" if verdict.again == "never" else None
        self._drop_unaffordable()
        if fault is None and not self._waiting:
            fault = "nobody else may go on"
        if fault is not None:
            self._call.reasons.append(f"not continued: {fault}")
            raise error
        self._num_before_seam = self._spoken.num_tokens
        self._is_first_half_paid |= choice.backend != LOCAL
        self._call.reasons.append(
            f"seam: {choice.backend} was cut after {len(self._spoken.text)} characters, "
            f"continued by {self._waiting[0].backend}"
        )
        return 0.0

    def _seam_fault(self, choice: Choice, error: RunnerError) -> str | None:
        if not self._rules.continue_streams:
            return "[fallback] continue_streams is off"
        if not isinstance(error, UpstreamError | EngineCrashedError):
            return "the failure is not a cut"
        if choice.backend == LOCAL and "crashed" not in self._record.decision.fallback_on:
            return "[fallback] on does not name 'crashed'"
        return seam_fault(self._request, self._spoken)

    def _drop_unaffordable(self) -> None:
        """Without upstream attempts left only this machine may still be asked."""
        if self._call.num_upstream_left <= 0:
            self._waiting = deque(one for one in self._waiting if one.backend == LOCAL)

    def _wait_before_next(self, choice: Choice, verdict: Verdict) -> float:
        """Nothing before another provider; the same one is given time, with full jitter."""
        if self._waiting[0].backend != choice.backend:
            return 0.0
        if verdict.max_tokens is not None:
            return 0.0
        self._num_repeats += 1
        jittered_s = FIRST_BACKOFF_S * 2.0**self._num_repeats * self._hooks.random()
        return max(verdict.after_s, jittered_s)

    def _judge(self, choice: Choice, error: RunnerError) -> Verdict:
        backend = cast("HostedBackend", self._backends[choice.backend])
        return backend.judge(error)

    def _final(self, error: RunnerError) -> RunnerError:
        return as_final(error, self._hooks.alternatives(self._request))

    def _book(self, outcome: Outcome, finished: Finished | None = None) -> None:
        """Hand the finished request to the ledger, once."""
        if self._is_booked:
            return
        self._is_booked = True
        record, request = self._record, self._request
        num_prompt = finished.usage.prompt_tokens if finished else 0
        num_completion = finished.usage.completion_tokens if finished else self._spoken.num_tokens
        price = None
        avoided_nusd = 0
        if finished and record.served_by == LOCAL:
            price = self._hooks.reference_price(request.model)
            avoided_nusd = price.cost_nusd(num_prompt, num_completion) if price else 0
            record.cost_avoided_usd = to_usd(avoided_nusd) if price else None
        self._hooks.on_answered(
            AnswerRow(
                request_id=request.id,
                model=request.model,
                provider=record.served_by,
                tenant=request.tenant,
                outcome=outcome,
                prompt_tokens=num_prompt,
                completion_tokens=num_completion,
                avoided_nusd=avoided_nusd,
                price=price,
                attempts=tuple(self._call.attempts),
            )
        )


def _unfinished(choice: Choice) -> RunnerError:
    words = f"{choice.backend} ended the answer without finishing it; try again"
    if choice.backend == LOCAL:
        return EngineError(words)
    return UpstreamError(words, provider=choice.backend)
