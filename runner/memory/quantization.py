"""Which tensor types a quantisation by name consists of, and how good it is beside others.

Owns llama.cpp's recipes (`llama_tensor_get_type` of its quantiser) for llama-like models. Knows no
file and no machine. Invariant: a name it does not know has no recipe, never a guessed one.
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.gguf import TENSOR_TYPES

BITS = {kind.name: kind.block_bytes * 8 / kind.block_length for kind in TENSOR_TYPES.values()}
BEST_FIRST = (
    *("Q8_0", "Q8", "F16", "BF16", "F32"),
    *("Q6_K_L", "Q6_K", "Q6", "Q5_K_L", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q5"),
    *("UD-Q4_K_XL", "Q4_K_L", "Q4_K_M", "Q4_K_S", "Q4_1", "IQ4_NL", "Q4_0", "Q4", "IQ4_XS"),
    *("Q3_K_L", "Q3_K_M", "IQ3_M", "IQ3_S", "Q3_K_S", "IQ3_XS", "IQ3_XXS"),
    *("Q2_K_L", "Q2_K", "Q2_K_S", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S"),
)
"""By how close to the original they stay. Eight bits lose nothing that can be told from sixteen, at
half the memory and twice the speed, so they come first."""
NICKNAMES = {
    "Q8": "Q8_0",
    "Q6": "Q6_K",
    "Q6_K_L": "Q6_K",
    "Q5": "Q5_K_M",
    "Q5_K_L": "Q5_K_M",
    "Q4": "Q4_K_M",
    "Q4_K_L": "Q4_K_M",
    "UD-Q4_K_XL": "Q4_K_M",
    "Q2_K_L": "Q2_K",
}
PLAIN = {
    "F32": "F32",
    "F16": "F16",
    "BF16": "BF16",
    "Q8_0": "Q8_0",
    "Q6_K": "Q6_K",
    "Q5_K_M": "Q5_K",
    "Q5_K_S": "Q5_K",
    "Q5_1": "Q5_1",
    "Q5_0": "Q5_0",
    "Q4_K_M": "Q4_K",
    "Q4_K_S": "Q4_K",
    "Q4_1": "Q4_1",
    "Q4_0": "Q4_0",
    "IQ4_NL": "IQ4_NL",
    "IQ4_XS": "IQ4_XS",
    "Q3_K_L": "Q3_K",
    "Q3_K_M": "Q3_K",
    "Q3_K_S": "Q3_K",
    "Q2_K": "Q2_K",
    "Q2_K_S": "Q2_K",
}
"""The type that most matrices of a quantisation have."""
WHOLE = ("F32", "F16", "BF16", "Q8_0")
FEW_EXPERTS = 8


@dataclass(frozen=True, slots=True)
class Proportions:
    """What the recipes look at besides the layer."""

    num_layers: int
    heads_per_kv_head: int
    num_experts: int = 0


def rank(quantization: str) -> int:
    """The place in `BEST_FIRST`; a name that is not there comes last."""
    name = quantization.upper()
    return BEST_FIRST.index(name) if name in BEST_FIRST else len(BEST_FIRST)


def is_known(quantization: str) -> bool:
    """Whether there is a recipe of that name."""
    return _recipe(quantization) in PLAIN


def tensor_type(quantization: str, role: str, layer: int, proportions: Proportions) -> str:
    """The type of one matrix: `role` is its name without layer and `.weight`.

    `layer` counts from 0. Norms and router weights are always F32.
    """
    recipe = _recipe(quantization)
    if role.endswith("norm") or role == "ffn_gate_inp":
        return "F32"
    if recipe in WHOLE:
        return recipe
    if role == "output":
        return "Q6_K"
    bumped = _bump(recipe, role.removesuffix("_exps"), layer, proportions)
    return bumped if bumped is not None else PLAIN[recipe]


def _recipe(quantization: str) -> str:
    name = quantization.upper()
    return NICKNAMES.get(name, name)


def _bump(recipe: str, role: str, layer: int, proportions: Proportions) -> str | None:
    """The better type that a sensitive matrix gets, None where it gets none."""
    if role == "attn_v":
        return _bump_values(recipe, layer, proportions)
    if role == "attn_k" and proportions.num_experts == FEW_EXPERTS:
        return "Q8_0"
    if role == "attn_output":
        return _bump_output(recipe, proportions)
    return _bump_down(recipe, layer, proportions.num_layers) if role == "ffn_down" else None


def _bump_values(recipe: str, layer: int, proportions: Proportions) -> str | None:
    if proportions.num_experts == FEW_EXPERTS:
        return "Q8_0"
    is_shared = proportions.heads_per_kv_head >= 4
    chosen = {
        "Q2_K": "Q4_K" if is_shared else "Q3_K",
        "Q2_K_S": "Q4_K" if is_shared else None,
        "Q3_K_M": "Q5_K" if layer < 2 else "Q4_K",
        "Q3_K_L": "Q5_K",
        "Q4_K_S": "Q5_K" if layer < 4 else None,
        "Q4_K_M": "Q6_K" if _is_sensitive(layer, proportions.num_layers) else None,
        "Q5_K_M": "Q6_K" if _is_sensitive(layer, proportions.num_layers) else None,
        "IQ4_NL": "Q5_K" if is_shared else None,
        "IQ4_XS": "Q5_K" if is_shared else None,
    }.get(recipe)
    if proportions.num_layers == 80 and (chosen or PLAIN[recipe]) in ("Q3_K", "Q4_K"):
        return "Q5_K"  # llama.cpp's rule for the 70B shape, whose value matrices are small
    return chosen


def _bump_output(recipe: str, proportions: Proportions) -> str | None:
    if proportions.num_experts == FEW_EXPERTS:
        low = ("Q2_K", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ4_XS")
        return "Q5_K" if recipe in low else None
    return {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}.get(recipe)


def _bump_down(recipe: str, layer: int, num_layers: int) -> str | None:
    is_first = layer < num_layers // 8
    return {
        "Q2_K": "Q3_K",
        "Q2_K_S": "Q4_K" if is_first else None,
        "Q3_K_M": "Q5_K" if layer < num_layers // 16 else "Q4_K",
        "Q3_K_L": "Q5_K",
        "Q4_K_S": "Q5_K" if is_first else None,
        "Q4_K_M": "Q6_K" if _is_sensitive(layer, num_layers) else None,
        "Q5_K_M": "Q6_K" if _is_sensitive(layer, num_layers) else None,
        "IQ4_NL": "Q5_K" if is_first else None,
        "IQ4_XS": "Q5_K" if is_first else None,
    }.get(recipe)


def _is_sensitive(layer: int, num_layers: int) -> bool:
    """llama.cpp's `use_more_bits`: the first and last eighth, and every third layer between."""
    eighth = num_layers // 8
    return layer < eighth or layer >= 7 * num_layers // 8 or (layer - eighth) % 3 == 2
