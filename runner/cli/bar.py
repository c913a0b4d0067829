"""Bars for the terminal, in eighths of a character.

Pure.
"""

from __future__ import annotations

EIGHTHS = " ▏▎▍▌▋▊▉"


def bar(value: float, most: float, width: int) -> str:
    """A bar as long as `value` is against `most`, which fills the width; something is never 0."""
    if value <= 0 or most <= 0:
        return ""
    num_eighths = max(1, round(min(value / most, 1.0) * width * 8))
    return "█" * (num_eighths // 8) + EIGHTHS[num_eighths % 8].strip()
