"""Export: a checkpoint becomes a GGUF file that llama.cpp loads like any other model.

Architecture `llama`, matrices in Q8_0 (or F32 to compare logits), with the tokenizer, the
runner's chat template, and what was measured.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray

from . import tokenizer as tokenizers_
from .conversation import TEMPLATE_FILE
from .curriculum import DATA_VERSION, SEED
from .model import Shape

Array = NDArray[np.float32]


def _arrays(weights: Mapping[str, torch.Tensor], shape: Shape) -> Iterator[tuple[str, Array]]:
    """The weights under llama.cpp's names."""
    arrays = {name: tensor.float().numpy() for name, tensor in weights.items()}
    yield "token_embd.weight", arrays["embedding.weight"]
    yield "output_norm.weight", arrays["norm"]
    for layer in range(shape.layers):
        ours, theirs = f"blocks.{layer}.", f"blk.{layer}."
        yield theirs + "attn_norm.weight", arrays[ours + "attention_norm"]
        yield theirs + "ffn_norm.weight", arrays[ours + "feed_norm"]
        for name, part in zip(
            "qkv", np.split(arrays[ours + "query_key_value.weight"], 3), strict=True
        ):
            yield f"{theirs}attn_{name}.weight", part
        for name, part in zip(
            "qkv", np.split(arrays[ours + "query_key_value.bias"], 3), strict=True
        ):
            yield f"{theirs}attn_{name}.bias", part
        yield theirs + "attn_output.weight", arrays[ours + "out.weight"]
        gate, up = np.split(arrays[ours + "gate_up.weight"], 2)
        yield theirs + "ffn_gate.weight", gate
        yield theirs + "ffn_up.weight", up
        yield theirs + "ffn_down.weight", arrays[ours + "down.weight"]


def _add_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    size = shape.width // shape.heads
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.vocabulary)


def _add_tokenizer(writer: gguf.GGUFWriter, path: Path) -> None:
    saved = json.loads(path.read_text(encoding="utf-8"))
    ids = tokenizers_.load(path).get_vocab()
    tokens = sorted(ids, key=ids.__getitem__)
    kinds = dict.fromkeys(tokenizers_.CONTROL, gguf.TokenType.CONTROL)
    kinds |= dict.fromkeys(tokenizers_.TAGS, gguf.TokenType.USER_DEFINED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokenizers_.LLAMA_CPP_NAME)
    writer.add_token_list(tokens)
    writer.add_token_types([kinds.get(token, gguf.TokenType.NORMAL) for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in saved["model"]["merges"]])
    writer.add_bos_token_id(ids[tokenizers_.PAD])
    writer.add_eos_token_id(ids[tokenizers_.END])
    writer.add_eot_token_id(ids[tokenizers_.END])
    writer.add_pad_token_id(ids[tokenizers_.PAD])
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(TEMPLATE_FILE.read_text(encoding="utf-8"))


def _add_names(writer: gguf.GGUFWriter, saved: Mapping[str, Any], parameters: int) -> None:
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name("hermes-tiny")
    writer.add_basename("hermes-tiny")
    writer.add_size_label(f"{parameters / 1e6:.1f}M")
    writer.add_license("mit")
    writer.add_languages(["en"])
    writer.add_description(
        "A little Hermes trained from nothing on made-up conversations, so that hermes-runner "
        "answers without a network. A demonstration: it knows nothing about the world."
    )
    writer.add_uint32("hermes_tiny.seed", SEED)
    writer.add_string("hermes_tiny.data_version", DATA_VERSION)
    writer.add_uint64("hermes_tiny.training_tokens", saved["tokens"])
    writer.add_uint32("hermes_tiny.training_steps", saved["steps"])


def export(
    work: Path, target: Path, skills: Mapping[str, float] | None = None, exact: bool = False
) -> None:
    """Write the checkpoint in `work` to `target`; `exact` keeps F32."""
    saved = torch.load(work / "checkpoint.pt", weights_only=True, map_location="cpu")
    shape = Shape(**saved["shape"])
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    writer = gguf.GGUFWriter(partial, "llama")
    arrays = list(_arrays(saved["network"], shape))
    _add_names(writer, saved, sum(array.size for _, array in arrays))
    _add_shape(writer, shape)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32 if exact else gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_tokenizer(writer, work / "tokenizer.json")
    for name, score in (skills or {}).items():
        writer.add_float32(f"hermes_tiny.skill.{name}", score)
    for name, array in arrays:
        kind = gguf.GGMLQuantizationType.Q8_0
        if exact or array.ndim == 1:
            writer.add_tensor(name, np.ascontiguousarray(array))
        else:
            writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.replace(target)
