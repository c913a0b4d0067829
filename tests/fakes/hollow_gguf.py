"""A GGUF whose header is real and whose weights are a hole: any size, no disk.

Owns the file only. llama.cpp loads it like any other; every weight is zero. The types of the
tensors follow the quantisation's recipe, so sizes are those of a real file of that shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

from runner.memory.quantization import Proportions, tensor_type
from tests.fakes.random_gguf import _add_tokenizer


@dataclass(frozen=True, slots=True)
class HollowShape:
    """The numbers of one llama-like model; `architecture` is llama or qwen3."""

    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    ffn_size: int
    vocab_size: int
    context: int = 131_072
    head_dim: int = 128
    architecture: str = "llama"
    num_experts: int = 0
    is_tied: bool = False

    def tensors(self) -> list[tuple[str, int, tuple[int, ...]]]:
        """Role, layer (-1 for none) and shape, innermost last, in a converter's order."""
        width, kv = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        rows: list[tuple[str, int, tuple[int, ...]]] = []
        if not self.is_tied:
            rows.append(("output", -1, (self.vocab_size, self.hidden_size)))
        rows.append(("token_embd", -1, (self.vocab_size, self.hidden_size)))
        for layer in range(self.num_layers):
            parts = {
                "attn_norm": (self.hidden_size,),
                "attn_q": (width, self.hidden_size),
                "attn_k": (kv, self.hidden_size),
                "attn_v": (kv, self.hidden_size),
                "attn_output": (self.hidden_size, width),
                "ffn_norm": (self.hidden_size,),
                **self._feed_forward(),
            }
            if self.architecture == "qwen3":
                parts |= {"attn_q_norm": (self.head_dim,), "attn_k_norm": (self.head_dim,)}
            rows += [(role, layer, shape) for role, shape in parts.items()]
        rows.append(("output_norm", -1, (self.hidden_size,)))
        return rows

    def _feed_forward(self) -> dict[str, tuple[int, ...]]:
        wide, narrow = (self.ffn_size, self.hidden_size), (self.hidden_size, self.ffn_size)
        if not self.num_experts:
            return {"ffn_gate": wide, "ffn_up": wide, "ffn_down": narrow}
        count = self.num_experts
        return {
            "ffn_gate_inp": (count, self.hidden_size),
            "ffn_gate_exps": (count, *wide),
            "ffn_up_exps": (count, *wide),
            "ffn_down_exps": (count, *narrow),
        }


def write_hollow_gguf(path: Path, shape: HollowShape, quantization: str) -> Path:
    """Write the header and make the file as long as the weights would be."""
    writer = gguf.GGUFWriter(path, shape.architecture)
    _describe(writer, shape, quantization)
    _add_tokenizer(writer, shape.vocab_size)
    proportions = Proportions(
        shape.num_layers, shape.num_heads // shape.num_kv_heads, shape.num_experts
    )
    num_bytes = 0
    for role, layer, rows in shape.tensors():
        used_as = "output" if shape.is_tied and role == "token_embd" else role
        kind = gguf.GGMLQuantizationType[tensor_type(quantization, used_as, layer, proportions)]
        stored = gguf.quant_shape_to_byte_shape(rows, kind)
        name = f"{role}.weight" if layer < 0 else f"blk.{layer}.{role}.weight"
        size = math.prod(stored)
        writer.add_tensor_info(name, stored, np.dtype(np.uint8), size, kind)
        num_bytes += -(-size // 32) * 32
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    start = -(-path.stat().st_size // 32) * 32
    with path.open("r+b") as file:
        file.truncate(start + num_bytes)
    return path


def _describe(writer: gguf.GGUFWriter, shape: HollowShape, quantization: str) -> None:
    writer.add_name("hollow")
    writer.add_file_type(
        gguf.LlamaFileType[f"MOSTLY_{quantization}" if quantization != "F32" else "ALL_F32"]
    )
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_block_count(shape.num_layers)
    writer.add_feed_forward_length(shape.ffn_size)
    writer.add_head_count(shape.num_heads)
    writer.add_head_count_kv(shape.num_kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(500000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocab_size)
    if shape.num_experts:
        writer.add_expert_count(shape.num_experts)
        writer.add_expert_used_count(2)
