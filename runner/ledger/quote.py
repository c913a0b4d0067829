"""What a hosted provider would do for one request, and for how much, before anything is sent.

Owns the shape only; the hosted room fills it in and the router chooses by it. Invariant: a quote
with no refusals may be dispatched at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from .money import Price


@dataclass(frozen=True, slots=True)
class Quote:
    """One provider's answer to "could you, and at what cost?"; amounts in nano-dollars.

    `refusals` say why it may not be asked now. `cooldown_s` is set when the only thing in the
    way is that the provider asked to be left alone for that long. `unsupported` names the
    parameters that would be ignored, `emulated` those that would be done on this machine.
    """

    provider: str
    model_id: str
    max_tokens: int
    price: Price | None = None
    worst_nusd: int | None = None
    refusals: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    quantization: str | None = None
    num_context: int | None = None
    is_degraded: bool = False
    latency_s: float | None = None
    tokens_per_s: float | None = None
    cooldown_s: float | None = None
