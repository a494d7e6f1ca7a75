"""The heart of locks: who gets a lease, keeps it and gives it back."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.locks.v1 import locks_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import audit, call, errors
from services.locks import store

TIMEOUT_DEFAULT_S = 30
# A waiter asks again after this; the hand-over takes about half of it.
ASK_EVERY_S = 0.05
# One who has not asked for this long has gone, and the next in line is served.
ALIVE_S = 1.0


async def acquire(session: AsyncSession, name: str, *, timeout_s: int, place: int | None = None) -> pb.Lease | None:
    """A lease, if the lock is free and it is our turn; `place` is where we stand in line."""
    principal = call.current().principal
    lease_id = uuid7()
    granted = await store.acquire(
        session,
        tenant=principal.tenant,
        name=name,
        lease=lease_id,
        holder=principal.name,
        timeout_s=timeout_s,
        place=place,
    )
    if granted is None:
        return None
    after = {"holder": principal.name, "token": granted.token, "expires_at": granted.expires_at}
    audit.changed(session, f"locks/{name}", after=after)
    lease = pb.Lease(acquired=True, lock_id=str(lease_id), fencing_token=granted.token, lock_name=name)
    lease.expires_at.FromDatetime(granted.expires_at)
    return lease


async def wait(session: AsyncSession, name: str, *, timeout_s: int, place: int) -> pb.Lease | None:
    """One more try of a waiter, who leaves the line with the lease."""
    lease = await acquire(session, name, timeout_s=timeout_s, place=place)
    if lease is None:
        await store.stay_in_line(session, name=name, place=place, alive_s=ALIVE_S)
    else:
        await store.leave_line(session, name=name, place=place)
    return lease


async def stand_in_line(session: AsyncSession, name: str) -> int:
    """A place at the end of the queue for a lock."""
    return await store.stand_in_line(session, tenant=call.current().principal.tenant, name=name, alive_s=ALIVE_S)


async def renew(session: AsyncSession, lock_id: str, *, timeout_s: int | None) -> pb.Lease:
    """The lease, kept for longer. Raises `Conflict` (`LEASE_LOST`)."""
    holder = call.current().principal.name
    kept = await store.renew(session, lease=UUID(lock_id), holder=holder, timeout_s=timeout_s)
    if kept is None:
        raise _lost()
    audit.changed(session, f"locks/{kept.name}", after={"expires_at": kept.expires_at})
    lease = pb.Lease(acquired=True, lock_id=lock_id, fencing_token=kept.token, lock_name=kept.name)
    lease.expires_at.FromDatetime(kept.expires_at)
    return lease


async def release(session: AsyncSession, lock_id: str) -> None:
    """Give the lock back. Raises `Conflict` (`LEASE_LOST`): the work under it may not have been alone."""
    holder = call.current().principal.name
    name = await store.release(session, lease=UUID(lock_id), holder=holder)
    if name is None:
        raise _lost()
    audit.changed(session, f"locks/{name}", before={"holder": holder}, after={"holder": None})


def _lost() -> errors.Conflict:
    message = "the lease has ended or is not yours"
    return errors.Conflict(message, code="LEASE_LOST")
