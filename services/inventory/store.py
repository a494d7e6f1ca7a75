"""The queries of inventory."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import inventory_pb2 as pb
from switchyard.inventory.v1 import reservations_pb2

from chassis.db import Query
from services.inventory.models import Balance, Batch, Item, Movement
from services.inventory.reservation_models import LineRow, PickRow, ReservationRow

# A line in this state holds what was picked for it.
_HELD = reservations_pb2.RESERVATION_STATE_ACTIVE
_OF_LINE = sa.and_(LineRow.order_id == PickRow.order_id, LineRow.line_id == PickRow.line_id)
_SITES = sa.bindparam("sites", type_=ARRAY(sa.Uuid))
_EVERYWHERE = sa.bindparam("everywhere", type_=sa.Boolean)
# Stock of one item over the sites of the caller: the inner side of a join with items.
_STOCK = (
    sa.select(
        sa.cast(sa.func.coalesce(sa.func.sum(Balance.on_hand), 0), sa.BigInteger).label("on_hand"),
        sa.cast(sa.func.coalesce(sa.func.sum(Balance.reserved), 0), sa.BigInteger).label("reserved"),
    )
    .where(
        Balance.tenant_id == Item.tenant_id,
        Balance.item_id == Item.id,
        sa.or_(_EVERYWHERE, Balance.site_id == sa.func.any(_SITES)),
    )
    .lateral("stock")
)
_COLUMNS = [column for column in Item.__table__.columns if column.name not in {"tenant_id", "deleted_at"}]
ITEMS = (
    sa.select(*_COLUMNS, _STOCK.c.on_hand, _STOCK.c.reserved)
    .select_from(sa.join(Item, _STOCK, sa.true()))
    .where(Item.deleted_at.is_(None))
)
ITEM = Query(ITEMS.where(Item.id == sa.bindparam("id", type_=sa.Uuid)).limit(sa.literal_column("1")))
# What a list may be narrowed by; each present filter adds its condition to the statement.
ITEM_FILTERS = {
    "sku": sa.func.lower(Item.sku) == sa.func.lower(sa.bindparam("sku", type_=sa.Text)),
    "category": Item.category == sa.bindparam("category", type_=sa.Text),
    "supplier": Item.supplier == sa.bindparam("supplier", type_=sa.Text),
    "q": sa.or_(
        # What is looked for is text, not a pattern.
        sa.func.strpos(sa.func.lower(Item.name), sa.func.lower(sa.bindparam("q", type_=sa.Text))) > 0,
        sa.func.strpos(sa.func.lower(Item.sku), sa.func.lower(sa.bindparam("q", type_=sa.Text))) > 0,
    ),
    "low_stock": (_STOCK.c.on_hand - _STOCK.c.reserved < Item.low_stock_threshold)
    == sa.bindparam("low_stock", type_=sa.Boolean),
}

# Statements of the write path are built once: put together anew, each costs SQLAlchemy four times as much.

_id = sa.bindparam("row", type_=sa.Uuid)
_site = sa.bindparam("at_site", type_=sa.Uuid)
_ids = sa.bindparam("rows", type_=sa.Uuid, expanding=True)
_now = sa.bindparam("now", type_=sa.DateTime(timezone=True))
_ITEM = sa.select(Item).where(Item.id == _id, Item.deleted_at.is_(None))
_ITEM_LOCKED = _ITEM.with_for_update()
_ITEM_KEPT = _ITEM.with_for_update(read=True, key_share=True)
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
    .where(Batch.item_id.in_(_ids), Batch.site_id == _site, Batch.on_hand > 0)
    .order_by(Batch.expires_at, Batch.received_at, Batch.id)
)
_IN_SELLING_ORDER = _IN_PICKING_ORDER.where(*_MAY_BE_SOLD)
_SELLABLE = (
    sa.select(Batch.item_id, sa.cast(sa.func.sum(Batch.on_hand - Batch.reserved), sa.BigInteger).label("quantity"))
    .where(Batch.item_id.in_(_ids), Batch.site_id == _site, *_MAY_BE_SOLD)
    .group_by(Batch.item_id)
)
_BATCHES = sa.select(Batch).where(Batch.id.in_(_ids))
_ITEMS_BY_ID = sa.select(Item).where(Item.id.in_(_ids))


async def item(session: AsyncSession, item_id: str | UUID, *, lock: bool = False, keep: bool = False) -> Item | None:
    """One item that is not retired. `lock`: nobody else changes it; `keep`: nobody retires it meanwhile."""
    select = _ITEM_KEPT if keep else _ITEM_LOCKED if lock else _ITEM
    found: Item | None = await session.scalar(select, {"row": UUID(str(item_id))})
    return found


async def item_with_stock(session: AsyncSession, item_id: UUID, sites: Sequence[UUID]) -> "sa.RowMapping":
    """As `ITEM`, for a transaction that has changed the item."""
    told = {"everywhere": not sites, "sites": sites}
    return (await session.execute(ITEMS.where(Item.id == item_id), told)).mappings().one()


async def has_stock(session: AsyncSession, item_id: UUID) -> bool:
    """Whether any of an item is anywhere."""
    select = sa.select(sa.exists().where(Balance.item_id == item_id, Balance.on_hand > 0))
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


async def batches_by_id(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, Batch]:
    """Batches by their ids."""
    return {batch.id: batch for batch in await session.scalars(_BATCHES, {"rows": list(ids)})}


def batches(item_id: str, sites: Iterable[str]) -> "sa.Select[Any]":
    """The batches of an item, at some sites or at all."""
    return _at(sa.select(Batch).where(Batch.item_id == UUID(item_id)), Batch.site_id, sites)


def movements(item_id: str, sites: Iterable[str]) -> "sa.Select[Any]":
    """The movements of an item, at some sites or at all."""
    return _at(sa.select(Movement).where(Movement.item_id == UUID(item_id)), Movement.site_id, sites)


def _at(select: "sa.Select[Any]", column: Any, sites: Iterable[str]) -> "sa.Select[Any]":
    wanted = [UUID(site) for site in sites]
    return select.where(column.in_(wanted)) if wanted else select


async def ledger_sums(session: AsyncSession, item_id: UUID, sites: Iterable[str]) -> Any:
    """What the ledger, the balances and the reservations of an item say, at some sites or at all, of one moment.

    `wrong`: how many batches and balances are not the sum of their movements and of what is held for orders.
    """
    of_batches = _sums_of_batches(item_id)
    waiting = _waiting(item_id)
    differs = sa.or_(
        Balance.on_hand != sa.func.coalesce(of_batches.c.on_hand, 0),
        Balance.reserved != sa.func.coalesce(of_batches.c.reserved, 0) + Balance.backordered,
        Balance.backordered != sa.func.coalesce(waiting.c.quantity, 0),
    )
    select = (
        sa.select(
            _total(of_batches.c.moved).label("moved"),
            _total(of_batches.c.movements).label("movements"),
            (_total(of_batches.c.held) + _total(waiting.c.quantity)).label("held"),
            _total(Balance.on_hand).label("on_hand"),
            _total(Balance.reserved).label("reserved"),
            (_total(of_batches.c.wrong) + sa.func.count().filter(differs)).label("wrong"),
        )
        .select_from(Balance)
        .outerjoin(of_batches, Balance.site_id == of_batches.c.site_id)
        .outerjoin(waiting, Balance.site_id == waiting.c.site_id)
    )
    return (await session.execute(_at(select.where(Balance.item_id == item_id), Balance.site_id, sites))).one()


def _sums_of_batches(item_id: UUID) -> "sa.Subquery":
    """By site: its batches, their movements and what is held of them, and how many batches are not what those say."""
    moved = (
        sa.select(
            Movement.batch_id,
            Movement.site_id,
            sa.func.sum(Movement.quantity).label("quantity"),
            sa.func.count().label("rows"),
        )
        .where(Movement.item_id == item_id)
        .group_by(Movement.batch_id, Movement.site_id)
        .subquery()
    )
    held = (
        sa.select(PickRow.batch_id, sa.func.sum(PickRow.quantity).label("quantity"))
        .join(LineRow, _OF_LINE)
        .where(PickRow.item_id == item_id, LineRow.state == _HELD)
        .group_by(PickRow.batch_id)
        .subquery()
    )
    differs = sa.or_(
        Batch.on_hand != sa.func.coalesce(moved.c.quantity, 0), Batch.reserved != sa.func.coalesce(held.c.quantity, 0)
    )
    return (
        sa.select(
            Batch.site_id,
            sa.func.sum(Batch.on_hand).label("on_hand"),
            sa.func.sum(Batch.reserved).label("reserved"),
            sa.func.sum(moved.c.quantity).label("moved"),
            sa.func.sum(moved.c.rows).label("movements"),
            sa.func.sum(held.c.quantity).label("held"),
            sa.func.count().filter(differs).label("wrong"),
        )
        .outerjoin(moved, sa.and_(moved.c.batch_id == Batch.id, moved.c.site_id == Batch.site_id))
        .outerjoin(held, held.c.batch_id == Batch.id)
        .where(Batch.item_id == item_id)
        .group_by(Batch.site_id)
        .subquery()
    )


def _waiting(item_id: UUID) -> "sa.Subquery":
    """By site: what is held without a batch."""
    return (
        sa.select(ReservationRow.site_id, sa.func.sum(PickRow.quantity).label("quantity"))
        .join(LineRow, _OF_LINE)
        .join(ReservationRow, ReservationRow.id == PickRow.order_id)
        .where(PickRow.item_id == item_id, PickRow.batch_id.is_(None), LineRow.state == _HELD)
        .group_by(ReservationRow.site_id)
        .subquery()
    )


def _total(column: Any) -> Any:
    return sa.func.coalesce(sa.func.sum(column), 0)


async def end_alerts(session: AsyncSession, item_id: UUID, *, threshold: int) -> None:
    """Where a lower threshold leaves enough of an item, the next fall below it is news again."""
    enough = Balance.on_hand - Balance.reserved >= threshold
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
