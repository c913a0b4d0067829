"""What a GGUF says about itself, under names instead of keys.

Owns the meaning of the fields and what llama.cpp would refuse; reads no bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from runner.errors import GgufError

from .header import Header, TensorFacts, Value
from .tensor_type import FILE_TYPES

MAX_LAYERS = 4096


@dataclass(frozen=True, slots=True)
class TokenizerFacts:
    """What the header says of the tokenizer; the vocabulary itself is never kept."""

    model: str | None
    pre: str | None
    num_tokens: int
    bos_id: int | None
    eos_id: int | None
    eot_id: int | None
    pad_id: int | None
    add_bos: bool | None


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """Which shard of how many this is, and how many tensors all of them hold."""

    number: int
    count: int
    num_tensors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFacts:
    """What a GGUF says about itself. A number it does not give is 0, a text None.

    `chat_templates` maps `default` and named templates to their Jinja source. `kv_heads` has one
    count per layer. `fields` are the other scalars, by key.
    """

    version: int
    architecture: str
    name: str | None
    quantization: str
    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    kv_heads: tuple[int, ...]
    head_dim_k: int
    head_dim_v: int
    ffn_size: int
    vocab_size: int
    context: int
    num_experts: int
    num_active_experts: int
    rope_freq_base: float | None
    rope_scaling: str | None
    sliding_window: int | None
    norm_epsilon: float | None
    tokenizer: TokenizerFacts
    chat_templates: Mapping[str, str]
    tensors: tuple[TensorFacts, ...]
    split: SplitFacts | None
    header_bytes: int
    fields: Mapping[str, Value] = field(repr=False, default_factory=dict)

    @property
    def weights_bytes(self) -> int:
        """The size of all tensors."""
        return sum(tensor.size_bytes for tensor in self.tensors)

    @property
    def num_parameters(self) -> int:
        """The number of all weights."""
        return sum(tensor.num_weights for tensor in self.tensors)


def check_loadable(facts: GgufFacts) -> None:
    """Raise `GgufError` for what llama.cpp would refuse, or would die of.

    Its loader stops the whole process on zero or absurd layer counts and on a norm epsilon that is
    negative or not a number.
    """
    if facts.architecture == "clip":
        raise GgufError("it is an image projector (mmproj), not a model; import its model instead")
    if not 1 <= facts.num_layers <= MAX_LAYERS:
        raise GgufError(f"it claims {facts.num_layers} layers; the header is damaged")
    if facts.norm_epsilon is not None and not 0 <= facts.norm_epsilon < 1:
        raise GgufError(f"its norm epsilon is {facts.norm_epsilon}; the header is damaged")
    if not facts.tensors:
        raise GgufError("it holds no tensors (a vocabulary only); get the whole model")
    if not facts.hidden_size or not facts.tokenizer.num_tokens:
        raise GgufError("it has no embedding width or no vocabulary; it is not a language model")


def describe(header: Header) -> GgufFacts:
    """Give the fields their names."""
    fields = header.fields
    architecture = _text(fields, "general.architecture") or ""
    own = {
        key.removeprefix(architecture + "."): value
        for key, value in fields.items()
        if architecture and key.startswith(architecture + ".")
    }
    num_layers = _whole(own, "block_count")
    num_heads = _whole(own, "attention.head_count")
    hidden_size = _whole(own, "embedding_length")
    kv_heads = _per_layer(own.get("attention.head_count_kv", num_heads), num_layers)
    head_dim = hidden_size // num_heads if num_heads else 0
    tokenizer = _describe_tokenizer(header)
    return GgufFacts(
        version=header.version,
        architecture=architecture,
        name=_text(fields, "general.name"),
        quantization=_quantization(header),
        num_layers=num_layers,
        hidden_size=hidden_size,
        num_heads=num_heads,
        num_kv_heads=max(kv_heads, default=0),
        kv_heads=kv_heads,
        head_dim_k=_whole(own, "attention.key_length") or head_dim,
        head_dim_v=_whole(own, "attention.value_length") or head_dim,
        ffn_size=_whole(own, "feed_forward_length"),
        vocab_size=tokenizer.num_tokens or _whole(own, "vocab_size"),
        context=_whole(own, "context_length"),
        num_experts=_whole(own, "expert_count"),
        num_active_experts=_whole(own, "expert_used_count"),
        rope_freq_base=_real(own, "rope.freq_base"),
        rope_scaling=_text(own, "rope.scaling.type"),
        sliding_window=_whole(own, "attention.sliding_window") or None,
        norm_epsilon=_real(own, "attention.layer_norm_rms_epsilon"),
        tokenizer=tokenizer,
        chat_templates=_chat_templates(fields),
        tensors=header.tensors,
        split=_split(fields),
        header_bytes=min((tensor.offset for tensor in header.tensors), default=0),
        fields={key: value for key, value in fields.items() if not isinstance(value, tuple)},
    )


def _describe_tokenizer(header: Header) -> TokenizerFacts:
    fields = header.fields
    own = {
        name: _token_id(fields, f"tokenizer.ggml.{name}_token_id")
        for name in ("bos", "eos", "eot", "padding")
    }
    add_bos = fields.get("tokenizer.ggml.add_bos_token")
    return TokenizerFacts(
        model=_text(fields, "tokenizer.ggml.model"),
        pre=_text(fields, "tokenizer.ggml.pre"),
        num_tokens=header.lengths.get("tokenizer.ggml.tokens", 0),
        bos_id=own["bos"],
        eos_id=own["eos"],
        eot_id=own["eot"],
        pad_id=own["padding"],
        add_bos=add_bos if isinstance(add_bos, bool) else None,
    )


def _chat_templates(fields: Mapping[str, Value]) -> dict[str, str]:
    """`tokenizer.chat_template` is the default, `tokenizer.chat_template.NAME` a named one."""
    key = "tokenizer.chat_template"
    return {
        name.removeprefix(key).removeprefix(".") or "default": text
        for name, text in fields.items()
        if isinstance(text, str) and (name == key or name.startswith(key + "."))
    }


def _quantization(header: Header) -> str:
    """The file type it claims, else the type that most of its bytes have."""
    claimed = header.fields.get("general.file_type")
    if isinstance(claimed, int) and claimed in FILE_TYPES:
        return FILE_TYPES[claimed]
    sizes: Counter[str] = Counter()
    for tensor in header.tensors:
        sizes[tensor.type] += tensor.size_bytes
    return max(sizes, key=lambda name: sizes[name]) if sizes else "none"


def _split(fields: Mapping[str, Value]) -> SplitFacts | None:
    count = _whole(fields, "split.count")
    if count == 0:
        return None
    return SplitFacts(_whole(fields, "split.no"), count, _whole(fields, "split.tensors.count"))


def _per_layer(value: Value, num_layers: int) -> tuple[int, ...]:
    """One whole number per layer, from a scalar or an array."""
    if isinstance(value, tuple):
        return tuple(item for item in value if isinstance(item, int) and item >= 0)
    if not isinstance(value, int) or not 0 < num_layers <= MAX_LAYERS:
        return ()
    return (max(value, 0),) * num_layers


def _text(fields: Mapping[str, Value], key: str) -> str | None:
    value = fields.get(key)
    return value if isinstance(value, str) else None


def _whole(fields: Mapping[str, Value], key: str) -> int:
    """A count that is not negative; of an array its largest item; 0 where there is none."""
    value = fields.get(key)
    items = value if isinstance(value, tuple) else (value,)
    return max((item for item in items if isinstance(item, int) and item >= 0), default=0)


def _real(fields: Mapping[str, Value], key: str) -> float | None:
    value = fields.get(key)
    return float(value) if isinstance(value, (int, float)) else None


def _token_id(fields: Mapping[str, Value], key: str) -> int | None:
    value = fields.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
