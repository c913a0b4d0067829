"""The seam: a backend is a place that can answer. Local and hosted look the same from above.

Owns the protocol only. The rule that carries it: closing the iterator that `generate` returned
*is* cancelling, and whatever the answer held (slot, connection, money) is given back by then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from runner.types import Event, GenerateRequest, Usage

Readiness = Literal["ready", "loading", "loadable", "unavailable"]


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """Whether a backend could answer for a model right now, and why not if not.

    `cause` is the fallback trigger of the settings that applies (`does_not_fit`, `not_installed`,
    `load_failed`, `crashed`, `busy`), or None when the model is ready or can be loaded.
    """

    readiness: Readiness
    reason: str
    cause: str | None = None
    quantization: str | None = None
    num_context: int | None = None
    num_waiting: int = 0


@dataclass(frozen=True, slots=True)
class Embedding:
    """One normalised vector."""

    values: tuple[float, ...]


class Backend(Protocol):
    """One place that can answer."""

    @property
    def name(self) -> str:
        """`local`, or the hosted provider's name."""
        ...

    def serves(self, model: str) -> bool:
        """Whether this backend could ever answer for the model."""
        ...

    def status(self, model: str) -> BackendStatus:
        """What would happen if a request for the model came now; does no I/O."""
        ...

    def generate(self, request: GenerateRequest) -> AsyncIterator[Event]:
        """Yield the answer's events, `Finished` last. Raises `RunnerError`."""
        ...

    async def embed(
        self, model: str, inputs: Sequence[str | tuple[int, ...]]
    ) -> tuple[list[Embedding], Usage]:
        """Embed each input; raises `RunnerError`."""
        ...

    async def aclose(self) -> None:
        """Give everything back."""
        ...
