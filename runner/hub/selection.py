"""Which files of a repository make up a model, and which quantisation to take.

Pure: names and sizes in, a choice with its reason out. Knows no network and no disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from runner.catalog import SPLIT_NAME
from runner.errors import DoesNotFitError, DownloadError

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
    fits: Callable[[int], bool],
    preferred: Sequence[str] = (),
) -> Selection:
    """The quantisation asked for, else the best that fits.

    `fits` says of a size in bytes whether this machine can serve it; `preferred` are file names
    the catalogue knows, which win among equals.

    Raises:
        DownloadError: there is none, or not the one asked for; the message names those there are.
        DoesNotFitError: none fits and none was asked for.
    """
    candidates = find_candidates(files)
    candidates.sort(key=lambda one: (_rank(one.quantization), one.files[0].name not in preferred))
    if not candidates:
        raise DownloadError("the repository holds no complete GGUF weights; try another one")
    if quantization is not None:
        chosen, reason = _asked_for(candidates, quantization), "asked for"
    else:
        chosen, reason = _best(candidates, fits)
    return Selection(chosen, tuple(_pick_sidecar(files)), reason)


def _asked_for(candidates: list[Candidate], quantization: str) -> Candidate:
    wanted = quantization.upper()
    for candidate in candidates:
        if candidate.quantization == wanted:
            return candidate
    there = ", ".join(dict.fromkeys(one.quantization for one in candidates))
    raise DownloadError(f"there is no {quantization} in the repository; it has {there}")


def _best(candidates: list[Candidate], fits: Callable[[int], bool]) -> tuple[Candidate, str]:
    for candidate in candidates:
        if fits(candidate.size_bytes):
            better = candidates[: candidates.index(candidate)]
            size = f"{candidate.size_bytes / 1e9:.2f} GB"
            if not better:
                return candidate, f"the best quality there is, and its {size} fit this machine"
            closest = min(better, key=lambda one: one.size_bytes)
            return candidate, (
                f"the best that fits this machine: {size}; "
                f"{closest.quantization} would be {closest.size_bytes / 1e9:.2f} GB"
            )
    smallest = min(candidates, key=lambda one: one.size_bytes)
    raise DoesNotFitError(
        f"no quantisation fits this machine, the smallest ({smallest.quantization}) has "
        f"{smallest.size_bytes / 1e9:.2f} GB; add :{smallest.quantization} to fetch it anyway",
        needed_bytes=smallest.size_bytes,
        available_bytes=0,
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
