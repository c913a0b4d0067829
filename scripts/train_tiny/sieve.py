"""The sieve: late in training, only rows that the network still gets wrong are worth a step.

Reading a row costs a third of learning from it, and most rows are known by then. Rows are judged by
their loss at the time, and the worst share of them is made into batches.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .batches import Batch, Row, grouped
from .model import TinyHermes


@dataclass(frozen=True)
class Judged:
    """A row and how badly it is known."""

    loss: float
    row: Row


@torch.no_grad()
def judge(network: TinyHermes, batch: Batch, half: bool) -> list[Judged]:
    """The rows of a batch with the sum of their losses on what is taught."""
    tokens = torch.from_numpy(batch.tokens).long()
    wanted = torch.from_numpy(batch.taught)[:, 1:]
    losses = network.losses(tokens, wanted, half)
    sums = torch.zeros(len(tokens)).index_add_(0, wanted.nonzero()[:, 0], losses)
    rows = zip(sums.tolist(), batch.tokens, batch.taught, strict=True)
    return [Judged(loss, _trimmed(ids, flags)) for loss, ids, flags in rows if flags.any()]


def worst(judged: list[Judged], share: float, size: int, pad: int) -> list[Batch]:
    """Batches of about `size` tokens from the worst share of the rows."""
    ordered = sorted(judged, key=lambda one: -one.loss)
    return grouped([one.row for one in ordered[: round(share * len(ordered))]], size, pad)


def _trimmed(ids: NDArray[np.int32], flags: NDArray[np.bool_]) -> Row:
    """A row up to the last token that is taught: what comes after teaches nothing."""
    stop = int(flags.nonzero()[0][-1]) + 1
    return ids[:stop].tolist(), flags[:stop].tolist()
