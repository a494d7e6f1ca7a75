"""What others' events mean for auth."""

from collections.abc import Awaitable, Callable, Mapping

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.orders.v1.events_pb2 import OrderStatusChanged
from switchyard.tenants.v1.events_pb2 import TenantCreated, TenantResumed, TenantSuspended, TenantUpdated

from chassis import call
from services.auth import standing, stats


async def on_tenant_created(event: TenantCreated, session: AsyncSession) -> None:
    """There is a new tenant."""
    await standing.set_limits(session, event.tenant)


async def on_tenant_updated(event: TenantUpdated, session: AsyncSession) -> None:
    """A tenant has another name, or other limits."""
    await standing.set_limits(session, event.tenant)


async def on_tenant_suspended(event: TenantSuspended, session: AsyncSession) -> None:
    """Nobody may act in a tenant any more."""
    await standing.set_status(session, event.tenant_id, standing.SUSPENDED)


async def on_tenant_resumed(event: TenantResumed, session: AsyncSession) -> None:
    """A tenant may work again."""
    await standing.set_status(session, event.tenant_id, standing.ACTIVE)


async def on_order_status_changed(event: OrderStatusChanged, session: AsyncSession) -> None:
    """Somebody has moved an order on."""
    await stats.note(session, event.order, actor=call.current().caused_by_actor)


HANDLERS: Mapping[type[Message], Callable[..., Awaitable[None]]] = {
    TenantCreated: on_tenant_created,
    TenantUpdated: on_tenant_updated,
    TenantSuspended: on_tenant_suspended,
    TenantResumed: on_tenant_resumed,
    OrderStatusChanged: on_order_status_changed,
}
