"""The heart of locks: what a wish, a release or the end of a lease makes of a lock.

A lock is one document (`StoredLock`), and each change of it one compare-and-set. The functions change the document they
are given and do nothing else. Each may be applied again to a document in which it has had its effect: ids say what was
done.

The token of a lease is the revision of the write that granted it. So a write grants one lease at most, whose token is 0
until the document is read again (`read`).
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from switchyard.locks.v1 import locks_pb2 as pb
from switchyard.locks.v1.stored_pb2 import (
    LostLease,
    StoredHold,
    StoredLease,
    StoredLock,
    StoredLoss,
    StoredWaiter,
)

from chassis import errors

TIMEOUT_DEFAULT_S: Final = 30
# Each change writes the document anew: more than these would make it large.
WAITERS_MAX: Final = 1000
LEASES_MAX: Final = 1000
# Nobody comes in who would make it larger than this, whatever they are called. NATS takes twice as much, and nothing
# else makes it grow by half.
SIZE_MAX: Final = 512 * 1024
# So many ids that were given back stand in the document; processes remember more of them.
RELEASED_MAX: Final = 128
# So many leases that were lost, beyond those that are still to be told of.
LOST_MAX: Final = 256

RELEASED: Final = pb.LOSS_REASON_RELEASED
EXPIRED: Final = pb.LOSS_REASON_EXPIRED
BROKEN: Final = pb.LOSS_REASON_BROKEN


class LaterError(Exception):
    """To be granted by the next write: this one grants another lease already."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Somebody's wish for a lock. `id` names what they get, `host` the process that answers them."""

    id: bytes
    holder: str
    owner: str
    mode: pb.LockMode
    permits: int
    timeout_s: int
    host: str


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a lease. Of one that was given back nothing but that is known."""

    reason: pb.LossReason
    holder: str = ""
    owner: str = ""
    token: int = 0
    comment: str = ""
    by: str = ""


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
    return not (lock.leases or lock.waiters or untold(lock))


def untold(lock: StoredLock) -> list[Ended]:
    """The losses that are left to be told."""
    return [_ended(loss, lease) for loss in lock.losses for lease in loss.leases if not lease.told]


def lease_of(lock: StoredLock, lease_id: bytes) -> StoredLease | None:
    """The lease by which the wish with this id is met."""
    return next((lease for lease in lock.leases for hold in lease.holds if hold.id == lease_id), None)


def ended_of(lock: StoredLock, lease_id: bytes) -> Ended | None:
    """What became of a lease that has ended lately."""
    if lease_id in lock.released:
        return Ended(RELEASED)
    lost = ((loss, lease) for loss in lock.losses for lease in loss.leases if lease_id in lease.ids)
    return next((_ended(loss, lease) for loss, lease in lost), None)


def ids_of(lock: StoredLock) -> Iterable[bytes]:
    """Every id by which somebody may ask for the lock."""
    yield from lock.released
    for loss in lock.losses:
        for lost in loss.leases:
            yield from lost.ids
    for waiter in lock.waiters:
        yield waiter.id
    for lease in lock.leases:
        for hold in lease.holds:
            yield hold.id


def position_of(lock: StoredLock, lease_id: bytes) -> int | None:
    """How many stand before; `None` for who does not wait."""
    return next((place for place, waiter in enumerate(lock.waiters) if waiter.id == lease_id), None)


def stands(lock: StoredLock, lease_id: bytes) -> bool:
    """Whether somebody holds the lock or waits for it under this id."""
    return lease_of(lock, lease_id) is not None or position_of(lock, lease_id) is not None


def fits(lock: StoredLock, mode: pb.LockMode) -> bool:
    """Whether one more may hold the lock now, the line not looked at."""
    most = LEASES_MAX if mode == pb.LOCK_MODE_SHARED else lock.permits
    return len(lock.leases) < most and all(lease.mode == mode for lease in lock.leases)


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
        raise mismatch(f"the lock is in use with {lock.permits} permits")
    if not lock.waiters and fits(lock, wish.mode):
        _make_room(lock)
        _grant(lock, _waiter(wish, now), now)
    elif wait:
        _make_room(lock)
        if len(lock.waiters) >= WAITERS_MAX:
            raise _full(f"{WAITERS_MAX} wait for the lock already")
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
            _enter_again(lease, waiter, now)
            lock.waiters.remove(waiter)


def renew(
    lock: StoredLock, *, lease_id: bytes, holder: str, timeout_s: int | None, now: datetime, host: str = ""
) -> None:
    """Keep a lease for longer. Its holder has heard of it, or will from `host`. Raises `LeaseLost`."""
    lease = _held_by(lock, lease_id, holder)
    _answer(_hold(lease, lease_id), host)
    _renew(lease, timeout_s, now)


def release(lock: StoredLock, *, lease_id: bytes, holder: str) -> None:
    """Give the lock back, or the place in line; done again it changes nothing.

    Raises `LeaseLost` unless it was held till now, or till it was given back.
    """
    if lease_id in lock.released:
        return
    place = position_of(lock, lease_id)
    if place is not None and lock.waiters[place].holder == holder:
        del lock.waiters[place]
    else:
        _give_back(lock, _held_by(lock, lease_id, holder), lease_id)
    lock.released.append(lease_id)
    del lock.released[:-RELEASED_MAX]


def expire(lock: StoredLock, *, token: int, renewals: int) -> None:
    """End the lease with this token, if it was not renewed since it was renewed so often."""
    _lose(lock, [lease for lease in lock.leases if (lease.token, lease.renewals) == (token, renewals)], reason=EXPIRED)


def break_(lock: StoredLock, *, tokens: Collection[int], comment: str, by: str) -> None:
    """Take the lock away from those who hold it by these leases."""
    taken = [lease for lease in lock.leases if lease.token in tokens]
    _lose(lock, taken, reason=BROKEN, comment=comment, by=by)


def give_up(lock: StoredLock, *, lease_id: bytes, host: str) -> None:
    """Leave the line, unless another host has taken the place over."""
    place = position_of(lock, lease_id)
    if place is not None and lock.waiters[place].host == host:
        del lock.waiters[place]


def leave(lock: StoredLock, *, lease_id: bytes, host: str) -> None:
    """Give up a place; and what was granted meanwhile, when its caller has heard of it neither here nor elsewhere.

    Nobody knows of it, so it is not remembered: the same wish may come again.
    """
    give_up(lock, lease_id=lease_id, host=host)
    lease = lease_of(lock, lease_id)
    if lease is not None and _hold(lease, lease_id).host == host:
        _give_back(lock, lease, lease_id)


def drop(lock: StoredLock, hosts: Collection[str]) -> None:
    """Take the waiters of dead hosts out of the line."""
    for waiter in [each for each in lock.waiters if each.host in hosts]:
        lock.waiters.remove(waiter)


def told(lock: StoredLock, tokens: Collection[int]) -> None:
    """Note the losses that were told, and forget old ones."""
    known = [lease for loss in lock.losses for lease in loss.leases]
    for lease in known:
        lease.told = lease.told or lease.token in tokens
    old = {lease.token for lease in [lease for lease in known if lease.told][:-LOST_MAX]}
    for loss in list(lock.losses) if old else ():
        kept = [lease for lease in loss.leases if lease.token not in old]
        if kept:
            del loss.leases[:]
            loss.leases.extend(kept)
        else:
            lock.losses.remove(loss)


def mismatch(message: str) -> errors.Conflict:
    """What is said of a wish that does not go with what is there."""
    return errors.Conflict(message, code="LOCK_MISMATCH")


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
        raise mismatch("the lock_id is another's")
    if isinstance(found, StoredLease):
        _answer(_hold(found, wish.id), wish.host)
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
        raise mismatch("its owner holds it in another way")
    _make_room(lock)
    _enter_again(lease, _waiter(wish, now), now)
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
    lease = lock.leases.add(holder=to.holder, owner=to.owner, mode=to.mode, timeout=to.timeout)
    lease.holds.add(id=to.id, host=to.host)
    lease.acquired_at.FromDatetime(now)
    lease.expires_at.FromDatetime(now + timedelta(seconds=to.timeout))


def _owned(lock: StoredLock, holder: str, owner: str) -> StoredLease | None:
    return next((lease for lease in lock.leases if lease.owner == owner and lease.holder == holder), None)


def _may_enter_again(lease: StoredLease, mode: pb.LockMode) -> bool:
    # Who has it alone shares it with nobody; who shares it cannot wait for the others and for himself.
    return mode in (lease.mode, pb.LOCK_MODE_SHARED)


def _enter_again(lease: StoredLease, by: StoredWaiter, now: datetime) -> None:
    lease.holds.add(id=by.id, host=by.host)
    # Whoever asks for a lease counts its life from when they asked.
    _renew(lease, by.timeout, now)


def _held_by(lock: StoredLock, lease_id: bytes, holder: str) -> StoredLease:
    lease = lease_of(lock, lease_id)
    if lease is None or lease.holder != holder:
        raise errors.LeaseLost
    return lease


def _hold(lease: StoredLease, lease_id: bytes) -> StoredHold:
    return next(hold for hold in lease.holds if hold.id == lease_id)


def _answer(hold: StoredHold, host: str) -> None:
    """A host answers for a hold. Once several do, none knows what its caller has heard, and none gives it back."""
    hold.host = host if hold.host == host else ""


def _renew(lease: StoredLease, timeout_s: int | None, now: datetime) -> None:
    lease.renewals += 1
    if timeout_s:
        # What one hold was promised another does not take from it.
        lease.timeout = timeout_s if len(lease.holds) == 1 else max(timeout_s, lease.timeout)
    lease.expires_at.FromDatetime(now + timedelta(seconds=lease.timeout))


def _give_back(lock: StoredLock, lease: StoredLease, lease_id: bytes) -> None:
    lease.holds.remove(_hold(lease, lease_id))
    if not lease.holds:
        lock.leases.remove(lease)


def _lose(
    lock: StoredLock, leases: Collection[StoredLease], *, reason: pb.LossReason, comment: str = "", by: str = ""
) -> None:
    if not leases:
        return
    loss = lock.losses.add(reason=reason, comment=comment, by=by)
    for lease in leases:
        loss.leases.add(
            token=lease.token, holder=lease.holder, owner=lease.owner, ids=[hold.id for hold in lease.holds]
        )
        lock.leases.remove(lease)


def _ended(loss: StoredLoss, lease: LostLease) -> Ended:
    return Ended(loss.reason, lease.holder, lease.owner, lease.token, loss.comment, loss.by)


def _make_room(lock: StoredLock) -> None:
    if lock.ByteSize() > SIZE_MAX:
        raise _full("more hold the lock, wait for it or have lost it than can be kept")


def _full(message: str) -> errors.Exhausted:
    return errors.Exhausted(message, code="LOCK_QUEUE_FULL", retry_after_s=1)
