"""What a repository holds, as the planner reads it, and its choice in words.

Owns the crossing from files on the Hub to an entry that can be planned. Decides nothing. Invariant:
the sizes are those of the very files that would be fetched.
"""

from __future__ import annotations

from itertools import takewhile

from pydantic import ValidationError

from runner.catalog import Architecture, Entry, GgufFile
from runner.errors import DoesNotFitError, DownloadError, GgufError
from runner.gguf import GgufFacts
from runner.hardware import Hardware
from runner.hub import Offer
from runner.memory import Choice, Wish, list_candidates, plan

GIB = 2**30


def as_entry(entry: Entry, offer: Offer) -> Entry:
    """The entry with exactly the files that are offered.

    Where the catalogue does not know the model's shape, the header of the smallest candidate tells;
    where that cannot be read either, the shape stays unknown.
    """
    files = tuple(
        GgufFile.model_construct(  # unchecked: a file that names no quantisation is offered too
            repo=offer.repo,
            name=file.name,
            quantization=candidate.quantization,
            size_bytes=file.size_bytes,
            shard=place,
            num_shards=len(candidate.files),
        )
        for candidate in offer.candidates
        for place, file in enumerate(candidate.files, 1)
    )
    known = entry.model_copy(update={"files": files})
    if entry.architecture is not None:
        return known
    try:
        facts = offer.read_facts(min(offer.candidates, key=lambda one: one.size_bytes))
        shape = {"architecture": _architecture(facts), "context": entry.context or facts.context}
    except (DownloadError, GgufError, ValidationError):
        return known
    return known.model_copy(update=shape)


def _architecture(facts: GgufFacts) -> Architecture:
    """The numbers of a header as the catalogue has them; a header without them is refused."""
    return Architecture(
        name=facts.architecture,
        num_layers=facts.num_layers,
        hidden_size=facts.hidden_size,
        num_heads=facts.num_heads,
        num_kv_heads=facts.num_kv_heads,
        head_dim=facts.head_dim_k,
        ffn_size=facts.ffn_size,
        vocab_size=facts.vocab_size,
        num_experts=facts.num_experts or None,
        num_active_experts=facts.num_active_experts or None,
    )


def why(entry: Entry, choice: Choice, hardware: Hardware, wish: Wish) -> str:
    """The reason for a choice: what it takes, what the next better one would have, and the plan's.

    `entry` is the one that was chosen from.
    """
    chosen = choice.plan
    taken = chosen.needed_ram_bytes + chosen.total_gpu_bytes
    first = f"the best that fits this machine: {chosen.context} tokens take {_gib(taken)}"
    others = takewhile(lambda one: one.files != choice.candidate.files, list_candidates(entry))
    better = min(others, key=lambda one: one.shape.weights_bytes, default=None)
    if better is None:
        return "; ".join((first, *chosen.reasons))
    try:
        cramped = plan(better.shape, hardware, wish)
        fault = f"would leave room for {cramped.context} tokens as {cramped.kv_type} only"
    except DoesNotFitError as error:
        fault = f"would need {_gib(error.needed_bytes)}"
    return "; ".join((first, f"{better.shape.quantization} {fault}", *chosen.reasons))


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f} GiB"
