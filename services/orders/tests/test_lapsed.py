"""Reservations that lapse while their orders still wait."""

from datetime import timedelta
from typing import Any

import pytest
from switchyard.inventory.v1 import events_pb2
from switchyard.orders.v1 import orders_pb2

from chassis import errors
from services.orders import events
from services.orders.tests import till
from services.orders.tests.till import CANCELLED, COMPLETED, NEEDS_ATTENTION, QUEUED, SETTLED


async def _lapse(shop: Any, order_id: str, *, told: bool = True) -> None:
    """Let an order's reservation lapse, and tell orders of it."""
    shop.inventory.lapse(order_id)
    if told:
        event = events_pb2.ReservationExpired(order_id=order_id, site_id=shop.site)
        async with shop.running.service.database.transaction(shop.tenant.service("orders")) as session:
            await events.on_reservation_expired(event, session)


class TestLapsed:
    async def test_of_an_order_that_waits_is_held_anew(self, shop: Any) -> None:
        order = await shop.place()
        await _lapse(shop, order.id)

        await shop.sagas.resume()

        found = await shop.get(order.id)
        assert (found.status, found.saga_state, found.total) == (QUEUED, SETTLED, order.total)
        assert shop.inventory.held(order.id) == 2

    async def test_is_held_anew_before_it_is_posted(self, shop: Any) -> None:
        order = await shop.place()
        await _lapse(shop, order.id, told=False)

        done = await shop.patch(order.id, shop.manager, status=COMPLETED)

        assert done.status == COMPLETED
        assert await till.imbalances(shop, order.id) == []

    async def test_what_is_gone_needs_attention(self, shop: Any) -> None:
        order = await shop.place()
        await _lapse(shop, order.id)
        shop.inventory.stock = 1

        await shop.sagas.resume()

        found = await shop.get(order.id)
        assert (found.status, found.saga_state, found.saga_error) == (QUEUED, NEEDS_ATTENTION, "INSUFFICIENT_STOCK")

    async def test_goes_on_when_there_is_some_again(self, shop: Any) -> None:
        order = await shop.place()
        await _lapse(shop, order.id)
        shop.inventory.stock = 1
        await shop.sagas.resume()
        shop.inventory.stock = 10

        retried = await shop.stub(shop.manager).RetryOrder(orders_pb2.RetryOrderRequest(id=order.id))

        assert retried.saga_state == SETTLED
        assert shop.inventory.held(order.id) == 2

    async def test_can_be_cancelled(self, shop: Any) -> None:
        order = await till.by_card(shop)
        await _lapse(shop, order.id)
        shop.inventory.stock = 1
        await shop.sagas.resume()

        cancelled = await shop.patch(order.id, status=CANCELLED)

        assert (cancelled.status, cancelled.saga_state, cancelled.payment.state) == (CANCELLED, SETTLED, till.REFUNDED)

    async def test_without_stock_nothing_is_completed(self, shop: Any) -> None:
        order = await shop.place()
        await _lapse(shop, order.id, told=False)
        shop.inventory.stock = 1

        with pytest.raises(errors.Conflict, match="beans"):
            await shop.patch(order.id, shop.manager, status=COMPLETED)

        assert (await shop.get(order.id)).status == QUEUED

    async def test_while_money_is_on_its_way_it_is_heard_again_later(self, shop: Any) -> None:
        order = await till.by_card(shop, "test_capture_fails_twice")
        with pytest.raises(errors.Unavailable):
            await _lapse(shop, order.id)
        for hours in (1, 2):
            await shop.resume_later(timedelta(hours=hours))

        await _lapse(shop, order.id)
        await shop.sagas.resume()

        assert (await shop.get(order.id)).payment.state == till.CAPTURED
        assert await till.imbalances(shop, order.id) == []

    async def test_of_an_order_that_has_ended_is_nobodys_business(self, shop: Any) -> None:
        order = await shop.place()
        await shop.patch(order.id, shop.manager, status=COMPLETED)

        await _lapse(shop, order.id)

        assert (await shop.get(order.id)).saga_state == SETTLED
