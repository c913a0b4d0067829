"""What the parent is told of a request that cannot be served: errors as words.

Owns the names of the kinds; `runner.local` turns them back into errors.
"""

from __future__ import annotations

from runner.errors import ContextLengthError, InvalidRequestError

from .constraint import GuideError
from .messages import Failed

Refusable = ContextLengthError | InvalidRequestError | GuideError
NOT_COMPUTED = "the engine could not compute this request; try again"


def refusal(request_id: int, error: Refusable) -> Failed:
    """The word for an error that is the request's own."""
    match error:
        case ContextLengthError():
            numbers = [error.num_prompt_tokens, error.num_context, int(error.has_more)]
            return Failed(request_id, "context_length", str(error), numbers)
        case GuideError():
            message = f"the grammar is too complex to follow: {error}"
            return Failed(request_id, "invalid:response_format", message)
        case _:
            return Failed(request_id, f"invalid:{error.param or ''}", str(error))


def breakdown(request_id: int) -> Failed:
    """The word for a batch that llama.cpp refused."""
    return Failed(request_id, "engine", NOT_COMPUTED)
