"""The failure modes F01 to F30 by name, each in the forms it was seen in.

F12's refused connection, F24, F25, F27 and F30 are made by the test around the fake; everything
that the fake itself must do is here.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

from .scenario import Scenario


def envelope(code: int | str | None, message: str, **extra: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, **extra}, "user_id": "user_fake"}


def _status(name: str, status: int, message: str, **extra: Any) -> Scenario:
    headers = tuple(extra.pop("headers", ()))
    body = envelope(status, message, **extra)
    return Scenario(name=name, status=status, body=body, headers=headers)


def _availability(name: str, status: int, code: str, **extra: Any) -> Scenario:
    """The newest form: no `code` in the error, everything in `availability`."""
    error = {
        "message": f"No endpoints: {code}",
        "error_type": "not_found",
        "http_status": status,
        "availability": {"code": code, "retryable": status in (429, 503), **extra},
    }
    return Scenario(name=name, status=status, body={"error": error})


AFFORD = (
    "This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, "
    "but can only afford {left}."
)
REFUSALS = (
    _status("F01-401", 401, "No auth credentials found"),
    _status("F01-403", 403, "This key is disabled"),
    _status("F02-402", 402, AFFORD.format(left=20)),
    _status("F02-402-nothing", 402, "Insufficient credits"),
    _status(
        "F03-moderation",
        403,
        "Your chosen model requires moderation and your input was flagged",
        metadata={
            "reasons": ["violence"],
            "flagged_input": "CANARY-PROMPT-7361",
            "provider_name": "Nebius",
            "model_slug": "nousresearch/hermes-4-405b",
        },
    ),
    _status("F03-guardrail", 403, "Blocked by guardrail", metadata={"patterns": ["pii"]}),
    _status(
        "F04-no-tools",
        404,
        'No endpoints found that support tool use. Try disabling "look".',
    ),
    _availability("F05-privacy", 404, "privacy_restricted", excluded_by=["data_policy:training"]),
    _availability("F05-constraint", 404, "constraint_filtered", excluded_by=["max_price"]),
    _availability("F06-free-ended", 404, "free_variant_ended", fallback_models=["paid/model"]),
    _availability("F06-deprecated", 404, "model_deprecated", fallback_models=["new/model"]),
    _status(
        "F07-429-own",
        429,
        "Rate limit exceeded",
        headers=(("Retry-After", "1"), ("X-RateLimit-Remaining", "0")),
    ),
    _status(
        "F07-429-upstream",
        429,
        "Provider returned error",
        metadata={"raw": "too many requests for this pool", "provider_name": "Nebius"},
    ),
    _availability("F07-429-availability", 429, "capacity_exhausted", retry_after=2),
    _status(
        "F07-429-date",
        429,
        "slow down",
        headers=(("Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT"),),
    ),
    _status("F07-429-zero", 429, "slow down", headers=(("Retry-After", "0"),)),
    _status("F07-429-hour", 429, "slow down", headers=(("Retry-After", "3600"),)),
    _status("F08-500", 500, "Internal Server Error"),
    _status("F08-502", 502, "Provider returned error", metadata={"raw": "upstream reset"}),
    _status("F08-503", 503, "No provider meets the requirements"),
    _status("F08-504", 504, "Timed out", metadata={"error_type": "timeout"}),
    Scenario(
        name="F08-524",
        status=524,
        body=b"<!DOCTYPE html><html><title>524: A timeout occurred</title></html>",
        headers=(("Content-Type", "text/html"),),
    ),
    _status("F08-529", 529, "Overloaded"),
    _status("F08-408", 408, "Request timeout"),
    _status("F09-413", 413, "Payload too large"),
    _status("F09-422", 422, "Unprocessable"),
    _status(
        "F09-context",
        400,
        "This endpoint's maximum context length is 131072 tokens. However, you requested 200000",
        metadata={"error_type": "context_length_exceeded"},
    ),
    Scenario(name="F10-200-error", body=envelope(429, "Provider returned error")),
    Scenario(
        name="F25-captive-portal",
        body=b"<html>please log in</html>",
        headers=(("Content-Type", "text/html"),),
    ),
    Scenario(
        name="F29-gzip-bomb",
        status=500,
        body=gzip.compress(b"x" * 10_000_000),
        headers=(("Content-Encoding", "gzip"),),
    ),
    Scenario(
        name="F26-redirect",
        status=302,
        body=b"",
        headers=(("Location", "http://127.0.0.1:9/elsewhere"),),
    ),
)
MID_ERROR = {"code": 502, "message": "Provider disconnected", "metadata": {"error_type": "server"}}
STREAMS = (
    Scenario(name="F11-choice-error", error_after=3, error=MID_ERROR, finish="error"),
    Scenario(name="F12-close", connection="close"),
    Scenario(name="F12-reset", connection="reset"),
    Scenario(name="F13-silence", stall_after=0),
    Scenario(name="F13-comments", stall_after=0, stall_comments=True),
    Scenario(name="F13-no-headers", stall_headers=True),
    Scenario(name="F14-stall", stall_after=3),
    Scenario(name="F14-stall-comments", stall_after=3, stall_comments=True),
    Scenario(name="F15-fin", cut_after=3, cut_how="fin"),
    Scenario(name="F15-rst", cut_after=3, cut_how="rst"),
    Scenario(name="F15-clean", cut_after=3, cut_how="clean"),
    Scenario(name="F15-unterminated", cut_after=3, cut_how="unterminated"),
    Scenario(name="F15-first-byte", cut_after=0, cut_how="rst"),
    Scenario(name="F16-with-choice", error_after=3, error=MID_ERROR),
    Scenario(name="F16-empty-choices", error_after=3, error=MID_ERROR, error_choices="empty"),
    Scenario(
        name="F16-string-code",
        error_after=3,
        error={"code": "server_error", "message": "it broke"},
    ),
    Scenario(name="F16-no-metadata", error_after=3, error={"code": 502, "message": "it broke"}),
    Scenario(name="F17-bad-json", noise_after=2, noise=b'data: {"id": "x", "choi\n\n'),
    Scenario(name="F17-bom", noise_after=0, noise=b"\xef\xbb\xbf"),
    Scenario(name="F17-other-fields", noise_after=2, noise=b"event: ping\nid: 7\nretry: 9\n\n"),
    Scenario(name="F17-null-chunk", noise_after=2, noise=b"data: null\n\ndata:[]\n\n"),
    Scenario(name="F17-multi-line", noise_after=2, noise=b'data: {"choices":\ndata: []}\n\n'),
    Scenario(name="F17-huge-line", noise_after=2, noise=b"data: " + b"x" * 3_000_000 + b"\n\n"),
    Scenario(name="F18-early-error", error_after=0, error=MID_ERROR),
    Scenario(name="F20-only-reasoning", reasoning="All in my head.", text=""),
    Scenario(name="F20-both-fields", reasoning="Let me think.", reasoning_form="both"),
    Scenario(name="F20-tags", reasoning="Let me think.", reasoning_form="tags"),
    Scenario(name="F20-open-tags", reasoning="Let me think.", reasoning_form="open_tags", text=""),
    Scenario(name="F22-other-model", model="somebody/else", provider="Elsewhere"),
    Scenario(name="F23-null", usage={"cost": None}),
    Scenario(name="F23-zero", usage={"cost": 0}),
    Scenario(name="F23-string", usage={"cost": "0.000123"}),
    Scenario(name="F23-huge-prompt", usage={"prompt_tokens": 10**9}),
    Scenario(name="F29-gzip-stream", is_gzipped=True, headers=(("Content-Encoding", "gzip"),)),
    Scenario(name="F29-brotli", headers=(("Content-Encoding", "br"),)),
    Scenario(
        name="F28-cache-hit",
        usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost": 0},
        headers=(("X-OpenRouter-Cache-Status", "HIT"),),
    ),
)
TOOL_FORMS = (
    "plain",
    "duplicate_finish",
    "duplicate_call",
    "trailing_space",
    "same_index",
    "no_index",
    "from_one",
    "no_id",
    "object_arguments",
    "cut_arguments",
)
TOOLS = tuple(Scenario(name=f"F19-{form}", tool_form=form) for form in TOOL_FORMS)
XML_TOOLS = tuple(
    Scenario(name=f"F21-{name}", text=text)
    for name, text in (
        ("one", '<tool_call>\n{"name": "look", "arguments": {"at": "sky"}}\n</tool_call>'),
        (
            "two",
            '<tool_call>\n{"name": "look", "arguments": {"at": "sky"}}\n</tool_call>\n'
            '<tool_call>\n{"name": "look", "arguments": {"at": "sea"}}\n</tool_call>',
        ),
        ("bad-json", '<tool_call>\n{"name": \'look\', "arguments": {at: sky}\n</tool_call>'),
    )
)
FAULTS: dict[str, Scenario] = {
    scenario.name: scenario for scenario in (*REFUSALS, *STREAMS, *TOOLS, *XML_TOOLS)
}


def as_bytes(body: bytes | dict[str, Any] | None) -> bytes:
    """A scenario's body as it is sent."""
    if isinstance(body, dict):
        return json.dumps(body).encode()
    return body or b""
