"""llama.cpp's attention on the processor, in whichever way the installed one was compiled.

`scripts/llama.cpp` puts a kernel of its own in; this says what must hold with it and without.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from runner.engine.kernel import InitParams, Kernels, library_folder

Floats = NDArray[np.float32]
F32, F16 = 0, 1  # ggml's numbers of these types
TOLERANCE = 4e-3  # llama.cpp's own adds values up in half precision


@dataclass(frozen=True)
class Shape:
    """What attention is asked for: heads of `size`, `group` of them to each of `num_kv_heads`."""

    size: int
    group: int
    num_kv_heads: int
    num_rows: int
    num_cells: int
    softcap: float = 0.0


SHAPES = [
    Shape(64, 4, 2, 1, 40),
    Shape(64, 4, 8, 1, 1100),
    Shape(64, 4, 3, 1, 700),
    Shape(64, 4, 2, 8, 513),
    Shape(64, 1, 4, 3, 130),
    Shape(64, 5, 2, 5, 200),
    Shape(64, 2, 2, 90, 120),
    Shape(80, 8, 2, 9, 100),
    Shape(96, 3, 1, 7, 300),
    Shape(128, 4, 2, 8, 256),
    Shape(128, 10, 1, 2, 520),
    Shape(128, 4, 2, 64, 77),
    Shape(256, 4, 1, 6, 64),
    Shape(64, 4, 2, 4, 150, softcap=20.0),
    Shape(40, 4, 2, 4, 150),
]


@pytest.fixture(scope="module")
def ggml() -> Ggml:
    return Ggml()


class Ggml:
    """One attention at a time, in memory of its own."""

    def __init__(self) -> None:
        folder = library_folder()
        assert folder is not None
        kernels = Kernels(folder)
        self._base, self._processor = kernels.base, kernels.processor
        for name in ("new_tensor_4d", "permute", "flash_attn_ext", "get_data"):
            getattr(self._base, f"ggml_{name}").restype = ctypes.c_void_p

    def attend(
        self, shape: Shape, q: Floats, k: Floats, v: Floats, mask: Floats, num_threads: int
    ) -> Floats:
        """q [rows, heads, size], k and v [cells, kv_heads, size], mask [rows, cells]; as q."""
        arena = (ctypes.c_uint8 * (64 * 2**20))()
        context = ctypes.c_void_p(
            self._base.ggml_init(InitParams(len(arena), ctypes.addressof(arena), False))
        )
        tensors = [
            self._tensor(context, kind, values)
            for kind, values in ((F32, q), (F16, k), (F16, v), (F16, mask))
        ]
        turned = [self._call("permute", context, one, 0, 2, 1, 3) for one in tensors[:3]]
        scale, bias, cap = (ctypes.c_float(x) for x in (shape.size**-0.5, 0.0, shape.softcap))
        out = self._call("flash_attn_ext", context, *turned, tensors[3], scale, bias, cap)
        graph = self._call("new_graph", context)
        self._base.ggml_build_forward_expand(graph, out)
        self._processor.ggml_graph_compute_with_ctx(context, graph, num_threads)
        result = (ctypes.c_float * q.size).from_address(self._base.ggml_get_data(out))
        return np.array(result, dtype=np.float32).reshape(q.shape)

    def _tensor(self, context: ctypes.c_void_p, kind: int, values: Floats) -> ctypes.c_void_p:
        lengths = [*reversed(values.shape), 1, 1][:4]
        tensor = self._call("new_tensor_4d", context, kind, *map(ctypes.c_int64, lengths))
        given = values.astype(np.float16 if kind == F16 else np.float32)
        ctypes.memmove(self._base.ggml_get_data(tensor), given.ctypes.data, given.nbytes)
        return tensor

    def _call(self, name: str, *arguments: object) -> ctypes.c_void_p:
        return ctypes.c_void_p(getattr(self._base, f"ggml_{name}")(*arguments))


def textbook(shape: Shape, q: Floats, k: Floats, v: Floats, mask: Floats) -> Floats:
    """Softmax of scaled products, weighing values; nothing where nothing is seen."""
    keys, values = (np.repeat(x, shape.group, axis=1).astype(np.float64) for x in (k, v))
    scores = np.einsum("rhd,chd->rhc", q.astype(np.float64), keys) * shape.size**-0.5
    if shape.softcap:
        scores = shape.softcap * np.tanh(scores / shape.softcap)
    scores = scores + mask[:, None, :]
    top = scores.max(axis=2, keepdims=True)
    weights = np.exp(scores - np.where(np.isinf(top), 0.0, top))
    total = weights.sum(axis=2, keepdims=True)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return np.einsum("rhc,chd->rhd", weights, values).astype(np.float32)


def make_case(shape: Shape, seed: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Random numbers as the engine would hold them; each row sees cells of its own kind."""
    random = np.random.default_rng(seed)
    num_heads = shape.group * shape.num_kv_heads
    q = random.normal(size=(shape.num_rows, num_heads, shape.size)).astype(np.float32)
    k, v = (
        random.normal(size=(shape.num_cells, shape.num_kv_heads, shape.size)).astype(np.float16)
        for _ in range(2)
    )
    mask = np.where(random.random((shape.num_rows, shape.num_cells)) < 0.1, -1.5, 0.0)
    for row in range(shape.num_rows):
        kind = random.integers(4)
        first, last = np.sort(random.integers(0, shape.num_cells + 1, 2))
        if kind == 0:  # what another sequence does not see
            mask[row, first:last] = -np.inf
        elif kind == 1:  # one piece
            mask[row, :first] = mask[row, last:] = -np.inf
        elif kind == 2:  # scattered
            mask[row, random.random(shape.num_cells) < 0.8] = -np.inf
    return q, k.astype(np.float32), v.astype(np.float32), mask.astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_attention_is_that_of_the_textbook(ggml: Ggml, shape: Shape, num_threads: int) -> None:
    for seed in range(3):
        q, k, v, mask = make_case(shape, seed)
        found = ggml.attend(shape, q, k, v, mask, num_threads)
        wanted = textbook(shape, q, k, v, mask)
        assert np.abs(found - wanted).max() <= TOLERANCE * max(1.0, float(np.abs(wanted).max()))


@pytest.mark.parametrize("shape", [one for one in SHAPES if one.num_rows < 64], ids=str)
def test_cells_of_others_between_its_own_do_not_change_a_bit_of_a_row(
    ggml: Ggml, shape: Shape
) -> None:
    q, k, v, mask = make_case(shape, 11)
    found = ggml.attend(shape, q, k, v, mask, 1)
    spread = np.sort(np.random.default_rng(12).permutation(3 * shape.num_cells)[: shape.num_cells])
    wide_k, wide_v = (np.ones((3 * shape.num_cells, *x.shape[1:]), np.float32) for x in (k, v))
    wide_mask = np.full((shape.num_rows, 3 * shape.num_cells), -np.inf, np.float32)
    wide_k[spread], wide_v[spread], wide_mask[:, spread] = k, v, mask
    np.testing.assert_array_equal(ggml.attend(shape, q, wide_k, wide_v, wide_mask, 1), found)


def of_prompts(mask: Floats, num_prompts: int) -> Floats:
    """The mask of several prompts' rows: cells that all share, then each prompt's own so far."""
    num_rows, num_cells = mask.shape
    shared = num_cells // 2
    owner = np.arange(num_cells) * 7 % num_prompts  # whose the other cells are
    found = np.full_like(mask, -np.inf)
    found[:, :shared] = 0.0
    for row in range(num_rows):
        mine = row * num_prompts // num_rows
        last = num_cells - num_rows + row  # the newest cell that this row may see
        sees = (owner == mine) & (np.arange(num_cells) <= last)
        found[row, shared:][sees[shared:]] = 0.0
    return found


@pytest.mark.parametrize("shape", [one for one in SHAPES if one.num_rows > 1], ids=str)
@pytest.mark.parametrize("num_prompts", [1, 2])
def test_rows_that_share_most_of_their_cells_each_see_their_own(
    ggml: Ggml, shape: Shape, num_prompts: int
) -> None:
    q, k, v, mask = make_case(shape, 5)
    mask = of_prompts(mask, num_prompts)
    found = ggml.attend(shape, q, k, v, mask, 2)
    wanted = textbook(shape, q, k, v, mask)
    assert np.abs(found - wanted).max() <= TOLERANCE * max(1.0, float(np.abs(wanted).max()))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_row_is_computed_the_same_whoever_is_beside_it(ggml: Ggml, shape: Shape) -> None:
    q, k, v, mask = make_case(shape, 7)
    together = ggml.attend(shape, q, k, v, mask, 2)
    for row in range(0, shape.num_rows, 5):
        alone = ggml.attend(shape, q[row : row + 1], k, v, mask[row : row + 1], 2)
        np.testing.assert_allclose(together[row], alone[0], atol=2 * TOLERANCE)
