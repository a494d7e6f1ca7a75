"""Whatever several clients do to stock and orders at once, a small model explains every answer and what is left.

Each step is a few calls made at the same time. Which of them was first is not known; but whatever succeeded must have
been possible in some order, whatever was refused must have had a reason in some order, and afterwards every quantity,
state and number is what the calls that succeeded come to.
"""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from uuid_utils.compat import uuid7

from tests.e2e.conftest import System, created

# Forty stories of 25 steps take a few minutes: more of them are asked for by the environment.
EXAMPLES, STEPS = int(os.environ.get("MODEL_EXAMPLES", "15")), 25
# Of each menu item: how many of which item it takes.
RECIPES = ({0: 1}, {0: 2, 1: 1}, {1: 3})
PRICES = (300, 450, 275)
START = 12
# Every legal move of an order.
MOVES = {
    "queued": {"preparing", "ready", "completed", "cancelled"},
    "preparing": {"ready", "completed", "cancelled"},
    "ready": {"completed", "cancelled"},
    "completed": set(),
    "cancelled": set(),
}

places = st.integers(0, 7)
operations = st.one_of(
    st.tuples(st.just("place"), st.integers(0, len(RECIPES) - 1), st.integers(1, 4)),
    st.tuples(st.just("place"), st.integers(0, len(RECIPES) - 1), st.integers(1, 4)),
    st.tuples(st.just("move"), places, st.sampled_from(["preparing", "ready", "completed", "cancelled"])),
    st.tuples(st.just("move"), places, st.sampled_from(["completed", "cancelled"])),
    st.tuples(st.just("add"), places, st.integers(0, len(RECIPES) - 1)),
    st.tuples(st.just("void"), places, st.integers(0, 2)),
    st.tuples(st.just("receive"), st.integers(0, 1), st.integers(1, 9)),
    st.tuples(st.just("deduct"), st.integers(0, 1), st.integers(1, 9)),
    st.tuples(st.just("waste"), st.integers(0, 1), st.integers(1, 9)),
    st.tuples(st.just("count"), st.integers(0, 1), st.integers(-3, 3)),
    st.tuples(st.just("hold"), st.integers(0, 1), st.booleans()),
)


# What an order may answer to a change that another change, or its state, forbids.
REFUSALS = {
    *("INVALID_STATE_TRANSITION", "COMPLETION_PENDING", "CONFLICT", "ORDER_BUSY", "ORDER_FINAL", "ORDER_NOT_QUEUED"),
    *("LINE_FINAL", "LINES_OUTSTANDING", "LINES_SERVED"),
}


@dataclass
class Line:
    """A line: how many of which kind."""

    kind: int
    quantity: int
    voided: bool = False

    def needs(self, item: int) -> int:
        """How much of an item it takes."""
        return 0 if self.voided else RECIPES[self.kind].get(item, 0) * self.quantity


@dataclass
class Order:
    """An order as the model knows it; its lines by their ids."""

    id: str
    wish: Line
    lines: dict[str, Line] = field(default_factory=dict)
    status: str = "queued"
    number: int = 0

    def needs(self, item: int) -> int:
        """How much of an item it takes."""
        return sum(line.needs(item) for line in self.lines.values())

    def total(self) -> int:
        """What it costs."""
        return sum(PRICES[line.kind] * line.quantity for line in self.lines.values() if not line.voided)


@dataclass
class Done:
    """A call and its answer."""

    kind: str
    target: int
    argument: Any
    status: int
    code: str
    order: Order | None = None
    # What the answer says of it.
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        return self.status < 300


@dataclass
class Model:
    """What must be there."""

    on_hand: list[int] = field(default_factory=lambda: [START, START])
    # Whether the item's one lot is in quarantine.
    held: list[bool] = field(default_factory=lambda: [False, False])
    orders: list[Order] = field(default_factory=list)

    def reserved(self, item: int) -> int:
        """What the orders under way hold."""
        return sum(order.needs(item) for order in self.orders if order.status not in {"completed", "cancelled"})


class Shop:
    """A site with two items and three things on the menu, and the clients who use it."""

    def __init__(
        self, client: httpx.AsyncClient, site: str, items: list[str], lots: list[str], menu: list[str]
    ) -> None:
        self.client, self.site, self.items, self.lots, self.menu = client, site, items, lots, menu

    @classmethod
    async def open(cls, client: httpx.AsyncClient) -> "Shop":
        name = f"Model {uuid7()}"
        site = (await created(client, "/api/v1/sites", {"name": name, "time_zone": "UTC"}))["id"]
        items, lots, menu = [], [], []
        for number in range(2):
            sku = f"M{number}-{uuid7()}"
            body = {"sku": sku, "name": sku, "unit": "each"}
            items.append((await created(client, "/api/v1/inventory/items", body))["id"])
            lot = {"site_id": site, "lot": "L1", "quantity": START}
            lots.append((await created(client, f"/api/v1/inventory/items/{items[-1]}/batches", lot))["id"])
        for kind, recipe in enumerate(RECIPES):
            lines = [{"item_id": items[item], "quantity": quantity} for item, quantity in recipe.items()]
            price = {"amount": PRICES[kind], "currency": "USD"}
            sold = {"name": f"{kind} {name}", "price": price, "recipe": lines}
            menu.append((await created(client, "/api/v1/menu-items", sold))["id"])
        return cls(client, site, items, lots, menu)

    async def do(self, operation: tuple[str, Any, Any], model: Model) -> Done | None:
        """Make one call; None when there is nothing it could be about."""
        kind, target, argument = operation
        if kind == "place":
            return await self._place(target, argument)
        if kind in {"move", "add", "void"}:
            return await self._change(operation, model.orders[target % len(model.orders)]) if model.orders else None
        if kind == "hold":
            body = {"status": "quarantined" if argument else "available", "reason": "model"}
            return await self._done(operation, "PATCH", f"inventory/batches/{self.lots[target]}", body)
        body = {"type": kind, "site_id": self.site, "batch_id": self.lots[target], "reason": "model"}
        if kind == "count":
            before = model.on_hand[target]
            body |= {"quantity": max(before + argument, 0), "change_from_quantity": before}
        else:
            body |= {"quantity": argument}
        return await self._done(operation, "POST", f"inventory/items/{self.items[target]}/movements", body)

    async def _change(self, operation: tuple[str, Any, Any], order: Order) -> Done:
        kind, _, argument = operation
        path = f"orders/{order.id}"
        if kind == "move":
            body = {"status": argument} | ({"cancel_reason": "model"} if argument == "cancelled" else {})
            return await self._done(operation, "PATCH", path, body, order)
        if kind == "add":
            lines = {"lines": [{"menu_item_id": self.menu[argument], "quantity": 1}]}
            return await self._done(operation, "POST", f"{path}/lines", lines, order)
        line = list(order.lines)[argument % len(order.lines)]
        body = {"status": "voided", "reason": "model"}
        return await self._done(operation, "PATCH", f"{path}/lines/{line}", body, order)

    async def _place(self, kind: int, quantity: int) -> Done:
        order = Order(str(uuid7()), Line(kind, quantity))
        lines = [{"menu_item_id": self.menu[kind], "quantity": quantity}]
        body = {"id": order.id, "site_id": self.site, "lines": lines}
        return await self._done(("place", kind, quantity), "POST", "orders", body, order)

    async def _done(
        self, operation: tuple[str, Any, Any], verb: str, path: str, body: dict[str, Any], order: Order | None = None
    ) -> Done:
        answer = await self.client.request(verb, f"/api/v1/{path}", json=body)
        told = answer.json()
        return Done(*operation, answer.status_code, told.get("code", ""), order, told.get("data", {}))

    async def data(self, path: str) -> Any:
        """What a read answers with."""
        answer = await self.client.get(f"/api/v1/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]


def check(before: Model, done: list[Done]) -> None:
    """Every answer has a reason in some order of the calls."""
    for call in done:
        if call.kind == "place":
            _check_place(before, done, call)
        elif call.kind == "move":
            _check_move(before, done, call)
        elif call.kind == "add":
            short = any(_may_be_short(before, done, item, need) for item, need in RECIPES[call.argument].items())
            assert call.succeeded or call.code in REFUSALS or (call.code == "INSUFFICIENT_STOCK" and short), call
        elif call.kind == "void":
            assert call.succeeded or call.code in REFUSALS, call
        elif call.kind == "count":
            others = [each for each in done if each is not call and each.succeeded and _touches(each, call.target)]
            assert call.succeeded or (call.code in {"CHANGE_FROM_QUANTITY_STALE", "INSUFFICIENT_STOCK"}), call
            assert call.succeeded or others or _counts_below(before, call), call
        elif call.kind in {"deduct", "waste"}:
            held = before.held[call.target] or any(each.kind == "hold" for each in done)
            assert call.succeeded or held or call.code == "INSUFFICIENT_STOCK", call
            assert call.succeeded or call.code in {"INSUFFICIENT_STOCK", "BATCH_NOT_AVAILABLE"}, call
            assert call.succeeded or _may_be_short(before, done, call.target, call.argument), call
        else:
            assert call.succeeded, call


def _check_place(before: Model, done: list[Done], call: Done) -> None:
    if call.succeeded:
        return
    assert call.code == "INSUFFICIENT_STOCK", call
    assert call.order is not None
    wish = call.order.wish
    assert any(_may_be_short(before, done, item, wish.needs(item)) for item in RECIPES[wish.kind]), call


def _check_move(before: Model, done: list[Done], call: Done) -> None:
    order = call.order
    assert order is not None
    about = [each for each in done if each.order is order and each is not call]
    others = {each.argument for each in about if each.kind == "move"} | ({"cancelled"} if _voids(about) else set())
    allowed = call.argument in MOVES[order.status] or call.argument == order.status
    if call.succeeded:
        assert allowed or any(call.argument in MOVES[state] or call.argument == state for state in others), call
    elif call.code == "INSUFFICIENT_STOCK":
        # What it holds may not be sold just now.
        held = [each for each in done if each.kind == "hold"]
        assert call.argument == "completed", call
        assert held or any(before.held), call
    else:
        assert call.code in REFUSALS, call
        assert about or not allowed, call


def _voids(done: list[Done]) -> bool:
    return any(each.kind == "void" and each.succeeded for each in done)


def _may_be_short(before: Model, done: list[Done], item: int, wanted: int) -> bool:
    """Whether there may have been less than this of an item at some moment of the step."""
    if before.held[item] or any(each.kind == "hold" and each.target == item for each in done):
        return True
    least: int = before.on_hand[item] - before.reserved(item)
    for each in done:
        if each.kind == "place" and each.order is not None:
            least -= each.order.wish.needs(item) if each.succeeded else 0
        elif each.kind == "add":
            least -= RECIPES[each.argument].get(item, 0) if each.succeeded else 0
        elif each.target == item and each.succeeded:
            if each.kind in {"deduct", "waste"}:
                least -= each.argument
            elif each.kind == "count":
                least += min(each.argument, 0)
    return bool(least < wanted)


def _counts_below(before: Model, call: Done) -> bool:
    """Whether less was counted than orders hold."""
    on_hand, held = before.on_hand[call.target], before.held[call.target]
    kept: int = before.reserved(call.target) + on_hand * held
    return max(int(on_hand + call.argument), 0) < kept


def _touches(done: Done, item: int) -> bool:
    if done.kind in {"place", "move", "add", "void"}:
        return True
    return bool(done.target == item)


def apply(model: Model, done: list[Done]) -> None:
    """What the calls that succeeded come to, but for what becomes of orders."""
    before = list(model.on_hand)
    for call in done:
        if not call.succeeded:
            continue
        if call.kind == "place" and call.order is not None:
            call.order.number = call.data["number"]
            model.orders.append(call.order)
        elif call.kind == "receive":
            model.on_hand[call.target] += call.argument
        elif call.kind in {"deduct", "waste"}:
            model.on_hand[call.target] -= call.argument
        elif call.kind == "hold":
            model.held[call.target] = call.argument
        elif call.kind == "count":
            # It was not stale: nothing else had moved the stock before it, and what came after adds to it.
            model.on_hand[call.target] += max(call.argument, -before[call.target])


def look(model: Model, order: Order, found: dict[str, Any], done: list[Done], menu: list[str]) -> None:
    """Take over what several calls at once have made of an order, as far as they may have."""
    calls = [call for call in done if call.order is order]
    known = dict(order.lines)
    order.lines = {
        line["id"]: Line(menu.index(line["menu_item_id"]), line["quantity"], line["status"] == "voided")
        for line in found["lines"]
    }
    assert known.keys() <= order.lines.keys()
    new = [line for line_id, line in order.lines.items() if known and line_id not in known]
    # What could not be had is voided.
    assert len(new) <= sum(call.kind == "add" for call in calls)
    assert sum(not line.voided for line in new) <= sum(call.kind == "add" and call.succeeded for call in calls)
    if found["status"] != "cancelled":
        assert found["total"]["amount"] == order.total(), found
        gone = [line_id for line_id, line in known.items() if order.lines[line_id].voided and not line.voided]
        assert len(gone) <= sum(call.kind == "void" and call.succeeded for call in calls)
    if found["status"] == "completed" and order.status != "completed":
        for item in range(len(model.on_hand)):
            model.on_hand[item] -= order.needs(item)
    order.status = found["status"]


class Machine(RuleBasedStateMachine):
    """Steps of calls made at once, and what holds after each."""

    system: ClassVar[System]
    token: ClassVar[str]
    calls: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model = Model()
        self.client = self.system.client(self.token, self.system.tenant())
        self.shop = self.runner.run(Shop.open(self.client))

    @rule(wanted=st.lists(operations, min_size=1, max_size=6))
    def step(self, wanted: list[tuple[str, Any, Any]]) -> None:
        self.runner.run(self._step(wanted))

    async def _step(self, wanted: list[tuple[str, Any, Any]]) -> None:
        # Of counts and quarantines of one item at once, only the last would be known.
        chosen = [each for place, each in enumerate(wanted) if not _repeats(each, wanted[:place])]
        done = [each for each in await asyncio.gather(*(self.shop.do(each, self.model) for each in chosen)) if each]
        Machine.calls += len(done)
        check(self.model, done)
        apply(self.model, done)
        for order in self.model.orders:
            if any(call.order is order for call in done):
                look(self.model, order, await self.shop.data(f"orders/{order.id}"), done, self.shop.menu)

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        self.runner.run(self._compare())

    async def _compare(self) -> None:
        for item, item_id in enumerate(self.shop.items):
            found = await self.shop.data(f"inventory/items/{item_id}")
            told = (found["on_hand"], found["reserved"])
            assert told == (self.model.on_hand[item], self.model.reserved(item))
            verified = await self.shop.data(f"inventory/items/{item_id}/ledger/verify")
            assert verified["consistent"], verified
        queue = await self.shop.data(f"orders/queue?site_id={self.shop.site}")
        waiting = {order["id"]: order["status"] for order in queue["orders"]}
        under_way = [order for order in self.model.orders if order.status not in {"completed", "cancelled"}]
        assert waiting == {order.id: order.status for order in under_way}
        numbers = sorted(order.number for order in self.model.orders)
        assert numbers == list(range(1, len(numbers) + 1))

    def teardown(self) -> None:
        try:
            self.runner.run(self._end())
        finally:
            self.runner.close()

    async def _end(self) -> None:
        for order in self.model.orders:
            events = await self.shop.data(f"orders/{order.id}/events?page_size=100")
            assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
            states = [event["type"] for event in events if event["type"] in MOVES]
            assert states[-1] == order.status
            assert all(after in MOVES[before] for before, after in pairwise(states)), states
        await self.client.aclose()


def _repeats(operation: tuple[str, Any, Any], earlier: list[tuple[str, Any, Any]]) -> bool:
    kind, target, _ = operation
    return kind in {"count", "hold"} and any(each[:2] == (kind, target) for each in earlier)


@pytest.fixture(scope="module")
def machine(system: System) -> Iterator[type[Machine]]:
    """The machine, signed in."""
    Machine.system = system
    Machine.token = asyncio.run(system.login("admin"))
    yield Machine
    assert Machine.calls >= EXAMPLES


@pytest.mark.timeout(120 + 60 * EXAMPLES)
def test_parallel_clients_against_the_model(machine: type[Machine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
