"""The queries of failed sign-ins: rows of the platform, each under a hash of a name."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.identity import PLATFORM
from services.auth.models import LoginFailures

# What is not blocked says so by no time of its own: of two attempts at once, the one that looked at the clock first may
# come second, and would find itself blocked by the other.
_COUNT_ATTEMPT = sa.text("""
    INSERT INTO login_failures AS f (tenant_id, key, failures, last_at, blocked_until)
    VALUES (:platform, :key, 1, :now, '-infinity')
    ON CONFLICT (tenant_id, key) DO UPDATE SET
        failures = CASE WHEN f.last_at < :forgotten THEN 1 ELSE f.failures + 1 END,
        last_at = :now,
        blocked_until = CASE
            WHEN f.last_at < :forgotten OR f.failures + 1 < :free THEN '-infinity'
            ELSE CAST(:now AS timestamptz)
                + make_interval(secs => least(:delay_max_s, power(2, least(f.failures + 1 - :free, 30))))
        END
    WHERE f.blocked_until <= :now
    RETURNING failures
""").bindparams(
    sa.bindparam("key", type_=sa.LargeBinary),
    sa.bindparam("now", type_=sa.DateTime(timezone=True)),
    sa.bindparam("forgotten", type_=sa.DateTime(timezone=True)),
    sa.bindparam("free", type_=sa.Integer),
    sa.bindparam("delay_max_s", type_=sa.Float),
)


_failures: Any = LoginFailures.__table__
_forgiven = sa.update(_failures).where(_failures.c.key == sa.bindparam("of"))
_FORGIVE_ALL = _forgiven.values(failures=0, blocked_until=sa.text("'-infinity'"))
_FORGIVE_ONE = _forgiven.values(failures=sa.func.greatest(_failures.c.failures - 1, 0))
_TAKE_BACK = _FORGIVE_ONE.values(blocked_until=sa.text("'-infinity'"))


async def count_attempt(
    session: AsyncSession, key: bytes, *, now: datetime, forgotten: datetime, free: int, delay_max_s: float
) -> bool:
    """Count an attempt as failed until it succeeds, in one statement; `False`: blocked, and not counted."""
    values = {"now": now, "forgotten": forgotten, "free": free, "delay_max_s": delay_max_s}
    counted = await session.execute(_COUNT_ATTEMPT, {"platform": PLATFORM, "key": key, **values})
    return counted.first() is not None


async def blocked_until(session: AsyncSession, key: bytes) -> datetime | None:
    """Until when attempts are refused."""
    found: datetime | None = await session.scalar(
        sa.select(LoginFailures.blocked_until).where(LoginFailures.key == key)
    )
    return found


async def forgive(session: AsyncSession, key: bytes, *, all_of_them: bool) -> None:
    """Forget one counted attempt, or all of them."""
    await session.execute(_FORGIVE_ALL if all_of_them else _FORGIVE_ONE, {"of": key})


async def take_back_attempt(session: AsyncSession, key: bytes) -> None:
    """Uncount the attempt that was admitted last, and the delay that it began."""
    await session.execute(_TAKE_BACK, {"of": key})


async def forget_failures(session: AsyncSession, before: datetime) -> None:
    """Delete what was counted before a time."""
    await session.execute(sa.delete(LoginFailures).where(LoginFailures.last_at < before))
