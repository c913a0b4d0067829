"""Charts: bars for figures, columns for what happened over time; in the terminal and as PNG.

Owns their layout. Knows neither benchmarks nor money. Pure but for `write_png`, which puts a
file where it is told. Invariant: both forms of a chart show the same values under the same labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import InvalidRequestError

from .bar import bar

if TYPE_CHECKING:
    from .plot_canvas import Canvas

WIDTH, MARGIN = 1200, 56
PAPER, INK, SOFT, LINE = (251, 250, 248), (31, 29, 26), (95, 90, 82), (229, 225, 218)
COLOURS = ((185, 174, 156), (23, 97, 79))  # spent, avoided: as the web page has them
ACCENT = COLOURS[1]
ROW, PLOT_HEIGHT = 46, 320
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 21, 13, 11
NUM_TICKS, NUM_LABELS = 4, 12


@dataclass(frozen=True, slots=True)
class Bar:
    """One value, its name, and how it is written."""

    label: str
    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Bars:
    """Values side by side; `heads` stand above them, `notes` below."""

    heads: tuple[str, ...]
    bars: tuple[Bar, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """One stretch of time: a bar for each series, in their order."""

    label: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """Values over time, in USD; the bars of a column carry the names of the series."""

    heads: tuple[str, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...]

    @property
    def series(self) -> tuple[str, ...]:
        """The names of the series."""
        return tuple(one.label for one in self.columns[0].bars) if self.columns else ()

    @property
    def most(self) -> float:
        """The greatest value of all."""
        return max((one.value for column in self.columns for one in column.bars), default=0.0)


def bar_lines(chart: Bars, width: int) -> Iterator[str]:
    """The bars for a terminal that is so wide."""
    label = max(len(one.label) for one in chart.bars)
    text = max(len(one.text) for one in chart.bars)
    most = max(one.value for one in chart.bars)
    room = max(10, min(width, 100) - label - text - 5)
    for one in chart.bars:
        drawn = bar(one.value, most, room)
        yield f"{one.label:<{label}}  {drawn:<{room}}  {one.text:>{text}}"


def column_lines(chart: Columns, width: int) -> Iterator[str]:
    """Time runs downwards in a terminal: a line for each series of each column."""
    label = max((len(column.label) for column in chart.columns), default=0)
    name = max((len(series) for series in chart.series), default=0)
    room = max(10, min(width, 100) - label - name - 17)
    for column in chart.columns:
        for place, one in enumerate(column.bars):
            head = "" if place else column.label
            drawn = bar(one.value, chart.most, room)
            yield f"{head:<{label}}  {one.label:<{name}}  {drawn:<{room}}  {one.text}"


def check_png(path: Path) -> None:
    """Find out before the work whether the picture can be put there. Raises RunnerError."""
    if path.suffix.lower() != ".png":
        raise InvalidRequestError(f"{path} does not end in .png, and a PNG is all there is")
    if not path.absolute().parent.is_dir():
        raise InvalidRequestError(f"there is no folder {path.absolute().parent}; make it first")


def write_png(chart: Bars | Columns, path: Path) -> None:
    """Draw the chart and put it there. Raises RunnerError."""
    check_png(path)
    canvas = _draw_bars(chart) if isinstance(chart, Bars) else _draw_columns(chart)
    try:
        path.write_bytes(canvas.png())
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be written: {error.strerror}") from None


def ticks(most: float) -> list[float]:
    """Round numbers from 0 to at least `most`: steps of 1, 2 or 5 times a power of ten."""
    if most <= 0:
        return [0.0, 1.0]
    power = 10.0 ** math.floor(math.log10(most / NUM_TICKS))
    step = next(one * power for one in (1, 2, 5, 10) if one * power * NUM_TICKS >= most * 0.999999)
    return [place * step for place in range(math.ceil(most / step - 1e-6) + 1)]


def _sheet(heads: tuple[str, ...], notes: tuple[str, ...], inner: int) -> tuple[Canvas, int]:
    """An empty sheet with head and foot, and where the chart begins."""
    from .plot_canvas import Canvas

    top = MARGIN + TITLE_SIZE + 26 * (len(heads) - 1) + 40
    canvas = Canvas(WIDTH, top + inner + 24 + 26 * len(notes) + MARGIN - 14, PAPER)
    lines = [(MARGIN + TITLE_SIZE, heads[0], TITLE_SIZE, INK)]
    for place, head in enumerate(heads[1:], 1):
        lines.append((MARGIN + TITLE_SIZE + 8 + 26 * place, head, TEXT_SIZE, SOFT))
    for place, note in enumerate(notes, 1):
        lines.append((top + inner + 14 + 26 * place, note, TEXT_SIZE, SOFT))
    for y, text, size, colour in lines:
        canvas.text(MARGIN, y, text, _fitting(text, size), colour)
    return canvas, top


def _fitting(text: str, size: float) -> float:
    """The size, or what lets the text stay on the sheet."""
    from .plot_canvas import text_width

    return size * min(1.0, (WIDTH - 2 * MARGIN) / max(1.0, text_width(text, size)))


def _draw_bars(chart: Bars) -> Canvas:
    from .plot_canvas import text_width

    canvas, top = _sheet(chart.heads, chart.notes, ROW * len(chart.bars))
    left = MARGIN + 20 + round(max(text_width(one.label, TEXT_SIZE) for one in chart.bars))
    end = WIDTH - MARGIN - 20 - max(text_width(one.text, TEXT_SIZE) for one in chart.bars)
    most = max(one.value for one in chart.bars) or 1.0
    for place, one in enumerate(chart.bars):
        y, length = top + ROW * place, max(2.0, (end - left) * one.value / most)
        canvas.text(left - 20, y + 25, one.label, TEXT_SIZE, INK, "right")
        canvas.box(left, y + 4, length, ROW - 16, ACCENT)
        canvas.text(left + length + 14, y + 25, one.text, TEXT_SIZE, INK)
    return canvas


def _draw_columns(chart: Columns) -> Canvas:
    from .plot_canvas import text_width

    canvas, top = _sheet(chart.heads, chart.notes, PLOT_HEIGHT + 34)
    marks, base = ticks(chart.most), top + PLOT_HEIGHT
    names = [f"${mark:.{_decimals(marks[1])}f}" for mark in marks]
    left = MARGIN + 16 + max(text_width(name, SMALL_SIZE) for name in names)
    for mark, name in zip(marks, names, strict=True):
        y = base - PLOT_HEIGHT * mark / marks[-1]
        canvas.box(left, y, WIDTH - MARGIN - left, 1, LINE)
        canvas.text(left - 12, y + SMALL_SIZE / 2, name, SMALL_SIZE, SOFT, "right")
    slot = (WIDTH - MARGIN - left) / max(1, len(chart.columns))
    every = math.ceil(len(chart.columns) / NUM_LABELS)
    for place, column in enumerate(chart.columns):
        thick = min(44.0, slot * 0.8 / len(column.bars))
        x = left + slot * (place + 0.5) - thick * len(column.bars) / 2
        for number, one in enumerate(column.bars):
            height = PLOT_HEIGHT * one.value / marks[-1]
            height = max(2.0, height) if one.value > 0 else 0.0
            canvas.box(x + thick * number, base - height, thick, height, COLOURS[number])
        if place % every == 0:
            middle = left + slot * (place + 0.5)
            canvas.text(middle, base + 28, column.label, SMALL_SIZE, SOFT, "middle")
    _draw_legend(canvas, chart.series)
    return canvas


def _draw_legend(canvas: Canvas, series: tuple[str, ...]) -> None:
    from .plot_canvas import text_width

    x: float = WIDTH - MARGIN
    for colour, name in reversed(list(zip(COLOURS, series, strict=False))):
        x -= text_width(name, TEXT_SIZE)
        canvas.text(x, MARGIN + TITLE_SIZE, name, TEXT_SIZE, INK)
        canvas.box(x - 24, MARGIN + TITLE_SIZE - 14, 14, 14, colour)
        x -= 50


def _decimals(step: float) -> int:
    """How many decimals it takes to write steps of that size."""
    return max(0, math.ceil(-math.log10(step) - 1e-9))
