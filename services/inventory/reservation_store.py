"""The queries of what is promised."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from services.inventory.reservation_models import Pick, Reservation

_id = sa.bindparam("row", type_=sa.Uuid)
_reservations: Any = Reservation.__table__


_BEGIN_RESERVATION = postgresql.insert(_reservations).on_conflict_do_nothing().returning(sa.literal(1))


_RESERVATION = sa.select(Reservation).where(Reservation.id == _id).with_for_update()


_PICKS = sa.select(Pick).where(Pick.order_id == _id).order_by(Pick.item_id, Pick.batch_id)


async def begin_reservation(session: AsyncSession, row: dict[str, object]) -> bool:
    """Claim an order's reservation; whether nobody has."""
    return (await session.execute(_BEGIN_RESERVATION, row)).first() is not None


async def reservation(session: AsyncSession, order_id: str) -> Reservation | None:
    """An order's reservation, locked."""
    found: Reservation | None = await session.scalar(_RESERVATION, {"row": UUID(order_id)})
    return found


async def picks(session: AsyncSession, order_id: UUID) -> Sequence[Pick]:
    """What is held for an order."""
    return (await session.scalars(_PICKS, {"row": order_id})).all()


async def lapsed(session: AsyncSession, *, at: datetime, most: int) -> "Sequence[sa.Row[UUID, UUID]]":
    """Tenant and order of reservations of any tenant whose time is over."""
    statement = sa.text("SELECT tenant_id, order_id FROM lapsed_reservations(:at, :most)")
    return (await session.execute(statement, {"at": at, "most": most})).all()
