"""What a model consists of, as far as memory and speed depend on it.

Owns getting there: exactly from a GGUF header, or estimated from the catalogue's numbers and the
recipe of the quantisation. Knows no machine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from runner.catalog import Architecture, Entry
from runner.gguf import GgufFacts

from .quantization import BITS, PLAIN, Proportions, is_known, tensor_type

LAYER_NAME = re.compile(r"blk\.(\d+)\.")
PLAIN_ARCHITECTURES = ("llama", "mistral3", "qwen2", "qwen3", "seed_oss")
"""Those whose compute buffers the formula was checked on; others are estimates."""
HEADER_BYTES_PER_TOKEN = 60
DEFAULT_CONTEXT = 4096


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor: its place in the model and in its file. `layer` is -1 outside the layers."""

    role: str
    layer: int
    type: str
    shape: tuple[int, ...]
    size_bytes: int
    offset: int = 0
    shard: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """One model in one quantisation. `kv_widths` are numbers per token and layer, keys and values
    together; `is_exact` is false where anything had to be estimated."""

    name: str
    architecture: str
    quantization: str
    num_layers: int
    hidden_size: int
    ffn_size: int
    vocab_size: int
    context: int
    kv_widths: tuple[int, ...]
    num_active_experts: int
    num_experts: int
    header_bytes: int
    file_bytes: tuple[int, ...]
    weights: tuple[Weight, ...]
    is_exact: bool

    @property
    def weights_bytes(self) -> int:
        """All tensors."""
        return sum(weight.size_bytes for weight in self.weights)


def shape_from_header(facts: GgufFacts, name: str = "", context: int | None = None) -> ModelShape:
    """The shape of a file whose header is known. `context` is what the catalogue says of it."""
    weights = tuple(
        Weight(
            _role(tensor.name),
            int(match[1]) if (match := LAYER_NAME.match(tensor.name)) else -1,
            tensor.type,
            tensor.shape,
            tensor.size_bytes,
            tensor.offset,
            tensor.shard,
        )
        for tensor in facts.tensors
    )
    ends: dict[int, int] = {}
    for weight in weights:
        ends[weight.shard] = max(ends.get(weight.shard, 0), weight.offset + weight.size_bytes)
    heads = facts.kv_heads or (facts.num_kv_heads,) * facts.num_layers
    return ModelShape(
        name=name or facts.name or "model",
        architecture=facts.architecture,
        quantization=facts.quantization,
        num_layers=facts.num_layers,
        hidden_size=facts.hidden_size,
        ffn_size=facts.ffn_size,
        vocab_size=facts.vocab_size,
        context=min(context or facts.context, facts.context or context or 0) or DEFAULT_CONTEXT,
        kv_widths=tuple(count * (facts.head_dim_k + facts.head_dim_v) for count in heads),
        num_active_experts=facts.num_active_experts,
        num_experts=facts.num_experts,
        header_bytes=facts.header_bytes,
        file_bytes=tuple(ends[shard] for shard in sorted(ends)),
        weights=weights,
        is_exact=facts.architecture in PLAIN_ARCHITECTURES and facts.sliding_window is None,
    )


def shape_from_catalog(
    entry: Entry, quantization: str, size_bytes: int | None = None
) -> ModelShape | None:
    """An estimate without any file, None where the catalogue does not say enough.

    Where the size is known the tensors are scaled to it; else the recipe gives the size.
    """
    numbers = entry.architecture
    if numbers is None or (size_bytes is None and not is_known(quantization)):
        return None
    is_tied = _is_tied(numbers, entry.num_parameters)
    if is_known(quantization):
        recipe = quantization
    else:
        recipe = _nearest_plain(numbers, is_tied, size_bytes or 0)
    header_bytes = numbers.vocab_size * HEADER_BYTES_PER_TOKEN
    rows = list(_synthesize(numbers, recipe, is_tied))
    total = sum(row.size_bytes for row in rows)
    share = 1.0 if size_bytes is None else max(0, size_bytes - header_bytes) / total
    weights = tuple(_place(rows, header_bytes, share))
    return ModelShape(
        name=entry.id,
        architecture=numbers.name,
        quantization=quantization,
        num_layers=numbers.num_layers,
        hidden_size=numbers.hidden_size,
        ffn_size=numbers.ffn_size,
        vocab_size=numbers.vocab_size,
        context=entry.context or DEFAULT_CONTEXT,
        kv_widths=(2 * numbers.num_kv_heads * numbers.head_dim,) * numbers.num_layers,
        num_active_experts=numbers.num_active_experts or 0,
        num_experts=numbers.num_experts or 0,
        header_bytes=header_bytes,
        file_bytes=(header_bytes + sum(weight.size_bytes for weight in weights),),
        weights=weights,
        is_exact=False,
    )


def _role(name: str) -> str:
    return LAYER_NAME.sub("", name).removesuffix(".weight")


@dataclass(frozen=True, slots=True)
class _Row:
    role: str
    layer: int
    type: str
    shape: tuple[int, ...]
    size_bytes: int


def _synthesize(numbers: Architecture, quantization: str, is_tied: bool) -> Iterator[_Row]:
    """The tensors a converter would write for that architecture."""
    experts = numbers.num_experts or 0
    proportions = Proportions(
        numbers.num_layers, numbers.num_heads // numbers.num_kv_heads, experts
    )
    vocabulary = (numbers.hidden_size, numbers.vocab_size)
    inside = _layer_shapes(numbers)
    rows: list[tuple[str, int, tuple[int, ...]]] = [("token_embd", -1, vocabulary)]
    if not is_tied:
        rows.append(("output", -1, vocabulary))
    for layer in range(numbers.num_layers):
        rows += [(role, layer, shape) for role, shape in inside.items()]
    rows.append(("output_norm", -1, (numbers.hidden_size,)))
    for role, layer, shape in rows:
        recipe_role = "output" if is_tied and role == "token_embd" else role
        kind = tensor_type(quantization, recipe_role, layer, proportions)
        yield _Row(role, layer, kind, shape, _size_bytes(kind, shape))


def _layer_shapes(numbers: Architecture) -> dict[str, tuple[int, ...]]:
    """The tensors of one layer, innermost length first."""
    hidden, ffn, experts = numbers.hidden_size, numbers.ffn_size, numbers.num_experts or 0
    width, kv = numbers.num_heads * numbers.head_dim, numbers.num_kv_heads * numbers.head_dim
    shapes: dict[str, tuple[int, ...]] = {
        "attn_norm": (hidden,),
        "attn_q": (hidden, width),
        "attn_k": (hidden, kv),
        "attn_v": (hidden, kv),
        "attn_output": (width, hidden),
        "ffn_norm": (hidden,),
    }
    suffix = "_exps" if experts else ""
    depth = (experts,) if experts else ()
    if experts:
        shapes["ffn_gate_inp"] = (hidden, experts)
    return shapes | {
        "ffn_gate" + suffix: (hidden, ffn, *depth),
        "ffn_up" + suffix: (hidden, ffn, *depth),
        "ffn_down" + suffix: (ffn, hidden, *depth),
    }


def _size_bytes(kind: str, shape: tuple[int, ...]) -> int:
    return int(math.prod(shape) * BITS[kind] / 8)


def _is_tied(numbers: Architecture, num_parameters: int | None) -> bool:
    """Whether the output shares the embedding's matrix, as the number of parameters tells."""
    if num_parameters is None:
        return False
    vocabulary = numbers.hidden_size * numbers.vocab_size
    in_layer = sum(math.prod(shape) for shape in _layer_shapes(numbers).values())
    untied = 2 * vocabulary + numbers.num_layers * in_layer + numbers.hidden_size
    return num_parameters < untied - vocabulary / 2


def _nearest_plain(numbers: Architecture, is_tied: bool, size_bytes: int) -> str:
    """The recipe whose size is nearest, for a name that has none."""

    def distance(recipe: str) -> int:
        rows = _synthesize(numbers, recipe, is_tied)
        return abs(sum(row.size_bytes for row in rows) - size_bytes)

    return min(PLAIN, key=distance)


def _place(rows: list[_Row], start: int, share: float) -> Iterator[Weight]:
    """The tensors one after another from `start`, each at `share` of its computed size."""
    for row in rows:
        size_bytes = round(row.size_bytes * share)
        yield Weight(row.role, row.layer, row.type, row.shape, size_bytes, start)
        start += size_bytes
