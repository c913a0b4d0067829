"""Weights used where they lie: what is remembered of each, and what kind of chat they speak.

Owns the folder `imports/` of the state. Copies nothing, changes no weights. Invariant: what
llama.cpp could not load, or would die of, is refused with the reason.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from runner.catalog import Catalog, Entry
from runner.errors import InvalidRequestError, NotInstalledError, WeightsError
from runner.gguf import GgufFacts, check_loadable, find_shards, read_file


class Import(BaseModel):
    """One imported model; `is_proved` says its hash is one the catalogue knows."""

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    paths: tuple[str, ...]
    quantization: str
    architecture: str
    chat_format: str | None = None
    context: int | None = None
    is_proved: bool = False


class Imports:
    """The imports of one state folder."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "imports"

    def all(self) -> list[Import]:
        """Every import, whether its files are still there or not."""
        found = []
        for place in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else ():
            with contextlib.suppress(OSError, ValidationError):
                found.append(Import.model_validate_json(place.read_bytes()))
        return found

    def entries(self) -> Iterator[Entry]:
        """A catalogue entry for each."""
        for one in self.all():
            yield Entry(
                id=one.id, title=one.title, chat_format=one.chat_format, context=one.context
            )

    def paths(self) -> set[Path]:
        """The files all imports use."""
        return {Path(path).resolve() for one in self.all() for path in one.paths}

    def add(self, path: Path, model_id: str, catalog: Catalog) -> Import:
        """Use the weights at `path`, with all their shards, under that id; an import may move.

        Raises:
            InvalidRequestError: the id belongs to another model.
            GgufError: it cannot be read or could not be loaded, and why.
        """
        is_own = any(one.id == model_id for one in self.all())
        if not model_id or (catalog.find(model_id) is not None and not is_own):
            raise InvalidRequestError(
                f"{model_id!r} is the name of another model; choose one with --as", param="as"
            )
        if not path.exists():
            raise NotInstalledError(f"there is no file {path}; check the path")
        facts = read_file(path)
        check_loadable(facts)
        one = Import(
            id=model_id,
            title=facts.name or path.stem,
            paths=tuple(str(shard.absolute()) for shard in find_shards(path)),
            quantization=facts.quantization,
            architecture=facts.architecture,
            chat_format=detect_chat_format(facts),
            context=facts.context or None,
        )
        self.save(one)
        return one

    def save(self, one: Import) -> None:
        """Write one import down."""
        place = self._place(one.id)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh = place.with_suffix(f".{os.getpid()}")
            fresh.write_text(one.model_dump_json(indent=1), encoding="utf-8")
            fresh.replace(place)
        except OSError as error:
            raise WeightsError(f"{place} cannot be written: {error.strerror or error}") from None

    def remove(self, model_id: str) -> None:
        """Forget an import; its files stay where they are."""
        self._place(model_id).unlink(missing_ok=True)

    def _place(self, model_id: str) -> Path:
        return self._folder / f"{quote(model_id, safe='')}.json"


def detect_chat_format(facts: GgufFacts) -> str | None:
    """The runner's name for the way these weights were taught to chat, None if it is not known."""
    default = facts.chat_templates.get("default", "")
    every = "\n".join(facts.chat_templates.values())
    if "<|im_start|>" in default:
        if "thinking" in default and "<tool_call>" in default:
            return "hermes_chatml"
        return "hermes_tool_use" if "<tool_call>" in every else "chatml"
    if "<|start_header_id|>" in default:
        if "thinking" in default:
            return "hermes4_llama3"
        return "deephermes" if "hermes" in (facts.name or "").lower() else None
    if "### Instruction" in default:
        return "alpaca"
    return "vicuna" if "USER:" in default else None
