"""How much each API key may ask for in a minute: requests, and tokens.

Owns the counting and OpenAI's `x-ratelimit-*` headers that tell of it; knows no endpoint. Money is
the ledger's. Invariant: what is let through is counted before it runs, and corrected afterwards by
what it really took.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runner.config import KeySettings
from runner.errors import BusyError
from runner.types import ChatPrompt, GenerateRequest, TextPrompt

from .auth import Keyring
from .errors import describe

CHARS_PER_TOKEN = 4  # as OpenAI guesses, before anybody has counted
HEADERS = tuple(
    f"x-ratelimit-{what}-{kind}"
    for kind in ("requests", "tokens")
    for what in ("limit", "remaining", "reset")
)


class Bucket:
    """So many a minute, coming back evenly. More can be taken than is left: a debt."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._left = float(per_minute)
        self._at_s = clock()

    @property
    def left(self) -> float:
        """How many may be taken now; less than nothing while in debt."""
        now_s = self._clock()
        refilled = (now_s - self._at_s) * self.per_minute / 60
        self._left = min(self.per_minute, self._left + refilled)
        self._at_s = now_s
        return self._left

    def take(self, num: float) -> None:
        """Take so many, or give them back where `num` is negative."""
        self._left = min(self.per_minute, self.left - num)

    def wait_s(self, num: float) -> float:
        """Seconds until so many are there; at most a whole bucket is waited for."""
        return max(0.0, min(num, self.per_minute) - self.left) * 60 / self.per_minute

    def headers(self, kind: str) -> Iterator[tuple[str, str]]:
        """The three that tell how it stands."""
        yield f"x-ratelimit-limit-{kind}", str(self.per_minute)
        yield f"x-ratelimit-remaining-{kind}", str(max(0, math.floor(self.left)))
        yield f"x-ratelimit-reset-{kind}", duration(self.wait_s(self.per_minute))


@dataclass(slots=True)
class Allowance:
    """What one key may still ask for."""

    name: str = ""
    requests: Bucket | None = None
    tokens: Bucket | None = None

    def admit(self) -> None:
        """Count a request. Raises BusyError when the minute's are used up."""
        if self.requests is not None:
            self._check(self.requests, 1, "requests_per_minute")
            self.requests.take(1)
        if self.tokens is not None:
            self._check(self.tokens, 1, "tokens_per_minute")

    def hold(self, num_tokens: int) -> Hold:
        """Count tokens that are about to be computed. Raises BusyError when there are too few."""
        if self.tokens is None:
            return Hold(None)
        num_tokens = min(num_tokens, self.tokens.per_minute)
        self._check(self.tokens, num_tokens, "tokens_per_minute")
        self.tokens.take(num_tokens)
        return Hold(self.tokens, num_tokens)

    def headers(self) -> dict[str, str]:
        """What the answer says of it, under OpenAI's names; nothing where there is no limit."""
        kinds = (("requests", self.requests), ("tokens", self.tokens))
        return dict(pair for kind, bucket in kinds if bucket for pair in bucket.headers(kind))

    def _check(self, bucket: Bucket, num: int, setting: str) -> None:
        wait_s = bucket.wait_s(num)
        if wait_s > 0:
            raise BusyError(
                f"the API key {self.name!r} has used up its {setting} ({bucket.per_minute}); try "
                f"again in {duration(wait_s)}",
                retry_after_s=wait_s,
            )


@dataclass(slots=True)
class Hold:
    """Tokens that were counted beforehand, until it is known how many they were."""

    bucket: Bucket | None
    num_tokens: int = 0

    def settle(self, num_tokens: int) -> None:
        """So many they were; a second time nothing happens."""
        if self.bucket is not None:
            self.bucket.take(num_tokens - self.num_tokens)
            self.bucket = None


@dataclass(slots=True)
class Allowances:
    """The allowance of each key that has one."""

    keys: Mapping[str, KeySettings]
    clock: Callable[[], float]
    _known: dict[str, Allowance] = field(default_factory=dict)

    def of(self, name: str) -> Allowance:
        """The allowance of a key; one without limits for a key that has none, or for nobody."""
        if name not in self._known:
            key = self.keys.get(name)
            limits = (key.requests_per_minute, key.tokens_per_minute) if key else (None, None)
            buckets = [Bucket(limit, self.clock) if limit else None for limit in limits]
            self._known[name] = Allowance(name, *buckets)
        return self._known[name]


class AllowanceGuard:
    """Counts a key's requests, and says in every answer how its allowance stands.

    Only a POST counts: it makes the server work.
    """

    def __init__(self, app: ASGIApp, keyring: Keyring, allowances: Allowances) -> None:
        self._app = app
        self._keyring = keyring
        self._allowances = allowances

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        allowance = self._allowances.of(self._keyring.name_of(Request(scope)))

        async def pass_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(allowance.headers())
            await send(message)

        answer = self._app
        try:
            allowance.admit()
        except BusyError as error:
            answer = describe(error).response()
        await answer(scope, receive, pass_on)


def estimate(wanted: GenerateRequest) -> int:
    """The tokens that a request will take as far as it says: its prompt, and what it asks for."""
    match wanted.prompt:
        case ChatPrompt(messages=messages):
            num_prompt = sum(len(one.content) for one in messages) // CHARS_PER_TOKEN
        case TextPrompt(text=text):
            num_prompt = len(text) // CHARS_PER_TOKEN
        case prompt:
            num_prompt = len(prompt.tokens)
    return num_prompt + (wanted.max_tokens or 1)


def duration(seconds: float) -> str:
    """Seconds as OpenAI's headers write them: `12ms`, `1.5s`, `6m0s`."""
    num_ms = math.ceil(seconds * 1000)
    if num_ms < 1000:
        return f"{num_ms}ms" if num_ms else "0s"
    minutes, rest_ms = divmod(num_ms, 60_000)
    return (f"{minutes}m" if minutes else "") + f"{rest_ms / 1000:g}s"
