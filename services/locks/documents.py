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

# Leases are looked at in lots of this many seconds.
LOT_S: Final = 0.1
# A free lock is remembered for so long, for who releases it again.
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
    lease_id: bytes
    token: int
    renewals: int


@dataclass(frozen=True, slots=True)
class _Counted:
    """A lease as it was when its life was counted, and the lot in which it lapses."""

    token: int
    renewals: int
    lot: int


@dataclass(slots=True)
class _Known:
    document: Document
    ids: frozenset[bytes]
    leases: dict[bytes, _Counted] = field(default_factory=dict)
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
        self._by_id: dict[tuple[str, bytes], str] = {}
        self._lots: dict[int, dict[bytes, Lapsed]] = defaultdict(dict)
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
        """The key of the lock in which an id stands."""
        return self._by_id.get((str(tenant), lease_id))

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
        ids = _ids(lock)
        self._index(key, known.ids if known is not None else frozenset(), ids)
        leases = self._count(seen, known.leases if known is not None else {}, now)
        free_since = math.inf if lock.leases or lock.waiters or lock.untold else now
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

    def _index(self, key: str, before: frozenset[bytes], after: frozenset[bytes]) -> None:
        tenant = key.partition(".")[0]
        for gone in before - after:
            self._by_id.pop((tenant, gone), None)
        for come in after - before:
            self._by_id[tenant, come] = key

    def _count(self, seen: Document, before: dict[bytes, _Counted], now: float) -> dict[bytes, _Counted]:
        """How each lease is counted; the life of one that is not as it was begins now."""
        after = {}
        for lease in seen.lock.leases:
            was = before.pop(lease.id, None)
            if was is None or (was.token, was.renewals) != (lease.token, lease.renewals):
                if was is not None:
                    self._uncount(lease.id, was.lot)
                was = _Counted(lease.token, lease.renewals, math.ceil((now + lease.timeout) / LOT_S))
                self._lots[was.lot][lease.id] = Lapsed(seen.key, lease.id, lease.token, lease.renewals)
            after[lease.id] = was
        for gone, was in before.items():
            self._uncount(gone, was.lot)
        return after

    def _uncount(self, lease_id: bytes, lot: int) -> None:
        leases = self._lots.get(lot)
        if leases is not None:
            leases.pop(lease_id, None)
            if not leases:
                del self._lots[lot]

    def _sort(self, key: str, lock: StoredLock, now: float) -> None:
        _mark(self._in_use, key, there=bool(lock.leases or lock.waiters))
        _mark(self._awaited, key, there=bool(lock.waiters))
        if lock.untold:
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


def _ids(lock: StoredLock) -> frozenset[bytes]:
    """Every id by which somebody may ask for the lock."""
    ids = [ended.id for ended in lock.ended]
    ids += [waiter.id for waiter in lock.waiters]
    for lease in lock.leases:
        ids += (lease.id, *lease.again)
    return frozenset(ids)
