"""From the error tree to HTTP: the only place that knows a status.

Every error leaves in OpenAI's envelope `{"error": {message, type, param, code}}`, some with the
extra keys of the contract. No exception of ours ever becomes a bare 500.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from runner import errors
from runner.egress import redact
from runner.types import JsonObject

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ApiError:
    """An error as it leaves the server."""

    status: int
    type: str
    message: str
    code: str | None = None
    param: str | None = None
    extra: JsonObject = field(default_factory=dict)
    retry_after_s: float | None = None

    def body(self) -> JsonObject:
        """The envelope."""
        fields = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
            **self.extra,
        }
        return {"error": fields}

    def response(self) -> JSONResponse:
        """The envelope with its status and headers."""
        headers = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.body(), status_code=self.status, headers=headers)


class AuthenticationError(errors.RunnerError):
    """No API key came, or a wrong one."""


class RequestTooLargeError(errors.RunnerError):
    """The body is larger than the server takes."""


def describe(error: BaseException) -> ApiError:
    """The error as clients see it."""
    message = redact(str(error))
    match error:
        case errors.InvalidRequestError():
            return _describe_mistake(error, message)
        case AuthenticationError():
            return ApiError(401, "authentication_error", message, "invalid_api_key")
        case RequestTooLargeError():
            return ApiError(413, "invalid_request_error", message, "request_too_large")
        case errors.BusyError(retry_after_s=wait_s):
            kind = "rate_limit_error"
            return ApiError(429, kind, message, "rate_limit_exceeded", retry_after_s=wait_s)
        case errors.NoRouteError(reasons=reasons, alternatives=alternatives):
            return _no_route(message, reasons, alternatives)
        case errors.OfflineError() | errors.BudgetError() | errors.WeightsError():
            return _no_route(message, (message,), ())
        case errors.RunnerError():
            return _describe_failure(error, message)
    logger.error("unexpected %s", type(error).__name__, exc_info=error)
    return ApiError(500, "server_error", "the server made a mistake; see its log", "internal_error")


def _describe_failure(error: errors.RunnerError, message: str) -> ApiError:
    """Whoever should have answered failed."""
    match error:
        case errors.UpstreamRateLimitedError(retry_after_s=wait_s):
            kind = "rate_limit_error"
            return ApiError(429, kind, message, "upstream_rate_limited", retry_after_s=wait_s)
        case errors.UpstreamError(provider=provider):
            extra = {"provider": provider}
            return ApiError(502, "upstream_error", message, "upstream_error", extra=extra)
        case errors.DownloadError():
            return ApiError(502, "upstream_error", message, "download_failed")
        case errors.EngineLoadError():
            return ApiError(503, "server_error", message, "load_failed", retry_after_s=30)
        case errors.EngineCrashedError():
            return ApiError(503, "server_error", message, "engine_crashed", retry_after_s=1)
    return ApiError(500, "server_error", message, "internal_error")


def _describe_mistake(error: errors.InvalidRequestError, message: str) -> ApiError:
    extra: JsonObject = {}
    status = 400
    if isinstance(error, errors.ContextLengthError):
        extra = {"n_prompt_tokens": error.num_prompt_tokens, "n_ctx": error.num_context}
    if isinstance(error, errors.ModelNotFoundError):
        status = 404
    return ApiError(status, "invalid_request_error", message, error.code, error.param, extra)


def _no_route(message: str, reasons: tuple[str, ...], alternatives: tuple[str, ...]) -> ApiError:
    extra: JsonObject = {
        "reasons": [redact(reason) for reason in reasons],
        "alternatives": list(alternatives),
    }
    return ApiError(503, "server_error", message, "no_route", extra=extra)


def install(app: FastAPI) -> None:
    """Answer every exception with the envelope."""

    async def on_ours(_request: Request, error: Exception) -> JSONResponse:
        return describe(error).response()

    async def on_http(_request: Request, error: Exception) -> JSONResponse:
        status = error.status_code if isinstance(error, HTTPException) else 500
        detail = str(getattr(error, "detail", "")) or "request refused"
        kind = "invalid_request_error" if status < 500 else "server_error"
        code = {404: "not_found", 405: "method_not_allowed"}.get(status)
        return ApiError(status, kind, detail, code).response()

    async def on_validation(_request: Request, error: Exception) -> JSONResponse:
        first: dict[str, Any] = {}
        if isinstance(error, RequestValidationError):
            first = dict(error.errors()[0])
        where = ".".join(str(part) for part in first.get("loc", ())[1:])
        message = f"{where}: {first.get('msg', 'not valid')}"
        return ApiError(400, "invalid_request_error", message, param=where or None).response()

    app.add_exception_handler(errors.RunnerError, on_ours)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(Exception, on_ours)
