"""Sampler chains of llama.cpp, applied to the tokens that could be drawn at all.

Owns one sequence's chain. Most of a vocabulary has no chance worth a sort: only tokens within a
margin of the best logit are handed to the samplers, which makes a step's work independent of the
vocabulary's size.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np

from .context import Context, Logits
from .model import Model

# exp(-20) of the best token's chance: all that is left out together is less than 1 in 3,000 even
# where 128,000 tokens lie right below the line
MARGIN = 20.0
_ENTRY = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


def _pointer_to(entries: Any) -> Any:
    return ctypes.cast(entries.ctypes.data, ctypes.POINTER(lib.llama_token_data))


class SamplerChain:
    """llama.cpp samplers in order; owned by one sequence, freed with it."""

    def __init__(self) -> None:
        self._handle = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())

    def add(self, name: str, *arguments: Any) -> None:
        """Append the sampler that `llama_sampler_init_<name>` makes."""
        made = getattr(lib, f"llama_sampler_init_{name}")(*arguments)
        if not made:
            raise ValueError(f"llama.cpp refused the {name} sampler")
        lib.llama_sampler_chain_add(self._handle, made)

    def add_bias(self, model: Model, bias: Sequence[tuple[int, float]]) -> None:
        """Append fixed additions to the logits of some tokens."""
        rows = (lib.llama_logit_bias * len(bias))(
            *(lib.llama_logit_bias(token, value) for token, value in bias)
        )
        self.add("logit_bias", model.num_vocab, len(bias), rows)

    def add_dry(self, model: Model, settings: Sequence[float | int], breaks: list[bytes]) -> None:
        """Append the DRY repetition penalty: multiplier, base, allowed length, last n."""
        array = (ctypes.c_char_p * len(breaks))(*breaks)
        self.add("dry", model.vocab, *settings, array, len(breaks))

    def sample(self, context: Context, row: int) -> int:
        """Draw from all of an output row's logits, and accept what was drawn."""
        return int(lib.llama_sampler_sample(self._handle, context.handle, row))

    def draw(self, logits: Logits, margin: float | None) -> int:
        """Draw a token and accept it; tokens `margin` logits below the best are left out before.

        With margin None the samplers get the whole vocabulary, as by `sample`.
        """
        best = logits.max()
        if margin is None or np.isnan(best):
            ids = np.arange(len(logits), dtype=np.int32)
        else:
            ids = np.flatnonzero(logits >= best - margin).astype(np.int32)
        entries = np.empty(len(ids), dtype=_ENTRY)
        entries["id"], entries["logit"], entries["p"] = ids, logits[ids], 0.0
        candidates: Any = lib.llama_token_data_array()
        candidates.data = _pointer_to(entries)
        candidates.size, candidates.selected, candidates.sorted = len(ids), -1, False
        lib.llama_sampler_apply(self._handle, ctypes.byref(candidates))
        token = int(candidates.data[max(0, candidates.selected)].id)  # -1: nothing but NaN
        lib.llama_sampler_accept(self._handle, token)
        return token

    def accept(self, token: int) -> None:
        """Tell the penalties about a token that came from elsewhere."""
        lib.llama_sampler_accept(self._handle, token)

    def close(self) -> None:
        """Free the chain and its samplers."""
        if self._handle:
            lib.llama_sampler_free(self._handle)
            self._handle = None
