"""A shop: orders on real servers beside an inventory that does as it is told."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
import grpc
import grpc.aio
import pytest_asyncio
from grpc_status import rpc_status
from pydantic import SecretStr
from switchyard.common.v1 import common_pb2
from switchyard.inventory.v1 import reservations_pb2, reservations_pb2_grpc
from switchyard.orders.v1 import lines_pb2, lines_pb2_grpc, orders_pb2, orders_pb2_grpc
from uuid_utils.compat import uuid7

from chassis import clock, errors, resealing
from chassis.identity import Principal
from chassis.service import Service
from chassis.testing import Databases, Running, Serve, Tenant
from services.orders.models import Base
from services.orders.paying import Desk
from services.orders.paying_scripted import Scripted
from services.orders.rpc.counter import Counter
from services.orders.rpc.lines import LinesRpc
from services.orders.rpc.orders import OrdersRpc
from services.orders.saga import Sagas

ACTIVE, POSTED, RELEASED, EXPIRED = (
    reservations_pb2.RESERVATION_STATE_ACTIVE,
    reservations_pb2.RESERVATION_STATE_POSTED,
    reservations_pb2.RESERVATION_STATE_RELEASED,
    reservations_pb2.RESERVATION_STATE_EXPIRED,
)
STAFF = {"orders.assign", "orders.create", "orders.read", "orders.update"}
MANAGER = STAFF | {"orders.override"}


@dataclass
class Fault:
    """What a call answers instead; `after`: its effect takes place all the same."""

    error: errors.Error
    after: bool = False


class Inventory(reservations_pb2_grpc.ReservationsServiceServicer):
    """An inventory with one number of pieces of everything. Faults are taken one a call."""

    def __init__(self) -> None:
        self.stock = 1_000_000
        self.states: dict[str, Any] = {}
        # By order and line: how many pieces, and what became of them.
        self.lines: dict[str, dict[str, tuple[int, Any]]] = {}
        self.calls: list[tuple[str, str]] = []
        self.faults: dict[str, list[Fault]] = {}
        # Orders about which nothing can be said to it.
        self.deaf_to: set[str] = set()

    def fail(self, method: str, error: errors.Error, *, times: int = 1, after: bool = False) -> None:
        self.faults.setdefault(method, []).extend([Fault(error, after)] * times)

    def said(self, order_id: str) -> list[str]:
        return [method for method, about in self.calls if about == order_id]

    async def Reserve(self, request: Any, context: Any) -> Any:
        return await self._answer("Reserve", request.order_id, context, lambda: self._reserve(request))

    async def PostReservation(self, request: Any, context: Any) -> Any:
        return await self._answer("PostReservation", request.order_id, context, lambda: self._end(request, POSTED))

    async def ReleaseReservation(self, request: Any, context: Any) -> Any:
        return await self._answer("ReleaseReservation", request.order_id, context, lambda: self._end(request, RELEASED))

    async def _answer(self, method: str, order_id: str, context: Any, effect: Callable[[], Any]) -> Any:
        self.calls.append((method, order_id))
        faults = self.faults.get(method)
        fault = faults.pop(0) if faults else None
        try:
            if fault is not None and not fault.after:
                raise fault.error
            if order_id in self.deaf_to:
                raise errors.Unavailable
            answer = effect()
            if fault is not None:
                raise fault.error
        except errors.Error as error:
            await context.abort_with_status(rpc_status.to_status(errors.to_status(error)))
        return answer

    def _reserve(self, request: Any) -> Any:
        held = self.lines.setdefault(request.order_id, {})
        if request.renews and self.states.get(request.order_id) == EXPIRED:
            self.states[request.order_id] = ACTIVE
            for line_id in [line_id for line_id, (_, state) in held.items() if state == EXPIRED]:
                del held[line_id]
        if self.states.setdefault(request.order_id, ACTIVE) == ACTIVE:
            new = {line.line_id: line.quantity for line in request.lines if line.line_id not in held}
            if sum(new.values()) > self.stock:
                if not held:
                    del self.states[request.order_id]
                raise errors.Conflict("not enough beans", code="INSUFFICIENT_STOCK", metadata={"item": "beans"})
            self.stock -= sum(new.values())
            held.update({line_id: (quantity, ACTIVE) for line_id, quantity in new.items()})
        lines = [
            reservations_pb2.PricedLine(
                line_id=line.line_id,
                menu_item_id=line.menu_item_id,
                name="Flat white",
                quantity=line.quantity,
                unit_price=common_pb2.Money(amount=450 + 50 * len(line.modifiers), currency="USD"),
                modifiers=[_priced(chosen) for chosen in line.modifiers],
                state=held[line.line_id][1],
            )
            for line in request.lines
            if line.line_id in held
        ]
        return reservations_pb2.Reservation(
            order_id=request.order_id, site_id=request.site_id, state=self.states[request.order_id], lines=lines
        )

    def _end(self, request: Any, wanted: Any) -> Any:
        state, held = self.states.get(request.order_id), self.lines.setdefault(request.order_id, {})
        if state != wanted and not (state == ACTIVE or (state is None and wanted == RELEASED)):
            raise errors.InvalidTransition.between(str(state), str(wanted), [])
        for line_id in request.line_ids or list(held):
            quantity, was = held.get(line_id, (0, ACTIVE))
            if was == ACTIVE:
                self.stock += quantity if wanted == RELEASED else 0
                held[line_id] = (quantity, wanted)
        if not request.line_ids or all(was != ACTIVE for _, was in held.values()):
            self.states[request.order_id] = wanted
        return reservations_pb2.Reservation(order_id=request.order_id, state=self.states[request.order_id])

    def lapse(self, order_id: str) -> None:
        """Let a reservation lapse."""
        self.stock += self.held(order_id)
        self.states[order_id] = EXPIRED
        held = self.lines[order_id]
        held.update({line_id: (quantity, EXPIRED) for line_id, (quantity, state) in held.items() if state == ACTIVE})

    def held(self, order_id: str) -> int:
        """Pieces that an order holds."""
        return sum(quantity for quantity, state in self.lines.get(order_id, {}).values() if state == ACTIVE)


def _priced(chosen: Any) -> reservations_pb2.PricedModifier:
    price = common_pb2.Money(amount=50, currency="USD")
    return reservations_pb2.PricedModifier(
        option_id=chosen.option_id, name="Oat milk", quantity=chosen.quantity, price=price
    )


@dataclass
class Shop:
    """One tenant's site, its people, and both services."""

    running: Running
    inventory: Inventory
    tenant: Tenant
    databases: Databases
    sagas: Sagas
    rpc: OrdersRpc
    site: str = field(default_factory=lambda: str(uuid7()))
    menu_item: str = field(default_factory=lambda: str(uuid7()))

    def __post_init__(self) -> None:
        self.staff = self.tenant.user(permissions=STAFF, roles=("staff",))
        self.manager = self.tenant.user(permissions=MANAGER, roles=("manager",))
        self.kiosk = self.tenant.kiosk(self.site)

    def stub(self, principal: Principal | None = None, **told: str) -> Any:
        channel: Any = self.running.channel(principal or self.staff, **told)
        return orders_pb2_grpc.OrdersServiceStub(channel)

    def wish(self, order_id: object = None, **more: Any) -> orders_pb2.PlaceOrderRequest:
        lines = [orders_pb2.OrderLine(menu_item_id=self.menu_item, quantity=2)]
        named = {"id": str(order_id)} if order_id else {}
        return orders_pb2.PlaceOrderRequest(**{"site_id": self.site, "lines": lines, **named, **more})

    def kiosk_wish(self, order_id: object = None, **more: Any) -> orders_pb2.PlaceKioskOrderRequest:
        wish = self.wish(order_id)
        named = {"id": wish.id} if order_id else {}
        return orders_pb2.PlaceKioskOrderRequest(**{"catalog_id": self.site, "lines": wish.lines, **named, **more})

    async def place(self, **more: Any) -> orders_pb2.Order:
        placed: orders_pb2.Order = await self.stub().PlaceOrder(self.wish(**more))
        return placed

    async def get(self, order_id: object, principal: Principal | None = None) -> orders_pb2.Order:
        found: orders_pb2.Order = await self.stub(principal).GetOrder(orders_pb2.GetOrderRequest(id=str(order_id)))
        return found

    async def patch(
        self, order_id: str, principal: Principal | None = None, told: dict[str, str] | None = None, **fields: Any
    ) -> orders_pb2.Order:
        request = orders_pb2.UpdateOrderRequest(id=order_id, order=orders_pb2.Order(**fields))
        request.update_mask.paths.extend(fields)
        changed: orders_pb2.Order = await self.stub(principal, **(told or {})).UpdateOrder(request)
        return changed

    def lines(self, principal: Principal | None = None, **told: str) -> Any:
        channel: Any = self.running.channel(principal or self.staff, **told)
        return lines_pb2_grpc.LinesServiceStub(channel)

    async def patch_line(
        self, order: orders_pb2.Order, place: int, principal: Principal | None = None, **fields: Any
    ) -> orders_pb2.Order:
        request = lines_pb2.UpdateLineRequest(id=order.id, line_id=order.lines[place].id)
        request.line.CopyFrom(lines_pb2.LineChange(**fields))
        request.update_mask.paths.extend(fields)
        changed: orders_pb2.Order = await self.lines(principal).UpdateLine(request)
        return changed

    async def remake(self, order: orders_pb2.Order, place: int, **more: Any) -> orders_pb2.Order:
        fields = {"id": order.id, "line_id": order.lines[place].id, "reason": "spilt", **more}
        made: orders_pb2.Order = await self.lines().RemakeLine(lines_pb2.RemakeLineRequest(**fields))
        return made

    async def timeline(self, order_id: str) -> list[orders_pb2.OrderEvent]:
        answer = await self.stub().ListOrderEvents(orders_pb2.ListOrderEventsRequest(id=order_id, page_size=100))
        return list(answer.events)

    async def resume_later(self, after: timedelta = timedelta(minutes=5)) -> None:
        """What the resumer does when every claim has ended."""
        with clock.shifted(after):
            await self.sagas.resume()

    async def rows(self, sql: str, *arguments: object) -> list[Any]:
        """What a superuser sees."""
        connection = await asyncpg.connect(self.databases.admin("orders"))
        try:
            found: list[Any] = await connection.fetch(sql, *arguments)
            return found
        finally:
            await connection.close()

    async def outbox(self, order_id: object) -> list[str]:
        """The names of the events of an order, in order."""
        sql = (
            "SELECT subject FROM outbox WHERE tenant_id = $1 AND envelope LIKE $2 AND subject LIKE 'evt.%' ORDER BY seq"
        )
        rows = await self.rows(sql, self.tenant.id, f'%"subject":"orders/{order_id}"%')
        return [row["subject"].rsplit(".", 1)[1] for row in rows]


@pytest_asyncio.fixture
async def inventory() -> AsyncIterator[tuple[Inventory, str]]:
    """A served inventory and its address."""
    server = grpc.aio.server()
    fake = Inventory()
    reservations_pb2_grpc.add_ReservationsServiceServicer_to_server(fake, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield fake, f"127.0.0.1:{port}"
    await server.stop(None)


@pytest_asyncio.fixture
async def shop(serve: Serve, databases: Databases, tenant: Tenant, inventory: tuple[Inventory, str]) -> Shop:
    """A shop whose resumer only works when it is asked to."""
    return await open_shop(serve, databases, tenant, inventory)


# Serves more: it is given the service, the counter and the sagas.
More = Callable[[Service, Counter, Sagas], None]


async def open_shop(
    serve: Serve,
    databases: Databases,
    tenant: Tenant,
    inventory: tuple[Inventory, str],
    more: More = lambda *_: None,
) -> Shop:
    parts: dict[str, Any] = {}

    def build(service: Service) -> None:
        channel: Any = service.channel("inventory")
        vault = resealing.vault(service, Base, master=SecretStr("a master key for tests"), previous=SecretStr(""))
        desk = Desk(Scripted(service.database), vault=vault)
        parts["sagas"] = Sagas(service.database, reservations_pb2_grpc.ReservationsServiceStub(channel), desk)
        counter = Counter(service.database, parts["sagas"], service.sites())
        parts["rpc"] = OrdersRpc(service.database, counter, service.pager())
        service.serve(parts["rpc"])
        service.serve(LinesRpc(counter))
        more(service, counter, parts["sagas"])

    running = await serve("orders", build, addresses={"inventory": inventory[1]})
    opened = Shop(running, inventory[0], tenant, databases, **parts)
    # What earlier tests have left half done is not this one's business.
    await opened.rows("UPDATE sagas SET due_at = 'infinity'")
    return opened
