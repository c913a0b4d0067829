"""The weights on this disk as the local backend asks for them: by model, fast, many times.

Owns a short memory of the library's look at the disk. Knows no engine. Invariant: what it says is
at most `FRESH_S` old, and a name it does not know makes it look again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runner.catalog import Catalog, Entry
from runner.errors import ModelNotFoundError
from runner.gguf import GgufFacts, read_shards
from runner.hub import Installed, Library

FRESH_S = 5.0


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights on this disk: the paths of all shards, and what they are."""

    entry: Entry
    paths: tuple[str, ...]
    quantization: str | None
    size_bytes: int
    is_verified: bool


class Shelf:
    """What is installed, by model id or `ID:QUANT`."""

    def __init__(self, library: Library, clock: Callable[[], float]) -> None:
        self._library = library
        self._clock = clock
        self._looked_s = float("-inf")
        self._catalog = library.catalog
        self._installed: list[Installed] = []
        self._facts: dict[tuple[str, ...], GgufFacts] = {}

    @property
    def catalog(self) -> Catalog:
        """The catalogue with everything imported or cached beside it."""
        self._look()
        return self._catalog

    def installed(self) -> list[Installed]:
        """All weights on this disk."""
        self._look()
        return self._installed

    def refresh(self) -> None:
        """Forget; the next question looks at the disk."""
        self._looked_s = float("-inf")

    def model_id(self, name: str) -> str:
        """The id of a user's name, with `:QUANT` if one was said. Raises ModelNotFoundError."""
        try:
            reference = self.catalog.resolve(name)
        except ModelNotFoundError:
            self.refresh()
            reference = self.catalog.resolve(name)
        quantization = reference.quantization
        return f"{reference.entry.id}:{quantization}" if quantization else reference.entry.id

    def entry(self, model: str) -> Entry:
        """The catalogue's entry of a model id. Raises ModelNotFoundError."""
        return self.catalog.resolve(model).entry

    def catalogued(self, model: str) -> Entry | None:
        """The entry of `ID` or `ID:QUANT`, None for any other repository of the Hub."""
        try:
            return self.catalog.find(self.catalog.resolve(model).entry.id)
        except ModelNotFoundError:
            return None

    def find(self, model: str) -> Weights | None:
        """The weights of a model: of the named quantisation, else verified ones first."""
        try:
            reference = self.catalog.resolve(model)
        except ModelNotFoundError:
            return None
        wanted = (reference.quantization or "").lower()
        found = [
            one
            for one in self.installed()
            if one.model_id == reference.entry.id and wanted in ("", one.quantization.lower())
        ]
        best = min(found, key=lambda one: not one.verified, default=None)
        if best is None:
            return None
        paths = tuple(str(path) for path in best.paths)
        return Weights(reference.entry, paths, best.quantization, best.size_bytes, best.verified)

    def facts(self, weights: Weights) -> GgufFacts:
        """What the header says. Raises GgufError."""
        if weights.paths not in self._facts:
            self._facts[weights.paths] = read_shards([Path(path) for path in weights.paths])
        return self._facts[weights.paths]

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked_s < FRESH_S:
            return
        self._looked_s = now
        self._installed = self._library.installed()
        self._catalog = self._library.catalog_with_imports()
