"""Orders, as the contract orders them."""

from datetime import UTC
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from google.protobuf.descriptor import ServiceDescriptor
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.orders.v1 import orders_pb2

from chassis import call, clock, errors, paging
from chassis.db import Database
from chassis.rpc import server
from services.orders import assigning, messages, orders, store
from services.orders.models import Order, OrderEvent
from services.orders.rpc.counter import Counter
from services.orders.saga_models import Saga


class OrdersRpc:
    """Serves `switchyard.orders.v1.OrdersService`."""

    service: ClassVar[ServiceDescriptor] = orders_pb2.DESCRIPTOR.services_by_name["OrdersService"]

    def __init__(self, database: Database, counter: Counter, pager: paging.Pager) -> None:
        self._database = database
        self._counter = counter
        self._pager = pager

    async def PlaceOrder(self, request: orders_pb2.PlaceOrderRequest) -> orders_pb2.Order:
        return await self._counter.place(request, wished(request, request.site_id))

    async def PlaceKioskOrder(self, request: orders_pb2.PlaceKioskOrderRequest) -> orders_pb2.Order:
        if request.catalog_id.lower() not in call.current().principal.sites:
            raise errors.NotFound
        return await self._counter.place(request, wished(request, request.catalog_id))

    @server.transactional
    async def ListOrders(
        self, request: orders_pb2.ListOrdersRequest, session: AsyncSession
    ) -> orders_pb2.ListOrdersResponse:
        columns = {"placed_at": Order.placed_at, "id": Order.id}
        page = self._pager.page(request, columns, default="-placed_at")
        found = await session.execute(page.apply(store.SHOWN.where(*_filters(request))))
        rows, next_cursor = page.cut(found.all())
        shown = [messages.order(row._mapping) for row in rows]  # noqa: SLF001 - public, despite its name
        return orders_pb2.ListOrdersResponse(orders=shown, next_cursor=next_cursor)

    async def GetQueue(self, request: orders_pb2.GetQueueRequest) -> orders_pb2.Queue:
        principal = call.current().principal
        if not principal.may_see_site(UUID(request.site_id)):
            raise errors.NotFound
        asked = {
            "site_id": UUID(request.site_id),
            "station_id": _uuid(request, "station_id"),
            "states": [messages.word("OrderStatus", status) for status in request.status] or store.QUEUED_STATES,
        }
        rows = await self._database.read(store.QUEUE, principal.tenant, **asked)
        return messages.queue(request.site_id, rows, clock.now())

    async def GetOrder(self, request: orders_pb2.GetOrderRequest) -> orders_pb2.Order:
        return await self._counter.read(UUID(request.id))

    async def UpdateOrder(self, request: orders_pb2.UpdateOrderRequest) -> orders_pb2.Order:
        return await self._counter.change(UUID(request.id), _change(request))

    async def CancelOrder(self, request: orders_pb2.CancelOrderRequest) -> orders_pb2.Order:
        change = orders.Change(status="cancelled", cancel_reason=request.reason)
        return await self._counter.once(
            request, UUID(request.id), partial(orders.update, order_id=UUID(request.id), change=change)
        )

    @server.transactional
    async def AssignOrder(self, request: orders_pb2.AssignOrderRequest, session: AsyncSession) -> orders_pb2.Order:
        order = await assigning.assign(session, UUID(request.id), _uuid(request, "user_id"))
        return messages.order(await store.shown(session, order.id))

    async def RetryOrder(self, request: orders_pb2.RetryOrderRequest) -> orders_pb2.Order:
        return await self._counter.retry(request, UUID(request.id))

    @server.transactional
    async def ListOrderEvents(
        self, request: orders_pb2.ListOrderEventsRequest, session: AsyncSession
    ) -> orders_pb2.ListOrderEventsResponse:
        await self._counter.read(UUID(request.id))
        page = self._pager.page(request, {"id": OrderEvent.sequence}, default="id")
        select = sa.select(*_EVENT_COLUMNS).where(OrderEvent.order_id == UUID(request.id))
        rows, next_cursor = page.cut((await session.execute(page.apply(select))).all())
        return orders_pb2.ListOrderEventsResponse(events=map(messages.event, rows), next_cursor=next_cursor)


# Pages are ordered by a column named `id`.
_EVENT_COLUMNS: list[Any] = [
    OrderEvent.sequence.label("id"),
    OrderEvent.type,
    *(
        column
        for column in OrderEvent.__table__.columns
        if column.name not in {"tenant_id", "order_id", "sequence", "type"}
    ),
]


def _uuid(request: Any, name: str) -> UUID | None:
    return UUID(getattr(request, name)) if request.HasField(name) else None


def wished(request: orders_pb2.PlaceOrderRequest | orders_pb2.PlaceKioskOrderRequest, site_id: str) -> orders.Wish:
    """An order as a request wishes it; whoever replays such requests reads them in the same way."""
    return orders.Wish(
        site_id=UUID(site_id),
        lines=list(request.lines),
        id=_uuid(request, "id"),
        payment_method=messages.word("PaymentMethod", request.payment_method),
        customer_name=request.customer_name,
        notes=request.notes,
        station_id=_uuid(request, "station_id"),
        customer_id=request.customer_id,
        payment_token=request.payment_token,
    )


def _change(request: orders_pb2.UpdateOrderRequest) -> orders.Change:
    named = set(request.update_mask.paths)
    status = messages.word("OrderStatus", request.order.status) if "status" in named else ""
    if "status" in named and not status:
        raise errors.Invalid(fields={"order.status": ["must be a state"]})
    texts = {"customer_name": request.order.customer_name, "notes": request.order.notes}
    edits = {name: text for name, text in texts.items() if name in named}
    reason = request.order.cancel_reason if "cancel_reason" in named else ""
    return orders.Change(status=status, cancel_reason=reason, edits=edits)


_IDS = ("site_id", "assigned_to", "station_id", "bulk_id")


def _filters(request: orders_pb2.ListOrdersRequest) -> list[Any]:
    principal = call.current().principal
    states = [messages.word("OrderStatus", status) for status in request.status]
    number = request.q.removeprefix("#")
    asked: list[tuple[bool, Any]] = [
        (bool(principal.sites), Order.site_id.in_([UUID(site) for site in principal.sites])),
        (principal.kind == "kiosk", Order.placed_by == principal.name),
        (len(states) == 1, Order.status == (states or [""])[0]),
        (len(states) > 1, Order.status.in_(states)),
        *((request.HasField(name), getattr(Order, name) == _uuid(request, name)) for name in _IDS),
        (request.channel != 0, Order.channel == messages.word("Channel", request.channel)),
        (request.HasField("date_from"), Order.placed_at >= request.date_from.ToDatetime(UTC)),
        (request.HasField("date_to"), Order.placed_at < request.date_to.ToDatetime(UTC)),
        (request.saga_state != 0, Saga.state == messages.word("SagaState", request.saga_state)),
        (bool(request.group_code), Order.group_code == request.group_code.upper()),
        (bool(request.customer_id), Order.customer_id == request.customer_id),
        (bool(number), Order.number == int(number or 0)),
    ]
    return [condition for applies, condition in asked if applies]
