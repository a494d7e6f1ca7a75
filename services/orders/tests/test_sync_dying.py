"""A kiosk that was offline for a day replays its log, and the process dies in the middle, again and again."""

import random
import time
from collections import Counter as Count
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from switchyard.orders.v1 import orders_pb2, sync_pb2

from chassis import call, clock
from chassis.identity import Principal
from services.orders.rpc.counter import Counter
from services.orders.rpc.sync import SyncRpc
from services.orders.saga import Sagas
from services.orders.tests import test_sync
from services.orders.tests.test_sync import Till, outcome

# Seconds; it takes four on two quiet cores.
SYNC_TIME_MAX_S = 15.0
shop = test_sync.shop


class Died(BaseException):
    """The process is gone. Nothing that is still running in it may handle that."""


class Mortal:
    """A process over the shop's real connections that dies at its n-th point, with all that runs in it."""

    def __init__(self, shop: Any, dies_at: int) -> None:
        self._database = shop.running.service.database
        self._inventory = shop.sagas._inventory
        self._left = dies_at
        self.service = self._database.service
        self.read = self._database.read
        counter = Counter(self, Sagas(self, self), shop.running.service.sites())  # type: ignore[arg-type]
        self.rpc = SyncRpc(self, counter, deadline_s=60.0)  # type: ignore[arg-type]

    def _point(self) -> None:
        self._left -= 1
        if self._left <= 0:
            raise Died

    @asynccontextmanager
    async def transaction(self, principal: Principal | None = None) -> AsyncIterator[Any]:
        self._point()
        async with self._database.transaction(principal) as session:
            yield session
            self._point()
        self._point()

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        async def invoke(request: Any, timeout: float) -> Any:  # noqa: ASYNC109
            self._point()
            answer = await getattr(self._inventory, method)(request, timeout=timeout)
            self._point()
            return answer

        return invoke


async def sync_and_die(till: Till, operations: list[sync_pb2.Operation], dies_at: int) -> bool:
    """Whether the process lived to the end."""
    request = sync_pb2.ApplyOperationsRequest(operations=operations)
    lived = True
    with call.answering(call.Call(till.principal, "orders.ApplyOperations", category="financial")):
        try:
            await Mortal(till.shop, dies_at).rpc.ApplyOperations(request)
        except* Died:
            lived = False
    return lived


async def resume_all(shop: Any) -> None:
    """What the resumer makes of all that the dead processes have left."""
    with clock.shifted(timedelta(minutes=5)):
        while await shop.rows("SELECT 1 FROM sagas WHERE state <> 'settled' AND due_at <> 'infinity'"):
            await shop.sagas.resume()


def a_day(till: Till, *, orders: int, cancelled: int) -> list[str]:
    """Log orders, some of them cancelled at once and some at the end; all orders' ids."""
    placed = []
    for number in range(orders):
        placed.append(till.place())
        if number < cancelled // 2:
            till.cancel(placed[-1])
    for order_id in placed[cancelled // 2 : cancelled]:
        till.cancel(order_id, {"reason": "closed"})
    return placed


async def check(till: Till, placed: list[str], *, cancelled: int) -> None:
    """Everything was applied, once."""
    shop = till.shop
    orders = [await shop.get(order_id) for order_id in placed]
    assert Count(order.status for order in orders) == {
        orders_pb2.ORDER_STATUS_CANCELLED: cancelled,
        orders_pb2.ORDER_STATUS_QUEUED: len(placed) - cancelled,
    }
    numbered = sorted(order.number for order in orders if order.HasField("number"))
    assert numbered == list(range(1, len(numbered) + 1))
    assert shop.inventory.stock == 1_000_000 - 2 * (len(placed) - cancelled)
    told = await shop.rows("SELECT order_id, type FROM order_events WHERE tenant_id = $1", shop.tenant.id)
    assert Count(row["type"] for row in told)["placed"] == len(placed)
    assert Count(row["type"] for row in told)["cancelled"] == cancelled
    known = await shop.rows("SELECT outcome FROM sync_operations WHERE tenant_id = $1", shop.tenant.id)
    assert Count(row["outcome"] for row in known) == {"applied": len(placed) + cancelled}


class TestDyingInTheMiddle:
    @pytest.mark.timeout(300)
    async def test_five_hundred_operations_twice_shuffled_are_applied_once_each(self, shop: Any) -> None:
        till, chance = Till(shop, shop.kiosk), random.Random(4)
        placed = a_day(till, orders=350, cancelled=150)

        # Some five points an operation: each run comes a bit further than the one before.
        for dies_at in (1, 3, 40, 333, 700, 1500):
            assert not await sync_and_die(till, chance.sample(till.log, 500), dies_at)
        await resume_all(shop)
        first = await till.sync(chance.sample(till.log, 500))
        second = await till.sync(chance.sample(till.log, 500))

        assert {outcome(result) for result in first} == {"applied", "duplicate"}
        assert {outcome(result) for result in second} == {"duplicate"}
        await check(till, placed, cancelled=150)

    async def test_every_point_of_a_short_log(self, shop: Any) -> None:
        tills = []
        for dies_at in range(1, 80):
            till = Till(shop, shop.kiosk)
            till.cancel(till.place())
            till.place()
            tills.append(till)
            if await sync_and_die(till, till.log, dies_at):
                break
        else:
            pytest.fail("it never lived to the end")

        await resume_all(shop)
        replayed = [await till.outcomes() for till in tills]

        assert len(tills) > 20
        assert {word for told in replayed for word in told} == {"applied", "duplicate"}
        assert shop.inventory.stock == 1_000_000 - 2 * len(tills)


class TestSpeed:
    @pytest.mark.timeout(300)
    async def test_five_hundred_operations_at_once(self, shop: Any) -> None:
        till = Till(shop, shop.kiosk)
        placed = a_day(till, orders=400, cancelled=100)
        began = time.monotonic()

        results = await till.sync()

        assert time.monotonic() - began < SYNC_TIME_MAX_S
        assert {outcome(result) for result in results} == {"applied"}
        await check(till, placed, cancelled=100)
