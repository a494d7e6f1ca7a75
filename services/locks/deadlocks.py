"""Circles of owners who wait for each other: none of them will ever have what they wait for.

Who waits for a lock is stuck when too many of those who hold it, or stand before, are stuck themselves: nobody but
them could give it back. What is left when all who can go on are taken away are the circles, and those who wait for
them. An owner whose task names itself (`owner`) is known in all locks; others cannot be in a circle.
"""

import graphlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from switchyard.locks.v1 import locks_pb2 as pb
from switchyard.locks.v1.stored_pb2 import StoredLease, StoredWaiter

from services.locks.documents import Document

Node = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Circle:
    """The locks of a circle, and the youngest wait in it."""

    keys: Sequence[str]
    key: str
    youngest: StoredWaiter


@dataclass(frozen=True, slots=True)
class _Wait:
    key: str
    waiter: StoredWaiter
    node: Node
    blocking: frozenset[Node]


def find(documents: Collection[Document]) -> Circle | None:
    """A circle in some locks, the same one whoever looks."""
    if not _some_may_be_stuck(documents):
        return None
    ordered = sorted(documents, key=lambda document: document.key)
    stuck = {_node(waiter) for document in ordered for waiter in document.lock.waiters if waiter.owner}
    while True:
        waits = [wait for document in ordered for wait in _stuck_waits(document, stuck)]
        left = {wait.node for wait in waits}
        if left == stuck:
            break
        stuck = left
    graph: dict[Node, set[Node]] = defaultdict(set)
    for wait in waits:
        graph[wait.node] |= wait.blocking
    circle = _circle(graph)
    return _judged(waits, circle) if circle else None


def _some_may_be_stuck(documents: Collection[Document]) -> bool:
    """Whether anybody who waits stands anywhere else, too."""
    seen: Counter[Node] = Counter()
    waiting: set[Node] = set()
    for document in documents:
        seen.update(_node(lease) for lease in document.lock.leases if lease.owner)
        nodes = [_node(waiter) for waiter in document.lock.waiters if waiter.owner]
        seen.update(nodes)
        waiting.update(nodes)
    return any(seen[node] > 1 for node in waiting)


def _stuck_waits(document: Document, stuck: Collection[Node]) -> Iterator[_Wait]:
    """Those who wait for a lock and cannot have it before one of `stuck` gives it back."""
    lock = document.lock
    exclusive: list[Node] = []
    shared: list[Node] = []
    for lease in lock.leases:
        if _node(lease) in stuck:
            (shared if lease.mode == pb.LOCK_MODE_SHARED else exclusive).append(_node(lease))
    for waiter in lock.waiters:
        node = _node(waiter)
        if waiter.mode == pb.LOCK_MODE_SHARED:
            blocking = exclusive
        else:
            blocking = [*exclusive, *shared] if shared or len(exclusive) >= lock.permits else []
        if waiter.owner and node in stuck and blocking:
            yield _Wait(document.key, waiter, node, frozenset(blocking))
        if node in stuck:
            (shared if waiter.mode == pb.LOCK_MODE_SHARED else exclusive).append(node)


def _circle(graph: dict[Node, set[Node]]) -> list[Node]:
    """Nodes each of which waits for the next, and the last for the first."""
    for node in sorted(graph):
        if node in graph[node]:
            return [node]
    sorter: graphlib.TopologicalSorter[Node] = graphlib.TopologicalSorter()
    for node in sorted(graph):
        sorter.add(node, *sorted(graph[node]))
    try:
        sorter.prepare()
    except graphlib.CycleError as found:
        circle: list[Node] = found.args[1]
        return circle
    return []


def _judged(waits: Collection[_Wait], circle: Collection[Node]) -> Circle:
    inside = [wait for wait in waits if wait.node in circle and not wait.blocking.isdisjoint(circle)]
    youngest = max(inside, key=lambda wait: (wait.waiter.since.ToNanoseconds(), wait.waiter.id))
    keys = sorted({wait.key for wait in inside})
    return Circle(keys, youngest.key, youngest.waiter)


def _node(entry: StoredLease | StoredWaiter) -> Node:
    return entry.holder, entry.owner
