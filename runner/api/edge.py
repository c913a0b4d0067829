"""What every endpoint needs of the house and of the request: reading, names, keys, counting.

Owns the crossing from HTTP to a request for the router. Invariant: an accepted request is
counted exactly once, and logged in one line of JSON, with its outcome and without any of its words.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Sequence
from typing import TypeVar

from fastapi import Request

from runner.errors import UnsupportedParameterError
from runner.metrics import Metrics
from runner.services import Services
from runner.types import Event, Finished, GenerateRequest, JsonObject, SamplingParams

from . import body
from .allowance import CHARS_PER_TOKEN, Allowances, Hold, estimate
from .auth import Keyring
from .body import WireModel
from .chat_body import Occasion

Body = TypeVar("Body", bound=WireModel)
MAX_REQUEST_ID = 128
logger = logging.getLogger(__name__)


class Edge:
    """The services as the endpoints see them."""

    def __init__(self, services: Services, keyring: Keyring, allowances: Allowances) -> None:
        self.services = services
        self.keyring = keyring
        self.allowances = allowances

    async def read(self, request: Request, model: type[Body]) -> Body:
        """The checked body. Raises InvalidRequestError or RequestTooLargeError."""
        limit = self.services.settings.server.max_body_bytes
        asked = await body.read(request, model, max_bytes=limit)
        unknown = asked.unknown_fields()
        if unknown and self.is_strict(request):
            raise UnsupportedParameterError(
                f"the parameter {unknown[0]!r} cannot be honoured here; leave it out, or do not "
                "send X-Runner-Strict",
                param=unknown[0],
            )
        return asked

    def model_id(self, name: str) -> str:
        """The catalogue id of a model's name. Raises ModelNotFoundError."""
        return self.services.shelf.model_id(name)

    def defaults(self, name: str) -> SamplingParams:
        """The model's recommended sampling."""
        return self.services.sampling_defaults(self.model_id(name))

    def tenant(self, request: Request) -> str:
        """The caller's name."""
        return self.keyring.name_of(request)

    @staticmethod
    def request_id(request: Request) -> str:
        """The caller's own id for the request, else a fresh one."""
        given = request.headers.get("x-request-id", "")
        if given and len(given) <= MAX_REQUEST_ID and given.isascii() and given.isprintable():
            return given
        return f"req_{uuid.uuid4().hex}"

    @staticmethod
    def is_strict(request: Request) -> bool:
        """Whether parameters that cannot be honoured are an error."""
        return request.headers.get("x-runner-strict", "").lower() in ("1", "true", "yes")

    def occasion(self, request: Request, model: str) -> Occasion:
        """What a request says beside its body. Raises ModelNotFoundError."""
        return Occasion(
            request_id=self.request_id(request),
            model=self.model_id(model),
            defaults=self.defaults(model),
            tenant=self.tenant(request),
            is_strict=self.is_strict(request),
        )

    def observe(self, wanted: Sequence[GenerateRequest]) -> Observation:
        """Begin counting the answers to one call. Raises BusyError beyond the key's allowance."""
        hold = self.allowances.of(wanted[0].tenant).hold(sum(estimate(one) for one in wanted))
        return Observation(self.services.metrics, wanted[0], hold)

    def hold(self, request: Request, num_chars: int) -> Hold:
        """Count the tokens of a text beforehand. Raises BusyError beyond the key's allowance."""
        return self.allowances.of(self.tenant(request)).hold(num_chars // CHARS_PER_TOKEN)


class Observation:
    """One request's way into the metrics."""

    def __init__(self, metrics: Metrics, wanted: GenerateRequest, hold: Hold) -> None:
        self._metrics = metrics
        self._hold = hold
        self._num_pieces = self._num_counted = 0
        self.request_id = wanted.id
        self._wanted = wanted
        self._begun_s = time.monotonic()
        self._first_s: float | None = None
        self._served_by = "none"
        self._outcome = "failed"
        metrics.open_requests.inc()

    def see(self, event: Event, served_by: str) -> None:
        """Note what an event says about speed, tokens and cost."""
        now = time.monotonic()
        self._served_by = served_by
        self._num_pieces += 1
        if self._first_s is None:
            self._first_s = now
            self._metrics.first_token_s.labels(served_by).observe(now - self._begun_s)
        if isinstance(event, Finished):
            usage = event.usage
            self._num_counted += usage.prompt_tokens + usage.completion_tokens
            tokens = self._metrics.tokens
            tokens.labels(served_by, "prompt").inc(usage.prompt_tokens)
            tokens.labels(served_by, "cached").inc(usage.cached_tokens)
            tokens.labels(served_by, "completion").inc(usage.completion_tokens)
            if usage.completion_tokens > 1:
                gap = (now - self._first_s) / (usage.completion_tokens - 1)
                self._metrics.between_tokens_s.labels(served_by).observe(gap)
            if usage.cost_usd:
                self._metrics.cost_usd.labels(served_by).inc(usage.cost_usd)

    def succeed(self) -> None:
        """The answer is complete."""
        self._outcome = "ok"

    def end(self, error: BaseException | None) -> None:
        """The request is over; `error` is what ended it, if anything did."""
        if error is not None:
            is_ours = isinstance(error, Exception)
            self._outcome = type(error).__name__ if is_ours else "cancelled"
        self._hold.settle(self._num_taken())
        self._metrics.open_requests.dec()
        self._metrics.requests.labels(self._wanted.route, self._served_by, self._outcome).inc()
        logger.info(json.dumps(self._line()))

    def _line(self) -> JsonObject:
        """What is logged of the request: who, what, how it went; nothing that was said."""
        ended_s = time.monotonic()
        first_s = None if self._first_s is None else self._first_s - self._begun_s
        return {
            "request_id": self.request_id,
            "key": self._wanted.tenant,
            "model": self._wanted.model,
            "route": self._wanted.route,
            "served_by": self._served_by,
            "outcome": self._outcome,
            "tokens": self._num_taken(),
            "first_ms": None if first_s is None else round(first_s * 1000),
            "ms": round((ended_s - self._begun_s) * 1000),
        }

    def _num_taken(self) -> int:
        """The tokens that were computed; where an answer was cut, a piece counts as one."""
        if self._outcome == "ok":
            return self._num_counted
        return max(self._num_counted, self._num_pieces)
