"""A bounded reader of GGUF headers: from a file, its shards, or byte ranges of a remote one.

Owns what a weights file says about itself; knows neither llama.cpp nor any model. Invariant:
whatever the bytes are, reading ends with `GgufFacts` or `GgufError`.
"""

from .facts import GgufFacts, SplitFacts, TokenizerFacts, check_loadable
from .header import TensorFacts
from .reader import find_shards, read_file, read_header, read_shards, read_sources
from .source import ByteSource, FileSource
from .tensor_type import TENSOR_TYPES, TensorType

__all__ = [
    "TENSOR_TYPES",
    "ByteSource",
    "FileSource",
    "GgufFacts",
    "SplitFacts",
    "TensorFacts",
    "TensorType",
    "TokenizerFacts",
    "check_loadable",
    "find_shards",
    "read_file",
    "read_header",
    "read_shards",
    "read_sources",
]
