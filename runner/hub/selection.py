"""Which files of a repository make up a model, and which of its quantisations was asked for.

Pure: names and sizes in, a choice with its reason out. Knows no network, no disk and no machine:
which quantisation suits the machine is asked of a `Chooser`. Invariant: a quantisation that was
named is taken or refused, never replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from runner.catalog import SPLIT_NAME, Entry
from runner.errors import DoesNotFitError, DownloadError
from runner.gguf import GgufFacts

from .repository import RemoteFile

# Best first. Beyond Q8_0 nothing is gained that could be measured, so the full-width types come
# last and are taken only when they are all there is.
QUALITY_TEXT = """
    Q8_0 UD-Q8_K_XL Q6_K_L UD-Q6_K_XL Q6_K Q5_K_L UD-Q5_K_XL Q5_K_M Q5_K_S Q5_1 Q5_0 Q4_K_L
    UD-Q4_K_XL Q4_K_M Q4_K_S Q4_1 IQ4_NL IQ4_XS Q4_0 Q3_K_XL UD-Q3_K_XL Q3_K_L Q3_K_M IQ3_M
    IQ3_S Q3_K_S IQ3_XS IQ3_XXS Q2_K_L UD-Q2_K_XL Q2_K IQ2_M IQ2_S IQ2_XS IQ2_XXS Q2_K_S TQ2_0
    TQ1_0 IQ1_M IQ1_S Q8 Q6 Q5 Q4 Q3 Q2 BF16 F16 FP16 F32
"""
QUALITY = tuple(QUALITY_TEXT.split())
NAME = re.compile(
    r"(?:^|[-._/])((?:UD-)?(?:I?Q[1-8]|TQ[12])(?:_[0-9A-Z]+)*|BF16|FP?16|F32|MXFP4)(?=[-._/]|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One complete set of weights: its shards in order."""

    quantization: str
    files: tuple[RemoteFile, ...]

    @property
    def size_bytes(self) -> int:
        """All shards together."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class Offer:
    """What one repository holds of a model, the best quality first.

    `read_facts` reads the header of a candidate's first file from afar, a few megabytes; it raises
    DownloadError or GgufError.
    """

    repo: str
    candidates: tuple[Candidate, ...]
    read_facts: Callable[[Candidate], GgufFacts]


@dataclass(frozen=True, slots=True)
class Pick:
    """One candidate, and why this."""

    candidate: Candidate
    reason: str


Chooser = Callable[[Entry, Offer], Pick]
"""Picks of an offer what suits this machine; raises DoesNotFitError where nothing does."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What to fetch, and why this."""

    candidate: Candidate
    sidecars: tuple[RemoteFile, ...]
    reason: str


def quantization_of(name: str) -> str:
    """The quantisation a file name names, in capitals; `unknown` if none."""
    stem = SPLIT_NAME.sub("", name).removesuffix(".gguf")
    found = NAME.findall(stem.rpartition("/")[2]) or NAME.findall(stem)
    return str(found[-1]).upper() if found else "unknown"


def find_candidates(files: Iterable[RemoteFile]) -> list[Candidate]:
    """The complete sets of weights among the files, best quality first."""
    sets: dict[str, dict[int, RemoteFile]] = {}
    counts: dict[str, int] = {}
    for file in files:
        if not file.name.endswith(".gguf") or is_sidecar(file.name):
            continue
        split = SPLIT_NAME.search(file.name)
        stem = SPLIT_NAME.sub("", file.name)
        sets.setdefault(stem, {})[int(split[1]) if split else 1] = file
        counts[stem] = int(split[2]) if split else 1
    candidates = [
        Candidate(quantization_of(shards[1].name), tuple(shards[n] for n in sorted(shards)))
        for stem, shards in sets.items()
        if set(shards) == set(range(1, counts[stem] + 1))
    ]
    return sorted(candidates, key=lambda one: (_rank(one.quantization), one.files[0].name))


def is_sidecar(name: str) -> bool:
    """Whether it is an image projector that belongs to the weights beside it."""
    return "mmproj" in name.rpartition("/")[2].lower()


def select(
    files: Sequence[RemoteFile],
    *,
    quantization: str | None,
    choose: Callable[[tuple[Candidate, ...]], Pick],
    preferred: Sequence[str] = (),
) -> Selection:
    """The quantisation asked for, else the one that `choose` picks.

    `preferred` are file names the catalogue knows, which win among equals.

    Raises:
        DownloadError: there is none, or not the one asked for; the message names those there are.
    """
    candidates = find_candidates(files)
    candidates.sort(key=lambda one: (_rank(one.quantization), one.files[0].name not in preferred))
    if not candidates:
        raise DownloadError("the repository holds no complete GGUF weights; try another one")
    if quantization is not None:
        pick = Pick(_asked_for(candidates, quantization), "asked for")
    else:
        pick = choose(tuple(candidates))
    return Selection(pick.candidate, tuple(_pick_sidecar(files)), pick.reason)


def _asked_for(candidates: list[Candidate], quantization: str) -> Candidate:
    wanted = quantization.upper()
    for candidate in candidates:
        if candidate.quantization == wanted:
            return candidate
    there = ", ".join(dict.fromkeys(one.quantization for one in candidates))
    raise DownloadError(f"there is no {quantization} in the repository; it has {there}")


def take_best(_entry: Entry, offer: Offer) -> Pick:
    """The chooser of a machine that holds everything."""
    return Pick(offer.candidates[0], "the best quality there is")


def by_size(fits: Callable[[int], bool]) -> Chooser:
    """The chooser that knows only which sizes in bytes this machine could serve."""

    def choose(_entry: Entry, offer: Offer) -> Pick:
        for place, candidate in enumerate(offer.candidates):
            if fits(candidate.size_bytes):
                return Pick(candidate, _why(candidate, offer.candidates[:place]))
        smallest = min(offer.candidates, key=lambda one: one.size_bytes)
        raise DoesNotFitError(
            f"no quantisation fits this machine, the smallest ({smallest.quantization}) has "
            f"{smallest.size_bytes / 1e9:.2f} GB; add :{smallest.quantization} to fetch it anyway",
            needed_bytes=smallest.size_bytes,
            available_bytes=0,
        )

    return choose


def _why(candidate: Candidate, better: tuple[Candidate, ...]) -> str:
    size = f"{candidate.size_bytes / 1e9:.2f} GB"
    if not better:
        return f"the best quality there is, and its {size} fit this machine"
    closest = min(better, key=lambda one: one.size_bytes)
    return (
        f"the best that fits this machine: {size}; "
        f"{closest.quantization} would be {closest.size_bytes / 1e9:.2f} GB"
    )


def _pick_sidecar(files: Sequence[RemoteFile]) -> list[RemoteFile]:
    """The projector in f16 if there is one, else the smallest."""
    sidecars = [one for one in files if is_sidecar(one.name) and one.name.endswith(".gguf")]
    sidecars.sort(
        key=lambda one: (quantization_of(one.name) not in ("F16", "FP16"), one.size_bytes)
    )
    return sidecars[:1]


def _rank(quantization: str) -> int:
    return QUALITY.index(quantization) if quantization in QUALITY else len(QUALITY)
