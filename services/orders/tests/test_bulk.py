"""Bulk orders through a real server; whoever places them dies, and another goes on."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from switchyard.orders.v1 import bulk_pb2, events_pb2, orders_pb2

from chassis import errors
from chassis.testing import Databases, Serve, Tenant
from services.orders import events
from services.orders.rpc.bulk_placing import BulkPlacing
from services.orders.tests.crowd import MANAGER, Crowd, gather_crowd, some_id

PLACING, PLACED, COMPLETED, CANCELLING, CANCELLED = (
    bulk_pb2.BULK_ORDER_STATUS_PLACING,
    bulk_pb2.BULK_ORDER_STATUS_PLACED,
    bulk_pb2.BULK_ORDER_STATUS_COMPLETED,
    bulk_pb2.BULK_ORDER_STATUS_CANCELLING,
    bulk_pb2.BULK_ORDER_STATUS_CANCELLED,
)


@pytest_asyncio.fixture
async def crowd(serve: Serve, databases: Databases, tenant: Tenant, inventory: tuple[Any, str]) -> Crowd:
    return await gather_crowd(serve, databases, tenant, inventory)


class TestCreateBulkOrder:
    async def test_is_accepted_and_placed_later(self, crowd: Crowd) -> None:
        created = await crowd.create(3, organisation="Analytical Society", event="Day one")

        assert (created.status, created.order_count, created.placed_percent) == (PLACING, 3, 0)
        assert created.owner_id == crowd.manager.id
        assert not await crowd.orders_of("bulk_id", created.id)

    async def test_is_told_to_the_site_and_its_owner(self, crowd: Crowd) -> None:
        created = await crowd.create(3)

        told = await crowd.told(f"bulk_orders/{created.id}")
        assert told == [("BulkOrderProgressed", f"~orders:queue:{crowd.shop.site},user:{crowd.manager.id}")]

    async def test_same_client_id_answers_the_same(self, crowd: Crowd) -> None:
        request = crowd.wishes(3, id=some_id())

        first, *others = await asyncio.gather(*(crowd.bulks().CreateBulkOrder(request) for _ in range(6)))

        assert all(other == first for other in others)
        assert (await crowd.progress(first.id)).waiting == 3

    async def test_same_client_id_with_another_wish_is_refused(self, crowd: Crowd) -> None:
        created = await crowd.create(3, id=some_id())

        with pytest.raises(errors.AlreadyExists):
            await crowd.create(4, id=created.id)

    async def test_more_than_a_thousand_are_invalid(self, crowd: Crowd) -> None:
        with pytest.raises(errors.Invalid):
            await crowd.create(1001)

    async def test_takes_its_permission(self, crowd: Crowd) -> None:
        with pytest.raises(errors.Denied) as denied:
            await crowd.bulks(crowd.shop.staff).CreateBulkOrder(crowd.wishes(1))

        assert denied.value.metadata["permission"] == "orders.bulk"

    @pytest.mark.parametrize("whose", ["other tenant", "other site"])
    async def test_out_of_sight_is_not_found(self, crowd: Crowd, whose: str) -> None:
        created, elsewhere = await crowd.create(1), [some_id()]
        stranger = Tenant().user() if whose == "other tenant" else crowd.shop.tenant.user(sites=elsewhere)

        for method, kind in (
            ("GetBulkOrder", bulk_pb2.GetBulkOrderRequest),
            ("GetBulkOrderProgress", bulk_pb2.GetBulkOrderProgressRequest),
            ("CancelBulkOrder", bulk_pb2.CancelBulkOrderRequest),
        ):
            with pytest.raises(errors.NotFound):
                await getattr(crowd.bulks(stranger), method)(kind(id=created.id))
        listed = await crowd.bulks(stranger).ListBulkOrders(bulk_pb2.ListBulkOrdersRequest())
        assert not listed.bulk_orders

    async def test_a_site_out_of_sight_is_not_found(self, crowd: Crowd) -> None:
        elsewhere = crowd.shop.tenant.user(permissions=MANAGER, sites=[some_id()])

        with pytest.raises(errors.NotFound):
            await crowd.bulks(elsewhere).CreateBulkOrder(crowd.wishes(1))


class TestPlacing:
    async def test_places_them_all(self, crowd: Crowd) -> None:
        created = await crowd.create(20)

        await crowd.placing.resume()

        found = await crowd.progress(created.id)
        assert (found.status, found.placed, found.queued, found.placed_percent) == (PLACED, 20, 20, 100)
        orders = await crowd.orders_of("bulk_id", created.id)
        assert sorted(order["number"] for order in orders) == list(range(1, 21))
        assert {order["customer_name"] for order in orders} == {f"Guest {each}" for each in range(20)}

    async def test_bad_ones_do_not_block_the_rest(self, crowd: Crowd) -> None:
        wishes = crowd.wishes(10)
        wishes.orders[0].lines[0].quantity = 9999
        wishes.orders[7].lines[0].quantity = 9999
        crowd.shop.inventory.stock = 50
        created = await crowd.bulks().CreateBulkOrder(wishes)

        await crowd.placing.resume()

        found = await crowd.progress(created.id)
        assert (found.placed, found.refused, found.placed_percent, found.ended_percent) == (8, 2, 100, 20)
        assert [(one.index, one.customer_name, one.code, one.message) for one in found.failures] == [
            (0, "Guest 0", "INSUFFICIENT_STOCK", "not enough beans"),
            (7, "Guest 7", "INSUFFICIENT_STOCK", "not enough beans"),
        ]

    async def test_inventory_away_it_waits_and_goes_on(self, crowd: Crowd) -> None:
        created = await crowd.create(4)
        crowd.shop.inventory.fail("Reserve", errors.Unavailable(), times=12)
        await crowd.placing.resume()
        before = await crowd.progress(created.id)

        await crowd.later(crowd.placing.resume)

        assert (before.waiting, before.placed) == (4, 0)
        assert (await crowd.progress(created.id)).placed == 4
        assert crowd.shop.inventory.stock == 1_000_000 - 4

    async def test_one_that_fails_again_and_again_keeps_nobody_waiting(self, crowd: Crowd) -> None:
        created = await crowd.create(30)
        (first,) = await crowd.shop.rows(
            "SELECT order_id FROM bulk_entries WHERE bulk_id = $1 AND position = 0", UUID(created.id)
        )
        crowd.shop.inventory.deaf_to.add(str(first["order_id"]))

        await crowd.placing.resume()

        found = await crowd.progress(created.id)
        assert (found.waiting, found.placed) == (1, 29)

    async def test_is_told_when_a_percentage_changes(self, crowd: Crowd) -> None:
        created = await crowd.create(16)

        await crowd.placing.resume()
        await crowd.later(crowd.placing.resume)
        await crowd.later(crowd.placing.resume)

        told = await crowd.told(f"bulk_orders/{created.id}")
        # Accepted, and after each of two handfuls.
        assert len(told) == 3

    async def test_killed_in_the_middle_sixty_have_sixty_outcomes(self, crowd: Crowd) -> None:
        created = await crowd.create(60)
        counter = Dying(crowd.placing._counter, 23)
        dying = BulkPlacing(crowd.shop.running.service.database, counter)  # type: ignore[arg-type]
        with pytest.raises(Died):
            await dying.resume()
        halfway = await crowd.progress(created.id)

        await crowd.later(crowd.placing.resume)

        found = await crowd.progress(created.id)
        orders = await crowd.orders_of("bulk_id", created.id)
        assert 0 < halfway.placed < 60
        assert (found.status, found.placed, found.waiting) == (PLACED, 60, 0)
        assert len(orders) == 60
        assert Counter(order["status"] for order in orders) == {"queued": 60}
        assert sorted(order["number"] for order in orders) == list(range(1, 61))
        assert crowd.shop.inventory.stock == 1_000_000 - 60

    async def test_many_places_do_not_place_anything_twice(self, crowd: Crowd) -> None:
        created = await crowd.create(24)

        await asyncio.gather(*(crowd.placing.resume() for _ in range(4)))
        await crowd.later(crowd.placing.resume)

        assert (await crowd.progress(created.id)).placed == 24
        assert len(await crowd.orders_of("bulk_id", created.id)) == 24

    async def test_the_trail_says_for_whom(self, crowd: Crowd) -> None:
        created = await crowd.create(1)

        await crowd.placing.resume()

        (order,) = await crowd.orders_of("bulk_id", created.id)
        entries = await crowd.trail(str(order["id"]))
        assert all(crowd.manager.name in entry for entry in entries)


class TestProgress:
    async def test_ends_with_its_orders(self, crowd: Crowd) -> None:
        created = await crowd.create(2)
        await crowd.placing.resume()
        first, second = await crowd.orders_of("bulk_id", created.id)

        await crowd.shop.patch(str(first["id"]), crowd.shop.manager, status=orders_pb2.ORDER_STATUS_COMPLETED)
        await crowd.later(crowd.placing.resume)
        halfway = await crowd.progress(created.id)
        await crowd.shop.patch(str(second["id"]), crowd.shop.manager, status=orders_pb2.ORDER_STATUS_CANCELLED)
        await crowd.later(crowd.placing.resume, timedelta(minutes=10))

        found = await crowd.progress(created.id)
        assert (halfway.status, halfway.ended_percent, halfway.completed, halfway.queued) == (PLACED, 50, 1, 1)
        assert (found.status, found.ended_percent, found.cancelled) == (COMPLETED, 100, 1)
        assert not found.HasField("oldest_outstanding")

    async def test_is_looked_at_as_soon_as_an_order_has_ended(self, crowd: Crowd) -> None:
        created = await crowd.create(2)
        await crowd.placing.resume()
        first, _ = await crowd.orders_of("bulk_id", created.id)
        order = await crowd.shop.patch(str(first["id"]), crowd.shop.manager, status=orders_pb2.ORDER_STATUS_COMPLETED)
        database = crowd.shop.running.service.database
        async with database.transaction(crowd.shop.tenant.service("orders")) as session:
            await events.on_order_status_changed(events_pb2.OrderStatusChanged(order=order), session)

        await crowd.placing.resume()

        told = await crowd.told(f"bulk_orders/{created.id}")
        assert (await crowd.progress(created.id)).ended_percent == 50
        assert len(told) == 3

    async def test_names_what_has_waited_longest(self, crowd: Crowd) -> None:
        created = await crowd.create(2)
        waiting = (await crowd.progress(created.id)).oldest_outstanding
        await crowd.placing.resume()
        orders = await crowd.orders_of("bulk_id", created.id)
        await crowd.shop.patch(str(orders[0]["id"]), crowd.shop.staff, status=orders_pb2.ORDER_STATUS_PREPARING)

        found = (await crowd.progress(created.id)).oldest_outstanding

        assert (waiting.action, waiting.index, waiting.customer_name) == ("place", 0, "Guest 0")
        assert (found.action, found.order_id) == ("prepare", str(orders[1]["id"]))

    async def test_never_goes_back_whatever_a_process_believes(self, crowd: Crowd) -> None:
        created = await crowd.create(2)
        await crowd.placing.resume()

        for sql in (
            "UPDATE bulk_orders SET placed_percent = 50 WHERE id = $1",
            "UPDATE bulk_entries SET state = 'waiting' WHERE bulk_id = $1",
        ):
            with pytest.raises(Exception, match=r"never goes back|is final"):
                await crowd.shop.rows(sql, UUID(created.id))

    async def test_listed_by_owner_and_state(self, crowd: Crowd) -> None:
        created = await crowd.create(1)
        await crowd.create(1, owner_id=some_id())

        request = bulk_pb2.ListBulkOrdersRequest(owner_id=crowd.manager.id, status=PLACING, site_id=crowd.shop.site)
        listed = await crowd.bulks().ListBulkOrders(request)

        assert [one.id for one in listed.bulk_orders] == [created.id]


class TestCancelBulkOrder:
    async def test_untried_it_is_cancelled_at_once(self, crowd: Crowd) -> None:
        created = await crowd.create(5)

        cancelled = await crowd.cancel(created.id)
        await crowd.later(crowd.placing.resume)

        assert (cancelled.status, cancelled.ended_percent) == (CANCELLED, 100)
        assert (await crowd.progress(created.id)).withdrawn == 5
        assert not await crowd.orders_of("bulk_id", created.id)

    async def test_cancels_what_nobody_has_begun(self, crowd: Crowd) -> None:
        created = await crowd.create(3)
        await crowd.placing.resume()
        orders = await crowd.orders_of("bulk_id", created.id)
        await crowd.shop.patch(str(orders[0]["id"]), crowd.shop.staff, status=orders_pb2.ORDER_STATUS_PREPARING)

        cancelled = await crowd.cancel(created.id)
        again = await crowd.cancel(created.id)
        await crowd.later(crowd.placing.resume)

        found = await crowd.progress(created.id)
        assert (cancelled.status, again.version) == (CANCELLING, cancelled.version)
        assert (found.status, found.preparing, found.cancelled) == (CANCELLING, 1, 2)
        assert crowd.shop.inventory.stock == 1_000_000 - 1

    async def test_in_the_middle_no_order_is_left(self, crowd: Crowd) -> None:
        created = await crowd.create(40)

        await asyncio.gather(crowd.placing.resume(), crowd.cancel(created.id))
        await crowd.later(crowd.placing.resume)

        found = await crowd.progress(created.id)
        assert (found.status, found.ended_percent) == (CANCELLED, 100)
        assert {order["status"] for order in await crowd.orders_of("bulk_id", created.id)} <= {"cancelled"}
        assert crowd.shop.inventory.stock == 1_000_000

    async def test_a_completed_one_stays(self, crowd: Crowd) -> None:
        created = await crowd.create(1)
        crowd.shop.inventory.stock = 0
        await crowd.placing.resume()

        with pytest.raises(errors.InvalidTransition):
            await crowd.cancel(created.id)


class Died(BaseException):
    """The process is gone: nothing catches it."""


class Dying:
    """A counter in a process that dies while it places the n-th order."""

    def __init__(self, counter: Any, dies_at: int) -> None:
        self._counter = counter
        self._left = dies_at

    async def place(self, request: Any, wish: Any) -> Any:
        self._left -= 1
        if self._left <= 0:
            # The order is there; nobody heard of it.
            await self._counter.place(request, wish)
            raise Died
        return await self._counter.place(request, wish)
