"""Carries prefixes between the KV cache and the disk.

Owns when: a prompt is noted when its sequence starts, written when the engine has nothing else to
do, and loaded when a sequence starts that shares more with the disk than with the cache. A disk
that fails costs warmth, never an answer.
"""

from __future__ import annotations

import logging
from collections import deque

from .llama import Context
from .prefix_cache import PrefixCache
from .prefix_store import PrefixStore
from .sequence import Sequence

logger = logging.getLogger(__name__)

MAX_NOTED = 8


class Persistence:
    """One engine's way to its store; does nothing without one."""

    def __init__(self, store: PrefixStore | None, cache: PrefixCache, context: Context) -> None:
        self._store = store
        self._cache = cache
        self._context = context
        self._noted: deque[tuple[str, list[int]]] = deque(maxlen=MAX_NOTED)

    @property
    def has_work(self) -> bool:
        """Whether a prompt waits to be written."""
        return bool(self._noted)

    def warm(self, sequence: Sequence) -> None:
        """Before a sequence is admitted: bring what the disk knows of its prompt into the cache."""
        store = self._store
        if store is None or not sequence.use_cache:
            return
        prompt = sequence.tokens[: sequence.num_prompt]
        if store.is_news(sequence.tenant, prompt):
            self._noted.append((sequence.tenant, prompt))
        cached = self._cache.match(sequence.tenant, prompt).num_tokens
        found = store.find(sequence.tenant, prompt, beyond=cached)
        state = store.load(found) if found is not None else None
        if found is not None and state is not None:
            self._adopt(sequence.tenant, found.tokens, state)

    def save_one(self) -> None:
        """Write one noted prompt, if it is still cached and still news."""
        tenant, prompt = self._noted.popleft()
        store = self._store
        if store is None or not store.is_news(tenant, prompt):
            return
        lease = self._cache.open(tenant, prompt, limit=len(prompt))
        if lease is None:
            return
        try:
            tokens = prompt[: lease.depth]
            if store.is_news(tenant, tokens):
                store.save(tenant, tokens, self._context.save_state(lease.slot))
        except OSError as error:
            logger.warning("a prefix could not be written: %s", error)
        finally:
            self._cache.close(lease, keep=True)

    def _adopt(self, tenant: str, tokens: list[int], state: bytes) -> None:
        lease = self._cache.open(tenant, tokens, limit=0)
        if lease is None:
            return
        if not self._cache.grow(lease, len(tokens)):
            self._cache.close(lease, keep=False)
            return
        is_loaded = self._context.load_state(lease.slot, state)
        if is_loaded:
            self._cache.commit(lease, tokens)
        self._cache.close(lease, keep=is_loaded)
