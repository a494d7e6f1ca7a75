"""What orders does when its own events come back: the site's POS is told, and the bulk order is looked after."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.orders.v1 import events_pb2, orders_pb2

from chassis import inbox
from services.orders import bulk, pos

_ENDED = frozenset({orders_pb2.ORDER_STATUS_COMPLETED, orders_pb2.ORDER_STATUS_CANCELLED})


async def on_order_placed(event: events_pb2.OrderPlaced, session: AsyncSession) -> None:
    """Let the order be sent, where its site has a POS."""
    await pos.begin(session, _id(event.order))


async def on_order_status_changed(event: events_pb2.OrderStatusChanged, session: AsyncSession) -> None:
    """Let a cancellation be sent, if the order was, and a bulk order know of what ended."""
    if event.order.status == orders_pb2.ORDER_STATUS_CANCELLED:
        await pos.withdraw(session, _id(event.order))
    if event.order.bulk_id and event.order.status in _ENDED:
        await bulk.look_soon(session, UUID(event.order.bulk_id))


def _id(order: orders_pb2.Order) -> UUID:
    return UUID(order.id)


HANDLERS: inbox.Handlers = {
    events_pb2.OrderPlaced: on_order_placed,
    events_pb2.OrderStatusChanged: on_order_status_changed,
}
