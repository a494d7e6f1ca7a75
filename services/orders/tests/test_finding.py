"""What is read of orders: the queue, lists by every filter, the timeline; and the numbers of a site's day."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from switchyard.orders.v1 import orders_pb2
from uuid_utils.compat import uuid7

from chassis import call, clock, errors
from services.orders.tests.conftest import STAFF

QUEUED, PREPARING, READY, COMPLETED, CANCELLED = (
    orders_pb2.ORDER_STATUS_QUEUED,
    orders_pb2.ORDER_STATUS_PREPARING,
    orders_pb2.ORDER_STATUS_READY,
    orders_pb2.ORDER_STATUS_COMPLETED,
    orders_pb2.ORDER_STATUS_CANCELLED,
)
NEW_YORK = ZoneInfo("America/New_York")


def _with_station(shop: Any) -> str:
    station = str(uuid7())
    shop.running.service.every_site.stations[shop.site] = [station]
    return station


async def _queue(shop: Any, principal: Any = None, **asked: Any) -> Any:
    return await shop.stub(principal).GetQueue(orders_pb2.GetQueueRequest(site_id=shop.site, **asked))


async def _found(shop: Any, **asked: Any) -> list[str]:
    answer = await shop.stub().ListOrders(orders_pb2.ListOrdersRequest(**asked))
    return [order.id for order in answer.orders]


class TestQueue:
    async def test_says_how_many_come_before(self, shop: Any) -> None:
        first, made, last = [await shop.place() for _ in range(3)]
        await shop.patch(made.id, shop.manager, status=READY)

        queue = await _queue(shop)

        assert [place.order_id for place in queue.places] == [first.id, made.id, last.id]
        assert [place.ahead if place.HasField("ahead") else None for place in queue.places] == [0, None, 1]

    async def test_says_how_long_they_wait(self, shop: Any) -> None:
        with clock.shifted(-timedelta(seconds=90)):
            await _place_now(shop)

        queue = await _queue(shop)

        assert 90 <= queue.places[0].age_s < 120

    async def test_of_a_station(self, shop: Any) -> None:
        station = _with_station(shop)
        there, _ = await shop.place(station_id=station), await shop.place()

        queue = await _queue(shop, station_id=station)

        assert [order.id for order in queue.orders] == [there.id]

    async def test_of_some_states(self, shop: Any) -> None:
        begun, _ = await shop.place(), await shop.place()
        await shop.patch(begun.id, status=PREPARING)

        queue = await _queue(shop, status=[PREPARING, READY])

        assert [order.id for order in queue.orders] == [begun.id]

    async def test_is_not_a_kiosks(self, shop: Any) -> None:
        with pytest.raises(errors.Denied):
            await _queue(shop, shop.kiosk)

    async def test_has_no_ended_states(self, shop: Any) -> None:
        with pytest.raises(errors.Invalid):
            await _queue(shop, status=[COMPLETED])


class TestFilters:
    async def test_by_states(self, shop: Any) -> None:
        queued, begun, gone = [await shop.place() for _ in range(3)]
        await shop.patch(begun.id, status=PREPARING)
        await shop.patch(gone.id, status=CANCELLED)

        assert await _found(shop, status=[QUEUED, PREPARING]) == [begun.id, queued.id]

    async def test_by_who_makes_it(self, shop: Any) -> None:
        order, _ = await shop.place(), await shop.place()
        await shop.stub().AssignOrder(orders_pb2.AssignOrderRequest(id=order.id, user_id=shop.staff.id))

        assert await _found(shop, assigned_to=shop.staff.id) == [order.id]

    async def test_by_station(self, shop: Any) -> None:
        station = _with_station(shop)
        order, _ = await shop.place(station_id=station), await shop.place()

        assert await _found(shop, station_id=station) == [order.id]

    async def test_by_customer(self, shop: Any) -> None:
        order, _ = await shop.place(customer_id="C-1"), await shop.place(customer_id="C-2")

        assert await _found(shop, customer_id="C-1") == [order.id]

    @pytest.mark.parametrize("written", ["2", "#2"])
    async def test_by_number(self, shop: Any, written: str) -> None:
        _, second = await shop.place(), await shop.place()

        assert await _found(shop, q=written) == [second.id]

    async def test_what_is_no_number_is_refused(self, shop: Any) -> None:
        with pytest.raises(errors.Invalid):
            await _found(shop, q="two")

    async def test_what_nothing_has_finds_nothing(self, shop: Any) -> None:
        await shop.place()

        assert await _found(shop, bulk_id=str(uuid7())) == []
        assert await _found(shop, group_code="BCDFGH") == []

    async def test_a_page_far_down_is_found_by_the_index(self, shop: Any) -> None:
        await shop.place()
        connection = await asyncpg.connect(await shop.databases.url("orders"))

        async with connection.transaction():
            await connection.execute("SELECT set_config('app.tenant_id', $1, true)", str(shop.tenant.id))
            await connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
            rows = await connection.fetch(
                "EXPLAIN SELECT id FROM orders WHERE (placed_at, id) < (now(), $1) "
                "ORDER BY placed_at DESC, id DESC LIMIT 26",
                uuid7(),
            )

        await connection.close()
        plan = "\n".join(row[0] for row in rows)
        assert "ROW(placed_at, id) <" in plan
        assert "Sort" not in plan


class TestTimeline:
    async def test_tells_in_whose_name(self, shop: Any) -> None:
        order = await shop.place()
        acting = replace(shop.tenant.user(permissions=STAFF), actor="user:boss")

        await shop.patch(order.id, acting, status=PREPARING)

        last = (await shop.timeline(order.id))[-1]
        assert (last.actor, last.subject) == ("user:boss", acting.name)

    async def test_a_completion_keeps_in_whose_name(self, shop: Any) -> None:
        order = await shop.place()
        acting = replace(shop.tenant.user(permissions=STAFF | {"orders.override"}), actor="user:boss")

        await shop.patch(order.id, acting, status=COMPLETED)

        last = (await shop.timeline(order.id))[-1]
        assert (last.actor, last.subject, last.type) == ("user:boss", acting.name, "completed")

    async def test_is_totally_ordered_under_parallel_changes(self, shop: Any) -> None:
        order = await shop.place()

        await asyncio.gather(*(shop.patch(order.id, notes=f"{place}") for place in range(8)))

        told = await shop.timeline(order.id)
        assert [entry.sequence for entry in told] == list(range(1, 11))
        assert (await shop.get(order.id)).version == order.version + 8

    async def test_tells_the_states_that_were_left_and_reached(self, shop: Any) -> None:
        order = await shop.place()
        await shop.patch(order.id, status=PREPARING)

        told = [(entry.from_status, entry.to_status) for entry in await shop.timeline(order.id)]

        assert told == [("", "draft"), ("draft", "queued"), ("queued", "preparing")]


class TestPlaces:
    async def test_closed_site_is_not_found(self, shop: Any) -> None:
        shop.running.service.every_site.closed.add(shop.site)

        with pytest.raises(errors.NotFound):
            await shop.place()

    async def test_station_of_another_site_is_refused(self, shop: Any) -> None:
        with pytest.raises(errors.Invalid) as refused:
            await shop.place(station_id=str(uuid7()))

        assert list(refused.value.fields) == ["station_id"]

    async def test_a_station_is_told_of_its_orders(self, shop: Any) -> None:
        station = _with_station(shop)

        order = await shop.place(station_id=station)

        sql = "SELECT audience FROM outbox WHERE subject LIKE '%.OrderPlaced' AND envelope LIKE $1"
        (row,) = await shop.rows(sql, f"%{order.id}%")
        assert f"station:{station}" in row["audience"].split(",")


async def _place_now(shop: Any, order_id: Any = None) -> orders_pb2.Order:
    """Place an order by the shifted clock, by which no pass would be valid."""
    with call.answering(call.Call(shop.staff, "orders.PlaceOrder", category="financial")):
        placed: orders_pb2.Order = await shop.rpc.PlaceOrder(shop.wish(order_id))
        return placed


def _until(local: datetime) -> timedelta:
    """How far the clock is from a time."""
    return local - datetime.now(UTC)


class TestNumbers:
    async def test_begin_anew_at_the_sites_midnight(self, shop: Any) -> None:
        shop.running.service.every_site.time_zone = NEW_YORK.key
        midnight = datetime(2027, 3, 2, tzinfo=NEW_YORK)

        with clock.shifted(_until(midnight - timedelta(minutes=5))):
            before = [await _place_now(shop) for _ in range(2)]
        with clock.shifted(_until(midnight + timedelta(minutes=5))):
            after = await _place_now(shop)

        assert [(order.business_day, order.number) for order in (*before, after)] == [
            ("2027-03-01", 1),
            ("2027-03-01", 2),
            ("2027-03-02", 1),
        ]

    async def test_an_order_counts_on_the_day_on_which_it_was_accepted(self, shop: Any) -> None:
        shop.running.service.every_site.time_zone = NEW_YORK.key
        midnight, order_id = datetime(2027, 3, 2, tzinfo=NEW_YORK), uuid7()
        with clock.shifted(_until(midnight - timedelta(minutes=1))):
            shop.inventory.fail("Reserve", errors.Unavailable(), times=3)
            with pytest.raises(errors.Unavailable):
                await _place_now(shop, order_id)

        with clock.shifted(_until(midnight + timedelta(minutes=5))):
            await shop.sagas.resume()
            new = await _place_now(shop)

        late = await shop.get(order_id)
        assert (late.business_day, late.number) == ("2027-03-01", 1)
        assert (new.business_day, new.number) == ("2027-03-02", 1)

    async def test_are_gapless_on_both_sides_of_midnight(self, shop: Any) -> None:
        shop.running.service.every_site.time_zone = NEW_YORK.key
        shop.inventory.stock = 2 * 30
        moment = datetime(2027, 3, 2, tzinfo=NEW_YORK) - timedelta(milliseconds=150)

        with clock.shifted(_until(moment)):
            placed = await asyncio.gather(*(_place_now(shop) for _ in range(40)), return_exceptions=True)

        sql = "SELECT day, array_agg(number ORDER BY number) AS numbers FROM orders WHERE site_id = $1 GROUP BY day"
        days = await shop.rows(f"{sql} HAVING count(number) > 0", UUID(shop.site))
        assert sum(isinstance(order, orders_pb2.Order) for order in placed) == 30
        for day in days:
            given = [number for number in day["numbers"] if number is not None]
            assert given == list(range(1, len(given) + 1))
