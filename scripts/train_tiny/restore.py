"""Restore: from the shipped file back to a tokenizer and a checkpoint, to go on training from.

    python -m scripts.train_tiny.restore --work DIR --pool N

For when the checkpoint of a training run is lost: weights come back as their quantisation left
them, optimizers start anew.
"""

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE

from . import tokenizer as tokenizers_
from .evaluate import SHIPPED
from .model import Shape

Array = NDArray[np.float32]


def tokenizer_of(reader: gguf.GGUFReader) -> Tokenizer:
    """The tokenizer inside a file."""
    tokens: list[str] = reader.fields["tokenizer.ggml.tokens"].contents()
    merges: list[str] = reader.fields["tokenizer.ggml.merges"].contents()
    tags = (*tokenizers_.CONTROL, *tokenizers_.TAGS)
    vocabulary = {token: index for index, token in enumerate(tokens) if token not in tags}
    pairs = [(pair.split(" ")[0], pair.split(" ")[1]) for pair in merges]
    tokenizer = tokenizers_.around(BPE(vocab=vocabulary, merges=pairs))
    tokenizer.add_special_tokens([AddedToken(tag, special=True, normalized=False) for tag in tags])
    if tokenizer.get_vocab() != {token: index for index, token in enumerate(tokens)}:
        raise ValueError("the tokens of the file are not those of a tokenizer made here")
    return tokenizer


def shape_of(reader: gguf.GGUFReader) -> Shape:
    """The sizes of the network inside a file."""

    def value(name: str) -> Any:
        return reader.fields[f"llama.{name}"].contents()

    return Shape(
        vocabulary=value("vocab_size"),
        width=value("embedding_length"),
        layers=value("block_count"),
        heads=value("attention.head_count"),
        hidden=value("feed_forward_length"),
        context=value("context_length"),
    )


def weights_of(reader: gguf.GGUFReader, shape: Shape) -> dict[str, torch.Tensor]:
    """The weights under the trainer's names: `export` read backwards."""
    found = {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        for tensor in reader.tensors
    }
    arrays = {"embedding.weight": found["token_embd.weight"], "norm": found["output_norm.weight"]}
    for layer in range(shape.layers):
        arrays |= _block(f"blocks.{layer}.", f"blk.{layer}.", found)
    return {name: torch.from_numpy(np.array(array)).float() for name, array in arrays.items()}


def _block(ours: str, theirs: str, found: Mapping[str, Array]) -> dict[str, Array]:
    def joined(names: str, kind: str) -> Array:
        return np.concatenate([found[f"{theirs}{name}.{kind}"] for name in names.split()])

    return {
        ours + "attention_norm": found[theirs + "attn_norm.weight"],
        ours + "feed_norm": found[theirs + "ffn_norm.weight"],
        ours + "query_key_value.weight": joined("attn_q attn_k attn_v", "weight"),
        ours + "query_key_value.bias": joined("attn_q attn_k attn_v", "bias"),
        ours + "out.weight": found[theirs + "attn_output.weight"],
        ours + "gate_up.weight": joined("ffn_gate ffn_up", "weight"),
        ours + "down.weight": found[theirs + "ffn_down.weight"],
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pool", type=int, required=True, help="the pool to go on with")
    parser.add_argument("--file", type=Path, default=SHIPPED)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    reader = gguf.GGUFReader(options.file)
    tokenizer_of(reader).save(str(options.work / "tokenizer.json"))
    shape = shape_of(reader)
    saved = {
        "network": weights_of(reader, shape),
        "shape": asdict(shape),
        "optimizers": [],
        "pool": options.pool,
        "steps": reader.fields["hermes_tiny.training_steps"].contents(),
        "tokens": reader.fields["hermes_tiny.training_tokens"].contents(),
    }
    torch.save(saved, options.work / "checkpoint.pt")


if __name__ == "__main__":
    main()
