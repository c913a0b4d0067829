"""Reads the facts of one model, from one file or from all its shards.

Owns how shards belong together; the bounds are the header's. Every error names the file.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from runner.errors import GgufError

from .facts import GgufFacts, describe
from .header import Cursor, Header
from .source import ByteSource, FileSource

MAX_SHARDS = 999
SHARD_NAME = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf$")


def read_file(path: Path) -> GgufFacts:
    """The facts of a model given by its file or its first shard; all shards are read.

    Raises:
        GgufError: it is not a GGUF, is damaged or cut short, or a shard is missing.
    """
    return read_shards(find_shards(path))


def find_shards(path: Path) -> list[Path]:
    """The files of the model `path` belongs to, in order; raises `GgufError` if one is missing."""
    match = SHARD_NAME.match(path.name)
    if match is None:
        return [path]
    stem, count = match[1], int(match[3])
    if not 1 <= int(match[2]) <= count <= MAX_SHARDS:
        raise GgufError(f"{path.name} is not a shard number llama.cpp would know")
    paths = [path.with_name(f"{stem}-{n:05}-of-{count:05}.gguf") for n in range(1, count + 1)]
    missing = [one.name for one in paths if not one.is_file()]
    if missing:
        raise GgufError(f"{len(missing)} of {count} shards are missing, first {missing[0]}")
    return paths


def read_shards(paths: Sequence[Path]) -> GgufFacts:
    """The facts of one model whose files are `paths`, in order."""
    with contextlib.ExitStack() as stack:
        sources = [stack.enter_context(FileSource(path)) for path in paths]
        return read_sources(sources, [path.name for path in paths])


def read_sources(sources: Sequence[ByteSource], names: Sequence[str] = ()) -> GgufFacts:
    """As `read_shards`, from anything that gives bytes; `names` are for the messages."""
    if not sources:
        raise GgufError("there is no file to read")
    labels = [*names, *(f"shard {n + 1}" for n in range(len(names), len(sources)))]
    parts = [read_header(source, label) for source, label in zip(sources, labels, strict=False)]
    counts = {part.split.count if part.split else 1 for part in parts}
    numbers = [part.split.number if part.split else 0 for part in parts]
    if counts != {len(parts)} or numbers != list(range(len(parts))):
        words = f"the files are not the {len(parts)} shards of one model in their order"
        raise GgufError(f"{labels[0]}: {words}; remove the model and fetch or import it again")
    tensors = tuple(
        replace(tensor, shard=shard) for shard, part in enumerate(parts) for tensor in part.tensors
    )
    first = parts[0]
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise GgufError(f"{labels[0]}: two shards hold a tensor of one name")
    if first.split and first.split.num_tensors not in (0, len(tensors)):
        raise GgufError(f"{labels[0]}: the shards hold {len(tensors)} tensors, not all of them")
    return replace(first, tensors=tensors)


def read_header(source: ByteSource, name: str = "the file") -> GgufFacts:
    """The facts of one GGUF file alone; of a later shard only its tensors mean anything."""
    try:
        return describe(Header(Cursor(source)))
    except GgufError as error:
        raise GgufError(f"{name} {error}") from None
