"""The queries of stations' stock."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import inventory_pb2 as pb

from services.inventory import restock_store
from services.inventory.item_store import total
from services.inventory.models import Balance, Batch, Depletion, Item, Placement
from services.inventory.store import THERE

_AVAILABLE = Batch.status == pb.BATCH_STATUS_AVAILABLE
_depletions: Any = Depletion.__table__


def station(site_id: UUID, station_id: UUID, *, at: datetime) -> "sa.Select[Any]":
    """What lies, or has lain, at a station, with what there is of it at the site."""
    here = _here(station_id, at)
    balance = sa.and_(Balance.tenant_id == Item.tenant_id, Balance.item_id == Item.id, Balance.site_id == site_id)
    return (
        sa.select(
            *(Item.id, Item.sku, Item.name, Item.unit),
            *(here.c.on_hand, here.c.quarantined, here.c.expired),
            Balance.on_hand.label("site_on_hand"),
            Balance.reserved.label("site_reserved"),
            (Balance.on_hand - Balance.reserved - _held_back(site_id, at)).label("site_available"),
            restock_store.incoming(Item.id, site_id).label("site_incoming"),
        )
        .join(here, here.c.item_id == Item.id)
        .join(Balance, balance)
        .where(Item.deleted_at.is_(None))
    )


def _here(station_id: UUID, at: datetime) -> Any:
    of_batch = sa.and_(Batch.tenant_id == Placement.tenant_id, Batch.id == Placement.batch_id)
    return (
        sa.select(
            Placement.item_id,
            total(Placement.on_hand).label("on_hand"),
            total(Placement.on_hand, sa.not_(_AVAILABLE)).label("quarantined"),
            total(Placement.on_hand, _AVAILABLE, Batch.expires_at <= at).label("expired"),
        )
        .join(Batch, of_batch)
        .where(Placement.station_id == station_id)
        .group_by(Placement.item_id)
        .subquery("here")
    )


def _held_back(site_id: UUID, at: datetime) -> Any:
    held = sa.or_(sa.not_(_AVAILABLE), Batch.expires_at <= at)
    free = sa.select(total(Batch.on_hand - Batch.reserved))
    return free.where(Batch.item_id == Item.id, Batch.site_id == site_id, THERE, held).scalar_subquery()


async def claim(session: AsyncSession, depletion: dict[str, object]) -> bool:
    """Note what is used up under a client's id; false when that was done before."""
    statement = postgresql.insert(_depletions).values(**depletion).on_conflict_do_nothing().returning(_depletions.c.id)
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def depletion(session: AsyncSession, depletion_id: UUID) -> Depletion | None:
    """What was used up under a client's id."""
    return await session.scalar(sa.select(Depletion).where(Depletion.id == depletion_id))


async def keep_answer(session: AsyncSession, depletion_id: UUID, answer: bytes) -> None:
    """How it was answered."""
    await session.execute(sa.update(_depletions).where(_depletions.c.id == depletion_id).values(answer=answer))
