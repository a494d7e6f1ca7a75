"""Orders through a real server."""

import asyncio
from typing import Any

import pytest
from switchyard.orders.v1 import orders_pb2
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.testing import Tenant

QUEUED, PREPARING, READY, COMPLETED, CANCELLED, DRAFT = (
    orders_pb2.ORDER_STATUS_QUEUED,
    orders_pb2.ORDER_STATUS_PREPARING,
    orders_pb2.ORDER_STATUS_READY,
    orders_pb2.ORDER_STATUS_COMPLETED,
    orders_pb2.ORDER_STATUS_CANCELLED,
    orders_pb2.ORDER_STATUS_DRAFT,
)


class TestPlaceOrder:
    async def test_is_queued_with_number_names_and_prices(self, shop: Any) -> None:
        order = await shop.place(customer_name="Ada")

        assert (order.status, order.number, order.saga_state) == (QUEUED, 1, orders_pb2.SAGA_STATE_SETTLED)
        assert (order.total.amount, order.total.currency, order.version) == (900, "USD", 2)
        assert [(line.name, line.unit_price.amount, line.quantity) for line in order.lines] == [("Flat white", 450, 2)]
        assert order.placed_by == shop.staff.name

    async def test_publishes_once(self, shop: Any) -> None:
        order = await shop.place()

        assert await shop.outbox(order.id) == ["OrderPlaced"]

    async def test_its_acceptance_and_its_queueing_are_in_the_trail(self, shop: Any) -> None:
        order = await shop.place()

        sql = "SELECT envelope FROM outbox WHERE subject LIKE 'aud.%' AND envelope LIKE $1 ORDER BY seq"
        accepted, queued = [entry["envelope"] for entry in await shop.rows(sql, f"%{order.id}%")]
        assert "orders.PlaceOrder" in accepted
        assert "orders.PlaceOrder" in queued
        assert shop.menu_item in queued

    async def test_same_client_id_answers_the_same_order(self, shop: Any) -> None:
        wish = shop.wish(uuid7())
        first = await shop.stub().PlaceOrder(wish)

        second = await shop.stub().PlaceOrder(wish)

        assert second == first

    async def test_same_client_id_with_another_wish_is_refused(self, shop: Any) -> None:
        order = await shop.place(id=str(uuid7()))

        with pytest.raises(errors.AlreadyExists):
            await shop.stub().PlaceOrder(shop.wish(order.id, notes="other"))

    async def test_anothers_order_id_is_taken(self, shop: Any) -> None:
        order = await shop.place(id=str(uuid7()))

        with pytest.raises(errors.AlreadyExists):
            await shop.stub(shop.manager).PlaceOrder(shop.wish(order.id))

    async def test_same_idempotency_key_answers_the_same_order(self, shop: Any) -> None:
        first = await shop.stub(switchyard_idempotency_key="k").PlaceOrder(shop.wish())

        second = await shop.stub(switchyard_idempotency_key="k").PlaceOrder(shop.wish())

        assert second.id == first.id

    async def test_idempotency_key_with_another_wish_is_refused(self, shop: Any) -> None:
        await shop.stub(switchyard_idempotency_key="k").PlaceOrder(shop.wish())

        with pytest.raises(errors.FailedPrecondition) as refused:
            await shop.stub(switchyard_idempotency_key="k").PlaceOrder(shop.wish(notes="other"))

        assert refused.value.code == "IDEMPOTENCY_KEY_REUSED"

    async def test_refusal_is_raised_and_the_order_cancelled(self, shop: Any) -> None:
        shop.inventory.stock, order_id = 1, uuid7()

        with pytest.raises(errors.Conflict) as refused:
            await shop.stub().PlaceOrder(shop.wish(order_id))

        order = await shop.get(order_id)
        assert (refused.value.code, refused.value.metadata["item"]) == ("INSUFFICIENT_STOCK", "beans")
        assert (order.status, order.rejection) == (CANCELLED, "INSUFFICIENT_STOCK")
        assert not order.HasField("number")

    async def test_refused_order_sent_again_is_refused_the_same(self, shop: Any) -> None:
        shop.inventory.stock, wish = 1, shop.wish(uuid7())
        with pytest.raises(errors.Conflict):
            await shop.stub().PlaceOrder(wish)
        shop.inventory.stock = 100

        with pytest.raises(errors.Conflict) as refused:
            await shop.stub().PlaceOrder(wish)

        assert refused.value.code == "INSUFFICIENT_STOCK"
        assert shop.inventory.stock == 100

    async def test_inventory_away_is_unavailable_and_the_draft_stays(self, shop: Any) -> None:
        shop.inventory.fail("Reserve", errors.Unavailable(), times=3)
        order_id = uuid7()

        with pytest.raises(errors.Unavailable):
            await shop.stub().PlaceOrder(shop.wish(order_id))

        assert (await shop.get(order_id)).status == DRAFT

    async def test_site_out_of_sight_is_not_found(self, shop: Any) -> None:
        elsewhere = shop.tenant.user(permissions={"orders.create"}, sites=[str(uuid7())])

        with pytest.raises(errors.NotFound):
            await shop.stub(elsewhere).PlaceOrder(shop.wish())

    async def test_twenty_at_once_with_one_id_are_one_order(self, shop: Any) -> None:
        wish = shop.wish(uuid7())

        orders = await asyncio.gather(*(shop.stub().PlaceOrder(wish) for _ in range(20)))

        assert {(order.id, order.number) for order in orders} == {(wish.id, 1)}
        assert await shop.outbox(wish.id) == ["OrderPlaced"]
        assert shop.inventory.stock == 1_000_000 - 2

    async def test_numbers_are_gapless_in_parallel_and_refusals_take_none(self, shop: Any) -> None:
        shop.inventory.stock = 24

        placed = await asyncio.gather(*(shop.place() for _ in range(20)), return_exceptions=True)

        numbers = sorted(order.number for order in placed if isinstance(order, orders_pb2.Order))
        assert numbers == list(range(1, 13))
        assert shop.inventory.stock == 0


class TestPlaceKioskOrder:
    async def test_is_queued_and_told_to_the_kiosk(self, shop: Any) -> None:
        order = await shop.stub(shop.kiosk).PlaceKioskOrder(shop.kiosk_wish())

        sql = "SELECT audience FROM outbox WHERE subject LIKE 'evt.%' AND envelope LIKE $1"
        (row,) = await shop.rows(sql, f"%orders/{order.id}%")
        assert (order.status, order.channel) == (QUEUED, orders_pb2.CHANNEL_KIOSK)
        assert row["audience"].split(",") == [
            f"orders:queue:{shop.site}",
            f"kiosk:{shop.site}",
        ]

    async def test_other_catalog_is_not_found(self, shop: Any) -> None:
        with pytest.raises(errors.NotFound):
            await shop.stub(shop.kiosk).PlaceKioskOrder(shop.kiosk_wish(catalog_id=str(uuid7())))


class TestListOrders:
    async def test_pages_newest_first(self, shop: Any) -> None:
        placed = [(await shop.place()).id for _ in range(3)]

        first = await shop.stub().ListOrders(orders_pb2.ListOrdersRequest(page_size=2))
        second = await shop.stub().ListOrders(orders_pb2.ListOrdersRequest(page_size=2, cursor=first.next_cursor))

        assert [order.id for order in (*first.orders, *second.orders)] == placed[::-1]
        assert second.next_cursor == ""

    async def test_filters(self, shop: Any) -> None:
        kept, moved = await shop.place(), await shop.place()
        await shop.patch(moved.id, status=PREPARING)
        request = orders_pb2.ListOrdersRequest(
            status=[QUEUED],
            site_id=shop.site,
            channel=orders_pb2.CHANNEL_MOBILE,
            saga_state=orders_pb2.SAGA_STATE_SETTLED,
        )
        request.date_from.CopyFrom(kept.placed_at)

        found = await shop.stub().ListOrders(request)

        assert [order.id for order in found.orders] == [kept.id]

    async def test_before_the_first_is_nothing(self, shop: Any) -> None:
        order = await shop.place()

        found = await shop.stub().ListOrders(orders_pb2.ListOrdersRequest(date_to=order.placed_at))

        assert not found.orders

    async def test_kiosk_sees_its_own(self, shop: Any) -> None:
        await shop.place()
        own = await shop.stub(shop.kiosk).PlaceKioskOrder(shop.kiosk_wish())

        found = await shop.stub(shop.kiosk).ListOrders(orders_pb2.ListOrdersRequest())

        assert [order.id for order in found.orders] == [own.id]

    async def test_other_sites_are_out_of_sight(self, shop: Any) -> None:
        await shop.place()
        elsewhere = shop.tenant.user(permissions={"orders.read"}, sites=[str(uuid7())])

        found = await shop.stub(elsewhere).ListOrders(orders_pb2.ListOrdersRequest())

        assert not found.orders


class TestGetQueue:
    async def test_holds_what_is_waiting_oldest_first(self, shop: Any) -> None:
        first, second, gone = [await shop.place() for _ in range(3)]
        await shop.patch(second.id, status=PREPARING)
        await shop.patch(gone.id, status=CANCELLED)

        queue = await shop.stub().GetQueue(orders_pb2.GetQueueRequest(site_id=shop.site))

        assert [order.id for order in queue.orders] == [first.id, second.id]

    async def test_site_out_of_sight_is_not_found(self, shop: Any) -> None:
        elsewhere = shop.tenant.user(permissions={"orders.read"}, sites=[str(uuid7())])

        with pytest.raises(errors.NotFound):
            await shop.stub(elsewhere).GetQueue(orders_pb2.GetQueueRequest(site_id=shop.site))


class TestGetOrder:
    async def test_another_tenants_is_not_found(self, shop: Any) -> None:
        order = await shop.place()

        with pytest.raises(errors.NotFound):
            await shop.get(order.id, Tenant().user())

    async def test_kiosk_cannot_read_anothers(self, shop: Any) -> None:
        order = await shop.place()

        with pytest.raises(errors.NotFound):
            await shop.get(order.id, shop.kiosk)


class TestListOrderEvents:
    async def test_tells_the_story_in_order(self, shop: Any) -> None:
        order = await shop.place()
        await shop.patch(order.id, status=PREPARING)
        await shop.patch(order.id, shop.manager, status=COMPLETED)

        told = [(entry.sequence, entry.type) for entry in await shop.timeline(order.id)]

        assert told == [(1, "placed"), (2, "queued"), (3, "preparing"), (4, "completed")]

    async def test_pages(self, shop: Any) -> None:
        order = await shop.place()

        first = await shop.stub().ListOrderEvents(orders_pb2.ListOrderEventsRequest(id=order.id, page_size=1))
        request = orders_pb2.ListOrderEventsRequest(id=order.id, page_size=1, cursor=first.next_cursor)
        second = await shop.stub().ListOrderEvents(request)

        assert [entry.type for entry in (*first.events, *second.events)] == ["placed", "queued"]
