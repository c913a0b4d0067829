"""Taking models to a machine without network: a folder of weights, their facts and their hashes.

Owns the folder's format: the files, `models.toml` with the model's row, and `runner.lock.json`
with every hash. Invariant: nothing is installed from a folder before its hashes were checked.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runner import catalog
from runner.catalog import Entry
from runner.errors import DownloadError, IntegrityError, NotInstalledError, WeightsError

from . import layout
from .digest import READ_BYTES, Digest, digest_file
from .imported import Import
from .library import Installed, Library

LOCK_NAME = "runner.lock.json"
ROWS_NAME = "models.toml"


class LockedFile(BaseModel):
    """One file of a bundle: where it belongs in its repository, and what it must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[^/\\\x00][^\\\x00]*\.gguf$")]
    size_bytes: int
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BundleLock(BaseModel):
    """What a bundle holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    model_id: str
    quantization: str
    repo: str | None
    revision: str | None
    files: tuple[LockedFile, ...]


def export_bundle(
    library: Library,
    installed: Installed,
    folder: Path,
    on_bytes: Callable[[int], None] = lambda num_bytes: None,
) -> BundleLock:
    """Write weights, catalogue row and lock file into `folder`; hashes are taken while copying.

    Raises:
        IntegrityError: a file is no longer the one that was promised.
        WeightsError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = [
            _copy_out(installed, path, blob, folder, on_bytes)
            for path, blob in zip(installed.paths, installed.blobs, strict=True)
        ]
        lock = BundleLock(
            model_id=installed.model_id,
            quantization=installed.quantization,
            repo=installed.repo,
            revision=installed.revision,
            files=tuple(files),
        )
        entry = library.catalog_with_imports().get(installed.model_id)
        (folder / ROWS_NAME).write_text(write_entry(entry), encoding="utf-8")
        (folder / LOCK_NAME).write_text(lock.model_dump_json(indent=1), encoding="utf-8")
    except OSError as error:
        raise WeightsError(f"{folder} cannot be written: {error.strerror or error}") from None
    return lock


def import_bundle(
    library: Library, folder: Path, on_bytes: Callable[[int], None] = lambda num_bytes: None
) -> BundleLock:
    """Check every hash of a bundle, then install it as if it had been pulled.

    Weights of the Hub go into the Hugging Face cache, others become an import in the state
    folder. A row for a model this catalogue does not know is kept.
    """
    lock, entry = _read_bundle(folder)
    for file in lock.files:
        digest = _check(folder, file, on_bytes)
        _place(library, lock, folder, file, digest)
    if lock.repo and lock.revision:
        layout.set_ref(library.cache_dir, lock.repo, "main", lock.revision)
        if library.catalog.find(entry.id) is None:
            library.keep_row(entry, write_entry(entry))
    else:
        library.imports.save(
            Import(
                id=lock.model_id,
                title=entry.title,
                paths=tuple(str(_own_path(library, lock, file)) for file in lock.files),
                quantization=lock.quantization,
                architecture="",
                chat_format=entry.chat_format,
                context=entry.context,
            )
        )
    return lock


def write_entry(entry: Entry) -> str:
    """One catalogue entry as models.toml text."""
    row = entry.model_dump(mode="json", exclude_defaults=True, exclude={"id", "bundled", "draft"})
    return "\n".join(_write_table(f'models."{entry.id}"', {"title": entry.title, **row})) + "\n"


def _write_table(path: str, row: Mapping[str, Any]) -> list[str]:
    """Scalars and lists of scalars first, then tables; JSON text of both is TOML too."""
    plain = {k: v for k, v in row.items() if not isinstance(v, dict) and not _is_tables(v)}
    lines = [f"[{path}]"]
    for key, value in plain.items():
        text = value if key == "as_of" else json.dumps(value, ensure_ascii=False)
        lines.append(f"{key} = {text}")
    for key, value in row.items():
        if isinstance(value, dict):
            lines += ["", *_write_table(f"{path}.{key}", value)]
        elif _is_tables(value):
            for one in value:
                first, *rest = _write_table(f"{path}.{key}", one)
                lines += ["", f"[{first}]", *rest]
    return lines


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _copy_out(
    installed: Installed,
    path: Path,
    blob: Path,
    folder: Path,
    on_bytes: Callable[[int], None],
) -> LockedFile:
    size = blob.stat().st_size
    promised = blob.name if installed.source == "cache" and len(blob.name) == 64 else ""
    digest = Digest(promised, size)
    target = folder / path.name
    with blob.open("rb") as source, target.open("wb") as copy:
        while data := source.read(READ_BYTES):
            digest.update(data)
            copy.write(data)
            on_bytes(len(data))
        os.fsync(copy.fileno())
    if promised and not digest.is_right:
        target.unlink()
        raise IntegrityError(
            f"{path.name} is damaged on this disk and was not exported; "
            f"repair it with: runner verify {installed.model_id} --repair"
        )
    return LockedFile(name=_name_in_repo(installed, path), size_bytes=size, sha256=digest.value)


def _name_in_repo(installed: Installed, path: Path) -> str:
    """The path within the repository, or just the file's name."""
    parts = path.parts
    if installed.revision in parts:
        return "/".join(parts[parts.index(installed.revision or "") + 1 :])
    return path.name


def _read_bundle(folder: Path) -> tuple[BundleLock, Entry]:
    try:
        lock = BundleLock.model_validate_json((folder / LOCK_NAME).read_bytes())
        rows = (folder / ROWS_NAME).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotInstalledError(
            f"{folder} is not an exported model: it has no {Path(error.filename).name}"
        ) from None
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise DownloadError(f"{folder / LOCK_NAME} cannot be read: {error}") from None
    entries = [one for one in catalog.parse(rows, ROWS_NAME) if one.id == lock.model_id]
    if not entries or lock.format != 1:
        raise DownloadError(f"{folder} does not describe {lock.model_id}; export it again")
    return lock, entries[0]


def _check(folder: Path, file: LockedFile, on_bytes: Callable[[int], None]) -> Digest:
    path = folder / file.name.rpartition("/")[2]
    try:
        digest = digest_file(path, file.sha256, on_bytes)
    except OSError as error:
        raise NotInstalledError(f"{path} cannot be read: {error.strerror or error}") from None
    if not digest.is_right:
        raise IntegrityError(
            f"{path} is not the file that was exported (its hash is {digest.value}); copy it again"
        )
    return digest


def _own_path(library: Library, lock: BundleLock, file: LockedFile) -> Path:
    return library.state_dir / "weights" / lock.model_id.replace("/", "--") / Path(file.name).name


def _place(
    library: Library, lock: BundleLock, folder: Path, file: LockedFile, digest: Digest
) -> None:
    """Copy one checked file to where it belongs, unless it is there already."""
    pointer = None
    target = _own_path(library, lock, file)
    if lock.repo and lock.revision:
        target = layout.blob_path(library.cache_dir, lock.repo, file.sha256)
        pointer = layout.snapshot_path(library.cache_dir, lock.repo, lock.revision, file.name)
    try:
        if not target.is_file() or target.stat().st_size != file.size_bytes:
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh = target.with_name(f"{target.name}.{os.getpid()}")
            shutil.copyfile(folder / file.name.rpartition("/")[2], fresh)
            fresh.replace(target)
        if pointer is not None:
            layout.link(pointer, target)
        library.records.save(target, digest)
    except OSError as error:
        raise WeightsError(
            f"{error.filename or target} cannot be written: {error.strerror or error}"
        ) from None
