"""The table: medians, ratios, targets and a verdict for every line; and the same as JSON.

Owns what counts as good enough. Pure but for `write`. A line compares a figure of ours with one
of the reference (or of a baseline, or with another one of ours).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from .measure import Summary

Side = Literal["ours", "reference", "baseline"]
Comparison = Literal["ratio", "difference"]
Bound = Literal[">=", "<="]
SIDE_NAMES = {"ours": "ours", "reference": "llama-server", "baseline": "C API"}


@dataclass(frozen=True, slots=True)
class Line:
    """One row: what of ours is held against what, and where the bound lies (None: shown only)."""

    label: str
    unit: str
    key: str
    bound: Bound | None = None
    target: float = 0.0
    against: Side = "reference"
    other_key: str | None = None
    comparison: Comparison = "ratio"


@dataclass(frozen=True, slots=True)
class Result:
    """A line with its figures; `value` is the ratio or the difference."""

    line: Line
    ours: Summary | None
    other: Summary | None
    value: float | None
    is_met: bool | None


LINES = (
    Line("one stream, decode", "tok/s", "one_decode_tok_s", ">=", 0.98),
    Line("one stream, end to end", "tok/s", "one_total_tok_s"),
    Line("one stream, against the bare C API", "tok/s", "one_decode_tok_s", None, 0.0,
         "baseline", "bare_one_tok_s"),
    Line("8 streams, total", "tok/s", "eight_total_tok_s", ">=", 1.00),
    Line("8 streams, decode, against llama-batched-bench", "tok/s", "eight_decode_tok_s", ">=",
         0.93, "baseline", "batched_eight_tok_s"),
    Line("8 streams, decode, against the bare C API", "tok/s", "eight_decode_tok_s", None, 0.0,
         "baseline", "bare_eight_tok_s"),
    Line("32 streams, total, against our own 8", "tok/s", "crowd_total_tok_s", ">=", 1.00,
         "ours", "eight_total_tok_s"),
    Line("32 streams, total", "tok/s", "crowd_total_tok_s"),
    Line("shared prefix, wall time", "s", "prefix_wall_s", "<=", 0.33),
    Line("JSON Schema, one stream, per object", "s", "schema_one_s", "<=", 0.40),
    Line("JSON Schema, eight streams, per object", "s", "schema_eight_s", "<=", 0.40),
    Line("agent loop, total time", "s", "agent_s", "<=", 0.80),
    Line("long prompt: worst gap against our normal gap", "ms", "long_gap_worst_ms", "<=", 3.0,
         "ours", "long_gap_normal_ms"),
    Line("long prompt: worst gap", "ms", "long_gap_worst_ms"),
    Line("long prompt: first token", "s", "long_first_token_s"),
    Line("restart: known prefix against our cold one", "s", "restart_warm_s", "<=", 0.20,
         "ours", "restart_cold_s"),
    Line("restart: known prefix, first token", "s", "restart_warm_s"),
    Line("beside a busy core", "tok/s", "busy_core_tok_s", ">=", 1.15),
    Line("beside another llama.cpp", "tok/s", "busy_llama_tok_s", ">=", 1.5),
    Line("repeated text", "tok/s", "repeat_decode_tok_s", ">=", 1.30),
    Line("text that does not repeat", "tok/s", "fresh_decode_tok_s", ">=", 0.97),
    Line("resident memory, same context", "MB", "memory_mb", "<=", 120.0,
         comparison="difference"),
    Line("one that takes turns, against the same without", "tok/s", "turn_alone_tok_s", ">=",
         0.98, "ours", "turn_free_tok_s"),
    Line("two models at once, against one alone", "tok/s", "pair_both_tok_s", ">=", 0.90,
         "ours", "pair_alone_tok_s"),
    Line("two models at once", "tok/s", "pair_both_tok_s"),
    Line("one of two loaded models, against the only one", "tok/s", "pair_alone_tok_s", ">=",
         0.98, "ours", "one_decode_tok_s"),
)  # fmt: skip


def judge(
    sides: Mapping[Side, Mapping[str, Summary]], lines: tuple[Line, ...] = LINES
) -> list[Result]:
    """A result for every line of which at least our own figure was measured."""
    results = []
    for line in lines:
        ours = sides["ours"].get(line.key)
        other = sides[line.against].get(line.other_key or line.key)
        if ours is not None:
            results.append(_result(line, ours, other))
    return results


def _result(line: Line, ours: Summary, other: Summary | None) -> Result:
    if other is None or (line.comparison == "ratio" and other.median == 0):
        return Result(line, ours, other, None, None)
    value = _ratio(ours, other) if line.comparison == "ratio" else ours.median - other.median
    if line.bound is None:
        return Result(line, ours, other, value, None)
    is_met = value >= line.target if line.bound == ">=" else value <= line.target
    return Result(line, ours, other, value, is_met)


def _ratio(ours: Summary, other: Summary) -> float:
    """The median of the rounds' ratios: the two of a round run one after the other, so that a
    machine that drifts drifts for both. Where rounds are missing, the ratio of the medians."""
    if len(ours.values) != len(other.values) or not all(other.values):
        return ours.median / other.median
    return median(mine / its for mine, its in zip(ours.values, other.values, strict=True))


def table(results: list[Result]) -> str:
    """The results as aligned text."""
    rows = [("workload", "ours", "(lowest to highest)", "other", "", "ratio", "target", "")]
    rows += [_row(result) for result in results]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _row(result: Result) -> tuple[str, str, str, str, str, str, str, str]:
    line, ours, other = result.line, result.ours, result.other
    verdict = {True: "met", False: "MISSED", None: ""}[result.is_met]
    target = f"{line.bound} {line.target:g}" if line.bound else ""
    if line.comparison == "difference" and line.bound:
        target = f"{line.bound} +{line.target:g}"
    value = "" if result.value is None else f"{result.value:.2f}"
    if line.comparison == "difference" and result.value is not None:
        value = f"{result.value:+.0f}"
    spread = f"{_number(ours.lowest)} to {_number(ours.highest)}" if ours else ""
    return (
        line.label,
        f"{_number(ours.median)} {line.unit}" if ours else "",
        spread,
        f"{_number(other.median)} {line.unit}" if other else "not measured",
        SIDE_NAMES[line.against] if other else "",
        value,
        target,
        verdict,
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def write(folder: Path, name: str, payload: Mapping[str, Any], results: list[Result]) -> Path:
    """Everything as one JSON file; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    whole = {**payload, "results": [asdict(result) for result in results]}
    path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return path
