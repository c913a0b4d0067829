"""What of an output has to be the same each time, and what may differ.

Owns the rule, which is short on purpose: whatever is not named here has to come out as it is shown.
"""

from __future__ import annotations

import re

# What may differ, each with what stands in for it.
MAY_DIFFER = (
    # which quantisation this machine can hold, how fast it would be; `no` names what is missing
    (r"^(\S+) +(?:yes|no|\?) +\S+ +(?:[\d.]+ [KMG]iB|-) +\S+ +(?:[\d.]+ tok/s|-)  ", r"\1 PLAN  "),
    # this machine
    (r"^\d+ cores?, .* memory free.*$", "MACHINE"),
    (r"of [\d.]+ GiB free, [\d.]+ can be used|the memory budget is [\d.]+ GiB", "MEMORY"),
    (r"\(the best that fits this machine: [^)]*\)", "(BEST)"),
    # how far and how fast a download came when its bar was drawn for the last time
    (r" ━.*$", " BAR"),
    # ids made up for one request
    (r"\b(chatcmpl|gen|call|req|chat)[-_][0-9a-zA-Z]{8,}\b", r"\1-ID"),
    # numbers that are words of their own: times, sizes, counts, money, processes, ports, dates.
    # Those in names (`hermes-4-405b`, `sha256`, `Q8_0`) are not.
    (r"(?<![\w.-])-?\d+(?:[.,:-]\d+)*(?:e-?\d+)?(?![\w-])", "N"),
    (r"(?<![\w.-])\d+(?:\.\d+)?(?=(?:ms|s|k|M|G|%)\b)", "N"),
    (r"(?<=127\.0\.0\.1:)\d+|(?<=:)\d{4,5}(?=/v1)", "N"),
    # how columns are set
    (r"[ \t]+", " "),
)


def masked(text: str) -> str:
    """The text without what may differ."""
    for pattern, stand_in in MAY_DIFFER:
        text = re.sub(pattern, stand_in, text, flags=re.M)
    return text.strip()


def same(shown: str, written: str) -> bool:
    """Whether two outputs are the same but for what may differ; lines wrap anywhere."""
    return _bare(masked(shown)) == _bare(masked(written))


def matches(shown: str, written: str) -> bool:
    """Whether a page's output is what came; `…` in it stands for anything, lines wrap anywhere."""
    parts = [re.escape(_bare(part)) for part in masked(shown).split("…")]
    return re.fullmatch(".*?".join(parts), _bare(masked(written)), re.S) is not None


def _bare(text: str) -> str:
    return re.sub(r"\s+", "", text)
