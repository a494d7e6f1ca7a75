"""The heart of locks: what a wish, a release or the end of a lease makes of a lock.

A lock is one document (`StoredLock`), and each change of it one compare-and-set. The functions change the document they
are given and do nothing else. Each may be applied again to a document in which it has had its effect: ids say what was
done.

The token of a lease is the revision of the write that granted it. So a write grants one lease at most, whose token is 0
until the document is read again (`read`).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from switchyard.locks.v1 import locks_pb2 as pb
from switchyard.locks.v1.stored_pb2 import EndedLease, StoredLease, StoredLock, StoredWaiter

from chassis import errors

TIMEOUT_DEFAULT_S: Final = 30
# More who wait for one lock than this would make its document, which each change writes anew, larger than 200 kB.
WAITERS_MAX: Final = 1000
# So many leases that ended are remembered: who sends a release again does it within moments.
ENDED_MAX: Final = 16
# As many ids of one lease by which it was acquired again.
AGAIN_MAX: Final = 16

RELEASED: Final = pb.LOSS_REASON_RELEASED
EXPIRED: Final = pb.LOSS_REASON_EXPIRED
BROKEN: Final = pb.LOSS_REASON_BROKEN


class LaterError(Exception):
    """To be granted by the next write: this one grants another lease already."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Somebody's wish for a lock. `id` names the lease to be, `host` the process that answers them."""

    id: bytes
    holder: str
    owner: str
    mode: pb.LockMode
    permits: int
    timeout_s: int
    host: str


def read(value: bytes, revision: int) -> StoredLock:
    """A lock as it was written at `revision`, every token told."""
    lock = StoredLock.FromString(value)
    settle(lock, revision)
    return lock


def settle(lock: StoredLock, revision: int) -> None:
    """Give the lease that was granted by the write with this revision its token."""
    for lease in lock.leases:
        if not lease.token:
            lease.token = lock.last_token = revision


def copy(lock: StoredLock) -> StoredLock:
    """Another one that is equal."""
    other = StoredLock()
    other.CopyFrom(lock)
    return other


def is_free(lock: StoredLock) -> bool:
    """Whether the document may be forgotten: nobody holds the lock or waits for it, and nothing is left to be told."""
    return not (lock.leases or lock.waiters or lock.untold)


def lease_of(lock: StoredLock, lease_id: bytes) -> StoredLease | None:
    """The lease that an id names, also one by which it was acquired again."""
    return next((lease for lease in lock.leases if lease.id == lease_id or lease_id in lease.again), None)


def ended_of(lock: StoredLock, lease_id: bytes) -> EndedLease | None:
    """What became of a lease that has ended lately."""
    return next((ended for ended in lock.ended if ended.id == lease_id), None)


def position_of(lock: StoredLock, lease_id: bytes) -> int | None:
    """How many stand before; `None` for who does not wait."""
    return next((place for place, waiter in enumerate(lock.waiters) if waiter.id == lease_id), None)


def fits(lock: StoredLock, mode: pb.LockMode) -> bool:
    """Whether one more may hold the lock now, the line not looked at."""
    if mode == pb.LOCK_MODE_SHARED:
        return all(lease.mode == mode for lease in lock.leases)
    return len(lock.leases) < lock.permits and all(lease.mode == mode for lease in lock.leases)


def can_promote(lock: StoredLock) -> bool:
    """Whether the first in line could have the lock."""
    return bool(lock.waiters) and fits(lock, lock.waiters[0].mode)


def enter(lock: StoredLock, *, wish: Wish, wait: bool, now: datetime) -> None:
    """Take the lock, or else stand in line (`wait`); `lease_of` and `position_of` tell which.

    One that holds or waits already under this id goes on with that: the lease is renewed, the place is the new host's.
    Raises `Conflict` (`LOCK_MISMATCH`), `LeaseLost`, `Exhausted` (`LOCK_QUEUE_FULL`) and `LaterError`.
    """
    if _go_on(lock, wish, now, wait=wait):
        return
    if not lock.leases and not lock.waiters:
        lock.permits = wish.permits
    elif lock.permits != wish.permits:
        raise _mismatch(f"the lock is in use with {lock.permits} permits")
    if not lock.waiters and fits(lock, wish.mode):
        _grant(lock, _waiter(wish, now), now)
    elif wait:
        if len(lock.waiters) >= WAITERS_MAX:
            message = f"{WAITERS_MAX} wait for the lock already"
            raise errors.Exhausted(message, code="LOCK_QUEUE_FULL", retry_after_s=1)
        lock.waiters.append(_waiter(wish, now))


def promote(lock: StoredLock, now: datetime) -> None:
    """Give the lock to the first in line, if it may have it, and to those whose owner has got it meanwhile."""
    if can_promote(lock) and not _grants(lock):
        _grant(lock, lock.waiters[0], now)
        del lock.waiters[0]
    owned = {(lease.holder, lease.owner): lease for lease in lock.leases if lease.owner}
    if not owned:
        return
    for waiter in [each for each in lock.waiters if (each.holder, each.owner) in owned]:
        lease = owned[waiter.holder, waiter.owner]
        if _may_enter_again(lease, waiter.mode):
            _enter_again(lease, waiter.id)
            lock.waiters.remove(waiter)


def renew(lock: StoredLock, *, lease_id: bytes, holder: str, timeout_s: int | None, now: datetime) -> None:
    """Keep a lease for longer. Raises `LeaseLost`."""
    _renew(_held_by(lock, lease_id, holder), timeout_s, now)


def release(lock: StoredLock, *, lease_id: bytes, holder: str, release_id: bytes) -> None:
    """Give the lock back once, or the place in line; `release_id` tells one that is sent again from a second one.

    Raises `LeaseLost` unless it was held till now, or till it was released by its holder.
    """
    if ended_of(lock, release_id) is not None:
        return
    ended = ended_of(lock, lease_id)
    if ended is not None and ended.reason == RELEASED and ended.holder == holder:
        return
    place = position_of(lock, lease_id)
    if place is not None and lock.waiters[place].holder == holder:
        _remember(lock, EndedLease(id=lease_id, reason=RELEASED, holder=holder))
        del lock.waiters[place]
        return
    lease = _held_by(lock, lease_id, holder)
    if lease.holds > 1:
        lease.holds -= 1
        _remember(lock, EndedLease(id=release_id, reason=RELEASED, holder=holder))
    else:
        _end(lock, lease, EndedLease(reason=RELEASED))


def expire(lock: StoredLock, *, lease_id: bytes, token: int, renewals: int) -> None:
    """End a lease that was not renewed since it had this token and was renewed so often."""
    lease = lease_of(lock, lease_id)
    if lease is not None and (lease.token, lease.renewals) == (token, renewals):
        _end(lock, lease, EndedLease(reason=EXPIRED))


def break_(lock: StoredLock, *, lease_ids: Collection[bytes], comment: str, by: str) -> None:
    """Take the lock away from those who hold it by these leases."""
    for lease in [each for each in lock.leases if each.id in lease_ids]:
        _end(lock, lease, EndedLease(reason=BROKEN, comment=comment, by=by))


def give_up(lock: StoredLock, *, lease_id: bytes, host: str) -> None:
    """Leave the line, unless another host has taken the place over."""
    place = position_of(lock, lease_id)
    if place is not None and lock.waiters[place].host == host:
        del lock.waiters[place]


def refuse(lock: StoredLock, *, lease_id: bytes) -> None:
    """Take one who waits out of the line."""
    place = position_of(lock, lease_id)
    if place is not None:
        del lock.waiters[place]


def leave(lock: StoredLock, *, lease_id: bytes, host: str) -> None:
    """Give up a place; and the lease, when it was granted meanwhile and nobody has asked for it elsewhere."""
    give_up(lock, lease_id=lease_id, host=host)
    lease = lease_of(lock, lease_id)
    if lease is None or lease.renewals or lease.host != host:
        return
    if lease.holds > 1:
        lease.holds -= 1
        if lease_id in lease.again:
            lease.again.remove(lease_id)
    else:
        _end(lock, lease, EndedLease(reason=RELEASED))


def drop(lock: StoredLock, hosts: Collection[str]) -> None:
    """Take the waiters of dead hosts out of the line."""
    for waiter in [each for each in lock.waiters if each.host in hosts]:
        lock.waiters.remove(waiter)


def told(lock: StoredLock, lease_ids: Collection[bytes]) -> None:
    """Forget the losses that were told."""
    for loss in [each for each in lock.untold if each.id in lease_ids]:
        lock.untold.remove(loss)


def deadlocked() -> errors.Conflict:
    """What is said to the youngest of a circle."""
    message = "everybody in a circle waits for the next, and this wait is the youngest"
    return errors.Conflict(message, code="DEADLOCK")


def _go_on(lock: StoredLock, wish: Wish, now: datetime, *, wait: bool) -> bool:
    """Whether the wish is met by what its id, or its owner, has already."""
    found: StoredLease | StoredWaiter | None = lease_of(lock, wish.id)
    if found is None:
        place = position_of(lock, wish.id)
        found = None if place is None else lock.waiters[place]
    if found is not None and found.holder != wish.holder:
        raise _mismatch("the lock_id is another's")
    if isinstance(found, StoredLease):
        found.host = wish.host
        _renew(found, None, now)
        return True
    if found is not None:
        found.host = wish.host if wait else found.host
        return True
    if ended_of(lock, wish.id) is not None:
        raise errors.LeaseLost
    lease = _owned(lock, wish.holder, wish.owner) if wish.owner else None
    if lease is None:
        return False
    if lock.permits != wish.permits or not _may_enter_again(lease, wish.mode):
        raise _mismatch("its owner holds it in another way")
    _enter_again(lease, wish.id)
    return True


def _grants(lock: StoredLock) -> bool:
    """Whether the write to be grants a lease."""
    return any(not lease.token for lease in lock.leases)


def _waiter(wish: Wish, now: datetime) -> StoredWaiter:
    waiter = StoredWaiter(
        id=wish.id, holder=wish.holder, owner=wish.owner, mode=wish.mode, timeout=wish.timeout_s, host=wish.host
    )
    waiter.since.FromDatetime(now)
    return waiter


def _grant(lock: StoredLock, to: StoredWaiter, now: datetime) -> None:
    if _grants(lock):
        raise LaterError
    lease = lock.leases.add(
        id=to.id, holder=to.holder, owner=to.owner, mode=to.mode, timeout=to.timeout, holds=1, host=to.host
    )
    lease.acquired_at.FromDatetime(now)
    lease.expires_at.FromDatetime(now + timedelta(seconds=to.timeout))


def _owned(lock: StoredLock, holder: str, owner: str) -> StoredLease | None:
    return next((lease for lease in lock.leases if lease.owner == owner and lease.holder == holder), None)


def _may_enter_again(lease: StoredLease, mode: pb.LockMode) -> bool:
    # Who has it alone shares it with nobody; who shares it cannot wait for the others and for himself.
    return mode in (lease.mode, pb.LOCK_MODE_SHARED)


def _enter_again(lease: StoredLease, wish_id: bytes) -> None:
    lease.holds += 1
    lease.again.append(wish_id)
    del lease.again[:-AGAIN_MAX]


def _held_by(lock: StoredLock, lease_id: bytes, holder: str) -> StoredLease:
    lease = lease_of(lock, lease_id)
    if lease is None or lease.holder != holder:
        raise errors.LeaseLost
    return lease


def _renew(lease: StoredLease, timeout_s: int | None, now: datetime) -> None:
    lease.renewals += 1
    lease.timeout = timeout_s or lease.timeout
    lease.expires_at.FromDatetime(now + timedelta(seconds=lease.timeout))


def _end(lock: StoredLock, lease: StoredLease, ended: EndedLease) -> None:
    ended.id, ended.holder, ended.owner, ended.token = lease.id, lease.holder, lease.owner, lease.token
    _remember(lock, ended)
    if ended.reason != RELEASED:
        lock.untold.append(ended)
    lock.leases.remove(lease)


def _remember(lock: StoredLock, ended: EndedLease) -> None:
    lock.ended.append(ended)
    del lock.ended[:-ENDED_MAX]


def _mismatch(message: str) -> errors.Conflict:
    return errors.Conflict(message, code="LOCK_MISMATCH")
