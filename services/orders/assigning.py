"""Who makes which order."""

from dataclasses import asdict
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.orders.v1 import events_pb2

from chassis import call, clock, errors, events
from services.orders import messages, orders, store
from services.orders.models import Order


async def assign(session: AsyncSession, order_id: UUID, user_id: UUID | None) -> Order:
    """Say who makes an order. Of many who take it at once, one gets it."""
    order = await orders.held(session, order_id)
    if order.assigned_to == user_id:
        return order
    orders.check_not_final(order)
    who, before = orders.acting(_may_assign(order, user_id)), order.assigned_to
    order.assigned_to, order.updated_at = user_id, clock.now()
    await orders.note(session, order.id, "assigned", **asdict(who), detail=str(user_id or ""))
    row = await store.shown(session, order.id)
    event = events_pb2.OrderAssigned(order=messages.order(row), from_user_id=str(before or ""))
    told = [f"user:{user}" for user in (user_id, before) if user is not None]
    events.publish(session, event, subject=f"orders/{order.id}", audience=[*messages.audience(row), *told])
    return order


def _may_assign(order: Order, user_id: UUID | None) -> str:
    """The permission that an assignment takes besides; none, to take what nobody has and to give one's own back."""
    principal = call.current().principal
    own = UUID(principal.id) if principal.kind == "user" else None
    if own is not None and {order.assigned_to, user_id} == {None, own}:
        return ""
    if principal.may(orders.OVERRIDE):
        return orders.OVERRIDE
    if own is not None and user_id == own:
        message = "somebody else makes the order"
        raise errors.Conflict(message, code="ALREADY_ASSIGNED", metadata={"assigned_to": str(order.assigned_to)})
    raise errors.Denied.missing(orders.OVERRIDE)
