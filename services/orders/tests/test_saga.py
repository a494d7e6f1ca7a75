"""Dying at every point, and what the resumer makes of it.

`Mortal` stands between the code and what it writes to: it counts the points before, within and after each transaction
and each call, and dies at one of them. The tests walk through all the points there are, found by counting.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from switchyard.orders.v1 import orders_pb2
from uuid_utils.compat import uuid7

from chassis import call, clock, errors
from chassis.identity import Principal
from services.orders import saga
from services.orders.rpc.counter import Counter
from services.orders.rpc.orders import OrdersRpc
from services.orders.saga import Sagas

QUEUED, READY, COMPLETED, CANCELLED, DRAFT = (
    orders_pb2.ORDER_STATUS_QUEUED,
    orders_pb2.ORDER_STATUS_READY,
    orders_pb2.ORDER_STATUS_COMPLETED,
    orders_pb2.ORDER_STATUS_CANCELLED,
    orders_pb2.ORDER_STATUS_DRAFT,
)
SETTLED, NEEDS_ATTENTION = orders_pb2.SAGA_STATE_SETTLED, orders_pb2.SAGA_STATE_NEEDS_ATTENTION
# More points than any of the flows has.
POINTS_MAX = 40


class Died(Exception):
    """The process is gone."""


class Mortal:
    """A process over the shop's real connections that dies at its n-th point; zero: never."""

    def __init__(self, shop: Any, dies_at: int) -> None:
        self._database = shop.running.service.database
        self._inventory = shop.sagas._inventory
        self._left = dies_at
        self.service = self._database.service
        self.read = self._database.read
        self.sagas = Sagas(self, self)  # type: ignore[arg-type]
        mortal: Any = self
        counter = Counter(mortal, self.sagas, shop.running.service.sites())
        self.rpc = OrdersRpc(mortal, counter, shop.running.service.pager())

    def _point(self) -> None:
        self._left -= 1
        if self._left == 0:
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


def _acting(principal: Principal, action: str = "orders.PlaceOrder") -> Any:
    return call.answering(call.Call(principal, action, category="financial"))


async def _place_and_die(shop: Any, wish: Any, dies_at: int) -> bool:
    """Whether the process lived to the end (in whichever way)."""
    with _acting(shop.staff):
        try:
            await Mortal(shop, dies_at).rpc.PlaceOrder(wish)
        except Died:
            return False
        except errors.Conflict:
            pass
    return True


async def _patch_and_die(shop: Any, order_id: str, status: Any, dies_at: int) -> bool:
    request = orders_pb2.UpdateOrderRequest(id=order_id, order=orders_pb2.Order(status=status))
    request.update_mask.paths.append("status")
    with _acting(shop.manager, "orders.UpdateOrder"):
        try:
            await Mortal(shop, dies_at).rpc.UpdateOrder(request)
        except Died:
            return False
    return True


async def _resume_and_die(shop: Any, dies_at: int) -> bool:
    with clock.shifted(timedelta(minutes=5)):
        try:
            await Mortal(shop, dies_at).sagas.resume()
        except Died:
            return False
    return True


async def _exists(shop: Any, order_id: object) -> bool:
    return bool(await shop.rows("SELECT 1 FROM orders WHERE id = $1", UUID(str(order_id))))


class TestDyingWhilePlacing:
    async def test_an_accepted_order_is_queued_once_wherever_the_process_died(self, shop: Any) -> None:
        wishes = [shop.wish(uuid7()) for _ in range(POINTS_MAX)]

        lived = [await _place_and_die(shop, wish, point) for point, wish in enumerate(wishes, 1)]
        await shop.resume_later()
        await shop.resume_later()

        kept = [wish.id for wish in wishes if await _exists(shop, wish.id)]
        orders = [await shop.get(order_id) for order_id in kept]
        assert 5 < lived.index(True) < POINTS_MAX
        assert {order.status for order in orders} == {QUEUED}
        assert sorted(order.number for order in orders) == list(range(1, len(orders) + 1))
        assert [await shop.outbox(order_id) for order_id in kept] == [["OrderPlaced"]] * len(kept)
        assert shop.inventory.stock == 1_000_000 - 2 * len(kept)

    async def test_the_client_who_tries_again_gets_its_order(self, shop: Any) -> None:
        wishes = [shop.wish(uuid7()) for _ in range(POINTS_MAX)]
        for point, wish in enumerate(wishes, 1):
            await _place_and_die(shop, wish, point)

        orders = [await shop.stub().PlaceOrder(wish) for wish in wishes]

        assert [order.id for order in orders] == [wish.id for wish in wishes]
        assert sorted(order.number for order in orders) == list(range(1, POINTS_MAX + 1))
        assert shop.inventory.stock == 1_000_000 - 2 * POINTS_MAX

    async def test_a_refused_order_holds_nothing_wherever_the_process_died(self, shop: Any) -> None:
        shop.inventory.stock = 1
        wishes = [shop.wish(uuid7()) for _ in range(POINTS_MAX)]

        lived = [await _place_and_die(shop, wish, point) for point, wish in enumerate(wishes, 1)]
        await shop.resume_later()
        await shop.resume_later()

        orders = [await shop.get(wish.id) for wish in wishes if await _exists(shop, wish.id)]
        assert 8 < lived.index(True) < POINTS_MAX
        assert {(order.status, order.rejection, order.saga_state) for order in orders} == {
            (CANCELLED, "INSUFFICIENT_STOCK", SETTLED)
        }
        assert shop.inventory.stock == 1

    async def test_a_resumer_may_die_too(self, shop: Any) -> None:
        wishes = [shop.wish(uuid7()) for _ in range(POINTS_MAX)]
        for point, wish in enumerate(wishes, 1):
            # Dies just after accepting, so that all is left to the resumer.
            await _place_and_die(shop, wish, 3)
            await _resume_and_die(shop, point)

        await shop.resume_later(timedelta(minutes=20))
        await shop.resume_later(timedelta(minutes=40))

        orders = [await shop.get(wish.id) for wish in wishes]
        assert {order.status for order in orders} == {QUEUED}
        assert sorted(order.number for order in orders) == list(range(1, POINTS_MAX + 1))
        assert shop.inventory.stock == 1_000_000 - 2 * POINTS_MAX


class TestDyingWhileUpdating:
    async def test_a_cancelled_order_holds_nothing_wherever_the_process_died(self, shop: Any) -> None:
        orders = [await shop.place() for _ in range(12)]

        lived = [await _patch_and_die(shop, order.id, CANCELLED, point) for point, order in enumerate(orders, 1)]
        await shop.resume_later()

        found = [await shop.get(order.id) for order in orders]
        cancelled = [order for order in found if order.status == CANCELLED]
        assert 5 < lived.index(True) < 12
        assert {order.saga_state for order in found} == {SETTLED}
        assert shop.inventory.stock == 1_000_000 - 2 * (len(orders) - len(cancelled))

    async def test_completed_and_posted_go_together_wherever_the_process_died(self, shop: Any) -> None:
        orders = [await shop.place() for _ in range(12)]

        lived = [await _patch_and_die(shop, order.id, COMPLETED, point) for point, order in enumerate(orders, 1)]
        await shop.resume_later()

        found = [await shop.get(order.id) for order in orders]
        posted = {order.id for order in orders if "PostReservation" in shop.inventory.said(order.id)}
        assert 5 < lived.index(True) < 12
        assert {order.id for order in found if order.status == COMPLETED} == posted
        assert {order.saga_state for order in found} == {SETTLED}


class TestResume:
    async def test_unknown_outcome_is_asked_again(self, shop: Any) -> None:
        shop.inventory.fail("Reserve", errors.Unavailable(), times=3, after=True)
        order_id = uuid7()
        with pytest.raises(errors.Unavailable):
            await shop.stub().PlaceOrder(shop.wish(order_id))

        await shop.resume_later()

        assert (await shop.get(order_id)).status == QUEUED
        assert shop.inventory.stock == 1_000_000 - 2

    async def test_a_claimed_saga_is_left_alone(self, shop: Any) -> None:
        wish = shop.wish(uuid7())
        await _place_and_die(shop, wish, 3)

        await shop.sagas.resume()

        assert (await shop.get(wish.id)).status == DRAFT

    async def test_two_resumers_share_the_work(self, shop: Any) -> None:
        wishes = [shop.wish(uuid7()) for _ in range(8)]
        for wish in wishes:
            await _place_and_die(shop, wish, 3)

        await asyncio.gather(*(shop.resume_later() for _ in range(3)))

        assert [shop.inventory.said(wish.id) for wish in wishes] == [["Reserve"]] * 8

    async def test_a_draft_cancelled_meanwhile_stays_cancelled(self, shop: Any) -> None:
        wish = shop.wish(uuid7())
        await _place_and_die(shop, wish, 3)
        await shop.patch(wish.id, status=CANCELLED)

        await shop.resume_later()

        assert (await shop.get(wish.id)).status == CANCELLED
        assert shop.inventory.stock == 1_000_000

    async def test_a_reservation_that_has_ended_is_not_queued(self, shop: Any) -> None:
        wish = shop.wish(uuid7())
        await _place_and_die(shop, wish, 3)
        shop.inventory.states[wish.id] = 4  # released

        await shop.resume_later()

        assert (await shop.get(wish.id)).rejection == "RESERVATION_ENDED"

    async def test_an_endless_failure_needs_attention(self, shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(saga, "TRIES_MAX", 2)
        shop.inventory.fail("Reserve", errors.Unavailable(), times=6)
        wish = shop.wish(uuid7())
        with pytest.raises(errors.Unavailable):
            await shop.stub().PlaceOrder(wish)

        await shop.resume_later()

        found = await shop.stub().ListOrders(orders_pb2.ListOrdersRequest(saga_state=NEEDS_ATTENTION))
        assert [order.id for order in found.orders] == [wish.id]

    async def test_a_stuck_order_sent_again_goes_on(self, shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(saga, "TRIES_MAX", 1)
        shop.inventory.fail("Reserve", errors.Unavailable(), times=3)
        wish = shop.wish(uuid7())
        with pytest.raises(errors.Unavailable):
            await shop.stub().PlaceOrder(wish)

        order = await shop.stub().PlaceOrder(wish)

        assert (order.status, order.saga_state) == (QUEUED, SETTLED)

    async def test_the_trail_says_for_whom(self, shop: Any) -> None:
        wish = shop.wish(uuid7())
        await _place_and_die(shop, wish, 3)

        await shop.resume_later()

        sql = "SELECT envelope::jsonb AS told FROM outbox WHERE subject LIKE 'aud.%' AND envelope LIKE $1 ORDER BY seq"
        placed, resumed = [entry["told"] for entry in await shop.rows(sql, f"%{wish.id}%")]
        assert f'"actor": "{shop.staff.name}"' in placed
        assert f'"subject": "{shop.staff.name}"' in resumed
        assert '"actor": "service:orders"' in resumed
