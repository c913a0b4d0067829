"""Where things lie in the standard Hugging Face cache, so that every other tool finds them.

Owns paths and links; reads and checks no weights. Layout: `models--OWNER--NAME/` with
`blobs/<etag>`, `snapshots/<commit>/<path>` linking to them, and `refs/<revision>`. Invariant:
nothing a server says is used as a path before it was checked.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from runner.errors import DownloadError

ETAG = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
COMMIT = re.compile(r"[0-9a-f]{40}")
REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def repo_dir(cache_dir: Path, repo: str) -> Path:
    """The folder of one repository."""
    if not REPO.fullmatch(repo):
        raise DownloadError(f"{repo!r} is not the name of a repository (OWNER/NAME)")
    return cache_dir / f"models--{repo.replace('/', '--')}"


def repo_of(folder: Path) -> str | None:
    """The repository whose folder this is, None if it is another kind of folder."""
    kind, _, rest = folder.name.partition("--")
    repo = rest.replace("--", "/", 1)
    return repo if kind == "models" and REPO.fullmatch(repo) else None


def blob_path(cache_dir: Path, repo: str, etag: str) -> Path:
    """Where the bytes with that etag belong; refuses an etag that is no hash."""
    if not ETAG.fullmatch(etag):
        raise DownloadError(
            f"the server named {repo} a file tag that is no hash; it is not the Hub, or not honest"
        )
    return repo_dir(cache_dir, repo) / "blobs" / etag


def lock_path(cache_dir: Path, repo: str, etag: str) -> Path:
    """The lock of one blob, the same one huggingface_hub takes."""
    return cache_dir / ".locks" / repo_dir(cache_dir, repo).name / f"{etag}.lock"


def snapshot_path(cache_dir: Path, repo: str, commit: str, name: str) -> Path:
    """Where a file of a commit is found by its name."""
    parts = name.split("/")
    if not COMMIT.fullmatch(commit) or not all(parts) or {".", ".."} & set(parts) or "\\" in name:
        raise DownloadError(f"the server named a file {name!r} of {repo}, which is no safe path")
    return repo_dir(cache_dir, repo).joinpath("snapshots", commit, *parts)


def link(pointer: Path, blob: Path) -> None:
    """Make `pointer` lead to `blob`: a relative link, or a hard link where there are none."""
    pointer.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.relpath(blob, pointer.parent)
    with contextlib.suppress(OSError):
        if os.readlink(pointer) == target:
            return
    fresh = pointer.with_name(f".{pointer.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    try:
        fresh.symlink_to(target)
    except (OSError, NotImplementedError):
        os.link(blob, fresh)
    fresh.replace(pointer)


def blob_of(pointer: Path) -> Path:
    """The blob a snapshot's file leads to, which is named by its hash.

    Only one link is followed: the blob may itself be a link into the store that newer
    huggingface_hub versions share between repositories.
    """
    try:
        blob = Path(os.path.normpath(pointer.parent / os.readlink(pointer)))
    except OSError:
        return pointer
    return blob if blob.parent.name == "blobs" else pointer.resolve()


def set_ref(cache_dir: Path, repo: str, revision: str, commit: str) -> None:
    """Remember which commit a branch or tag led to; a commit needs no remembering."""
    if COMMIT.fullmatch(revision):
        return
    if not REVISION.fullmatch(revision) or not COMMIT.fullmatch(commit):
        raise DownloadError(f"{revision!r} is not a revision of {repo}")
    ref = repo_dir(cache_dir, repo) / "refs" / revision
    ref.parent.mkdir(parents=True, exist_ok=True)
    fresh = ref.with_name(f".{ref.name}.{os.getpid()}")
    fresh.write_text(commit, encoding="ascii")
    fresh.replace(ref)


def commits(folder: Path) -> list[str]:
    """The commits kept of a repository, the one `main` leads to first, then the newest."""
    snapshots = folder / "snapshots"
    found = [one for one in snapshots.iterdir() if one.is_dir()] if snapshots.is_dir() else []
    main = folder / "refs" / "main"
    current = main.read_text(encoding="ascii").strip() if main.is_file() else ""
    found.sort(key=lambda one: (one.name != current, -one.stat().st_mtime))
    return [one.name for one in found]
