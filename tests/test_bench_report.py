"""The benchmark's table: what a ratio is, and when a line counts as met."""

from __future__ import annotations

from bench.measure import Summary, summarise
from bench.report import LINES, Side, judge


def summaries(**rounds: list[float]) -> dict[str, Summary]:
    return summarise([{key: value} for key, values in rounds.items() for value in values])


def judged(ours: dict[str, Summary], other: dict[str, Summary]) -> tuple[float | None, bool | None]:
    sides: dict[Side, dict[str, Summary]] = {"ours": ours, "reference": other, "baseline": {}}
    [result] = judge(sides, tuple(line for line in LINES if line.label == "one stream, decode"))
    return result.value, result.is_met


def test_a_ratio_is_the_median_of_the_rounds_so_that_drift_between_them_does_not_count() -> None:
    ours = summaries(one_decode_tok_s=[10.0, 20.0, 40.0])
    other = summaries(one_decode_tok_s=[10.0, 21.0, 38.0])
    assert judged(ours, other) == (1.0, True)


def test_where_a_round_is_missing_the_medians_are_compared() -> None:
    ours = summaries(one_decode_tok_s=[10.0, 20.0])
    other = summaries(one_decode_tok_s=[20.0])
    assert judged(ours, other) == (0.75, False)


def test_what_the_other_did_not_measure_is_shown_without_a_verdict() -> None:
    assert judged(summaries(one_decode_tok_s=[10.0]), {}) == (None, None)
