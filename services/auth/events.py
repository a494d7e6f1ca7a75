"""What others' events mean for auth."""

from collections.abc import Awaitable, Callable, Mapping

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.orders.v1 import events_pb2

from chassis import call
from services.auth import stats


async def on_order_status_changed(event: events_pb2.OrderStatusChanged, session: AsyncSession) -> None:
    """Somebody has moved an order on."""
    await stats.note(session, event.order, actor=call.current().caused_by_actor)


HANDLERS: Mapping[type[Message], Callable[..., Awaitable[None]]] = {
    events_pb2.OrderStatusChanged: on_order_status_changed
}
