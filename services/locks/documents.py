"""What a process knows of all locks: the last documents it has seen, found by lock, by lease and by what is to be done.

It may be old; nothing is decided by it but what to try. It also counts the life of every lease by this process's own
monotonic clock, from when the process first saw it as it is: so late, perhaps, and never early.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from switchyard.locks.v1.stored_pb2 import StoredLock

from chassis import buckets
from services.locks import locks

# Leases are looked at in lots of this many seconds.
LOT_S: Final = 0.1
# A free lock is remembered for so long, and what was given back of any, for who releases it again.
FREE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Document:
    """A lock as it was at a revision; 0: never written, or forgotten."""

    key: str
    lock: StoredLock
    revision: int


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A lease that nobody has renewed for as long as it lives."""

    key: str
    token: int
    renewals: int


@dataclass(frozen=True, slots=True)
class _Counted:
    """How often a lease was renewed when its life was counted, and the lot in which it lapses."""

    renewals: int
    lot: int


@dataclass(slots=True)
class _Known:
    document: Document
    ids: frozenset[bytes]
    leases: dict[int, _Counted] = field(default_factory=dict)
    free_since: float = math.inf


def key_of(tenant: UUID, name: str) -> str:
    """The key of a lock's document."""
    return f"{tenant}.{buckets.token(name)}"


def tenant_of(key: str) -> UUID:
    """Whose lock it is."""
    return UUID(key.partition(".")[0])


def name_of(key: str) -> str:
    """The lock's name."""
    return buckets.name_of(key.partition(".")[2])


class Documents:
    """The documents that a process knows."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        # Callers choose ids; nothing but their own care keeps one out of a second lock.
        self._by_id: dict[tuple[str, bytes], tuple[str, ...]] = {}
        # Ids that were given back and have left their documents since, in the order in which they have, and when.
        self._given_back: dict[tuple[str, bytes], float] = {}
        # Leases by their tokens, of which no two of a bucket are the same.
        self._lots: dict[int, dict[int, Lapsed]] = defaultdict(dict)
        # By tenant, the keys of the locks in use, and of those that somebody waits for.
        self._in_use: dict[str, set[str]] = defaultdict(set)
        self._awaited: dict[str, set[str]] = defaultdict(set)
        # The locks with losses to be told, since when (monotonic).
        self.untold: dict[str, float] = {}

    def get(self, key: str) -> Document:
        """The last document of a lock that was seen."""
        known = self._known.get(key)
        return known.document if known is not None else Document(key, StoredLock(), 0)

    def find(self, tenant: UUID, lease_id: bytes) -> str | None:
        """The key of the lock in which an id stands; or else of one in which it stood."""
        keys = self._by_id.get((str(tenant), lease_id))
        if keys is None:
            return None
        return next((key for key in keys if locks.stands(self.get(key).lock, lease_id)), keys[-1])

    def was_given_back(self, tenant: UUID, lease_id: bytes) -> bool:
        """Whether an id that stands nowhere any more was given back lately."""
        return (str(tenant), lease_id) in self._given_back

    def is_elsewhere(self, key: str, lease_id: bytes) -> bool:
        """Whether an id stands in another lock of the same tenant."""
        keys = self._by_id.get((key.partition(".")[0], lease_id), ())
        return any(other != key and locks.stands(self.get(other).lock, lease_id) for other in keys)

    def in_use(self, tenant: UUID) -> list[Document]:
        """The locks of a tenant that are held or waited for."""
        return [self._known[key].document for key in self._in_use.get(str(tenant), ())]

    def awaited(self, tenant: UUID) -> list[Document]:
        """The locks of a tenant that somebody waits for."""
        return [self._known[key].document for key in self._awaited.get(str(tenant), ())]

    def all_awaited(self) -> list[Document]:
        """The locks of all tenants that somebody waits for."""
        return [self._known[key].document for keys in self._awaited.values() for key in keys]

    def take(self, seen: Document, now: float) -> bool:
        """Learn of a document; whether it is newer than what was known. `now` is monotonic, in seconds."""
        key, lock = seen.key, seen.lock
        known = self._known.get(key)
        if known is not None and known.document.revision >= seen.revision:
            return False
        ids = frozenset(locks.ids_of(lock))
        if known is not None:
            self._remember(known, ids, now)
        self._index(key, known.ids if known is not None else frozenset(), ids)
        leases = self._count(seen, known.leases if known is not None else {}, now)
        free_since = now if locks.is_free(lock) else math.inf
        self._known[key] = _Known(seen, ids, leases, free_since)
        self._sort(key, lock, now)
        return True

    def lapsed(self, now: float) -> list[Lapsed]:
        """The leases that have lived for their time; each is told once."""
        due = [lot for lot in self._lots if lot * LOT_S <= now]
        found = [lapsed for lot in due for lapsed in self._lots[lot].values()]
        for lot in due:
            del self._lots[lot]
        return found

    def forget(self, now: float) -> None:
        """Forget the locks that have been free for a while."""
        for key in [key for key, known in self._known.items() if known.free_since + FREE_S < now]:
            self._index(key, self._known.pop(key).ids, frozenset())
        while self._given_back and next(iter(self._given_back.values())) + FREE_S < now:
            del self._given_back[next(iter(self._given_back))]

    def _remember(self, before: _Known, ids: frozenset[bytes], now: float) -> None:
        tenant = before.document.key.partition(".")[0]
        for gone in (before.ids - ids).intersection(before.document.lock.released):
            self._given_back[tenant, gone] = now

    def _index(self, key: str, before: frozenset[bytes], after: frozenset[bytes]) -> None:
        tenant = key.partition(".")[0]
        for gone in before - after:
            others = tuple(other for other in self._by_id.pop((tenant, gone)) if other != key)
            if others:
                self._by_id[tenant, gone] = others
        for come in after - before:
            self._by_id[tenant, come] = (*self._by_id.get((tenant, come), ()), key)

    def _count(self, seen: Document, before: dict[int, _Counted], now: float) -> dict[int, _Counted]:
        """How each lease is counted; the life of one that is not as it was begins now."""
        after = {}
        for lease in seen.lock.leases:
            was = before.pop(lease.token, None)
            if was is None or was.renewals != lease.renewals:
                if was is not None:
                    self._uncount(lease.token, was.lot)
                was = _Counted(lease.renewals, math.ceil((now + lease.timeout) / LOT_S))
                self._lots[was.lot][lease.token] = Lapsed(seen.key, lease.token, lease.renewals)
            after[lease.token] = was
        for gone, was in before.items():
            self._uncount(gone, was.lot)
        return after

    def _uncount(self, token: int, lot: int) -> None:
        leases = self._lots.get(lot)
        if leases is not None:
            leases.pop(token, None)
            if not leases:
                del self._lots[lot]

    def _sort(self, key: str, lock: StoredLock, now: float) -> None:
        _mark(self._in_use, key, there=bool(lock.leases or lock.waiters))
        _mark(self._awaited, key, there=bool(lock.waiters))
        if locks.untold(lock):
            self.untold.setdefault(key, now)
        else:
            self.untold.pop(key, None)


def _mark(by_tenant: dict[str, set[str]], key: str, *, there: bool) -> None:
    tenant = key.partition(".")[0]
    if there:
        by_tenant[tenant].add(key)
    elif tenant in by_tenant:
        by_tenant[tenant].discard(key)
        if not by_tenant[tenant]:
            del by_tenant[tenant]
