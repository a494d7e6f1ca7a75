"""The queries of locks."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from services.locks.models import ToldLoss

_TELL = postgresql.insert(ToldLoss).on_conflict_do_nothing().returning(sa.literal(1))
# A loss is told within moments, and never again; that it was is kept for as long as anything may be away.
_FORGET = sa.delete(ToldLoss).where(ToldLoss.told_at < sa.func.now() - sa.text("interval '7 days'"))


async def first_time(session: AsyncSession, *, tenant: UUID, token: int) -> bool:
    """Whether nobody has told of the loss of this lease."""
    row = {"tenant_id": tenant, "token": token}
    return await session.scalar(_TELL, row) is not None


async def forget(session: AsyncSession) -> None:
    """Forget what was told long ago."""
    await session.execute(_FORGET)
