"""Sampler chains of llama.cpp, applied to the tokens that are given to them.

Owns the samplers of one sequence. Which tokens are worth handing over, and which of those that
are left is drawn, is decided by the caller.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np
import numpy.typing as npt

from .context import Logits
from .model import Model

Ids = npt.NDArray[np.int32]
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

    def add_dry(self, model: Model, settings: Sequence[float | int], breaks: list[bytes]) -> None:
        """Append the DRY repetition penalty: multiplier, base, allowed length, last n."""
        array = (ctypes.c_char_p * len(breaks))(*breaks)
        self.add("dry", model.vocab, *settings, array, len(breaks))

    def apply(self, ids: Ids, logits: Logits) -> tuple[Ids, Logits, int | None]:
        """What the samplers leave of the tokens, with their new logits.

        The last is the place among them that a sampler chose, None where none chooses.
        """
        entries = np.empty(len(ids), dtype=_ENTRY)
        entries["id"], entries["logit"], entries["p"] = ids, logits, 0.0
        candidates: Any = lib.llama_token_data_array()
        candidates.data = _pointer_to(entries)
        candidates.size, candidates.selected, candidates.sorted = len(ids), -1, False
        lib.llama_sampler_apply(self._handle, ctypes.byref(candidates))
        moved = ctypes.addressof(candidates.data.contents) - entries.ctypes.data
        first = moved // _ENTRY.itemsize  # a sampler may drop tokens at the front
        left = entries[first : first + candidates.size]
        chosen = int(candidates.selected)
        return left["id"], left["logit"], chosen if chosen >= 0 else None

    def accept(self, token: int) -> None:
        """Tell the penalties about a token that came from elsewhere."""
        lib.llama_sampler_accept(self._handle, token)

    def close(self) -> None:
        """Free the chain and its samplers."""
        if self._handle:
            lib.llama_sampler_free(self._handle)
            self._handle = None
