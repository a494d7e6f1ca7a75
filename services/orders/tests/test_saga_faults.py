"""Stories of orders in which the process dies at every commit and every call, as many deaths as the code has points.

Each story is told once while the points are noted that it passes, and then once for each of them with a death there.
Afterwards the resumer works on, which must leave nothing half done; then whoever told the story comes back and tells it
again, to its end.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from switchyard.orders.v1 import lines_pb2, orders_pb2
from uuid_utils.compat import uuid7

from chassis import call, clock, errors, faults
from services.orders.rpc.lines import LinesRpc
from services.orders.tests import till
from services.orders.tests.till import CANCELLED, CARD, COMPLETED, NEEDS_ATTENTION, QUEUED, SETTLED

# A walk has some tens of deaths, each with its aftermath.
pytestmark = pytest.mark.timeout(300)

ENDED = {COMPLETED, CANCELLED}
# What happens to an order once, however often it is tried.
ONCE = ("queued", "completed", "cancelled", "payment_captured", "payment_refunded", "payment_voided")
# Of the resumer, which takes up ten orders in each.
ROUNDS_MAX = 60

Tell = Callable[[Any, str], Awaitable[None]]


class Died(BaseException):
    """The process is gone: nothing catches it."""


class Fate:
    """Notes the points that are passed, and lets the process die at the n-th; zero: never. The dead do nothing more."""

    def __init__(self, dies_at: int = 0) -> None:
        self.passed: list[str] = []
        self._dies_at = dies_at

    def __call__(self, point: str) -> None:
        self.passed.append(point)
        if self._dies_at and len(self.passed) >= self._dies_at:
            raise Died


async def _place(shop: Any, order_id: str, **more: Any) -> None:
    with call.answering(call.Call(shop.staff, "orders.PlaceOrder", category="financial")):
        await shop.rpc.PlaceOrder(shop.wish(order_id, **more))


async def _move(shop: Any, order_id: str, status: Any) -> None:
    request = orders_pb2.UpdateOrderRequest(id=order_id, order=orders_pb2.Order(status=status))
    request.update_mask.paths.append("status")
    with call.answering(call.Call(shop.manager, "orders.UpdateOrder", category="financial")):
        await shop.rpc.UpdateOrder(request)


async def _void_first(shop: Any, order_id: str) -> None:
    order = await shop.get(order_id)
    request = lines_pb2.UpdateLineRequest(id=order_id, line_id=order.lines[0].id)
    request.line.status = orders_pb2.LINE_STATUS_VOIDED
    request.update_mask.paths.append("status")
    with call.answering(call.Call(shop.manager, "orders.UpdateLine", category="financial")):
        await LinesRpc(shop.rpc._counter).UpdateLine(request)


async def _resume(shop: Any, order_id: str) -> None:
    with clock.shifted(timedelta(minutes=5)):
        await shop.sagas.resume()


def _card(token: str) -> dict[str, Any]:
    return {"payment_method": CARD, "payment_token": token}


def _two_lines(shop: Any) -> dict[str, Any]:
    return {"lines": [orders_pb2.OrderLine(menu_item_id=shop.menu_item, quantity=quantity) for quantity in (1, 2)]}


async def _sold(shop: Any, order_id: str, **paid: Any) -> None:
    await _place(shop, order_id, **paid)
    await _move(shop, order_id, COMPLETED)


async def _taken_back(shop: Any, order_id: str, **paid: Any) -> None:
    await _place(shop, order_id, **paid)
    await _move(shop, order_id, CANCELLED)


async def _resumed(shop: Any, order_id: str, *, token: str) -> None:
    """What is left after the first try is done by the resumer."""
    try:
        await _place(shop, order_id, **_card(token))
    except errors.Unavailable:
        with clock.shifted(timedelta(minutes=5)):
            await shop.sagas._resume(shop.tenant.id, UUID(order_id))
    await _move(shop, order_id, COMPLETED)


async def _trimmed(shop: Any, order_id: str) -> None:
    await _place(shop, order_id, **_card("test_success"), **_two_lines(shop))
    if (await shop.get(order_id)).status == QUEUED:
        await _void_first(shop, order_id)
    await _move(shop, order_id, COMPLETED)


STORIES: dict[str, Tell] = {
    "paid at the till": _sold,
    "paid by card": partial(_sold, **_card("test_success")),
    "cancelled before it was paid": _taken_back,
    "cancelled and refunded": partial(_taken_back, **_card("test_success")),
    "cancelled and voided": partial(_taken_back, **_card("test_capture_fails_twice")),
    "declined": partial(_place, **_card("test_decline")),
    "answer lost": partial(_sold, **_card("test_timeout_after_charge")),
    "charge lost": partial(_resumed, token="test_timeout_before_charge"),
    "nobody knows": partial(_resumed, token="test_unknown"),
    "capture refused": partial(_sold, **_card("test_capture_refused")),
    "a line voided and refunded": _trimmed,
}


async def _tell(shop: Any, tell: Tell, order_id: str) -> None:
    try:
        await tell(shop, order_id)
    except errors.Error:
        # Refused, or told to come back later: so does whoever tells it, below.
        return


async def _points(shop: Any, tell: Tell) -> Sequence[str]:
    fate = Fate()
    with faults.watching(fate):
        await _tell(shop, tell, str(uuid7()))
    return fate.passed


async def _die(shop: Any, tell: Tell, order_id: str, dies_at: int) -> bool:
    with faults.watching(Fate(dies_at)):
        try:
            await _tell(shop, tell, order_id)
        except Died:
            return True
    return False


async def _settle(shop: Any) -> None:
    """What the resumer makes of all that is left, which takes it some rounds."""
    due = "SELECT 1 FROM sagas WHERE tenant_id = $1 AND state IN ('running', 'compensating') LIMIT 1"
    for number in range(1, ROUNDS_MAX):
        if not await shop.rows(due, shop.tenant.id):
            return
        await shop.resume_later(timedelta(minutes=10 * number))
    message = "the resumer does not come to an end"
    raise AssertionError(message)


async def _exists(shop: Any, order_id: str) -> bool:
    return bool(await shop.rows("SELECT 1 FROM orders WHERE id = $1", order_id))


class TestEveryPoint:
    @pytest.mark.parametrize("story", STORIES)
    async def test_leaves_nothing_half_done(self, shop: Any, story: str) -> None:
        tell, died = STORIES[story], {}
        for dies_at, point in enumerate(await _points(shop, tell), 1):
            order_id = str(uuid7())
            died[order_id] = f"{dies_at}: {point}"
            assert await _die(shop, tell, order_id, dies_at), f"nobody died at {point}"
            if dies_at % 2:
                # Half of them do not wait for the resumer.
                await _tell(shop, tell, order_id)

        await _settle(shop)
        for order_id, point in died.items():
            if await _exists(shop, order_id):
                assert (await shop.get(order_id)).saga_state in {SETTLED, NEEDS_ATTENTION}, point
                assert await till.imbalances(shop, order_id) == [], point
            await _tell(shop, tell, order_id)
        await _settle(shop)
        for order_id, point in died.items():
            order = await shop.get(order_id)
            assert order.status in ENDED or order.saga_state == NEEDS_ATTENTION, point
            assert await till.imbalances(shop, order_id) == [], point
            types = [event.type for event in await shop.timeline(order_id)]
            assert all(types.count(kind) <= 1 for kind in ONCE), point


class TestDyingWhileResuming:
    async def test_another_resumer_goes_on(self, shop: Any) -> None:
        """Whatever is left to the resumer, it may die of that too."""

        async def left(order_id: str) -> None:
            # Dies just after it was accepted, so that all is left.
            assert await _die(shop, partial(_place, **_card("test_success")), order_id, 2)

        await left(str(uuid7()))
        noted = Fate()
        with faults.watching(noted):
            await _resume(shop, "")
        points = [place for place, point in enumerate(noted.passed, 1) if point.startswith("orders.Resume/")]
        orders = []
        for dies_at in points:
            orders.append(str(uuid7()))
            await left(orders[-1])
            assert await _die(shop, _resume, orders[-1], dies_at)

        await _settle(shop)
        assert len(points) > 10
        for order_id in orders:
            assert (await shop.get(order_id)).payment.state == till.CAPTURED
            assert await till.imbalances(shop, order_id) == []


class TestPoints:
    async def test_are_those_that_the_code_passes(self, shop: Any) -> None:
        passed = await _points(shop, STORIES["paid by card"])

        said = ["Reserve", "authorise", "capture", "PostReservation"]
        assert [point.split("/")[1].removesuffix(".before") for point in passed if point.endswith(".before")] == [
            "commit",
            "Reserve",
            "commit",
            "authorise",
            "commit",
            "commit",
            "capture",
            "commit",
            "commit",
            "commit",
            "PostReservation",
            "commit",
        ]
        assert {point.split("/")[1].split(".")[0] for point in passed} == {*said, "commit"}
