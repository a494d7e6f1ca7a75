"""The queries that read items with their stock."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import inventory_pb2 as pb

from chassis.db import Query
from services.inventory.models import Balance, Batch, Item
from services.inventory.restock_models import RestockLine, RestockPlan
from services.inventory.restock_store import UNDER_WAY
from services.inventory.store import THERE

_SITES = sa.bindparam("sites", type_=ARRAY(sa.Uuid))
_EVERYWHERE = sa.bindparam("everywhere", type_=sa.Boolean)
NOW = sa.bindparam("now", type_=sa.DateTime(timezone=True))
_AVAILABLE = Batch.status == pb.BATCH_STATUS_AVAILABLE


def _seen(site_id: Any) -> Any:
    """One of the caller's sites."""
    return sa.or_(_EVERYWHERE, site_id == sa.func.any(_SITES))


def total(column: Any, *where: Any) -> Any:
    """A sum, of the rows where something holds, that is zero where there is nothing."""
    added = sa.func.sum(column).filter(*where) if where else sa.func.sum(column)
    return sa.cast(sa.func.coalesce(added, 0), sa.BigInteger)


# Stock of one item over the sites of the caller: the inner sides of joins with items.
_STOCK = (
    sa.select(
        total(Balance.on_hand).label("on_hand"),
        total(Balance.reserved).label("reserved"),
        total(Balance.wasted).label("wasted"),
    )
    .where(Balance.tenant_id == Item.tenant_id, Balance.item_id == Item.id, _seen(Balance.site_id))
    .lateral("stock")
)
_HELD = (
    sa.select(
        total(Batch.on_hand, sa.not_(_AVAILABLE)).label("quarantined"),
        total(Batch.on_hand, _AVAILABLE).label("expired"),
        total(Batch.on_hand - Batch.reserved).label("free"),
    )
    .where(
        Batch.tenant_id == Item.tenant_id,
        Batch.item_id == Item.id,
        _seen(Batch.site_id),
        THERE,
        sa.or_(sa.not_(_AVAILABLE), Batch.expires_at <= NOW),
    )
    .lateral("held")
)
_INCOMING = (
    sa.select(total(RestockLine.quantity - RestockLine.received).label("incoming"))
    .join(RestockPlan, sa.and_(RestockPlan.tenant_id == RestockLine.tenant_id, RestockPlan.id == RestockLine.plan_id))
    .where(
        RestockLine.tenant_id == Item.tenant_id,
        RestockLine.item_id == Item.id,
        _seen(RestockPlan.site_id),
        RestockPlan.state.in_([sa.literal_column(f"'{state}'") for state in UNDER_WAY]),
    )
    .lateral("coming")
)
_COLUMNS = [column for column in Item.__table__.columns if column.name not in {"tenant_id", "deleted_at"}]
_FREE = _STOCK.c.on_hand - _STOCK.c.reserved - _HELD.c.free
ITEMS = (
    sa.select(
        *_COLUMNS,
        *(_STOCK.c.on_hand, _STOCK.c.reserved, _STOCK.c.wasted),
        *(_HELD.c.quarantined, _HELD.c.expired, _FREE.label("available"), _INCOMING.c.incoming),
    )
    .select_from(sa.join(Item, _STOCK, sa.true()).join(_HELD, sa.true()).join(_INCOMING, sa.true()))
    .where(Item.deleted_at.is_(None))
)
ITEM = Query(ITEMS.where(Item.id == sa.bindparam("id", type_=sa.Uuid)).limit(sa.literal_column("1")))
_EXPIRING = sa.exists().where(
    Batch.tenant_id == Item.tenant_id,
    Batch.item_id == Item.id,
    _seen(Batch.site_id),
    THERE,
    Batch.expires_at <= sa.bindparam("expiring_within", type_=sa.DateTime(timezone=True)),
)
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
    "low_stock": (Item.low_stock_threshold > _FREE) == sa.bindparam("low_stock", type_=sa.Boolean),
    # Until when.
    "expiring_within": _EXPIRING,
}


async def item(session: AsyncSession, item_id: UUID, told: dict[str, object]) -> "sa.RowMapping":
    """As `ITEM`, for a transaction that has changed the item."""
    return (await session.execute(ITEMS.where(Item.id == item_id), told)).mappings().one()
