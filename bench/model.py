"""Models to measure with: weights of real shapes that know nothing, quantised by llama.cpp.

Owns the GGUF files in one cache folder. The weights are random but for two things that make
outputs easy to reason about: after a line break the model recites a fixed list of words, one token
each, and longer tokens are likelier than shorter ones, so that constrained text comes in tokens
much like a trained model's. A step costs what it costs in any llama of the shape.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from pathlib import Path

import gguf
import llama_cpp.llama_cpp as lib
import numpy as np
from numpy.typing import NDArray

from tests.fakes.random_gguf import TEMPLATE, Shape, write_random_gguf

from .vocabulary import (
    BARE_SPACE,
    COMPACT,
    CONTROL,
    END,
    TAGS,
    Vocabulary,
    make_vocabulary,
    recital,
)

RECIPE = 4  # raise it when the weights change: cached files carry it in their names
CONTEXT = 8192
SHAPES = {
    "1b": Shape(16, 2048, 32, 8, 8192, 128256, CONTEXT),
    "3b": Shape(28, 3072, 24, 8, 8192, 128256, CONTEXT),
    "tiny": Shape(2, 256, 4, 2, 512, 4096, CONTEXT),
}
FILE_TYPES = {
    "q4_k_m": lib.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    "q8_0": lib.LLAMA_FTYPE_MOSTLY_Q8_0,
}
EMBEDDING_SIZE = 16.0  # of one number; the token outweighs what the layers add to it
CARRIER = 4.0  # hidden dimension 0 after the last norm: it carries what is likely in itself
RECITAL_LOGIT = 40.0
PER_LETTER_LOGIT = 1.5
END_LOGIT = -10.0  # likelier than the whitespace that a grammar may allow behind finished text
UNLIKELY_LOGIT = -20.0
NOISE = 0.3
LONGEST = 12
CHUNK_ROWS = 4096

Matrix = NDArray[np.float16]


def ensure_model(
    shape: str, file_type: str, folder: Path, say: Callable[[str], None], *, num_threads: int = 1
) -> Path:
    """The path of the model, made first if it is not in the folder yet."""
    path = folder / f"bench-{shape}-{file_type}-r{RECIPE}.gguf"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    full, part = path.with_suffix(".f16"), path.with_suffix(".part")
    try:
        say(f"making {path.name}: random weights of shape {shape}")
        write_model(full, SHAPES[shape])
        say(f"making {path.name}: quantising")
        _quantise(full, part, FILE_TYPES[file_type], num_threads)
        part.rename(path)
    finally:
        full.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
    return path


def ensure_wide_model(folder: Path) -> Path:
    """One small layer under a vocabulary of 128k: nothing but what surrounds the model."""
    path = folder / f"bench-wide-r{RECIPE}.gguf"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        write_random_gguf(
            part,
            num_layers=1,
            hidden_size=64,
            ffn_size=128,
            num_heads=4,
            num_kv_heads=2,
            vocab_size=128256,
            context=CONTEXT,
        )
        part.rename(path)
    return path


def write_model(path: Path, shape: Shape) -> None:
    """The model in 16 bits a weight."""
    vocabulary = make_vocabulary(shape.vocab_size)
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer, shape)
    _add_tokenizer(writer, vocabulary)
    for name, rows in shape.tensors():
        dtype = np.float32 if len(rows) == 1 else np.float16
        size = int(np.prod(rows)) * np.dtype(dtype).itemsize
        writer.add_tensor_info(name, rows, np.dtype(dtype), size)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    chance = np.random.default_rng(RECIPE)
    embedding = draw(chance, (shape.vocab_size, shape.hidden_size), EMBEDDING_SIZE)
    embedding[:, 0] = EMBEDDING_SIZE * CARRIER
    for name, rows in shape.tensors():
        match name:
            case "token_embd.weight":
                tensor = embedding
            case "output.weight":
                tensor = _output(chance, embedding, vocabulary)
            case _ if len(rows) == 1:
                tensor = np.ones(rows, dtype=np.float32)
            case _:
                tensor = draw(chance, rows, rows[-1] ** -0.5)
        writer.write_tensor_data(tensor)
    writer.close()


def _describe(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name("bench")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_block_count(shape.num_layers)
    writer.add_feed_forward_length(shape.ffn_size)
    writer.add_head_count(shape.num_heads)
    writer.add_head_count_kv(shape.num_kv_heads)
    writer.add_rope_dimension_count(shape.hidden_size // shape.num_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocab_size)


def _add_tokenizer(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    kinds = dict.fromkeys(CONTROL, gguf.TokenType.CONTROL)
    kinds |= dict.fromkeys(TAGS, gguf.TokenType.USER_DEFINED)
    tokens = vocabulary.tokens
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([kinds.get(token, gguf.TokenType.NORMAL) for token in tokens])
    writer.add_token_merges([f"{left} {right}" for left, right in vocabulary.merges])
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_eos_token_id(tokens.index(END))
    writer.add_pad_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE.read_text(encoding="utf-8"))


def draw(chance: np.random.Generator, rows: tuple[int, ...], deviation: float) -> Matrix:
    """Normal numbers around 0, drawn in pieces so that memory stays small."""
    made = np.empty(rows, dtype=np.float16)
    for start in range(0, rows[0], CHUNK_ROWS):
        part = made[start : start + CHUNK_ROWS]
        part[:] = chance.standard_normal(part.shape, dtype=np.float32) * np.float32(deviation)
    return made


def _output(chance: np.random.Generator, embedding: Matrix, vocabulary: Vocabulary) -> Matrix:
    """Rows that give every token its own likelihood, and each word of the recital its cue."""
    size = embedding.shape[1]
    made = draw(chance, (len(embedding), size), NOISE * size**-0.5)
    made[:, 0] = [likelihood(token) / CARRIER for token in vocabulary.tokens]
    row_of = {token: row for row, token in enumerate(vocabulary.tokens)}
    spoken = [row_of["Ġ" + word] for word in recital()]
    for before, after in itertools.pairwise([row_of["Ċ"], *spoken, spoken[0]]):
        cue = embedding[before, 1:].astype(np.float32) / EMBEDDING_SIZE
        made[after, 1:] += (RECITAL_LOGIT / size * cue).astype(np.float16)
    return made


def likelihood(token: str) -> float:
    """The logit a token has in itself."""
    if token == END:
        return END_LOGIT
    if token in (*CONTROL, *TAGS, *BARE_SPACE, *COMPACT):
        return UNLIKELY_LOGIT
    return PER_LETTER_LOGIT * (min(len(token), LONGEST) - 1)


def _quantise(source: Path, target: Path, file_type: int, num_threads: int) -> None:
    silence_llama()
    params = lib.llama_model_quantize_default_params()
    params.ftype = file_type
    params.nthread = num_threads
    code = lib.llama_model_quantize(
        str(source).encode(), str(target).encode(), ctypes.byref(params)
    )
    if code != 0:
        raise SystemExit(f"llama.cpp could not quantise {source.name} (code {code})")


@lib.llama_log_callback  # type: ignore[untyped-decorator]
def _drop(_level: int, _text: bytes, _data: int | None) -> None:
    pass


def silence_llama() -> None:
    """Drop llama.cpp's log lines."""
    lib.llama_log_set(_drop, ctypes.c_void_p(None))
