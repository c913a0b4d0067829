"""One answered client request, as the ledger keeps it.

Owns the shape only. It holds counts, names and money, and by design no word of any prompt or
answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from .attempt import Attempt
from .money import Price


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """What one client request came to; `price` is the snapshot that `avoided_nusd` used."""

    request_id: str
    model: str
    provider: str
    tenant: str
    outcome: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    avoided_nusd: int = 0
    price: Price | None = None
    attempts: tuple[Attempt, ...] = ()
