"""A radix tree over the KV cache: which slots hold the cells of which tokens.

Owns the accounting of cells and slots, and who may be evicted. Pure: what has to happen in the
cache itself goes through `CacheEffects`. A path from the root is a token sequence whose cells
exist once; any sequence that starts alike shares them.

Invariants (`check`): free + cached + live = total. Every leaf is held by exactly one retained
slot or by running ones; no retained slot ends above a leaf.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field
from typing import Protocol


class CacheEffects(Protocol):
    """What the tree asks of the real cache."""

    def share(self, source: int, target: int, start: int, stop: int) -> None:
        """Let slot `target` read the cells of `source` at positions [start, stop)."""

    def remove(self, slot: int, start: int, stop: int = -1) -> None:
        """Take a slot off its cells from position `start` to `stop` (-1: the end)."""


@dataclass(slots=True, eq=False)
class Node:
    """A run of tokens whose cells are shared by `slots`; `num_locks` of them are running.

    A root has no tokens; its `slots` are those of the tenant's running sequences.
    """

    tokens: list[int]
    parent: Node | None
    children: dict[int, Node] = field(default_factory=dict)
    slots: set[int] = field(default_factory=set)
    num_locks: int = 0
    holder: int | None = None
    last_used: int = 0

    def path(self) -> Iterator[Node]:
        """This node and its ancestors, without the root."""
        node: Node | None = self
        while node is not None and node.parent is not None:
            yield node
            node = node.parent

    @property
    def depth(self) -> int:
        """Tokens from the root to the end of this node."""
        return sum(len(node.tokens) for node in self.path())


@dataclass(slots=True, eq=False)
class Lease:
    """A running sequence's hold: its slot, a shared path of `depth` tokens, and a private tail."""

    slot: int
    tenant: str
    node: Node
    depth: int
    num_private: int = 0

    @property
    def num_cells(self) -> int:
        """Cells this sequence reads."""
        return self.depth + self.num_private


@dataclass(frozen=True, slots=True)
class Match:
    """How much of a prompt is cached; `num_unlocked` of it could be evicted until taken."""

    num_tokens: int
    num_unlocked: int


class PrefixCache:
    """Cells and slots of one engine. Slots are llama.cpp sequence ids, cells are its KV cells.

    At most `max_cached` cells are kept for sequences that are not running: attention walks over
    every used cell of the unified cache, so cells nobody reads cost each token a little.
    """

    def __init__(
        self,
        *,
        num_cells: int,
        num_slots: int,
        effects: CacheEffects,
        max_cached: int | None = None,
    ) -> None:
        self.num_cells = num_cells
        self._max_cached = num_cells if max_cached is None else max_cached
        self._effects = effects
        self._free_slots = list(range(num_slots - 1, -1, -1))
        self._roots: dict[str, Node] = {}
        self._num_tree = 0
        self._num_unlocked = 0
        self._num_shared = 0
        self._num_private = 0
        self._clock = 0

    @property
    def num_free(self) -> int:
        """Cells that hold nothing."""
        return self.num_cells - self._num_tree - self._num_private

    @property
    def num_cached(self) -> int:
        """Cells that only finished sequences hold; they may be evicted."""
        return self._num_unlocked

    @property
    def num_live(self) -> int:
        """Cells that running sequences hold."""
        return self._num_tree - self._num_unlocked + self._num_private

    @property
    def num_shared(self) -> int:
        """Cells that several running sequences read."""
        return self._num_shared

    def match(self, tenant: str, tokens: Tokens[int]) -> Match:
        """The longest cached prefix of the tokens; changes nothing."""
        node, depth, num_unlocked = self._roots.get(tenant), 0, 0
        while node is not None:
            child = node.children.get(tokens[depth]) if depth < len(tokens) else None
            if child is None:
                break
            common = common_prefix(child.tokens, tokens, depth)
            depth += common
            num_unlocked += common if child.num_locks == 0 else 0
            node = child if common == len(child.tokens) else None
        return Match(depth, num_unlocked)

    def open(self, tenant: str, tokens: Tokens[int], *, limit: int) -> Lease | None:
        """Take a slot that shares the longest cached prefix, at most `limit` tokens of it.

        None when every slot is running.
        """
        node, depth = self._descend(tenant, tokens[:limit])
        self._lock(node, +1)
        slot = self._take_slot()
        if slot is None:
            self._lock(node, -1)
            return None
        if depth:
            self._effects.share(next(iter(node.slots)), slot, 0, depth)
        self._roots[tenant].slots.add(slot)
        self._clock += 1
        for step in node.path():
            step.slots.add(slot)
            step.last_used = self._clock
        return Lease(slot, tenant, node, depth)

    def grow(self, lease: Lease, num_cells: int) -> bool:
        """Take cells for tokens to be computed, evicting if need be; False if none are left."""
        while self.num_free < num_cells:
            if not self._evict():
                return False
        lease.num_private += num_cells
        self._num_private += num_cells
        return True

    def shrink(self, lease: Lease, num_cells: int) -> None:
        """Give back the last cells of the private tail (tokens that were not accepted)."""
        self._effects.remove(lease.slot, lease.num_cells - num_cells)
        lease.num_private -= num_cells
        self._num_private -= num_cells

    def commit(self, lease: Lease, tokens: Tokens[int]) -> None:
        """Publish the private tail: `tokens` are all computed tokens of the sequence.

        Where another sequence published the same tokens meanwhile, its cells are shared and
        one's own are given back.
        """
        while lease.num_private:
            child = lease.node.children.get(tokens[lease.depth])
            if child is None:
                self._append(lease, list(tokens[lease.depth : lease.num_cells]))
                return
            common = common_prefix(child.tokens, tokens[: lease.num_cells], lease.depth)
            self._join(lease, self._split(child, common), common)

    def close(self, lease: Lease, *, keep: bool) -> None:
        """End a sequence. What it published stays cached if `keep` and nobody holds it already."""
        if lease.num_private:
            self.shrink(lease, lease.num_private)
        node = lease.node
        self._lock(node, -1)
        if keep and node.parent is not None and not node.children and node.holder is None:
            node.holder = lease.slot
            self._clock += 1
            for step in node.path():
                step.last_used = self._clock
        else:
            self._release(lease.slot, node)
            self._retire(node)
        while self._num_unlocked > self._max_cached and self._evict():
            pass
        root = self._roots[lease.tenant]
        root.slots.discard(lease.slot)
        if not root.slots and not root.children:
            del self._roots[lease.tenant]

    def clear(self) -> int:
        """Evict all that is not running; returns the cells freed."""
        before = self.num_free
        while self._evict():
            pass
        return self.num_free - before

    def check(self) -> None:
        """Raise AssertionError where an invariant is broken (tests call this every step)."""
        nodes = [node for root in self._roots.values() for node in _walk(root)]
        num_tree = sum(len(node.tokens) for node in nodes)
        cached = sum(len(node.tokens) for node in nodes if node.num_locks == 0)
        shared = sum(len(node.tokens) for node in nodes if node.num_locks > 1)
        counted = (self._num_tree, self._num_unlocked, self._num_shared)
        if (num_tree, cached, shared) != counted or self.num_free < 0:
            raise AssertionError(f"cells do not add up: {num_tree} {cached} {shared} {counted}")
        for node in nodes:
            if not node.tokens or not node.slots:
                raise AssertionError("a node without tokens or slots")
            if node.children and node.holder is not None:
                raise AssertionError("a retained slot ends above a leaf")
            if not node.children and node.holder is None and node.num_locks == 0:
                raise AssertionError("a leaf nobody holds")

    # -- the tree ---------------------------------------------------------------------------

    def _descend(self, tenant: str, tokens: Tokens[int]) -> tuple[Node, int]:
        """The node where the longest match ends, splitting an edge if it ends inside one."""
        node, depth = self._roots.setdefault(tenant, Node([], None)), 0
        while depth < len(tokens) and (child := node.children.get(tokens[depth])):
            common = common_prefix(child.tokens, tokens, depth)
            node, depth = self._split(child, common), depth + common
            if common < len(child.tokens) or node is not child:
                break
        return node, depth

    def _split(self, node: Node, length: int) -> Node:
        """The part of a node that holds its first `length` tokens, as a node of its own."""
        if length == len(node.tokens):
            return node
        parent = node.parent
        assert parent is not None
        upper = Node(
            tokens=node.tokens[:length],
            parent=parent,
            children={node.tokens[length]: node},
            slots=set(node.slots),
            num_locks=node.num_locks,
            last_used=node.last_used,
        )
        parent.children[upper.tokens[0]] = upper
        node.tokens, node.parent = node.tokens[length:], upper
        return upper

    def _append(self, lease: Lease, tokens: list[int]) -> None:
        """Publish tokens nobody else has: extend the node if it is ours alone, else add one."""
        node = lease.node
        alone = node.parent is not None and node.slots == {lease.slot} and not node.children
        if alone:
            node.tokens.extend(tokens)
        else:
            child = Node(tokens, node, slots={lease.slot}, num_locks=1, last_used=self._clock)
            node.children[tokens[0]] = lease.node = child
            self._drop_holder(node)
        self._num_tree += len(tokens)
        self._num_private -= len(tokens)
        lease.depth += len(tokens)
        lease.num_private -= len(tokens)

    def _join(self, lease: Lease, node: Node, length: int) -> None:
        """Go down to a child whose tokens we computed too: share its cells, give back ours."""
        start, stop = lease.depth, lease.depth + length
        self._effects.remove(lease.slot, start, stop)
        self._effects.share(next(iter(node.slots)), lease.slot, start, stop)
        if node.num_locks == 0:
            self._num_unlocked -= len(node.tokens)
        node.num_locks += 1
        if node.num_locks == 2:
            self._num_shared += len(node.tokens)
        node.slots.add(lease.slot)
        lease.node, lease.depth = node, stop
        lease.num_private -= length
        self._num_private -= length

    def _lock(self, node: Node, change: int) -> None:
        for step in node.path():
            was_locked, was_shared = step.num_locks > 0, step.num_locks > 1
            step.num_locks += change
            if was_shared != (step.num_locks > 1):
                self._num_shared += change * len(step.tokens)
            if was_locked != (step.num_locks > 0):
                self._num_unlocked -= change * len(step.tokens)

    # -- slots and eviction -----------------------------------------------------------------

    def _take_slot(self) -> int | None:
        while not self._free_slots:
            if not self._evict(for_slot=True):
                return None
        return self._free_slots.pop()

    def _release(self, slot: int, node: Node) -> None:
        """Take a slot off its whole path and give its id back."""
        for step in node.path():
            step.slots.discard(slot)
        self._effects.remove(slot, 0)
        self._free_slots.append(slot)

    def _drop_holder(self, node: Node) -> None:
        if node.holder is not None:
            holder, node.holder = node.holder, None
            self._release(holder, node)

    def _retire(self, node: Node) -> None:
        """Take nodes out of the tree that no slot holds any more, from the bottom up."""
        while node.parent is not None and not node.slots:
            self._num_tree -= len(node.tokens)
            self._num_unlocked -= len(node.tokens)
            del node.parent.children[node.tokens[0]]
            node = node.parent

    def _evict(self, *, for_slot: bool = False) -> bool:
        """Drop the least recently used leaf that nobody runs; False if there is none.

        With `for_slot` the whole chain above goes too, until a slot id has come free.
        """
        leaves = [
            node
            for root in self._roots.values()
            for node in _walk(root)
            if not node.children and node.num_locks == 0
        ]
        if not leaves:
            return False
        leaf = min(leaves, key=lambda node: node.last_used)
        while True:
            holder, parent = leaf.holder, leaf.parent
            assert holder is not None and parent is not None
            self._effects.remove(holder, leaf.depth - len(leaf.tokens))
            leaf.slots.discard(holder)
            leaf.holder = None
            self._num_tree -= len(leaf.tokens)
            self._num_unlocked -= len(leaf.tokens)
            del parent.children[leaf.tokens[0]]
            is_held = parent.children or parent.holder is not None or len(parent.slots) > 1
            if parent.parent is None or is_held:
                self._release(holder, parent)
                return True
            parent.holder = holder
            if not for_slot or parent.num_locks > 0:
                return True
            leaf = parent


def common_prefix(edge: Tokens[int], tokens: Tokens[int], start: int) -> int:
    """How many tokens of `edge` equal `tokens[start:]`, by halving slices (fast on long runs)."""
    high = min(len(edge), len(tokens) - start)
    if edge[:high] == tokens[start : start + high]:
        return high
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        if edge[low:middle] == tokens[start + low : start + middle]:
            low = middle
        else:
            high = middle
    return low


def _walk(root: Node) -> Iterator[Node]:
    stack = list(root.children.values())
    while stack:
        node = stack.pop()
        yield node
        stack.extend(node.children.values())
