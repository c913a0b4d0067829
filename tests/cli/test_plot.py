"""Charts in the terminal and as PNG: the same values in both, whatever they are."""

from __future__ import annotations

import json
import os
import re
import struct
import zlib
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner

from runner.cli import bench, usage
from runner.cli.plot import (
    ACCENT,
    COLOURS,
    Bar,
    Bars,
    Column,
    Columns,
    bar_lines,
    check_png,
    column_lines,
    ticks,
    write_png,
)
from runner.cli.plot_canvas import SIGNATURE, Canvas
from runner.cli.plot_font import glyphs, text_length
from runner.errors import InvalidRequestError
from runner.ledger import AnswerRow, Budget, Ledger, UsageReport, UsageRow

app = typer.Typer()
app.command("bench")(bench.command)
app.command("usage")(usage.command)

VALUES = st.floats(0, 1e9)


def read_png(path: Path) -> NDArray[np.uint8]:
    """The pixels of a PNG as ours are written: one IDAT, no filter, checksums right."""
    data, at, parts = path.read_bytes(), len(SIGNATURE), {}
    assert data.startswith(SIGNATURE)
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        [checksum] = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert checksum == zlib.crc32(kind + body)
        parts[kind] = body
        at += 12 + length
    assert list(parts) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, *rest = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    assert rest == [8, 2, 0, 0, 0]
    rows = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


def longest_run(pixels: NDArray[np.uint8], colour: tuple[int, int, int]) -> list[int]:
    """For each band of rows that has the colour, how many of its pixels are in a row."""
    counts = (pixels == colour).all(axis=2).sum(axis=1)
    bands, inside = [], False
    for count in counts:
        if count and not inside:
            bands.append(int(count))
        inside = count > 0
    return bands


def bars(*values: float) -> Bars:
    rows = tuple(Bar(f"row {n}", value, f"{value:.1f}") for n, value in enumerate(values))
    return Bars(("a title", "a machine"), rows, ("a note",))


def columns(*pairs: tuple[float, float]) -> Columns:
    found = [
        Column(f"day {n}", (Bar("spent", one, f"${one:.6f}"), Bar("avoided", two, f"${two:.6f}")))
        for n, (one, two) in enumerate(pairs)
    ]
    return Columns(("money",), tuple(found), ("sums",))


def test_bars_are_as_long_as_their_values(tmp_path: Path) -> None:
    write_png(bars(100.0, 50.0, 25.0), tmp_path / "bars.png")
    whole, half, quarter = longest_run(read_png(tmp_path / "bars.png"), ACCENT)
    assert half / whole == pytest.approx(0.5, abs=0.01)
    assert quarter / whole == pytest.approx(0.25, abs=0.01)
    drawn = [line.count("█") for line in bar_lines(bars(100.0, 50.0, 25.0), 80)]
    assert drawn[1] == pytest.approx(drawn[0] / 2, abs=1)


def test_columns_are_as_high_as_their_values(tmp_path: Path) -> None:
    write_png(columns((0.5, 1.0), (0.0, 0.25)), tmp_path / "columns.png")
    pixels = read_png(tmp_path / "columns.png")[120:]  # below the legend
    spent, avoided = ((pixels == colour).all(axis=2).sum(axis=0).max() for colour in COLOURS)
    assert spent / avoided == pytest.approx(0.5, abs=0.01)
    lines = list(column_lines(columns((0.5, 1.0), (0.0, 0.25)), 80))
    assert [line.rpartition("$")[2] for line in lines] == [
        "0.500000", "1.000000", "0.000000", "0.250000",
    ]  # fmt: skip


@given(st.lists(VALUES, min_size=1, max_size=9), st.integers(1, 300))
def test_no_value_leaves_the_terminal_too_wide(values: list[float], width: int) -> None:
    chart = bars(*values)
    most = max(len(one.label) + len(one.text) for one in chart.bars)
    for line in bar_lines(chart, width):
        assert len(line) <= max(min(width, 100), 10 + most + 5)


@given(st.floats(1e-9, 1e9))
def test_ticks_are_round_few_and_reach_the_top(most: float) -> None:
    marks = ticks(most)
    assert 3 <= len(marks) <= 11 and marks[0] == 0
    assert marks[-1] >= most * 0.99999 and marks[-2] < most
    assert re.fullmatch(r"[125]\.?0*e.*", f"{marks[1]:.6e}")


@pytest.mark.parametrize("days", [0, 1, 2, 62, 300])
def test_any_number_of_columns_can_be_drawn(tmp_path: Path, days: int) -> None:
    write_png(columns(*[(n % 3, n % 5) for n in range(days)]), tmp_path / "columns.png")
    assert read_png(tmp_path / "columns.png").shape[1] == 1200


def test_every_printable_character_has_a_shape_of_its_own() -> None:
    shapes = {}
    for code in range(33, 127):
        [(_, strokes)] = glyphs(chr(code))
        assert all(0 <= x <= 12 and 0 <= y <= 16 for stroke in strokes for x, y in stroke)
        shapes[str(strokes)] = chr(code)
    assert len(shapes) == 94
    [(_, unknown)], [(_, asked)] = glyphs("漢"), glyphs("?")
    assert unknown == asked
    assert text_length("iii") < text_length("mmm") and text_length("111") == text_length("11") * (
        text_length("111") / text_length("11")
    )


@given(st.text(max_size=8), st.floats(-500, 500), st.floats(-500, 500), st.floats(0.1, 90))
def test_what_lies_outside_the_picture_is_no_error(
    text: str, x: float, y: float, size: float
) -> None:
    canvas = Canvas(60, 40, (255, 255, 255))
    canvas.text(x, y, text, size, (0, 0, 0), "middle")
    canvas.box(x, y, size, size, (0, 0, 0))
    assert canvas.png().startswith(SIGNATURE)


def test_a_place_that_cannot_hold_the_picture_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="PNG is all there is"):
        check_png(tmp_path / "plot.svg")
    with pytest.raises(InvalidRequestError, match="make it first"):
        check_png(tmp_path / "nowhere" / "plot.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InvalidRequestError, match="cannot be written"):
        write_png(bars(1.0), tmp_path / "folder.png")


def day(name: str, spent: float, avoided: float) -> UsageRow:
    return UsageRow(name, 1, 10, 5, spent, 0.0, 0.0, avoided)


def report(*days: UsageRow) -> UsageReport:
    totals = UsageRow(
        None, 1, 1, 1, sum(d.cost_usd for d in days), 0, 0, sum(d.cost_avoided_usd for d in days)
    )
    return UsageReport(0.0, totals, (), (), (), days)


def test_days_without_an_answer_keep_their_place() -> None:
    drawn = usage.chart(report(day("2026-11-28", 1, 2), day("2026-12-01", 3, 4)), is_even=True)
    assert [column.label for column in drawn.columns] == [
        "2026-11-28", "2026-11-29", "2026-11-30", "2026-12-01",
    ]  # fmt: skip
    assert [one.value for one in drawn.columns[1].bars] == [0, 0]


@given(st.sets(st.integers(0, 400), min_size=1, max_size=30))
def test_long_times_are_shown_by_the_month_and_nothing_is_lost(places: set[int]) -> None:
    first = date(2026, 1, 1)
    days = [day((first + timedelta(days=n)).isoformat(), 0.25, 0.5) for n in sorted(places)]
    drawn = usage.chart(report(*days), is_even=True)
    assert len(drawn.columns) <= usage.MAX_DAYS
    assert sum(column.bars[0].value for column in drawn.columns) == 0.25 * len(places)
    assert sum(column.bars[1].value for column in drawn.columns) == 0.5 * len(places)
    labels = [column.label for column in drawn.columns]
    assert labels == sorted(set(labels))


def test_bench_draws_a_picture_to_share(tmp_path: Path) -> None:
    path = tmp_path / "bench.png"
    words = ["bench", "hermes-tiny", "--plot", str(path), "--json", "--streams", "2"]
    small = ["--prompt-tokens", "64", "--tokens", "8", "--rounds", "1"]
    result = CliRunner().invoke(app, [*words, *small], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    values = [facts["prompt_tokens_per_s"], *(one["tokens_per_s"] for one in facts["decode"])]
    lengths = longest_run(read_png(path), ACCENT)
    for length, value in zip(lengths, values, strict=True):
        assert length / max(lengths) == pytest.approx(value / max(values), abs=0.02)


def test_usage_draws_a_picture_too(tmp_path: Path) -> None:
    ledger = Ledger.open(Path(os.environ["RUNNER_HOME"]), Budget())
    ledger.record(AnswerRow("r", "hermes-tiny", "local", "", "ok", 10, 5, avoided_nusd=2_000_000))
    ledger.close()
    result = CliRunner().invoke(app, ["usage", "--png", str(tmp_path / "u.png")])
    assert result.stdout.splitlines()[-1] == "$0.000000 spent, $0.002000 avoided"
    assert (read_png(tmp_path / "u.png") == COLOURS[1]).all(axis=2).any()
