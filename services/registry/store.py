"""The queries of registry."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.registry.v1 import registry_pb2 as pb

from chassis.identity import PLATFORM
from services.registry.models import Contract, HistoryEntry

# Who left longer before a moment is not shown at it, even to who asks for those that are gone.
_REMEMBERED = timedelta(days=1)


async def keep_contract(session: AsyncSession, digest: str, descriptor_set: bytes) -> None:
    """Store a contract unless it is known."""
    row = {"tenant_id": PLATFORM, "digest": digest, "descriptor_set": descriptor_set}
    await session.execute(postgresql.insert(Contract).values(row).on_conflict_do_nothing())


async def contract(session: AsyncSession, digest: str) -> bytes | None:
    """A contract."""
    return await session.scalar(sa.select(Contract.descriptor_set).where(Contract.digest == digest))


async def instances_at(session: AsyncSession, service: str, moment: datetime) -> Sequence[bytes]:
    """The instances of a service as they were at a moment, serialized; those that had just left too."""
    last = (
        sa.select(HistoryEntry)
        .where(HistoryEntry.service == service, HistoryEntry.occurred_at <= moment)
        .ext(postgresql.distinct_on(HistoryEntry.instance_id))
        .order_by(HistoryEntry.instance_id, HistoryEntry.occurred_at.desc(), HistoryEntry.revision.desc())
        .subquery()
    )
    gone_long_ago = sa.and_(last.c.to_state == pb.INSTANCE_STATE_GONE, last.c.occurred_at < moment - _REMEMBERED)
    # What was written before the history kept the instances has none.
    shown = sa.and_(sa.not_(gone_long_ago), last.c.instance != b"")
    return (await session.scalars(sa.select(last.c.instance).where(shown).order_by(last.c.revision))).all()


async def one_by_one(session: AsyncSession) -> None:
    """Wait until nobody else writes the history: what is told of it is in its order."""
    await session.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('registry-history', 0))"))


async def last(session: AsyncSession, instances: Collection[pb.Instance]) -> dict[str, tuple[datetime, int]]:
    """The moment and the revision of the last change of each instance that the history has."""
    services = {each.service for each in instances}
    moment = (HistoryEntry.occurred_at, HistoryEntry.revision)
    query = (
        sa.select(HistoryEntry.instance_id, *moment)
        .where(HistoryEntry.service.in_(services), HistoryEntry.instance_id.in_({UUID(each.id) for each in instances}))
        .ext(postgresql.distinct_on(HistoryEntry.instance_id))
        .order_by(HistoryEntry.instance_id, *(column.desc() for column in moment))
    )
    return {str(row[0]): (row[1], row[2]) for row in (await session.execute(query)).all()}


def history_of(service: str, instance_id: str) -> "sa.Select[Any]":
    """A service's history, or that of one of its instances."""
    query = sa.select(HistoryEntry).where(HistoryEntry.service == service)
    return query.where(HistoryEntry.instance_id == instance_id) if instance_id else query
