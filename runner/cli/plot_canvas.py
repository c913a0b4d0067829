"""A small picture: boxes, lines and text, smooth at their edges, written as PNG.

Owns pixels. Knows no charts. Invariant: what lies outside the picture is left out, never an error.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .plot_font import HEIGHT, glyphs, text_length

Colour = tuple[int, int, int]
Floats = NDArray[np.float64]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PEN = 0.115  # a stroke's width against the height of a capital
DOT = 0.19


class Canvas:
    """`width` by `height` pixels; x to the right, y down."""

    def __init__(self, width: int, height: int, paper: Colour) -> None:
        self.width, self.height = width, height
        self._pixels = np.empty((height, width, 3))
        self._pixels[:] = paper

    def box(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """A filled box; parts of a pixel count by their share."""
        rows, columns = _touched(self.height, y, height), _touched(self.width, x, width)
        shares = np.outer(_covered(rows, y, height), _covered(columns, x, width))
        self._blend(rows, columns, shares, colour)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: Colour,
        align: Literal["left", "middle", "right"] = "left",
    ) -> None:
        """Text that stands on y; `size` is the height of its capitals in pixels."""
        shift = {"left": 0.0, "middle": 0.5, "right": 1.0}[align]
        scale = size / HEIGHT
        x -= shift * text_length(text) * scale
        for at, strokes in glyphs(text):
            for stroke in strokes:
                points = np.array(stroke) * scale
                points += (x + at * scale, y - size)
                pen = DOT if len(set(stroke)) == 1 else PEN
                self._stroke(points, max(0.5, size * pen / 2), colour)

    def png(self) -> bytes:
        """The picture as a PNG of 8 bits a colour (RFC 2083)."""
        pixels = self._pixels.round().clip(0, 255).astype(np.uint8)
        rows = np.zeros((self.height, 1 + self.width * 3), np.uint8)  # filter 0 before each row
        rows[:, 1:] = pixels.reshape(self.height, -1)
        head = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        body = zlib.compress(rows.tobytes(), 9)
        parts = ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
        return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in parts)

    def _stroke(self, points: Floats, radius: float, colour: Colour) -> None:
        """A line of that radius through the points, all at once, so that joints stay even."""
        low = np.floor(points.min(axis=0) - radius - 1).astype(int)
        high = np.ceil(points.max(axis=0) + radius + 1).astype(int)
        columns = slice(max(0, low[0]), min(self.width, high[0]))
        rows = slice(max(0, low[1]), min(self.height, high[1]))
        if columns.start >= columns.stop or rows.start >= rows.stop:
            return
        grid_y, grid_x = np.mgrid[rows, columns]
        at = np.stack((grid_x + 0.5, grid_y + 0.5), axis=-1)[:, :, None, :]
        start, way = points[:-1], np.diff(points, axis=0)
        length = np.maximum((way**2).sum(axis=-1), 1e-12)
        part = (((at - start) * way).sum(axis=-1) / length).clip(0, 1)
        distance = np.linalg.norm(at - start - part[..., None] * way, axis=-1).min(axis=-1)
        self._blend(rows, columns, (radius + 0.5 - distance).clip(0, 1), colour)

    def _blend(self, rows: slice, columns: slice, shares: Floats, colour: Colour) -> None:
        area = self._pixels[rows, columns]
        area += (np.array(colour, float) - area) * shares[..., None]


def _touched(num_pixels: int, start: float, length: float) -> slice:
    """The pixels of a row that a stretch touches."""
    first = min(max(0, math.floor(start)), num_pixels)
    return slice(first, max(first, min(num_pixels, math.ceil(start + max(0.0, length)))))


def _covered(pixels: slice, start: float, length: float) -> Floats:
    """Which share of each of these pixels lies within a stretch."""
    edges = np.arange(pixels.start, pixels.stop, dtype=float)
    stop = start + max(0.0, length)
    shares: Floats = (np.minimum(stop, edges + 1) - np.maximum(start, edges)).clip(0, 1)
    return shares


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def text_width(text: str, size: float) -> float:
    """How many pixels wide a text of that size is."""
    return text_length(text) * size / HEIGHT
