"""From pools of conversations to batches of token rows, made in a process of its own.

Rows of similar length share a batch; short rows in a batch are padded at the end.
"""

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from . import tokenizer as tokenizers_
from .conversation import Segment
from .curriculum import pool

_AHEAD = 6


@dataclass(frozen=True)
class Batch:
    """Rows of tokens, and which of them the model is taught to write."""

    tokens: NDArray[np.int32]
    taught: NDArray[np.bool_]


Row = tuple[list[int], list[bool]]


def _row(encode: Tokenizer, conversation: list[Segment]) -> Row:
    tokens: list[int] = []
    taught: list[bool] = []
    for segment in conversation:
        ids = encode.encode(segment.text, add_special_tokens=False).ids
        tokens += ids
        taught += [segment.taught] * len(ids)
    return tokens, taught


def of_pool(encode: Tokenizer, number: int, size: int, context: int) -> list[Batch]:
    """The batches of one pool, each of about `size` tokens.

    Neighbours are of similar length, so that ranks which take them turn by turn do not wait
    for each other.
    """
    rows = [_row(encode, conversation) for conversation in pool(number)]
    rows = [row for row in rows if len(row[0]) <= context]
    groups = grouped(rows, size, encode.token_to_id(tokenizers_.PAD))
    pairs = list(zip(groups[::2], groups[1::2], strict=False))
    Random(number).shuffle(pairs)
    return [group for pair in pairs for group in pair] + groups[2 * len(pairs) :]


def grouped(rows: list[Row], size: int, pad: int) -> list[Batch]:
    """Batches of about `size` tokens, from short rows to long ones."""
    groups: list[list[Row]] = [[]]
    for row in sorted(rows, key=lambda row: len(row[0])):
        if groups[-1] and len(row[0]) * (len(groups[-1]) + 1) > size:
            groups.append([])
        groups[-1].append(row)
    return [_padded(group, pad) for group in groups if group]


def _padded(group: list[Row], pad: int) -> Batch:
    longest = max(len(tokens) for tokens, _ in group)
    tokens = np.full((len(group), longest), pad, dtype=np.int32)
    taught = np.zeros((len(group), longest), dtype=np.bool_)
    for index, (ids, flags) in enumerate(group):
        tokens[index, : len(ids)] = ids
        taught[index, : len(ids)] = flags
    return Batch(tokens, taught)


def _produce(queue: Any, path: Path, first: int, last: int, size: int, context: int) -> None:
    os.nice(2)
    encode = tokenizers_.load(path)
    for number in range(first, last):
        queue.put((number, of_pool(encode, number, size, context)))
    queue.put(None)


def stream(
    path: Path, first: int, last: int, size: int, context: int
) -> Iterator[tuple[int, list[Batch]]]:
    """The pools from `first` up to `last`, made ahead of time."""
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue(maxsize=_AHEAD)
    worker = spawn.Process(
        target=_produce, args=(queue, path, first, last, size, context), daemon=True
    )
    worker.start()
    while (made := queue.get()) is not None:
        yield made
    worker.join()
