"""The queries of inventory."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import inventory_pb2 as pb

from services.inventory.models import Balance, Batch, Item

# Statements of the write path are built once: put together anew, each costs SQLAlchemy four times as much.

_id = sa.bindparam("row", type_=sa.Uuid)
_site = sa.bindparam("at_site", type_=sa.Uuid)
_ids = sa.bindparam("rows", type_=sa.Uuid, expanding=True)
_now = sa.bindparam("now", type_=sa.DateTime(timezone=True))
_ITEM = sa.select(Item).where(Item.id == _id, Item.deleted_at.is_(None))
_ITEM_LOCKED = _ITEM.with_for_update()
_ITEM_KEPT = _ITEM.with_for_update(read=True, key_share=True)
# What has something in it. A column that the database makes of `on_hand`, with an index of its own.
THERE: Any = sa.text("NOT batches.gone")
_LOCK_BALANCES = (
    sa.select(Balance)
    .where(Balance.site_id == _site, Balance.item_id.in_(_ids))
    .order_by(Balance.item_id)
    .with_for_update()
    .execution_options(populate_existing=True)
)
_balances: Any = Balance.__table__
_ADD_BALANCES = postgresql.insert(_balances).on_conflict_do_nothing()
_MAY_BE_SOLD = (Batch.status == pb.BATCH_STATUS_AVAILABLE, Batch.expires_at > _now)
_IN_PICKING_ORDER = (
    sa.select(Batch)
    .where(Batch.item_id.in_(_ids), Batch.site_id == _site, THERE)
    .order_by(Batch.expires_at, Batch.received_at, Batch.id)
)
_IN_SELLING_ORDER = _IN_PICKING_ORDER.where(*_MAY_BE_SOLD)
_SELLABLE = (
    sa.select(Batch.item_id, sa.cast(sa.func.sum(Batch.on_hand - Batch.reserved), sa.BigInteger).label("quantity"))
    .where(Batch.item_id.in_(_ids), Batch.site_id == _site, *_MAY_BE_SOLD)
    .group_by(Batch.item_id)
)
_BATCHES = sa.select(Batch).where(Batch.id.in_(_ids))
_BATCHES_NOW = _BATCHES.execution_options(populate_existing=True)
_ITEMS_BY_ID = sa.select(Item).where(Item.id.in_(_ids))


async def item(session: AsyncSession, item_id: str | UUID, *, lock: bool = False, keep: bool = False) -> Item | None:
    """One item that is not retired. `lock`: nobody else changes it; `keep`: nobody retires it meanwhile."""
    select = _ITEM_KEPT if keep else _ITEM_LOCKED if lock else _ITEM
    found: Item | None = await session.scalar(select, {"row": UUID(str(item_id))})
    return found


async def has_stock(session: AsyncSession, item_id: UUID) -> bool:
    """Whether any of an item is anywhere, or promised before it is."""
    there = sa.or_(Balance.on_hand > 0, Balance.reserved > 0)
    select = sa.select(sa.exists().where(Balance.item_id == item_id, there))
    return bool(await session.scalar(select))


async def lock_balances(
    session: AsyncSession, *, tenant: UUID, site_id: UUID, item_ids: Iterable[UUID]
) -> dict[UUID, Balance]:
    """The balances of items at a site, made where they are missing, locked in the order of the items' ids."""
    wanted = sorted(set(item_ids))
    if not wanted:
        return {}
    rows = [
        {"tenant_id": tenant, "item_id": each, "site_id": site_id, "on_hand": 0, "reserved": 0, "is_low": False}
        for each in wanted
    ]
    asked = {"at_site": site_id, "rows": wanted}
    found = {balance.item_id: balance for balance in await session.scalars(_LOCK_BALANCES, asked)}
    if len(found) < len(wanted):
        await session.execute(_ADD_BALANCES, rows)
        found = {balance.item_id: balance for balance in await session.scalars(_LOCK_BALANCES, asked)}
    for balance in found.values():
        balance.had = balance.on_hand
    return found


async def in_picking_order(
    session: AsyncSession, *, item_ids: Iterable[UUID], site_id: UUID, sellable_at: datetime | None
) -> dict[UUID, list[Batch]]:
    """The batches of items at a site with something in them, first expiry first, then first in.

    `sellable_at`: only those that may be sold then.
    """
    wanted = set(item_ids)
    asked = {"at_site": site_id, "rows": list(wanted)}
    if sellable_at is None:
        rows = await session.scalars(_IN_PICKING_ORDER, asked)
    else:
        rows = await session.scalars(_IN_SELLING_ORDER, {**asked, "now": sellable_at})
    found: dict[UUID, list[Batch]] = {item_id: [] for item_id in wanted}
    for batch in rows:
        found[batch.item_id].append(batch)
    return found


async def batch(session: AsyncSession, *, item_id: UUID, site_id: UUID, batch_id: UUID) -> Batch | None:
    """One batch of an item at a site."""
    select = sa.select(Batch).where(Batch.id == batch_id, Batch.item_id == item_id, Batch.site_id == site_id)
    found: Batch | None = await session.scalar(select)
    return found


async def lot(session: AsyncSession, *, item_id: UUID, site_id: UUID, name: str) -> Batch | None:
    """One lot of an item at a site."""
    select = sa.select(Batch).where(Batch.item_id == item_id, Batch.site_id == site_id, Batch.lot == name)
    found: Batch | None = await session.scalar(select)
    return found


async def batch_by_id(session: AsyncSession, batch_id: UUID) -> Batch | None:
    """One batch, as it is now."""
    found: Batch | None = await session.scalar(_BATCHES_NOW, {"rows": [batch_id]})
    return found


async def batches_by_id(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, Batch]:
    """Batches by their ids."""
    return {batch.id: batch for batch in await session.scalars(_BATCHES, {"rows": list(ids)})}


async def end_alerts(session: AsyncSession, item_id: UUID, *, threshold: int) -> None:
    """Where a lower threshold leaves enough of an item, the next fall below it is news again."""
    enough = Balance.on_hand - Balance.reserved - Balance.held_back >= threshold
    update = sa.update(Balance).where(Balance.item_id == item_id, Balance.is_low, enough).values(is_low=False)
    await session.execute(update)


async def items_by_id(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, Item]:
    """Items by their ids, retired ones too: one may have been retired since it was looked up."""
    return {row.id: row for row in await session.scalars(_ITEMS_BY_ID, {"rows": list(set(ids))})}


async def keep_items(session: AsyncSession, ids: Iterable[UUID]) -> set[UUID]:
    """Which of some items are not retired; nor will they be before the transaction ends."""
    select = sa.select(Item.id).where(Item.id.in_(set(ids)), Item.deleted_at.is_(None)).order_by(Item.id)
    return set(await session.scalars(select.with_for_update(read=True, key_share=True)))


async def sellable_at(
    session: AsyncSession, site_id: UUID, item_ids: Iterable[UUID], *, at: datetime
) -> dict[UUID, int]:
    """How much of items may be promised at a site."""
    asked = {"rows": list(set(item_ids)), "at_site": site_id, "now": at}
    return {row.item_id: row.quantity for row in await session.execute(_SELLABLE, asked)}


async def expiring(
    session: AsyncSession, *, at: datetime, days: Iterable[int], most: int
) -> "Sequence[sa.Row[UUID, UUID]]":
    """Tenant and batch, of any tenant, where a threshold was crossed that nobody has been told of."""
    statement = sa.text("SELECT tenant_id, id FROM expiring_batches(:at, :days, :most)")
    return (await session.execute(statement, {"at": at, "days": list(days), "most": most})).all()
