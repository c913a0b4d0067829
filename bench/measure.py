"""From replies to figures, and from the figures of several rounds to one.

Pure. Invariant: a figure of several rounds is their median; the extremes are kept beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from .client import Reply

Rounds = Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Summary:
    """One figure over all rounds."""

    median: float
    lowest: float
    highest: float
    values: tuple[float, ...]  # round by round


def steady_tok_s(replies: Sequence[Reply]) -> float:
    """Tokens per second of all streams together, while every one of them runs.

    The window opens with the last stream's first token and closes with the first stream's last;
    where it is empty (they did not all run at once), the figure is 0.
    """
    start_s = max(reply.times_s[0] for reply in replies)
    stop_s = min(reply.times_s[-1] for reply in replies)
    if stop_s <= start_s:
        return 0.0
    num_tokens = 0.0
    for reply in replies:
        inside = sum(start_s < at <= stop_s for at in reply.times_s)
        num_tokens += inside * reply.tokens_per_piece
    return num_tokens / (stop_s - start_s)


def summarise(rounds: Rounds) -> dict[str, Summary]:
    """Every figure that any round has."""
    keys = dict.fromkeys(key for figures in rounds for key in figures)
    found = {key: [figures[key] for figures in rounds if key in figures] for key in keys}
    return {
        key: Summary(median(values), min(values), max(values), tuple(values))
        for key, values in found.items()
    }


def measured(figures: Mapping[str, float]) -> dict[str, float]:
    """The figures without speeds of 0: everything came at once, so nothing could be measured."""
    return {key: value for key, value in figures.items() if value or not key.endswith("_tok_s")}
