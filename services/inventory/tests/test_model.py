"""Whatever is done to stock in whatever order, it is what a simple model of it says."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from switchyard.inventory.v1 import inventory_pb2 as pb
from switchyard.inventory.v1 import menu_pb2 as menu
from switchyard.inventory.v1 import reservations_pb2 as held
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.testing import Serve, Tenant
from services.inventory.__main__ import build
from services.inventory.settings import InventorySettings
from services.inventory.tests.support import Stub

NEVER = 10_000
RECEIVE, DEDUCT, ADJUST = pb.MOVEMENT_TYPE_RECEIVE, pb.MOVEMENT_TYPE_DEDUCT, pb.MOVEMENT_TYPE_ADJUST

quantities = st.integers(1, 9)
orders = st.integers(0, 3)
steps = st.one_of(
    st.tuples(st.just("lot"), quantities, st.sampled_from([1, 5, 9])),
    st.tuples(st.just("move"), st.just(RECEIVE), quantities),
    st.tuples(st.just("move"), st.just(DEDUCT), quantities),
    st.tuples(st.just("move"), st.just(pb.MOVEMENT_TYPE_WASTE), quantities),
    st.tuples(st.just("move"), st.just(ADJUST), st.sampled_from([-3, -1, 2])),
    st.tuples(st.just("reserve"), orders, quantities),
    st.tuples(st.just("post"), orders, st.just(0)),
    st.tuples(st.just("release"), orders, st.just(0)),
)


@dataclass
class Lot:
    """A lot as the model knows it."""

    days: int
    on_hand: int = 0
    reserved: int = 0


@dataclass
class Model:
    """Stock by lot, in the order in which lots came in, and what each order holds."""

    lots: dict[str, Lot] = field(default_factory=dict)
    held: dict[int, dict[str, int]] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)

    def lot(self, quantity: int, days: int) -> bool:
        self.lots[f"L{len(self.lots)}"] = Lot(days, quantity)
        return True

    def move(self, kind: int, quantity: int) -> bool:
        if kind == RECEIVE or (quantity > 0 and kind == ADJUST):
            self.lots.setdefault("-", Lot(NEVER)).on_hand += quantity
            return True
        taken = self._pick(abs(quantity))
        for name, part in (taken or {}).items():
            self.lots[name].on_hand -= part
        return taken is not None

    def reserve(self, order: int, quantity: int) -> bool:
        if order in self.states:
            return True
        taken = self._pick(quantity)
        if taken is None:
            return False
        self.held[order], self.states[order] = taken, "active"
        for name, part in taken.items():
            self.lots[name].reserved += part
        return True

    def post(self, order: int, _none: int) -> bool:
        return self._end(order, "posted", sold=True)

    def release(self, order: int, _none: int) -> bool:
        if order not in self.states:
            self.states[order] = "released"
        return self._end(order, "released", sold=False)

    def _end(self, order: int, wanted: str, *, sold: bool) -> bool:
        if self.states.get(order) == "active":
            for name, part in self.held.pop(order).items():
                self.lots[name].reserved -= part
                self.lots[name].on_hand -= part if sold else 0
            self.states[order] = wanted
        return self.states.get(order) == wanted

    def _pick(self, quantity: int) -> dict[str, int] | None:
        taken: dict[str, int] = {}
        # A stable sort: first expiry first, then first in.
        for name, lot in sorted(self.lots.items(), key=lambda pair: pair[1].days):
            part = min(quantity - sum(taken.values()), lot.on_hand - lot.reserved)
            if part > 0:
                taken[name] = part
        return taken if sum(taken.values()) == quantity else None


class Real:
    """The same through the service."""

    def __init__(self, staff: Any, service: Any, item_id: str, menu_item_id: str) -> None:
        self.staff, self.service, self.item_id, self.menu_item_id = staff, service, item_id, menu_item_id
        self.site_id = str(uuid7())
        self.orders = [str(uuid7()) for _ in range(4)]
        self.lots = 0

    async def lot(self, quantity: int, days: int) -> None:
        told = pb.Batch(site_id=self.site_id, lot=f"L{self.lots}", quantity=quantity)
        # What is due on the same day is due at the same moment.
        told.expires_at.FromDatetime(_TODAY + timedelta(days=days))
        await self.staff.CreateBatch(pb.CreateBatchRequest(item_id=self.item_id, batch=told))

    async def move(self, kind: Any, quantity: int) -> None:
        told = pb.Movement(type=kind, quantity=quantity, site_id=self.site_id)
        await self.staff.CreateMovement(pb.CreateMovementRequest(item_id=self.item_id, movement=told))

    async def reserve(self, order: int, quantity: int) -> None:
        line = held.ReserveLine(line_id=str(uuid7()), menu_item_id=self.menu_item_id, quantity=quantity)
        wish = held.ReserveRequest(order_id=self.orders[order], site_id=self.site_id, lines=[line])
        await self.service.Reserve(wish)

    async def post(self, order: int, _none: int) -> None:
        await self.service.PostReservation(held.PostReservationRequest(order_id=self.orders[order]))

    async def release(self, order: int, _none: int) -> None:
        await self.service.ReleaseReservation(held.ReleaseReservationRequest(order_id=self.orders[order]))

    async def stock(self) -> dict[str, tuple[int, int]]:
        told = pb.ListBatchesRequest(item_id=self.item_id, page_size=100)
        batches = (await self.staff.ListBatches(told)).batches
        self.lots = len(batches)
        return {batch.lot: (batch.on_hand, batch.reserved) for batch in batches}


_TODAY = clock.now()


async def _real(serve: Serve) -> Callable[[], Any]:
    running = await serve("inventory", build, settings=InventorySettings)

    async def fresh() -> Real:
        tenant = Tenant()
        staff: Any = Stub(running.channel(tenant.user()))
        service: Any = Stub(running.channel(tenant.service("orders")))
        new = pb.Item(sku="X", name="X", unit=pb.UNIT_EACH)
        item = await staff.CreateItem(pb.CreateItemRequest(item=new))
        sold = menu.MenuItem(name="X", recipe=[menu.RecipeLine(item_id=item.id, quantity=1)])
        sold.price.amount, sold.price.currency = 1, "USD"
        menu_item = await staff.CreateMenuItem(menu.CreateMenuItemRequest(menu_item=sold))
        return Real(staff, service, item.id, menu_item.id)

    return fresh


async def _does(step: Any) -> bool:
    try:
        await step
    except (errors.Conflict, errors.InvalidTransition, errors.NotFound):
        return False
    return True


class TestModel:
    # Each example has a tenant of its own. A failing one is short enough to read and is not made shorter for minutes.
    @settings(
        max_examples=12,
        deadline=None,
        phases=[Phase.reuse, Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(done=st.lists(steps, min_size=5, max_size=25))
    async def test_stock_is_what_the_model_says(self, serve: Serve, done: list[Any]) -> None:
        model, real = Model(), await (await _real(serve))()

        for name, first, second in done:
            went = await _does(getattr(real, name)(first, second))

            assert went == getattr(model, name)(first, second), (name, first, second)
            assert await real.stock() == {lot: (row.on_hand, row.reserved) for lot, row in model.lots.items()}
        verified = await real.staff.VerifyLedger(pb.VerifyLedgerRequest(item_id=real.item_id))
        assert verified.consistent
