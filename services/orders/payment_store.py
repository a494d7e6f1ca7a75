"""The queries of payments."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from chassis import db
from services.orders.models import Order
from services.orders.payment_models import OrderPayment, ScriptedCharge

_about: list[Any] = [
    OrderPayment.id,
    OrderPayment.state,
    OrderPayment.token,
    OrderPayment.captured,
    OrderPayment.refunded,
    Order.payment_provider,
    Order.amount,
    Order.currency,
]
# What a provider is asked about an order.
DUE = db.Query(
    sa.select(*_about)
    .select_from(Order)
    .outerjoin(OrderPayment, (OrderPayment.tenant_id == Order.tenant_id) & (OrderPayment.order_id == Order.id))
    .where(Order.id == sa.bindparam("id"))
    .limit(sa.literal_column("1"))
)
_tables: Any = (OrderPayment.__table__, ScriptedCharge.__table__)
_payments, _charges = _tables
_OF = sa.select(OrderPayment).where(OrderPayment.order_id == sa.bindparam("of_order"))
_INSERT = sa.insert(_payments)
_BEGIN_CHARGE = postgresql.insert(_charges).on_conflict_do_nothing()
_CHARGE = sa.select(ScriptedCharge).where(ScriptedCharge.key == sa.bindparam("of_key")).with_for_update()


async def insert(session: AsyncSession, row: Mapping[str, object]) -> None:
    """Insert the payment of a new order."""
    await session.execute(_INSERT, row)


async def of(session: AsyncSession, order_id: UUID) -> OrderPayment | None:
    """The payment of an order that is held by this transaction."""
    return await session.scalar(_OF, {"of_order": order_id})


async def charge(session: AsyncSession, row: Mapping[str, object]) -> ScriptedCharge:
    """A charge of the provider `test`, held until the transaction ends; a new one unless its key is known."""
    await session.execute(_BEGIN_CHARGE, row)
    return (await session.scalars(_CHARGE, {"of_key": row["key"]})).one()
