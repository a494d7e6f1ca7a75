"""What users have done, counted from what orders tells.

Each order has one row, into which each of its events puts what it alone knows: they may come in any order.
"""

from datetime import UTC
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import users_pb2
from switchyard.orders.v1 import orders_pb2

from chassis import call
from services.auth import access_store

_COLUMNS = {
    orders_pb2.ORDER_STATUS_PREPARING: "began_at",
    orders_pb2.ORDER_STATUS_READY: "ready_at",
    orders_pb2.ORDER_STATUS_COMPLETED: "completed_at",
}
_USER = "user:"


async def note(session: AsyncSession, order: orders_pb2.Order, *, actor: str) -> None:
    """Note a step of an order. Who takes it into preparation is who handles it."""
    column = _COLUMNS.get(order.status)
    if column is None:
        return
    row = {
        "tenant_id": call.current().principal.tenant,
        "order_id": UUID(order.id),
        column: order.updated_at.ToDatetime(tzinfo=UTC),
    }
    if order.status == orders_pb2.ORDER_STATUS_PREPARING and actor.startswith(_USER):
        row["user_id"] = UUID(actor.removeprefix(_USER))
    await access_store.note_work(session, row)


async def of(session: AsyncSession, user_id: UUID) -> users_pb2.UserStats:
    """What a user has done in the tenant."""
    done = await access_store.work_of(session, user_id)
    return users_pb2.UserStats(orders_handled=done.orders, average_preparation_s=done.average_preparation_s)
