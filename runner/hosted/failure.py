"""Upstream failures, classified: how far the request had come, and what may be tried next.

Owns the reading of providers' error bodies and statuses. Knows no event loop. Invariant: a
failure's words hold neither a key nor the prompt, and privacy or moderation refusals are final.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from runner.egress import redact
from runner.errors import InvalidRequestError, RunnerError, UpstreamError, UpstreamRateLimitedError
from runner.ledger import Again, Verdict

Phase = Literal["before_dispatch", "sent", "bytes_seen", "tool_call_seen"]

MAX_WORDS = 600
MAX_WAIT_S = 10.0
DEFAULT_COOLDOWN_S = 5.0
MAX_COOLDOWN_S = 3600.0
AFFORD = re.compile(r"can only afford (\d+)")
TRANSIENT = frozenset({500, 502, 503, 529})
UNCLEAR = frozenset({408, 504, 524})  # it may have worked, and billed, unseen
KEY_TROUBLE = frozenset({401, 402, 403})
CLIENTS_FAULT = frozenset({400, 413, 422})
NO_TOOLS = "support tool use"
ABOUT_THE_OFFER = frozenset({"model_not_found", "wrong_endpoint"})  # our catalogue's mistake


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a failure means for the next try, for the breaker and for the money."""

    verdict: Verdict
    phase: Phase = "sent"
    is_billed: bool | None = None  # None: nobody knows
    opens_breaker: bool = False
    is_providers_fault: bool = True
    cooldown_s: float = 0.0
    lacks_tools: bool = False


class HostedError(UpstreamError):
    """An upstream failure with its diagnosis."""

    def __init__(
        self, message: str, *, provider: str, diagnosis: Diagnosis, status: int | None = None
    ) -> None:
        super().__init__(message, provider=provider, status=status)
        self.diagnosis = diagnosis


class HostedLimitError(UpstreamRateLimitedError):
    """A rate limit with its diagnosis."""

    def __init__(
        self, message: str, *, provider: str, diagnosis: Diagnosis, retry_after_s: float
    ) -> None:
        super().__init__(message, provider=provider, retry_after_s=retry_after_s)
        self.diagnosis = diagnosis


class HostedRequestError(InvalidRequestError):
    """The provider found fault with the request itself."""

    def __init__(self, message: str, *, diagnosis: Diagnosis, code: str | None = None) -> None:
        super().__init__(message, param="messages" if code else None, code=code)
        self.diagnosis = diagnosis


def diagnosis_of(error: RunnerError) -> Diagnosis:
    """The diagnosis that a failure carries; one of our own making allows another provider.

    A caller's mistake is one wherever it is sent.
    """
    if isinstance(error, HostedError | HostedLimitError | HostedRequestError):
        return error.diagnosis
    if isinstance(error, InvalidRequestError):
        verdict = Verdict("never")
        return Diagnosis(verdict, "before_dispatch", is_billed=False, is_providers_fault=False)
    return Diagnosis(Verdict("other"), "before_dispatch", is_billed=False, is_providers_fault=False)


@dataclass(frozen=True, slots=True)
class Scrubber:
    """Takes secrets out of a provider's words: keys, and texts of the prompt."""

    secrets: tuple[str, ...] = ()

    def clean(self, text: str) -> str:
        """The text without them, and not too long."""
        for secret in self.secrets:
            text = text.replace(secret, "…")
        return redact(text)[:MAX_WORDS]


def not_sent(provider: str, words: str) -> HostedError:
    """No connection was made, so nothing was sent and nothing billed."""
    diagnosis = Diagnosis(Verdict("same"), "before_dispatch", is_billed=False)
    return HostedError(
        f"{provider} could not be reached: {words}; check the network and its address",
        provider=provider,
        diagnosis=diagnosis,
    )


def cut_off(provider: str, words: str, phase: Phase) -> HostedError:
    """The connection failed after the request had left."""
    return HostedError(
        f"{provider} {words}; try again",
        provider=provider,
        diagnosis=Diagnosis(Verdict("never" if phase == "tool_call_seen" else "same"), phase),
    )


def in_band(provider: str, error: Any, phase: Phase, scrubber: Scrubber) -> RunnerError:
    """An error object inside a reply that had begun with 200."""
    body = error if isinstance(error, dict) else {"message": str(error)}
    code = _code(body)
    if phase == "sent" and code is not None:
        return from_status(provider, code, {"error": body}, {}, scrubber)
    verdict = Verdict("same" if phase == "sent" else "never")
    return HostedError(
        f"{provider} stopped with an error: {scrubber.clean(words_of(body))}; try again",
        provider=provider,
        diagnosis=Diagnosis(verdict, phase, is_billed=False if phase == "sent" else None),
        status=code,
    )


def from_status(
    provider: str,
    status: int,
    body: Any,
    headers: Mapping[str, str],
    scrubber: Scrubber,
) -> RunnerError:
    """An HTTP error, or an error body that says it is one."""
    error = body.get("error") if isinstance(body, dict) else None
    error = error if isinstance(error, dict) else {"message": _plain(error or body)}
    words = scrubber.clean(words_of(error)) or f"HTTP {status}"
    if not 300 <= status < 600:
        status = 502
    if status == 429:
        return _rate_limit(provider, words, error, headers)
    if _is_context(error):
        return HostedRequestError(
            f"{provider}: {words}; shorten the prompt",
            diagnosis=_final(is_billed=False),
            code="context_length_exceeded",
        )
    if status in CLIENTS_FAULT and _availability(error) not in ABOUT_THE_OFFER:
        return HostedRequestError(
            f"{provider} refused the request: {words}", diagnosis=_final(is_billed=False)
        )
    return HostedError(
        f"{provider} refused ({status}): {words}{_hint(status, error)}",
        provider=provider,
        diagnosis=_diagnose(status, error, words, headers),
        status=status,
    )


def _diagnose(
    status: int, error: Mapping[str, Any], words: str, headers: Mapping[str, str]
) -> Diagnosis:
    if status == 402:
        found = AFFORD.search(words)
        left = int(found[1]) if found else 0
        if left > 0:
            verdict = Verdict("same", max_tokens=left)
            return Diagnosis(verdict, is_billed=False, is_providers_fault=False)
        return _key_trouble()
    if status == 403 and _is_about_content(error):
        return _final(is_billed=False)
    if status in KEY_TROUBLE:
        return _key_trouble()
    if status == 404 and NO_TOOLS in words:
        return Diagnosis(
            Verdict("same"), is_billed=False, is_providers_fault=False, lacks_tools=True
        )
    if status in TRANSIENT:
        wait_s = _retry_after_s(error, headers) or 0.0
        again: Again = "same" if wait_s <= MAX_WAIT_S else "other"
        return Diagnosis(Verdict(again, after_s=wait_s), is_billed=False)
    if status in UNCLEAR or status >= 500:
        return Diagnosis(Verdict("same"))
    if _availability(error) in ABOUT_THE_OFFER or (status == 404 and not _availability(error)):
        return Diagnosis(Verdict("other"), is_billed=False, is_providers_fault=False)
    return _final(is_billed=False)


def _final(*, is_billed: bool | None) -> Diagnosis:
    return Diagnosis(Verdict("never"), is_billed=is_billed, is_providers_fault=False)


def _key_trouble() -> Diagnosis:
    return Diagnosis(
        Verdict("other"), is_billed=False, opens_breaker=True, is_providers_fault=False
    )


def _rate_limit(
    provider: str, words: str, error: Mapping[str, Any], headers: Mapping[str, str]
) -> HostedLimitError:
    wait_s = _retry_after_s(error, headers)
    wait_s = DEFAULT_COOLDOWN_S if wait_s is None else wait_s
    is_short = wait_s <= MAX_WAIT_S
    verdict = Verdict("same" if is_short else "other", after_s=wait_s, is_rate_limit=True)
    return HostedLimitError(
        f"{provider} is rate limited: {words}; retry in {wait_s:.0f} s",
        provider=provider,
        retry_after_s=wait_s,
        diagnosis=Diagnosis(verdict, is_billed=False, is_providers_fault=False, cooldown_s=wait_s),
    )


def _retry_after_s(error: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
    """The hint in the header or the body, in seconds; one written as a date is no hint."""
    availability = error.get("availability")
    inner = availability.get("retry_after") if isinstance(availability, dict) else None
    for hint in (headers.get("retry-after"), inner):
        try:
            seconds = float(hint)  # type: ignore[arg-type]  # what it cannot read it refuses
        except (TypeError, ValueError):
            continue
        return min(max(seconds, 0.0), MAX_COOLDOWN_S)
    return None


def _availability(error: Mapping[str, Any]) -> str:
    availability = error.get("availability")
    return _plain(availability.get("code")) if isinstance(availability, dict) else ""


def words_of(error: Mapping[str, Any]) -> str:
    """The provider's own words, with what its upstream said; never the flagged input."""
    parts = [_plain(error.get("message"))]
    metadata = error.get("metadata")
    if isinstance(metadata, dict):
        raw = _plain(metadata.get("raw"))
        if raw and raw not in parts[0]:
            parts.append(raw)
        parts += [
            f"({name.replace('_', ' ')}: {_plain(metadata[name])})"
            for name in ("provider_name", "reasons", "patterns", "provider_code")
            if metadata.get(name)
        ]
    availability = error.get("availability")
    if isinstance(availability, dict):
        parts += [
            f"({name.replace('_', ' ')}: {_plain(availability[name])})"
            for name in ("code", "excluded_by", "fallback_models")
            if availability.get(name)
        ]
    return " ".join(part for part in parts if part)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return re.sub(r"<[^>]{0,200}>|\s+", " ", value).strip()
    if isinstance(value, list):
        return ", ".join(_plain(one) for one in value)
    return json.dumps(value, ensure_ascii=False)


def _code(error: Mapping[str, Any]) -> int | None:
    for value in (error.get("code"), error.get("http_status")):
        if isinstance(value, int) and 400 <= value < 600:
            return value
        if isinstance(value, str) and value.isdecimal() and len(value) == 3:
            return int(value)
    return None


def _is_context(error: Mapping[str, Any]) -> bool:
    metadata = error.get("metadata")
    kind = metadata.get("error_type") if isinstance(metadata, dict) else error.get("error_type")
    words = _plain(error.get("message")).lower()
    return kind == "context_length_exceeded" or "maximum context length" in words


def _is_about_content(error: Mapping[str, Any]) -> bool:
    metadata = error.get("metadata")
    if not isinstance(metadata, dict):
        return False
    return bool({"reasons", "flagged_input", "patterns"} & set(metadata))


def _hint(status: int, error: Mapping[str, Any]) -> str:
    code = _availability(error)
    if code == "privacy_restricted":
        return "; [hosted] data_collection, zdr or only would have to allow more"
    if code == "constraint_filtered":
        return "; its price or limits have changed, see runner providers refresh"
    if status in (401, 403):
        return "; check the key"
    if status == 402:
        return "; add credit or lower max_tokens"
    return ""
