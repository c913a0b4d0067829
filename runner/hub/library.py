"""The weights that are on this disk: bundled, in the Hugging Face cache, or imported in place.

Owns finding and removing them; fetches nothing. Invariant: the cache itself is the truth, so
weights fetched by any other tool are seen, and removing frees only what nothing else refers to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from runner.catalog import Catalog, Entry, Reference, parse
from runner.errors import CatalogError, GgufError, NotInstalledError, WeightsError
from runner.gguf import read_file

from . import layout
from .imported import Imports
from .partial import remove_leftovers
from .record import Records
from .repository import RemoteFile
from .selection import Candidate, find_candidates, is_sidecar

PACKAGED = Path(__file__).parent.parent / "data"
Source = Literal["bundled", "cache", "imported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One set of weights that is complete on this disk; `paths` are its shards in order.

    The engine opens the first of them, the others lie beside it. `verified` says that every file
    was hashed and is the promised one. `blobs` are the files themselves where `paths` are links.
    """

    model_id: str
    quantization: str
    paths: tuple[Path, ...]
    size_bytes: int
    verified: bool
    source: Source
    blobs: tuple[Path, ...]
    repo: str | None = None
    revision: str | None = None
    mmproj: Path | None = None


class Library:
    """What is installed, under which model id."""

    def __init__(
        self, state_dir: Path, hf_cache_dir: Path, catalog: Catalog, *, bundled_dir: Path = PACKAGED
    ) -> None:
        self.state_dir = state_dir
        self.cache_dir = hf_cache_dir
        self.catalog = catalog.with_entries(_kept_rows(state_dir))
        self.records = Records(state_dir)
        self.imports = Imports(state_dir)
        self._bundled_dir = bundled_dir
        self._quantizations: dict[Path, str] = {}

    def catalog_with_imports(self) -> Catalog:
        """The catalogue, with an entry for every import and every other repository in the cache."""
        catalog = self.catalog
        for entry in [*self.imports.entries(), *self._repository_entries()]:
            with contextlib.suppress(CatalogError):
                catalog = catalog.with_entries([entry])
        return catalog

    def keep_row(self, entry: Entry, text: str) -> None:
        """Remember a models.toml row that came with weights, for a model not in the catalogue."""
        place = self.state_dir / "rows" / f"{quote(entry.id, safe='')}.toml"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        self.catalog = self.catalog.with_entries([entry])

    def installed(self) -> list[Installed]:
        """All weights on this disk; a folder that cannot be read holds none."""
        return [*self._bundled(), *self._imported(), *self._cached()]

    def locate(self, model_id: str, quantization: str | None = None) -> Installed | None:
        """The weights of a model: of that quantisation, else verified ones first, then the best."""
        return self._pick(
            [one for one in self.installed() if one.model_id == model_id], quantization
        )

    def resolve(self, name: str) -> tuple[Reference, Installed | None]:
        """What a user's name means, and its weights if they are here."""
        reference = self.catalog_with_imports().resolve(name)
        found = [
            one
            for one in self.installed()
            if one.model_id == reference.entry.id and reference.repo in (None, one.repo)
        ]
        return reference, self._pick(found, reference.quantization)

    def require(self, name: str) -> Installed:
        """The weights of that name; raises `NotInstalledError` saying how to get them."""
        _, found = self.resolve(name)
        if found is None:
            raise NotInstalledError(f"{name} is not installed; fetch it with: runner pull {name}")
        return found

    def remove(self, installed: Installed) -> int:
        """Delete weights and return how many bytes that freed; what others share stays.

        Raises:
            WeightsError: they are part of the program, or cannot be deleted.
        """
        if installed.source == "bundled":
            raise WeightsError(f"{installed.model_id} is part of the program and cannot be removed")
        try:
            if installed.source == "imported":
                self.imports.remove(installed.model_id)
                for path in installed.paths:
                    self.records.forget(path)
                return 0
            return self._remove_cached(installed)
        except OSError as error:
            raise WeightsError(
                f"{error.filename} cannot be deleted: {error.strerror}; check its permissions"
            ) from None

    def _remove_cached(self, installed: Installed) -> int:
        folder = layout.repo_dir(self.cache_dir, installed.repo or "")
        snapshots = folder / "snapshots"
        doomed = {_name_in_repo(path, snapshots) for path in installed.paths}
        blobs = {pointer: layout.blob_of(pointer) for pointer in snapshots.rglob("*.gguf")}
        gone = {
            pointer
            for pointer, blob in blobs.items()
            if _name_in_repo(pointer, snapshots) in doomed and blob in installed.blobs
        }
        if all(is_sidecar(pointer.name) for pointer in blobs if pointer not in gone):
            gone = set(blobs)
        for pointer in gone:
            pointer.unlink()
            _remove_empty(pointer.parent, snapshots)
        kept = {blob for pointer, blob in blobs.items() if pointer not in gone}
        used = self.imports.paths()
        freed = {blobs[pointer] for pointer in gone} - kept
        return sum(self._free(blob) for blob in freed if blob.resolve() not in used)

    def _free(self, blob: Path) -> int:
        """Delete one file; a hard link or another repository that shares it keeps its bytes."""
        freed = remove_leftovers(blob)
        self.records.forget(blob)
        bytes_at = blob.resolve()
        if blob.is_symlink():
            blob.unlink()
            others = self.cache_dir.glob("*--*/blobs/*")
            if any(other.is_symlink() and other.resolve() == bytes_at for other in others):
                return freed
            bytes_at.with_name(bytes_at.name + ".refs").unlink(missing_ok=True)
        if bytes_at.exists():
            found = bytes_at.stat()
            freed += found.st_size if found.st_nlink == 1 else 0
            bytes_at.unlink()
        return freed

    def _pick(self, found: list[Installed], quantization: str | None) -> Installed | None:
        if quantization is not None:
            found = [one for one in found if one.quantization.lower() == quantization.lower()]
        return min(found, key=lambda one: not one.verified, default=None)

    def _bundled(self) -> Iterator[Installed]:
        for entry in self.catalog:
            path = self._bundled_dir / (entry.bundled or "")
            if entry.bundled and path.is_file():
                yield Installed(
                    model_id=entry.id,
                    quantization=self._quantization(path),
                    paths=(path,),
                    blobs=(path,),
                    size_bytes=path.stat().st_size,
                    verified=True,
                    source="bundled",
                )

    def _quantization(self, path: Path) -> str:
        """What the header says; read once."""
        if path not in self._quantizations:
            try:
                self._quantizations[path] = read_file(path).quantization
            except GgufError:
                self._quantizations[path] = "unknown"
        return self._quantizations[path]

    def _imported(self) -> Iterator[Installed]:
        for one in self.imports.all():
            paths = tuple(Path(path) for path in one.paths)
            if all(path.is_file() for path in paths):
                yield Installed(
                    model_id=one.id,
                    quantization=one.quantization,
                    paths=paths,
                    blobs=paths,
                    size_bytes=sum(path.stat().st_size for path in paths),
                    verified=one.is_proved and all(self.records.find(path) for path in paths),
                    source="imported",
                )

    def _cached(self) -> Iterator[Installed]:
        for folder, repo in self._repositories():
            with contextlib.suppress(OSError):  # what cannot be read is not installed
                yield from list(self._read_repository(folder, repo))

    def _read_repository(self, folder: Path, repo: str) -> Iterator[Installed]:
        entry = self.catalog.find(repo)
        seen: set[tuple[tuple[str, Path], ...]] = set()
        for commit in layout.commits(folder):
            root = folder / "snapshots" / commit
            for one in self._read_snapshot(root, repo, entry):
                names = (path.relative_to(root).as_posix() for path in one.paths)
                key = tuple(zip(names, one.blobs, strict=True))
                if key not in seen:
                    seen.add(key)
                    yield one

    def _read_snapshot(self, root: Path, repo: str, entry: Entry | None) -> Iterator[Installed]:
        pointers = {
            str(one.relative_to(root)): one for one in sorted(root.rglob("*.gguf")) if one.is_file()
        }
        files = [RemoteFile(name, one.stat().st_size, "") for name, one in pointers.items()]
        sidecar = next((one.resolve() for name, one in pointers.items() if is_sidecar(name)), None)
        for candidate in find_candidates(files):
            names = tuple(pointers[file.name] for file in candidate.files)
            blobs = tuple(layout.blob_of(name) for name in names)
            yield Installed(
                model_id=entry.id if entry else f"hf.co/{repo}",
                quantization=_label(candidate, entry),
                paths=names,
                blobs=blobs,
                size_bytes=candidate.size_bytes,
                verified=all(self._is_proved(blob) for blob in blobs),
                source="cache",
                repo=repo,
                revision=root.name,
                mmproj=sidecar,
            )

    def _is_proved(self, blob: Path) -> bool:
        """Whether it was hashed, and has the hash that is its name."""
        record = self.records.find(blob)
        return record is not None and record.etag == blob.name

    def _repositories(self) -> Iterator[tuple[Path, str]]:
        if not self.cache_dir.is_dir():
            return
        for folder in sorted(self.cache_dir.iterdir()):
            repo = layout.repo_of(folder)
            if repo and (folder / "snapshots").is_dir():
                yield folder, repo

    def _repository_entries(self) -> Iterator[Entry]:
        for folder, repo in self._repositories():
            has_weights = any((folder / "snapshots").rglob("*.gguf"))
            if has_weights and self.catalog.find(repo) is None:
                yield self.catalog.resolve(f"hf.co/{repo}").entry


def _kept_rows(state_dir: Path) -> Iterator[Entry]:
    for place in sorted((state_dir / "rows").glob("*.toml")):
        yield from parse(place.read_text(encoding="utf-8"), str(place))


def _label(candidate: Candidate, entry: Entry | None) -> str:
    """The quantisation as the catalogue has it, else as the file name has it."""
    known = {file.name: file.quantization for file in entry.files} if entry else {}
    return known.get(candidate.files[0].name, candidate.quantization)


def _name_in_repo(pointer: Path, snapshots: Path) -> str:
    """The path of a file in its repository, without the commit."""
    return pointer.relative_to(snapshots).as_posix().partition("/")[2]


def _remove_empty(folder: Path, stop: Path) -> None:
    """Remove folders that hold nothing any more, up to but not including `stop`."""
    while folder != stop and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def hub_cache_dir(environ: Mapping[str, str]) -> Path:
    """Where the Hugging Face cache is: `HF_HUB_CACHE`, `HF_HOME/hub` or the user's default."""
    if environ.get("HF_HUB_CACHE"):
        return Path(environ["HF_HUB_CACHE"]).expanduser()
    cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = environ.get("HF_HOME") or f"{cache}/huggingface"
    return Path(home).expanduser() / "hub"
