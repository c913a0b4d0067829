"""The error tree. Owns what can go wrong in words; knows no HTTP status and no exit code.

    RunnerError
    ├── ConfigError                     a setting is unknown, malformed or contradictory
    ├── CatalogError                    a row of models.toml is malformed or contradictory
    ├── InvalidRequestError             the caller's own mistake; never falls over to hosted
    │   ├── ContextLengthError          the prompt is longer than the context
    │   ├── UnsupportedParameterError   a parameter cannot be honoured and strict was asked for
    │   └── ModelNotFoundError          no such model; carries the nearest names
    ├── BusyError                       the queue is full; carries when to come back
    ├── WeightsError                    weights are missing, damaged or not loadable
    │   ├── NotInstalledError           not on this disk
    │   ├── GgufError                   the file is not a readable GGUF
    │   ├── IntegrityError              the bytes are not the ones that were promised
    │   └── DoesNotFitError             this machine cannot hold it; carries the sums
    ├── DownloadError                   a transfer failed for good
    ├── EngineError                     the local engine failed
    │   ├── EngineLoadError             the child could not load the weights
    │   └── EngineCrashedError          the child died or hung while it worked
    ├── OfflineError                    an outgoing connection was asked for while offline
    ├── BudgetError                     the request could cost more than is left
    ├── UpstreamError                   a hosted provider failed or refused
    │   └── UpstreamRateLimitedError    every provider that may serve it is rate limited
    └── NoRouteError                    nothing may serve the request; carries the reasons

Every message says what happened and what to do about it. Foreign exceptions are translated to
this tree once, at the seam where they appear.
"""

from __future__ import annotations


class RunnerError(Exception):
    """The root of the tree; `str(error)` is one sentence for the person who reads it."""


class ConfigError(RunnerError):
    """A setting is unknown, malformed or contradictory."""


class CatalogError(RunnerError):
    """A row of models.toml is malformed or contradictory."""


class InvalidRequestError(RunnerError):
    """The request itself is wrong; `param` names the field, `code` is OpenAI's error code."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class ContextLengthError(InvalidRequestError):
    """The prompt has more tokens than the context holds.

    It has even more than `num_prompt_tokens` where they were not counted to the end.
    """

    def __init__(
        self,
        num_prompt_tokens: int,
        num_context: int,
        *,
        param: str = "messages",
        has_more: bool = False,
    ) -> None:
        count = f"more than {num_prompt_tokens}" if has_more else f"{num_prompt_tokens}"
        super().__init__(
            f"the prompt has {count} tokens but the context holds {num_context}; "
            "shorten the prompt, set overflow, or serve the model with a larger --ctx",
            param=param,
            code="context_length_exceeded",
        )
        self.num_prompt_tokens = num_prompt_tokens
        self.num_context = num_context
        self.has_more = has_more


class UnsupportedParameterError(InvalidRequestError):
    """A parameter cannot be honoured by whoever would answer, and the caller asked for strict."""


class ModelNotFoundError(InvalidRequestError):
    """No model goes by that name; `nearest` holds up to three that almost do."""

    def __init__(self, name: str, nearest: tuple[str, ...] = ()) -> None:
        hint = f"; did you mean {', '.join(nearest)}?" if nearest else ""
        super().__init__(
            f"model {name!r} is not known{hint}", param="model", code="model_not_found"
        )
        self.nearest = nearest


class BusyError(RunnerError):
    """The queue is full; `retry_after_s` is when there will likely be room."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class WeightsError(RunnerError):
    """Weights are missing, damaged or not loadable."""


class NotInstalledError(WeightsError):
    """The weights are not on this disk."""


class GgufError(WeightsError):
    """The file is not a readable GGUF."""


class IntegrityError(WeightsError):
    """The bytes are not the ones that were promised."""


class DoesNotFitError(WeightsError):
    """This machine cannot hold the model; the message shows the sums."""

    def __init__(self, message: str, *, needed_bytes: int, available_bytes: int) -> None:
        super().__init__(message)
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes


class DownloadError(RunnerError):
    """A transfer failed for good; what was fetched is kept for the next try."""


class EngineError(RunnerError):
    """The local engine failed."""


class EngineLoadError(EngineError):
    """The child process could not load the weights."""


class EngineCrashedError(EngineError):
    """The child process died or hung while it worked."""


class OfflineError(RunnerError):
    """An outgoing connection was asked for while offline."""


class BudgetError(RunnerError):
    """The request could cost more than is left to spend."""


class UpstreamError(RunnerError):
    """A hosted provider failed or refused; the message is in its own words, without keys."""

    def __init__(self, message: str, *, provider: str, status: int | None = None) -> None:
        super().__init__(message)
        self.provider = provider
        self.status = status


class UpstreamRateLimitedError(UpstreamError):
    """Every provider that may serve the request is rate limited."""

    def __init__(self, message: str, *, provider: str, retry_after_s: float) -> None:
        super().__init__(message, provider=provider, status=429)
        self.retry_after_s = retry_after_s


class NoRouteError(RunnerError):
    """Nothing may serve the request; `reasons` say why, `alternatives` what could."""

    def __init__(
        self,
        message: str,
        *,
        reasons: tuple[str, ...],
        alternatives: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.reasons = reasons
        self.alternatives = alternatives
