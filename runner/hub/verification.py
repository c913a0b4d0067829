"""Whether files are still the ones that were promised, and where not.

Owns the comparison; fetches nothing. Invariant: a file is called right only after every byte of
it was read and hashed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runner.catalog import Entry

from .digest import Digest, digest_file
from .library import Installed, Library
from .partial import SPAN_BYTES, Partial

State = Literal["right", "damaged", "unknown", "unreadable"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is true of one file. `damage` are the places that differ from the last proof."""

    path: Path
    state: State
    etag: str
    detail: str
    damage: tuple[range, ...] = ()


def verify(
    library: Library, installed: Installed, on_bytes: Callable[[int], None] = lambda num_bytes: None
) -> list[Verdict]:
    """Hash every file of these weights again, and remember what was proved.

    Weights of the cache are named by their hash. Imported ones are compared with the catalogue,
    else with their last verification; the first one only writes down what they are.
    """
    entries = {entry.id: entry for entry in library.catalog_with_imports()}
    return [
        _verify_file(library, installed, blob, entries.get(installed.model_id), on_bytes)
        for blob in installed.blobs
    ]


def _verify_file(
    library: Library,
    installed: Installed,
    blob: Path,
    entry: Entry | None,
    on_bytes: Callable[[int], None],
) -> Verdict:
    last = library.records.last(blob)
    expected = blob.name if installed.source == "cache" else (last.etag if last else "")
    try:
        digest = digest_file(blob, expected, on_bytes)
    except OSError as error:
        return Verdict(blob, "unreadable", expected, f"cannot be read: {error.strerror or error}")
    if installed.source == "bundled":
        return Verdict(blob, "right", digest.value, "part of the program")
    if expected and not digest.is_right:
        library.records.doubt(blob)
        damage = tuple(find_damage(library, blob, digest))
        return Verdict(blob, "damaged", expected, f"its hash is now {digest.value}", damage)
    library.records.save(blob, digest)
    if installed.source == "cache":
        return Verdict(blob, "right", digest.value, "has the hash the Hub promised")
    return _verify_import(library, installed, blob, digest)


def _verify_import(library: Library, installed: Installed, blob: Path, digest: Digest) -> Verdict:
    known = {file.sha256: entry.id for entry in library.catalog for file in entry.files}
    owner = known.get(digest.value)
    for one in library.imports.all():
        if one.id == installed.model_id and len(one.paths) == 1 and owner and not one.is_proved:
            library.imports.save(one.model_copy(update={"is_proved": True}))
    if owner:
        return Verdict(blob, "right", digest.value, f"is the file the catalogue lists for {owner}")
    return Verdict(blob, "unknown", digest.value, "nobody published its hash; it is noted down now")


def find_damage(library: Library, blob: Path, digest: Digest) -> list[range]:
    """The places whose checksums differ from those of the last proof; none if there was none."""
    last = library.records.last(blob)
    if last is None or last.size_bytes != digest.num_hashed:
        return []
    return [
        range(span * SPAN_BYTES, min((span + 1) * SPAN_BYTES, last.size_bytes))
        for span, (then, now) in enumerate(zip(last.sums, digest.all_sums(), strict=True))
        if then != now
    ]


def seed(file: Partial, damaged: Path, damage: tuple[range, ...]) -> None:
    """Copy what is right of a damaged file, so that only the rest must be fetched."""
    bad = {place.start for place in damage}
    with damaged.open("rb") as source:
        for start in range(0, file.size, SPAN_BYTES):
            if start not in bad and file.contiguous(start) == start:
                source.seek(start)
                file.write(start, source.read(min(SPAN_BYTES, file.size - start)))
