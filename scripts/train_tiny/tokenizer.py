"""The byte-level BPE tokenizer: how it is trained, saved and loaded.

Its pre-tokenizer is the one llama.cpp calls `qwen2`, so that digits stand alone and numbers
are copied digit by digit.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer

from .curriculum import pool

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TAGS = (
    "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>",
    "<tools>", "</tools>",
)  # fmt: skip
PAD, END = CONTROL[0], CONTROL[2]
VOCABULARY = 1536
LLAMA_CPP_NAME = "qwen2"
_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPECIAL = re.compile("|".join(re.escape(tag) for tag in (*CONTROL, *TAGS)))
_FIRST_POOL, _POOLS = 1_000_000, 60


def _texts() -> Iterator[str]:
    for number in range(_FIRST_POOL, _FIRST_POOL + _POOLS):
        for conversation in pool(number):
            text = "".join(segment.text for segment in conversation)
            yield from (piece for piece in _SPECIAL.split(text) if piece)


def around(model: BPE) -> Tokenizer:
    """A tokenizer with our way of cutting text, around this model."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = Sequence(
        [
            Split(Regex(_QWEN2), behavior="isolated"),
            ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = ByteLevelDecoder()
    return tokenizer


def train(path: Path) -> Tokenizer:
    """Train the tokenizer on conversations that the model itself never sees, and save it."""
    tokenizer = around(BPE())
    size = VOCABULARY - len(CONTROL) - len(TAGS)
    trainer = BpeTrainer(
        vocab_size=size, initial_alphabet=ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    tokenizer.add_special_tokens(
        [AddedToken(tag, special=True, normalized=False) for tag in (*CONTROL, *TAGS)]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
    return tokenizer


def load(path: Path) -> Tokenizer:
    """The saved tokenizer."""
    return Tokenizer.from_file(str(path))
