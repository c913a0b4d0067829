"""The letters of our pictures: pen strokes on a small grid, so they are smooth at any size.

Owns the shapes. Knows no pixels. Invariant: every character has a shape; unknown ones that of `?`.
A point is two base-36 digits, x and y downwards: capitals stand on y = 12 and reach to 0, small
letters to 4, tails hang down to 16. A word is one stroke, rounded like a quadratic B-spline.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

Point = tuple[float, float]

HEIGHT = 12.0  # of a capital
GAP = 2.8  # between characters
SPACE = 3.0
DIGIT_WIDTH = 6.0
ROUNDINGS = 3

SHAPES = """
A 0c40 408c 1878  B 000c 004070764606 0646868c4c0c  C 83804000060c4c8c89  D 000c 003080868c3c0c
E 000c 0070 0656 0c7c  F 000c 0070 0656  G 83804000060c4c8c86 8646  H 000c 808c 0686  I 000c
J 60686c3c0c09  K 000c 7007 347c  L 000c 0c6c  M 0c00 0048 4880 808c  N 0c00 008c 8c80
O 4080868c4c0c060040  P 000c 004080874707  Q 4080868c4c0c060040 588d  R 000c 004080874707 478c
S 838040000646868c4c0c09  T 0080 404c  U 00080c4c8c8880  V 004c 4c80  W 003c 3c61 619c 9cc0
X 008c 800c  Y 0046 8046 464c  Z 0080 800c 0c8c  a 66643404080c3c6c6a 646c
b 000c 06043464686c3c0c0a  c 66643404080c3c6c6a  d 66643404080c3c6c6a 606c
e 0868 68643404080c3c6c6a  f 5020242c 0454  g 66643404080c3c6c6a 646d6g3g0g  h 000c 07043464686c
i 040c 0101  j 343d3g1g0g 3131  k 000c 5409 276c  l 00090c2c  m 040c 07043454575c 575484a4a7ac
n 040c 07043464686c  o 3464686c3c0c080434  p 040g 06043464686c3c0c0a  q 646g 66643404080c3c6c6a
r 040c 07042444  s 666434040838686c3c0c0a  t 21292c5c 0454  u 04080c3c6c69 646c  v 043c 3c64
w 042c 2c55 558c 8ca4  x 046c 640c  y 043c 641g  z 0464 640c 0c6c  0 3060666c3c0c060030
1 1340 404c  2 0300306064560c 0c6c  3 02003060663626 2636666c3c0c0a  4 4c40 4009 0969
5 6000 0005 053464686c3c0c0a  6 62603000060c3c6c6965350508  7 0060 602c
8 30606636060030 3666696c3c0c090636  9 0a0c3c6c66603000030737676564  . 0c0c  , 1b0e  : 0505 0c0c
; 1515 1b0e  ! 0008 0c0c  ? 03003060653538 3c3c  - 0757  + 0767 343a  = 0565 0969  _ 0d6d  / 0d60
\\ 006d  | 000g  ( 30020b3d  ) 00323b0d  [ 3000 000d 0d3d  ] 0030 303d 3d0d  { 40202606 06262d4d
} 00202646 46262d0d  % 0c80 20404424040020 68888c6c4c4868  $ 636030000636666c3c0c09 303c
# 211b 514b 0464 0868  * 3137 0266 6206  & 8c1310305053070c3c6c87
@ 7d5d0d060050a0a6a97974 7674543439597977  ' 0003  " 0003 3033  ` 0022  ^ 0430 3064
~ 080626486866  < 6307 076b  > 0367 670b  · 0707  × 156a 651a  – 0777  … 0c0c 4c4c 8c8c
"""


def _read(shapes: str) -> dict[str, list[list[Point]]]:
    table = {}
    for shape in re.split(r"\n|  ", shapes.strip()):
        name, *words = shape.split()
        table[name] = [_points(word) for word in words]
    return table


def _points(word: str) -> list[Point]:
    numbers = [float(int(digit, 36)) for digit in word]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _round(points: list[Point]) -> list[Point]:
    """Cut the corners off (Chaikin 1974); the ends stay."""
    if len(points) < 3:
        return points
    inner = []
    for (x, y), (u, v) in zip(points, points[1:], strict=False):
        inner += [((3 * x + u) / 4, (3 * y + v) / 4), ((x + 3 * u) / 4, (y + 3 * v) / 4)]
    return [points[0], *inner[1:-1], points[-1]]


def glyphs(text: str) -> Iterator[tuple[float, list[list[Point]]]]:
    """How far each character stands from the start, and its strokes."""
    table, at = _read(SHAPES), 0.0
    for character in unicodedata.normalize("NFC", text):
        if character.isspace():
            at += SPACE + GAP
            continue
        strokes = table.get(character, table["?"])
        for _ in range(ROUNDINGS):
            strokes = [_round(stroke) for stroke in strokes]
        yield at, strokes
        width = max(x for stroke in strokes for x, _ in stroke)
        at += (DIGIT_WIDTH if character.isdigit() else width) + GAP


def text_length(text: str) -> float:
    """How long the text is, in the grid's units."""
    ends = [at + max(x for stroke in one for x, _ in stroke) for at, one in glyphs(text)]
    return max(ends, default=0.0)
