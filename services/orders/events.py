"""What orders does when events come: its own, of which POS and bulk orders are told, and that a reservation lapsed."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import events_pb2 as inventory_events_pb2
from switchyard.orders.v1 import events_pb2, orders_pb2

from chassis import inbox
from services.orders import bulk, pos, saga_steps

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


async def on_reservation_expired(event: inventory_events_pb2.ReservationExpired, session: AsyncSession) -> None:
    """Let the stock of an order that still waits be reserved anew."""
    await saga_steps.lapsed(session, UUID(event.order_id))


def _id(order: orders_pb2.Order) -> UUID:
    return UUID(order.id)


HANDLERS: inbox.Handlers = {
    events_pb2.OrderPlaced: on_order_placed,
    events_pb2.OrderStatusChanged: on_order_status_changed,
    inventory_events_pb2.ReservationExpired: on_reservation_expired,
}
