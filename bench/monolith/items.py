"""Reading items with their stock."""

import base64
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from fastapi import HTTPException
from sqlalchemy.ext.asyncio import AsyncSession

from bench.monolith.models import Batch, Item
from bench.monolith.schemas import ItemOut


def _with_stock() -> "sa.Select[Any]":
    stock = (
        sa.select(
            sa.func.coalesce(sa.func.sum(Batch.on_hand), 0).label("on_hand"),
            sa.func.coalesce(sa.func.sum(Batch.reserved), 0).label("reserved"),
        )
        .where(Batch.item_id == Item.id)
        .lateral("stock")
    )
    return sa.select(Item, stock.c.on_hand, stock.c.reserved).join(stock, sa.true())


async def find(session: AsyncSession, item_id: UUID) -> ItemOut:
    """One item, or 404."""
    row = (await session.execute(_with_stock().where(Item.id == item_id))).one_or_none()
    if row is None:
        raise HTTPException(404)
    return _shown(*row)


async def page(session: AsyncSession, page_size: int, cursor: str) -> tuple[list[ItemOut], str | None]:
    """A page of items, newest first, and where the next begins."""
    select = _with_stock().order_by(Item.created_at.desc(), Item.id.desc()).limit(page_size + 1)
    if cursor:
        created_at, item_id = base64.urlsafe_b64decode(cursor).decode().split()
        after = sa.tuple_(sa.literal(datetime.fromisoformat(created_at)), sa.literal(UUID(item_id)))
        select = select.where(sa.tuple_(Item.created_at, Item.id) < after)
    rows = (await session.execute(select)).all()
    shown = [_shown(*row) for row in rows[:page_size]]
    if len(rows) <= page_size:
        return shown, None
    last = shown[-1]
    return shown, base64.urlsafe_b64encode(f"{last.created_at.isoformat()} {last.id}".encode()).decode()


def _shown(item: Item, on_hand: int, reserved: int) -> ItemOut:
    return ItemOut(
        id=item.id,
        sku=item.sku,
        name=item.name,
        category=item.category,
        supplier=item.supplier,
        unit=item.unit,
        low_stock_threshold=item.low_stock_threshold,
        on_hand=on_hand,
        reserved=reserved,
        available=on_hand - reserved,
        version=item.version,
        created_at=item.created_at,
        updated_at=item.updated_at,
    )
