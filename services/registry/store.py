"""The queries of registry."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.identity import PLATFORM
from services.registry.models import Contract, HistoryEntry, Instance

_NEXT_EPOCH = sa.text(
    "INSERT INTO epochs AS e (tenant_id, service, last) VALUES (:tenant, :service, 1) "
    "ON CONFLICT (tenant_id, service) DO UPDATE SET last = e.last + 1 RETURNING last"
)


async def next_epoch(session: AsyncSession, service: str) -> int:
    """A number for a service that no registration before has had."""
    epoch: int = (await session.execute(_NEXT_EPOCH, {"tenant": PLATFORM, "service": service})).scalar_one()
    return epoch


async def keep_contract(session: AsyncSession, digest: str, descriptor_set: bytes) -> None:
    """Store a contract unless it is known."""
    row = {"tenant_id": PLATFORM, "digest": digest, "descriptor_set": descriptor_set}
    await session.execute(postgresql.insert(Contract).values(row).on_conflict_do_nothing())


async def contract(session: AsyncSession, digest: str) -> bytes | None:
    """A contract."""
    return await session.scalar(sa.select(Contract.descriptor_set).where(Contract.digest == digest))


async def instances(session: AsyncSession) -> Sequence[Instance]:
    """All that is registered."""
    return (await session.scalars(sa.select(Instance).order_by(Instance.registered_at))).all()


async def instance(session: AsyncSession, instance_id: str | UUID) -> Instance | None:
    """One instance, locked."""
    found: Instance | None = await session.scalar(
        sa.select(Instance).where(Instance.id == instance_id).with_for_update()
    )
    return found


def history_of(service: str) -> "sa.Select[Any]":
    """A service's history."""
    return sa.select(HistoryEntry).where(HistoryEntry.service == service)
