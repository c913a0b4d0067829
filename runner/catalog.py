"""models.toml as typed entries, with aliases and nearest names.

Owns what a model is called and what is known of it. Knows nothing of disks, networks or
machines. Invariant: every name leads to at most one entry.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runner.errors import CatalogError, ModelNotFoundError

Capability = Literal["tools", "reasoning", "json", "vision"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
PositiveInt = Annotated[int, Field(ge=1)]

PACKAGED = Path(__file__).parent / "data" / "models.toml"
IN_TREE = Path(__file__).parent.parent / "models.toml"


class Row(BaseModel):
    """A frozen table of models.toml that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Architecture(Row):
    """The numbers the planner needs, as `config.json` names them."""

    name: str
    num_layers: PositiveInt
    hidden_size: PositiveInt
    num_heads: PositiveInt
    num_kv_heads: PositiveInt
    head_dim: PositiveInt
    ffn_size: PositiveInt
    vocab_size: PositiveInt
    num_experts: PositiveInt | None = None
    num_active_experts: PositiveInt | None = None
    confirmed: bool = False


class Sampling(Row):
    """Sampling the model's makers recommend."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None


class GgufFile(Row):
    """One file of a GGUF repository; size and hash only where publicly known."""

    repo: str
    name: str
    quantization: str
    size_bytes: PositiveInt | None = None
    sha256: Sha256 | None = None
    shard: PositiveInt = 1
    num_shards: PositiveInt = 1
    kind: Literal["weights", "mmproj"] = "weights"


class HostedOffer(Row):
    """One provider's offer: exact id and a dated price snapshot in USD per million tokens."""

    provider: str
    id: str
    prompt_usd_per_mtok: Annotated[float, Field(ge=0)] | None = None
    completion_usd_per_mtok: Annotated[float, Field(ge=0)] | None = None
    context: PositiveInt | None = None
    as_of: date | None = None
    live: bool = True
    parameters: tuple[str, ...] | None = None
    note: str | None = None


class Entry(Row):
    """One model of the catalogue."""

    id: str = ""
    title: str
    upstream: str | None = None
    base: str | None = None
    num_parameters: PositiveInt | None = None
    num_active_parameters: PositiveInt | None = None
    license: str | None = None
    released: str | None = None
    context: PositiveInt | None = None
    chat_format: str | None = None
    capabilities: tuple[Capability, ...] = ()
    aliases: tuple[str, ...] = ()
    bundled: str | None = None
    draft: str | None = None
    note: str | None = None
    architecture: Architecture | None = None
    sampling: Sampling = Sampling()
    files: tuple[GgufFile, ...] = ()
    hosted: tuple[HostedOffer, ...] = ()

    def names(self) -> Iterator[str]:
        """Every name that leads here: id, aliases, upstream, repositories and hosted ids."""
        yield self.id
        yield from self.aliases
        if self.upstream:
            yield self.upstream
        yield from {file.repo for file in self.files}


class Catalog:
    """Entries by name. Built from one or more tables; a later one replaces whole entries."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = {entry.id: entry for entry in entries}
        self._names: dict[str, str] = {}
        for entry in self._entries.values():
            for name in entry.names():
                owner = self._names.setdefault(name.lower(), entry.id)
                if owner != entry.id:
                    raise CatalogError(f"the name {name!r} leads to both {owner} and {entry.id}")
        for entry in self._entries.values():
            for offer in entry.hosted:
                self._names.setdefault(offer.id.lower(), entry.id)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, name: str) -> Entry | None:
        """The entry of that id, alias or upstream name, upper and lower case alike."""
        owner = self._names.get(name.lower())
        return None if owner is None else self._entries[owner]

    def get(self, name: str) -> Entry:
        """As `find`, but raises `ModelNotFoundError` with the three nearest names."""
        entry = self.find(name)
        if entry is None:
            raise ModelNotFoundError(name, self.nearest(name))
        return entry

    def nearest(self, name: str) -> tuple[str, ...]:
        """Up to three ids whose names are most like this one, most alike first."""
        close = difflib.get_close_matches(name.lower(), self._names, n=12, cutoff=0.0)
        return tuple(dict.fromkeys(self._names[match] for match in close))[:3]

    def with_entries(self, entries: Iterable[Entry]) -> Catalog:
        """This catalogue with more entries; one of the same id is replaced."""
        return Catalog((self._entries | {entry.id: entry for entry in entries}).values())


def parse(text: str, source: str) -> list[Entry]:
    """The entries of one models.toml text; `source` names it in errors.

    Raises:
        CatalogError: it is not TOML, or a row is malformed.
    """
    try:
        tables: Mapping[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{source} is not valid TOML: {error}") from None
    models = tables.get("models", {})
    if set(tables) - {"models"} or not isinstance(models, dict):
        raise CatalogError(f'{source} may only hold [models."ID"] tables')
    entries = []
    for model_id, row in models.items():
        try:
            entries.append(Entry.model_validate({**row, "id": model_id}))
        except (ValidationError, TypeError) as error:
            raise CatalogError(f"{source}: model {model_id!r}: {_first_fault(error)}") from None
    return entries


def load(extra: Iterable[Path] = ()) -> Catalog:
    """The catalogue that ships with the runner, then the user's own files over it."""
    shipped = PACKAGED if PACKAGED.is_file() else IN_TREE
    catalog = Catalog(parse(shipped.read_text(encoding="utf-8"), shipped.name))
    for path in extra:
        if path.is_file():
            catalog = catalog.with_entries(parse(path.read_text(encoding="utf-8"), str(path)))
    return catalog


def _first_fault(error: ValidationError | TypeError) -> str:
    if isinstance(error, TypeError):
        return "is not a table"
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg'].lower()}"
