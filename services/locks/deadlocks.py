"""Circles of owners who wait for each other: none of them will ever have what they wait for.

Who waits for a lock is stuck when too many of those who hold it, or stand before, are stuck themselves: nobody but
them could give it back. What is left when all who can go on are taken away are the circles, and those who wait for
them. An owner whose task names itself (`owner`) is known in all locks; others cannot be in a circle.

What a look costs grows with the number of those who wait and with nothing else: meanwhile the process does nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from switchyard.locks.v1 import locks_pb2 as pb
from switchyard.locks.v1.stored_pb2 import StoredLease, StoredWaiter

from services.locks.documents import Document

Node = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Circle:
    """The youngest wait of a circle, for the lock `key`; `keys` are all locks by which the circle is seen to be one."""

    keys: Sequence[str]
    key: str
    youngest: StoredWaiter


@dataclass(frozen=True, slots=True)
class _Entry:
    """An owner who holds a lock, or waits for it (`waiter`), and who waits for some lock."""

    node: Node
    shared: bool
    waiter: StoredWaiter | None


@dataclass(slots=True)
class _Front:
    """How far those come who wait in one mode: up to `end`. Whoever is behind has all of `stuck` before them."""

    end: int = 0
    stuck: dict[Node, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Wait:
    """The wait of an owner who is stuck, and how far those come who wait for that lock as it does."""

    key: str
    node: Node
    waiter: StoredWaiter
    front: _Front


class _Lock:
    """A lock and its line, those who hold it first. Fronts only go on, so that nobody is looked at twice."""

    def __init__(self, document: Document, nodes: Collection[Node]) -> None:
        self.key = document.key
        self.entries = list(_entries(document, nodes))
        # What is shared has one permit.
        self._permits = document.lock.permits
        self._fronts = {True: _Front(), False: _Front()}

    def advance(self, stuck: Collection[Node]) -> Iterator[Node]:
        """Those whose waits are found to come to an end."""
        for shared, front in self._fronts.items():
            while front.end < len(self.entries) and len(front.stuck) < (1 if shared else self._permits):
                entry = self.entries[front.end]
                front.end += 1
                if entry.node in stuck and not (shared and entry.shared):
                    front.stuck[entry.node] = None
                if entry.waiter is not None and entry.shared == shared:
                    yield entry.node

    def release(self, node: Node) -> None:
        """Learn that an owner is not stuck."""
        for front in self._fronts.values():
            front.stuck.pop(node, None)

    def waits(self) -> Iterator[_Wait]:
        """Those that are stuck."""
        for place, entry in enumerate(self.entries):
            front = self._fronts[entry.shared]
            if entry.waiter is not None and place >= front.end:
                yield _Wait(self.key, entry.node, entry.waiter, front)


def find(documents: Collection[Document]) -> list[Circle]:
    """Circles in some locks, the same ones whoever looks; there may be more once these are broken."""
    nodes = {_node(waiter) for document in documents for waiter in document.lock.waiters if waiter.owner}
    locks = [_Lock(document, nodes) for document in sorted(documents, key=lambda document: document.key)]
    _take_away(locks)
    waits: dict[Node, _Wait] = {}
    for lock in locks:
        for wait in lock.waits():
            waits.setdefault(wait.node, wait)
    return [_judged(circle, waits) for circle in _circles(waits)]


def _entries(document: Document, nodes: Collection[Node]) -> Iterator[_Entry]:
    """Of a lock; without those who get it together with an entry of the same owner before."""
    before: dict[Node, bool] = {}
    entries: list[StoredLease | StoredWaiter] = [*document.lock.leases, *document.lock.waiters]
    for entry in entries:
        node, shared = _node(entry), entry.mode == pb.LOCK_MODE_SHARED
        if not entry.owner or node not in nodes or (node in before and (shared or not before[node])):
            continue
        before[node] = shared
        yield _Entry(node, shared, entry if isinstance(entry, StoredWaiter) else None)


def _take_away(locks: Collection[_Lock]) -> None:
    """Take away all who can go on."""
    waits: Counter[Node] = Counter()
    places: dict[Node, list[_Lock]] = defaultdict(list)
    for lock in locks:
        for entry in lock.entries:
            waits[entry.node] += entry.waiter is not None
            places[entry.node].append(lock)
    stuck = {node for node, count in waits.items() if count}
    changed = list(locks)
    while changed:
        for node in changed.pop().advance(stuck):
            waits[node] -= 1
            if not waits[node]:
                stuck.remove(node)
                for lock in places[node]:
                    lock.release(node)
                changed += places[node]


def _circles(waits: Mapping[Node, _Wait]) -> Iterator[list[Node]]:
    """Nodes each of which waits for the next, and the last for the first: of what each waits for, the first counts."""
    seen: set[Node] = set()
    for begin in waits:
        node, path = begin, []
        while node not in seen:
            seen.add(node)
            path.append(node)
            node = next(iter(waits[node].front.stuck))
        if node in path:
            yield path[path.index(node) :]


def _judged(circle: Collection[Node], waits: Mapping[Node, _Wait]) -> Circle:
    """With all that shows that it is one: where there are several permits, all who have one are stuck, here or behind.

    If any of them could go on, all could. So the youngest of all of them is refused.
    """
    found: dict[Node, _Wait] = {}
    left = list(circle)
    fronts: set[int] = set()
    while left:
        wait = waits[left.pop()]
        found[wait.node] = wait
        if id(wait.front) not in fronts:
            fronts.add(id(wait.front))
            left += wait.front.stuck
    youngest = max(found.values(), key=lambda wait: (wait.waiter.since.ToNanoseconds(), wait.waiter.id))
    return Circle(sorted({wait.key for wait in found.values()}), youngest.key, youngest.waiter)


def _node(entry: StoredLease | StoredWaiter) -> Node:
    return entry.holder, entry.owner
