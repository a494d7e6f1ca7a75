"""The queries of locks: each decision is one statement, and the time is the database's."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.locks.models import Lock

# Granted when the lock is free and nobody alive stands before us; `place` is ours in the queue, or null for nobody's.
_ACQUIRE = sa.text("""
    INSERT INTO locks AS l (tenant_id, name, lease_id, holder, token, timeout_s, acquired_at, expires_at)
    SELECT CAST(:tenant AS uuid), CAST(:name AS text), CAST(:lease AS uuid), :holder, 1, CAST(:timeout AS int),
           clock_timestamp(), clock_timestamp() + make_interval(secs => CAST(:timeout AS int))
    WHERE NOT EXISTS (
        SELECT 1 FROM waiters w
        WHERE w.tenant_id = CAST(:tenant AS uuid) AND w.name = CAST(:name AS text) AND w.alive_until > clock_timestamp()
          AND (CAST(:place AS bigint) IS NULL OR w.place < CAST(:place AS bigint))
    )
    ON CONFLICT (tenant_id, name) DO UPDATE
    SET lease_id = excluded.lease_id, holder = excluded.holder, token = l.token + 1, timeout_s = excluded.timeout_s,
        acquired_at = clock_timestamp(), expires_at = excluded.expires_at
    WHERE l.expires_at IS NULL OR l.expires_at <= clock_timestamp()
    RETURNING lease_id, token, expires_at
""")
_RENEW = sa.text("""
    UPDATE locks SET timeout_s = coalesce(CAST(:timeout AS int), timeout_s),
        expires_at = clock_timestamp() + make_interval(secs => coalesce(CAST(:timeout AS int), timeout_s))
    WHERE lease_id = :lease AND holder = :holder AND expires_at > clock_timestamp()
    RETURNING name, lease_id, token, expires_at
""")
_RELEASE = sa.text("""
    UPDATE locks SET expires_at = NULL
    WHERE lease_id = :lease AND holder = :holder AND expires_at > clock_timestamp()
    RETURNING name
""")
_STAND = sa.text("""
    INSERT INTO waiters (tenant_id, name, alive_until)
    VALUES (:tenant, :name, clock_timestamp() + make_interval(secs => CAST(:alive AS float))) RETURNING place
""")
_STAY = sa.text("""
    UPDATE waiters SET alive_until = clock_timestamp() + make_interval(secs => CAST(:alive AS float))
    WHERE name = :name AND place = :place
""")
_GO = sa.text("""
    DELETE FROM waiters WHERE name = :name AND (place = :place OR alive_until < clock_timestamp())
""")


async def acquire(
    session: AsyncSession, *, tenant: UUID, name: str, lease: UUID, holder: str, timeout_s: int, place: int | None
) -> "sa.Row[Any] | None":
    """The lease, if the lock is free and it is our turn."""
    values = {
        "tenant": tenant,
        "name": name,
        "lease": lease,
        "holder": holder,
        "timeout": timeout_s,
        "place": place,
    }
    return (await session.execute(_ACQUIRE, values)).first()


async def renew(session: AsyncSession, *, lease: UUID, holder: str, timeout_s: int | None) -> "sa.Row[Any] | None":
    """The lease, longer, if it is not over."""
    return (await session.execute(_RENEW, {"lease": lease, "holder": holder, "timeout": timeout_s})).first()


async def release(session: AsyncSession, *, lease: UUID, holder: str) -> str | None:
    """The lock's name, if the lease was not over."""
    found: str | None = await session.scalar(_RELEASE, {"lease": lease, "holder": holder})
    return found


async def stand_in_line(session: AsyncSession, *, tenant: UUID, name: str, alive_s: float) -> int:
    """A place at the end of the queue."""
    values = {"tenant": tenant, "name": name, "alive": alive_s}
    place: int = (await session.execute(_STAND, values)).scalar_one()
    return place


async def stay_in_line(session: AsyncSession, *, name: str, place: int, alive_s: float) -> None:
    """Say that we still wait."""
    await session.execute(_STAY, {"name": name, "place": place, "alive": alive_s})


async def leave_line(session: AsyncSession, *, name: str, place: int) -> None:
    """Leave the queue, and clear away those who have gone without a word."""
    await session.execute(_GO, {"name": name, "place": place})


def held() -> "sa.Select[Any]":
    """The locks that are held."""
    return sa.select(Lock).where(Lock.expires_at > sa.func.clock_timestamp())


async def lock(session: AsyncSession, name: str) -> "sa.Row[Lock, bool] | None":
    """One lock, and whether it is held."""
    is_held = sa.func.coalesce(Lock.expires_at > sa.func.clock_timestamp(), sa.false())
    return (await session.execute(sa.select(Lock, is_held).where(Lock.id == name))).first()
