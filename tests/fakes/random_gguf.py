"""A GGUF of random weights, made on the spot: a real llama of any shape that knows nothing.

Owns the file only; knows no test. Its tokenizer is byte-level BPE with the ChatML control tokens
and the runner's own chat template. Invariant: same arguments, same bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

TEMPLATE = Path(__file__).parents[2] / "runner" / "chat" / "templates" / "hermes_chatml.jinja"
CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TAG_TOKENS = ("<think>", "</think>", "<tool_call>", "</tool_call>")
BLOCK_LENGTH = 32
POOL_LENGTH = 1_048_573  # a prime, so that no two rows of a tensor are alike


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of one llama."""

    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    ffn_size: int
    vocab_size: int
    context: int

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes (rows first), in the order llama.cpp's own converter writes them."""
        kv_width = self.hidden_size // self.num_heads * self.num_kv_heads
        yield "token_embd.weight", (self.vocab_size, self.hidden_size)
        for layer in range(self.num_layers):
            block = f"blk.{layer}."
            yield block + "attn_norm.weight", (self.hidden_size,)
            yield block + "attn_q.weight", (self.hidden_size, self.hidden_size)
            yield block + "attn_k.weight", (kv_width, self.hidden_size)
            yield block + "attn_v.weight", (kv_width, self.hidden_size)
            yield block + "attn_output.weight", (self.hidden_size, self.hidden_size)
            yield block + "ffn_norm.weight", (self.hidden_size,)
            yield block + "ffn_gate.weight", (self.ffn_size, self.hidden_size)
            yield block + "ffn_up.weight", (self.ffn_size, self.hidden_size)
            yield block + "ffn_down.weight", (self.hidden_size, self.ffn_size)
        yield "output_norm.weight", (self.hidden_size,)
        yield "output.weight", (self.vocab_size, self.hidden_size)


def write_random_gguf(
    path: Path,
    *,
    num_layers: int = 2,
    hidden_size: int = 64,
    num_heads: int = 4,
    num_kv_heads: int = 2,
    ffn_size: int = 128,
    vocab_size: int = 512,
    context: int = 512,
    weight_type: str = "F16",
    seed: int = 0,
    max_shard_bytes: int | None = None,
) -> list[Path]:
    """Write the model and return its files, in shard order (one, unless `max_shard_bytes`).

    `weight_type` is F32, F16, Q8_0 or Q4_0; quantised blocks are drawn directly. Shards are named
    `STEM-00001-of-0000N.gguf`, as llama.cpp wants them.
    """
    shape = Shape(num_layers, hidden_size, num_heads, num_kv_heads, ffn_size, vocab_size, context)
    writer = gguf.GGUFWriter(path, "llama", split_max_size=max_shard_bytes or 0)
    _describe(writer, shape, weight_type)
    _add_tokenizer(writer, vocab_size)
    kind = gguf.GGMLQuantizationType[weight_type]
    for name, rows in shape.tensors():
        own = gguf.GGMLQuantizationType.F32 if len(rows) == 1 else kind
        stored = gguf.quant_shape_to_byte_shape(rows, own)
        writer.add_tensor_info(name, stored, np.dtype(np.uint8), int(np.prod(stored)), own)
    files = writer.format_shard_names(path)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    weights = _Weights(seed)
    for _, rows in shape.tensors():
        writer.write_tensor_data(weights.draw(rows, kind))
    writer.close()
    return files


def _describe(writer: gguf.GGUFWriter, shape: Shape, weight_type: str) -> None:
    writer.add_name("random")
    writer.add_file_type(
        gguf.LlamaFileType[f"MOSTLY_{weight_type}" if weight_type != "F32" else "ALL_F32"]
    )
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_block_count(shape.num_layers)
    writer.add_feed_forward_length(shape.ffn_size)
    writer.add_head_count(shape.num_heads)
    writer.add_head_count_kv(shape.num_kv_heads)
    writer.add_rope_dimension_count(shape.hidden_size // shape.num_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocab_size)


def _add_tokenizer(writer: gguf.GGUFWriter, vocab_size: int) -> None:
    special = [*CONTROL_TOKENS, *TAG_TOKENS]
    letters = [letter for _, letter in sorted(_byte_letters().items())]
    num_merges = vocab_size - len(letters) - len(special)
    if num_merges < 0:
        raise ValueError(f"vocab_size must be at least {len(letters) + len(special)}")
    merges = list(itertools.islice(_merges(), num_merges))
    tokens = [*letters, *(left + right for left, right in merges), *special]
    normal, control, defined = (
        gguf.TokenType.NORMAL,
        gguf.TokenType.CONTROL,
        gguf.TokenType.USER_DEFINED,
    )
    types = [normal] * (len(letters) + len(merges))
    types += [control] * len(CONTROL_TOKENS) + [defined] * len(TAG_TOKENS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([f"{left} {right}" for left, right in merges])
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_pad_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE.read_text(encoding="utf-8"))


def _byte_letters() -> dict[int, str]:
    """GPT-2's printable stand-in for every byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = itertools.count(256)
    return {byte: chr(byte if byte in printable else next(spare)) for byte in range(256)}


def _merges() -> Iterator[tuple[str, str]]:
    """Ever longer words over the alphabet, each one letter more than an earlier one."""
    letters = ["Ġ", *"etaoinshrdlucmfwypvbgkqjxz"]
    words = letters
    while True:
        longer = []
        for left, right in itertools.product(words, letters[1:]):
            longer.append(left + right)
            yield left, right
        words = longer


class _Weights:
    """Draws tensors out of one random pool, each from its own place: quick at any size."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._normals = self._random.standard_normal(POOL_LENGTH, dtype=np.float32)
        self._bytes = self._random.integers(0, 256, POOL_LENGTH, dtype=np.uint8)

    def draw(self, shape: tuple[int, ...], kind: gguf.GGMLQuantizationType) -> NDArray[np.uint8]:
        """The bytes of one tensor; a matrix keeps the size of what passes through it."""
        if len(shape) == 1:
            return np.ones(shape, dtype=np.float32).view(np.uint8)
        num_values, scale = int(np.prod(shape)), float(shape[-1]) ** -0.5
        if kind in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0):
            return self._draw_blocks(num_values // BLOCK_LENGTH, kind, scale)
        dtype = np.float16 if kind is gguf.GGMLQuantizationType.F16 else np.float32
        return self._take((self._normals * scale).astype(dtype), num_values).view(np.uint8)

    def _draw_blocks(
        self, num_blocks: int, kind: gguf.GGMLQuantizationType, scale: float
    ) -> NDArray[np.uint8]:
        """Blocks of 32 weights: one f16 factor, then 32 signed bytes or 16 pairs of nibbles."""
        is_eight = kind is gguf.GGMLQuantizationType.Q8_0
        width, spread = (32, 74.0) if is_eight else (16, 4.6)  # deviation of uniform values
        blocks = np.empty((num_blocks, 2 + width), dtype=np.uint8)
        factor = np.array([scale / spread], dtype=np.float16).view(np.uint8)
        blocks[:, :2] = factor
        blocks[:, 2:] = self._take(self._bytes, num_blocks * width).reshape(num_blocks, width)
        return blocks.reshape(-1)

    def _take(self, pool: NDArray[np.generic], count: int) -> NDArray[np.generic]:
        start = int(self._random.integers(POOL_LENGTH))
        return np.resize(np.roll(pool, -start), count)
