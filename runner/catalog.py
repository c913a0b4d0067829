"""models.toml as typed entries, with aliases and nearest names.

Owns what a model is called and what is known of it. Knows nothing of disks, networks or
machines. Invariant: every name leads to at most one entry.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from runner.errors import CatalogError, ModelNotFoundError

Capability = Literal["tools", "reasoning", "json", "vision"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
PositiveInt = Annotated[int, Field(ge=1)]
RepoId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}$")]

HUB_PREFIXES = ("hf.co/", "huggingface.co/", "https://hf.co/", "https://huggingface.co/")
SPLIT_NAME = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
QUANTIZATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
BITS_PER_WEIGHT = (1.0, 33.0)
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

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.num_heads % self.num_kv_heads:
            raise ValueError("num_heads is not a multiple of num_kv_heads")
        if (self.num_active_experts or 0) > (self.num_experts or 0):
            raise ValueError("more experts are active than there are")
        return self


class Sampling(Row):
    """Sampling the model's makers recommend."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None


class GgufFile(Row):
    """One file of a GGUF repository; size and hash only where publicly known.

    `about_gb` is the published size where only that is known: decimal and rounded.
    """

    repo: RepoId
    name: str
    quantization: Annotated[str, Field(pattern=f"^{QUANTIZATION.pattern}$")]
    size_bytes: PositiveInt | None = None
    about_gb: Annotated[float, Field(gt=0)] | None = None
    sha256: Sha256 | None = None
    shard: PositiveInt = 1
    num_shards: PositiveInt = 1
    kind: Literal["weights", "mmproj"] = "weights"

    @property
    def about_bytes(self) -> int | None:
        """The size, exact where known, else as published, else None."""
        if self.size_bytes is not None or self.about_gb is None:
            return self.size_bytes
        return round(self.about_gb * 1e9)

    @model_validator(mode="after")
    def _check_name(self) -> Self:
        parts = self.name.split("/")
        if not self.name.endswith(".gguf") or not all(parts) or {".", ".."} & set(parts):
            raise ValueError(f"{self.name!r} is not a relative path of a .gguf file")
        if self.kind == "weights" and self.quantization.lower() not in self.name.lower():
            raise ValueError(f"{self.name!r} does not name its quantisation {self.quantization}")
        split = SPLIT_NAME.search(self.name)
        claimed = (int(split[1]), int(split[2])) if split else (1, 1)
        if claimed != (self.shard, self.num_shards) or self.shard > self.num_shards:
            raise ValueError(f"{self.name!r} contradicts shard {self.shard} of {self.num_shards}")
        return self


class HostedOffer(Row):
    """One provider's offer: exact id and a dated price snapshot in USD per million tokens.

    `parameters` are the request parameters it is known to honour, None where no list is known;
    `has_tools` and `has_json_schema` say so of those two alone.
    """

    provider: str
    id: str
    prompt_usd_per_mtok: Annotated[float, Field(ge=0)] | None = None
    completion_usd_per_mtok: Annotated[float, Field(ge=0)] | None = None
    context: PositiveInt | None = None
    max_output: PositiveInt | None = None
    as_of: date | None = None
    live: bool = True
    parameters: tuple[str, ...] | None = None
    has_tools: bool | None = None
    has_json_schema: bool | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _check_price(self) -> Self:
        prices = (self.prompt_usd_per_mtok, self.completion_usd_per_mtok)
        if (prices[0] is None) is not (prices[1] is None):
            raise ValueError("a price needs both its prompt and its completion part")
        if prices[0] is not None and self.as_of is None:
            raise ValueError("a price needs its date (as_of)")
        return self


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
    repositories: tuple[RepoId, ...] = ()
    bundled: str | None = None
    draft: str | None = None
    note: str | None = None
    architecture: Architecture | None = None
    sampling: Sampling = Sampling()
    files: tuple[GgufFile, ...] = ()
    hosted: tuple[HostedOffer, ...] = ()

    def names(self) -> Iterator[str]:
        """Every name that leads here and nowhere else: id, aliases, upstream, repositories."""
        yield self.id
        yield from self.aliases
        if self.upstream:
            yield self.upstream
        yield from self.all_repositories()

    def all_repositories(self) -> tuple[str, ...]:
        """The GGUF repositories, the preferred one first."""
        return tuple(dict.fromkeys([*self.repositories, *(file.repo for file in self.files)]))

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        seen: dict[tuple[str, str], set[int]] = {}
        for file in self.files:
            _check_size(file, self.num_parameters)
            stem = SPLIT_NAME.sub("", file.name)
            shards = seen.setdefault((file.repo, stem), set())
            if file.shard in shards:
                raise ValueError(f"{file.repo} lists {file.name} twice")
            shards.add(file.shard)
        for file in self.files:
            if len(seen[file.repo, SPLIT_NAME.sub("", file.name)]) != file.num_shards:
                raise ValueError(f"not every shard of {file.name} is listed")
        hashes = [file.sha256 for file in self.files if file.sha256]
        if len(hashes) != len(set(hashes)):
            raise ValueError("two files cannot have one sha256")
        return self

    @model_validator(mode="after")
    def _check_numbers(self) -> Self:
        if (self.num_active_parameters or 0) > (self.num_parameters or 0):
            raise ValueError("more parameters are active than there are")
        if self.num_parameters and self.architecture:
            embedding = self.architecture.vocab_size * self.architecture.hidden_size
            counted = _count_parameters(self.architecture)  # the output may share the embedding
            if not 0.95 * (counted - embedding) < self.num_parameters < 1.05 * counted:
                raise ValueError("num_parameters contradicts the architecture")
        return self


@dataclass(frozen=True, slots=True)
class Reference:
    """What a user named: an entry, and the quantisation and repository where they were said."""

    entry: Entry
    quantization: str | None = None
    repo: str | None = None


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
            self._check_draft(entry)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, name: str) -> Entry | None:
        """The entry of that id, alias or upstream name, in upper or lower case."""
        owner = self._names.get(_without_hub_prefix(name).lower())
        return None if owner is None else self._entries[owner]

    def get(self, name: str) -> Entry:
        """As `find`, but raises `ModelNotFoundError` with the three nearest names."""
        entry = self.find(name)
        if entry is None:
            raise ModelNotFoundError(name, self.nearest(name))
        return entry

    def resolve(self, name: str) -> Reference:
        """What `MODEL`, `MODEL:QUANT` or `hf.co/OWNER/REPO[:QUANT]` means.

        Any GGUF repository may be named with the `hf.co/` prefix; one the catalogue does not know
        gets an entry of its own. Raises `ModelNotFoundError`.
        """
        path = _without_hub_prefix(name)
        entry, quantization = self.find(path), None
        base, _, suffix = path.rpartition(":")
        if entry is None and base and QUANTIZATION.fullmatch(suffix):
            entry, path, quantization = self.find(base), base, suffix
        if entry is None and _without_hub_prefix(name) != name:
            entry = _repository_entry(path)
        if entry is None:
            raise ModelNotFoundError(name, self.nearest(path))
        repositories = {repo.lower(): repo for repo in entry.all_repositories()}
        return Reference(entry, quantization, repositories.get(path.lower()))

    def nearest(self, name: str) -> tuple[str, ...]:
        """Up to three ids whose names are most like this one, most alike first."""
        close = difflib.get_close_matches(name.lower(), self._names, n=12, cutoff=0.0)
        return tuple(dict.fromkeys(self._names[match] for match in close))[:3]

    def _check_draft(self, entry: Entry) -> None:
        """A draft must be in the catalogue, be another model and share the vocabulary."""
        if entry.draft is None:
            return
        draft = self._entries.get(entry.draft)
        if draft is None or draft is entry:
            raise CatalogError(f"{entry.id}: its draft {entry.draft!r} is not another model")
        sizes = {one.architecture.vocab_size for one in (entry, draft) if one.architecture}
        if len(sizes) > 1:
            raise CatalogError(f"{entry.id}: its draft {entry.draft} has another vocabulary")

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
    except (tomllib.TOMLDecodeError, RecursionError) as error:
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
            catalog = catalog.with_entries(parse(_read(path), str(path)))
    return catalog


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path} cannot be read: {error}") from None


def _without_hub_prefix(name: str) -> str:
    """The name without `hf.co/` in any of its spellings."""
    for prefix in HUB_PREFIXES:
        if name.lower().startswith(prefix):
            return name[len(prefix) :].strip("/")
    return name


def _repository_entry(repo: str) -> Entry | None:
    """An entry for a GGUF repository nobody described, or None if that is no repository id."""
    try:
        return Entry(id=f"hf.co/{repo}", title=repo.rpartition("/")[2], repositories=(repo,))
    except ValidationError:
        return None


def _check_size(file: GgufFile, num_parameters: int | None) -> None:
    """Refuse a size no quantisation of that many parameters could have."""
    if file.about_bytes is None or num_parameters is None or file.num_shards > 1:
        return
    bits = file.about_bytes * 8 / num_parameters
    if file.kind == "weights" and not BITS_PER_WEIGHT[0] < bits < BITS_PER_WEIGHT[1]:
        raise ValueError(f"{file.name} would have {bits:.1f} bits per weight")


def _count_parameters(shape: Architecture) -> int:
    """Weights of a llama-like model of that shape; norms are too small to matter."""
    attention = 2 * shape.hidden_size * shape.head_dim * (shape.num_heads + shape.num_kv_heads)
    experts = 3 * shape.hidden_size * shape.ffn_size * (shape.num_experts or 1)
    return shape.num_layers * (attention + experts) + 2 * shape.vocab_size * shape.hidden_size


def _first_fault(error: ValidationError | TypeError) -> str:
    if isinstance(error, TypeError):
        return "is not a table"
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    fault = first["msg"].removeprefix("Value error, ")
    return f"{place}: {fault}" if place else fault
