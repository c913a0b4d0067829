"""Which quantisation of a model suits this machine.

Owns the order of trying: the best quality whose whole context fits, else the best that fits at
all. Reads nothing: the sizes are the catalogue's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runner.catalog import SPLIT_NAME, Entry, GgufFile
from runner.errors import DoesNotFitError, WeightsError
from runner.hardware import Hardware

from .plan import LoadPlan, Wish, plan
from .quantization import rank
from .shape import ModelShape, shape_from_catalog

USUAL_QUANTIZATION = "Q4_K_M"


@dataclass(frozen=True, slots=True)
class Candidate:
    """The files of one quantisation in one repository, and its estimated shape.

    `files` is empty where the catalogue names none: then the shape is what such a file would have.
    """

    files: tuple[GgufFile, ...]
    shape: ModelShape


@dataclass(frozen=True, slots=True)
class Choice:
    """The quantisation to take, and how it would be loaded."""

    candidate: Candidate
    plan: LoadPlan


def list_candidates(entry: Entry, quantization: str | None = None) -> Iterator[Candidate]:
    """Every quantisation the catalogue can say something of, the best first.

    Where it names no file at all, one that would have the asked (or usual) quantisation.
    """
    groups: dict[tuple[str, str], list[GgufFile]] = {}
    for file in entry.files:
        if file.kind == "weights" and (
            quantization is None or file.quantization.lower() == quantization.lower()
        ):
            groups.setdefault((file.repo, SPLIT_NAME.sub("", file.name)), []).append(file)
    repositories = entry.all_repositories()
    ordered = sorted(
        groups.values(),
        key=lambda files: (rank(files[0].quantization), repositories.index(files[0].repo)),
    )
    num_found = 0
    for files in ordered:
        shape = shape_from_catalog(entry, files[0].quantization, _total_bytes(files))
        if shape is not None:
            num_found += 1
            yield Candidate(tuple(sorted(files, key=lambda file: file.shard)), shape)
    if not num_found:
        shape = shape_from_catalog(entry, quantization or USUAL_QUANTIZATION)
        if shape is not None:
            yield Candidate((), shape)


def choose_quantization(
    entry: Entry, hardware: Hardware, wish: Wish | None = None, quantization: str | None = None
) -> Choice:
    """The best quantisation that fits.

    Raises:
        DoesNotFitError: none fits; the sums are the smallest one's.
        WeightsError: the catalogue knows too little of its shape.
    """
    cramped: Choice | None = None
    refusal: DoesNotFitError | None = None
    for candidate in list_candidates(entry, quantization):
        try:
            found = plan(candidate.shape, hardware, wish)
        except DoesNotFitError as error:
            if refusal is None or error.needed_bytes < refusal.needed_bytes:
                refusal = error
            continue
        if not found.is_cramped:
            return Choice(candidate, found)
        cramped = cramped or Choice(candidate, found)
    if cramped is not None:
        return cramped
    if refusal is not None:
        raise refusal
    raise WeightsError(
        f"too little is known of {entry.id} to plan it: neither its shape nor the size of a file; "
        "name a repository (hf.co/OWNER/REPO:QUANT) or import a file"
    )


def _total_bytes(files: list[GgufFile]) -> int | None:
    """All shards together, None unless each is known."""
    sizes = [file.about_bytes for file in files]
    return None if None in sizes else sum(size or 0 for size in sizes)
