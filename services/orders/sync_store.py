"""The queries of offline clients' operations."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from services.orders import store
from services.orders.models import Order
from services.orders.sync_models import SyncOperation

_operations: Any = SyncOperation.__table__
_ids: Any = sa.bindparam("ids", type_=postgresql.ARRAY(sa.Uuid))
_FIND = sa.select(_operations).where(_operations.c.operation_id == sa.func.any(_ids))
_INSERT = postgresql.insert(_operations).on_conflict_do_nothing().returning(sa.literal(1))
_REJECTED = sa.select(_operations.c.code).where(
    _operations.c.order_id == sa.bindparam("of_order"),
    _operations.c.type == sa.literal_column("'place_order'"),
    _operations.c.outcome == sa.literal_column("'rejected'"),
)
_REFUSE = (
    sa.update(_operations)
    .where(_operations.c.operation_id == sa.bindparam("of"), _operations.c.outcome == "applied")
    .values(outcome="conflict", code=sa.bindparam("why"), message=sa.bindparam("words"))
)
_SHOWN = store.SHOWN.where(Order.id == sa.func.any(_ids))


async def find(session: AsyncSession, operation_ids: Collection[UUID]) -> dict[UUID, Any]:
    """Those of the operations that have been decided."""
    rows = await session.execute(_FIND, {"ids": list(operation_ids)})
    return {row.operation_id: row for row in rows}


async def insert(session: AsyncSession, row: Mapping[str, object]) -> bool:
    """Remember an operation as decided; false when it has been, maybe by a call that ran at the same time."""
    return await session.scalar(_INSERT, row) is not None


async def refuse(session: AsyncSession, operation_id: UUID, *, code: str, message: str) -> None:
    """Remember that what was noted as done was refused afterwards."""
    await session.execute(_REFUSE, {"of": operation_id, "why": code, "words": message})


async def rejected(session: AsyncSession, order_id: UUID) -> str | None:
    """Why the order that a client placed was rejected, when it was."""
    return await session.scalar(_REJECTED, {"of_order": order_id})


async def orders(session: AsyncSession, order_ids: Collection[UUID]) -> list[sa.RowMapping]:
    """Orders as they are shown."""
    found: Any = (await session.execute(_SHOWN, {"ids": list(order_ids)})).mappings().all()
    return list(found)
