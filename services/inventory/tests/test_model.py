"""Whatever is done to stock in whatever order, it is what a simple model of it says."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from switchyard.inventory.v1 import inventory_pb2 as pb
from switchyard.inventory.v1 import menu_pb2 as menu
from switchyard.inventory.v1 import reservations_pb2 as held
from switchyard.inventory.v1 import stock_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.testing import Running, Serve, Tenant
from services.inventory.__main__ import build
from services.inventory.settings import InventorySettings
from services.inventory.tests.support import Stub

NEVER = 10_000
RECEIVE, DEDUCT, ADJUST = pb.MOVEMENT_TYPE_RECEIVE, pb.MOVEMENT_TYPE_DEDUCT, pb.MOVEMENT_TYPE_ADJUST
WASTE, TRANSFER = pb.MOVEMENT_TYPE_WASTE, pb.MOVEMENT_TYPE_TRANSFER
AVAILABLE, RECALLED = pb.BATCH_STATUS_AVAILABLE, pb.BATCH_STATUS_RECALLED
# The store room, and the stations in the order of their ids.
STORE_ROOM = 0
PLACES = (STORE_ROOM, 1, 2)

quantities = st.integers(1, 9)
orders = st.integers(0, 3)
places = st.sampled_from(PLACES)
stations = st.sampled_from(PLACES[1:])
steps = st.one_of(
    st.tuples(st.just("lot"), quantities, st.sampled_from([1, 5, 9])),
    st.tuples(st.just("move"), st.just(RECEIVE), quantities, places),
    st.tuples(st.just("move"), st.sampled_from([DEDUCT, WASTE]), quantities, places),
    st.tuples(st.just("move"), st.just(ADJUST), st.sampled_from([-3, -1, 2]), places),
    st.tuples(st.just("transfer"), places, places, quantities),
    st.tuples(st.just("count"), stations, st.integers(0, 9)),
    st.tuples(st.just("hold"), st.integers(0, 2), st.sampled_from([AVAILABLE, RECALLED])),
    st.tuples(st.just("undo"), st.integers(0, 5)),
    st.tuples(st.just("reserve"), orders, quantities),
    st.tuples(st.just("post"), orders),
    st.tuples(st.just("release"), orders),
)


@dataclass
class Lot:
    """A lot as the model knows it: where how much of it lies."""

    days: int
    at: dict[int, int] = field(default_factory=lambda: dict.fromkeys(PLACES, 0))
    reserved: int = 0
    held: bool = False

    @property
    def on_hand(self) -> int:
        return sum(self.at.values())

    @property
    def free(self) -> int:
        return self.on_hand - self.reserved


# What a step did: how much more or less of a lot lies in a place.
Change = tuple[str, int, int]


@dataclass
class Model:
    """Stock by lot, in the order in which lots came in, what each order holds, and what people recorded."""

    lots: dict[str, Lot] = field(default_factory=dict)
    held: dict[int, dict[str, int]] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)
    recorded: list[list[Change]] = field(default_factory=list)

    def lot(self, quantity: int, days: int) -> bool:
        name = f"L{len([name for name in self.lots if name != '-'])}"
        self.lots[name] = Lot(days)
        self.lots[name].at[STORE_ROOM] = quantity
        return True

    def move(self, kind: int, quantity: int, place: int) -> bool:
        if kind == RECEIVE or (quantity > 0 and kind == ADJUST):
            self.lots.setdefault("-", Lot(NEVER))
            return self._record([("-", place, quantity)])
        lots = self._in_order(sellable=kind == DEDUCT)
        taken = self._take(lots, abs(quantity), [place] if place != STORE_ROOM else PLACES)
        return taken is not None and self._record(taken)

    def transfer(self, here: int, there: int, quantity: int) -> bool:
        if here == there:
            return False
        taken = self._take(self._in_order(sellable=True), quantity, [here], promised=True)
        if taken is None:
            return False
        return self._record([*taken, *((name, there, -part) for name, _, part in taken)])

    def count(self, place: int, quantity: int) -> bool:
        there = {name: lot.at[place] for name, lot in self.lots.items()}
        difference = quantity - sum(there.values())
        if difference > 0:
            full = [name for name, lot in self.lots.items() if lot.on_hand]
            into = ([name for name in full if there[name]] or full or ["-"])[-1]
            self.lots.setdefault(into, Lot(NEVER)).at[place] += difference
        elif difference < 0:
            taken = self._take(self._in_order(sellable=False), -difference, [place])
            self._apply(taken or [])
            return taken is not None
        return True

    def hold(self, number: int, status: int) -> bool:
        lot = self.lots.get(f"L{number}")
        if lot is not None:
            lot.held = status == RECALLED
        return lot is not None

    def undo(self, number: int) -> bool:
        if number >= len(self.recorded) or not self.recorded[number]:
            return False
        undone = [(name, place, -part) for name, place, part in self.recorded[number]]
        self._apply(undone)
        if any(lot.free < 0 or min(lot.at.values()) < 0 for lot in self.lots.values()):
            self._apply(self.recorded[number])
            return False
        self.recorded[number] = []
        return True

    def reserve(self, order: int, quantity: int) -> bool:
        if order in self.states:
            return True
        taken = self._promise(quantity)
        if taken is None:
            return False
        self.held[order], self.states[order] = taken, "active"
        return True

    def post(self, order: int) -> bool:
        if self.states.get(order) == "active" and not self._renew(order):
            return False
        return self._end(order, "posted", sold=True)

    def release(self, order: int) -> bool:
        if order not in self.states:
            self.states[order] = "released"
        return self._end(order, "released", sold=False)

    def _end(self, order: int, wanted: str, *, sold: bool) -> bool:
        if self.states.get(order) == "active":
            for name, part in self.held.pop(order).items():
                self.lots[name].reserved -= part
                if sold:
                    self._apply(self._take([name], part, PLACES) or [])
            self.states[order] = wanted
        return self.states.get(order) == wanted

    def _renew(self, order: int) -> bool:
        """Promise of other lots what was promised of lots that are held back since."""
        gone = {name: part for name, part in self.held[order].items() if self.lots[name].held}
        for name, part in gone.items():
            self.lots[name].reserved -= part
        taken = self._promise(sum(gone.values()))
        if taken is None:
            for name, part in gone.items():
                self.lots[name].reserved += part
            return False
        for name in gone:
            del self.held[order][name]
        for name, part in taken.items():
            self.held[order][name] = self.held[order].get(name, 0) + part
        return True

    def _promise(self, quantity: int) -> dict[str, int] | None:
        taken: dict[str, int] = {}
        for name in self._in_order(sellable=True):
            part = min(quantity - sum(taken.values()), self.lots[name].free)
            if part > 0:
                taken[name] = part
        if sum(taken.values()) != quantity:
            return None
        for name, part in taken.items():
            self.lots[name].reserved += part
        return taken

    def _in_order(self, *, sellable: bool) -> list[str]:
        # A stable sort: first expiry first, then first in.
        names = sorted(self.lots, key=lambda name: self.lots[name].days)
        return [name for name in names if not (sellable and self.lots[name].held)]

    def _take(
        self, names: Iterable[str], quantity: int, where: Iterable[int], *, promised: bool = False
    ) -> list[Change] | None:
        taken: list[Change] = []
        for name in names:
            free = self.lots[name].on_hand if promised else self.lots[name].free
            for place in where:
                part = min(quantity, free, self.lots[name].at[place])
                if part > 0:
                    taken.append((name, place, -part))
                    quantity, free = quantity - part, free - part
        return None if quantity else taken

    def _record(self, changes: list[Change]) -> bool:
        self._apply(changes)
        self.recorded.append(changes)
        return True

    def _apply(self, changes: Iterable[Change]) -> None:
        for name, place, part in changes:
            self.lots[name].at[place] += part


class Real:
    """The same through the service."""

    def __init__(self, running: Any, tenant: Tenant, item_id: str, menu_item_id: str) -> None:
        self.staff: Any = Stub(running.channel(tenant.user()))
        self.service: Any = Stub(running.channel(tenant.service("orders")))
        self.item_id, self.menu_item_id = item_id, menu_item_id
        self.site_id = str(uuid7())
        self.stations = ["", *sorted(str(uuid7()) for _ in PLACES[1:])]
        running.service.every_site.stations[self.site_id] = self.stations[1:]
        self.orders = [str(uuid7()) for _ in range(4)]
        # An order has one line: reserved again, it is known.
        self.lines = [str(uuid7()) for _ in self.orders]
        self.lots: dict[str, str] = {}
        self.recorded: list[str] = []

    async def lot(self, quantity: int, days: int) -> None:
        told = pb.Batch(site_id=self.site_id, lot=f"L{len(self.lots)}", quantity=quantity)
        # What is due on the same day is due at the same moment.
        told.expires_at.FromDatetime(_TODAY + timedelta(days=days))
        batch = await self.staff.CreateBatch(pb.CreateBatchRequest(item_id=self.item_id, batch=told))
        self.lots[batch.lot] = batch.id

    async def move(self, kind: Any, quantity: int, place: int) -> None:
        await self._record(pb.Movement(type=kind, quantity=quantity, station_id=self.stations[place] or None))

    async def transfer(self, here: int, there: int, quantity: int) -> None:
        ends: dict[str, Any] = {
            "station_id": self.stations[here] or None,
            "to_station_id": self.stations[there] or None,
        }
        await self._record(pb.Movement(type=TRANSFER, quantity=quantity, **ends))

    async def count(self, place: int, quantity: int) -> None:
        line = stock_pb2.StationCount(item_id=self.item_id, quantity=quantity)
        request = stock_pb2.SetStationStockRequest(station_id=self.stations[place], items=[line])
        await self.staff.SetStationStock(request)

    async def hold(self, number: int, status: Any) -> None:
        batch_id = self.lots.get(f"L{number}", str(uuid7()))
        told = pb.Batch(status=status, reason="glass" if status == RECALLED else "")
        request = pb.UpdateBatchRequest(id=batch_id, batch=told)
        request.update_mask.paths.extend(["status", "reason"])
        await self.staff.UpdateBatch(request)

    async def undo(self, number: int) -> None:
        movement_id = self.recorded[number] if number < len(self.recorded) else str(uuid7())
        await self.staff.ReverseMovement(pb.ReverseMovementRequest(id=movement_id))

    async def reserve(self, order: int, quantity: int) -> None:
        line = held.ReserveLine(line_id=self.lines[order], menu_item_id=self.menu_item_id, quantity=quantity)
        wish = held.ReserveRequest(order_id=self.orders[order], site_id=self.site_id, lines=[line])
        await self.service.Reserve(wish)

    async def post(self, order: int) -> None:
        await self.service.PostReservation(held.PostReservationRequest(order_id=self.orders[order]))

    async def release(self, order: int) -> None:
        await self.service.ReleaseReservation(held.ReleaseReservationRequest(order_id=self.orders[order]))

    async def stock(self) -> dict[str, tuple[int, int, int]]:
        told = pb.ListBatchesRequest(item_id=self.item_id, page_size=100)
        batches = (await self.staff.ListBatches(told)).batches
        return {batch.lot: (batch.on_hand, batch.reserved, batch.at_stations) for batch in batches}

    async def at(self, place: int) -> int:
        told = stock_pb2.GetStationStockRequest(station_id=self.stations[place])
        return sum(item.on_hand for item in (await self.staff.GetStationStock(told)).items)

    async def _record(self, told: pb.Movement) -> None:
        told.site_id = self.site_id
        request = pb.CreateMovementRequest(item_id=self.item_id, movement=told)
        self.recorded.append((await self.staff.CreateMovement(request)).id)


_TODAY = clock.now()


@cache
def _served(serve: Serve) -> asyncio.Future[Running]:
    """The service, once for all examples."""
    return asyncio.ensure_future(serve("inventory", build, settings=InventorySettings))


async def _real(serve: Serve) -> Real:
    running, tenant = await _served(serve), Tenant()
    staff: Any = Stub(running.channel(tenant.user()))
    new = pb.Item(sku="X", name="X", unit=pb.UNIT_EACH)
    item = await staff.CreateItem(pb.CreateItemRequest(item=new))
    sold = menu.MenuItem(name="X", recipe=[menu.RecipeLine(item_id=item.id, quantity=1)])
    sold.price.amount, sold.price.currency = 1, "USD"
    menu_item = await staff.CreateMenuItem(menu.CreateMenuItemRequest(menu_item=sold))
    return Real(running, tenant, item.id, menu_item.id)


async def _does(step: Any) -> bool:
    try:
        await step
    except (errors.Conflict, errors.Invalid, errors.InvalidTransition, errors.NotFound):
        return False
    return True


class TestModel:
    # Each example has a tenant of its own. A failing one is short enough to read and is not made shorter for minutes.
    @settings(
        max_examples=25,
        deadline=None,
        phases=[Phase.reuse, Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(done=st.lists(steps, min_size=5, max_size=30))
    async def test_stock_is_what_the_model_says(self, serve: Serve, done: list[Any]) -> None:
        model, real = Model(), await _real(serve)

        for name, *told in done:
            went = await _does(getattr(real, name)(*told))

            assert went == getattr(model, name)(*told), (name, *told)
            expected = {lot: (row.on_hand, row.reserved, row.at[1] + row.at[2]) for lot, row in model.lots.items()}
            assert await real.stock() == expected, (name, *told)
        assert [await real.at(1), await real.at(2)] == [sum(row.at[n] for row in model.lots.values()) for n in (1, 2)]
        verified = await real.staff.VerifyLedger(pb.VerifyLedgerRequest(item_id=real.item_id))
        assert verified.consistent
