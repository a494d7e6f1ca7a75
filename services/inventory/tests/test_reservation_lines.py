"""The lines of a reservation, each of which goes its own way; and what is promised before it is there."""

from datetime import timedelta
from typing import cast

import asyncpg
import orjson
import pytest
from switchyard.inventory.v1 import inventory_pb2 as pb
from switchyard.inventory.v1 import menu_pb2 as menu
from switchyard.inventory.v1 import reservations_pb2 as held
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.testing import Databases, Serve, Tenant, TestedService
from services.inventory import work
from services.inventory.tests.shop import Shop, admin, allow_backorder, balanced, post, recall, release

ACTIVE = held.RESERVATION_STATE_ACTIVE
PARTIALLY_POSTED = held.RESERVATION_STATE_PARTIALLY_POSTED
POSTED = held.RESERVATION_STATE_POSTED
RELEASED = held.RESERVATION_STATE_RELEASED
EXPIRED = held.RESERVATION_STATE_EXPIRED


async def of_lines(shop: Shop, count: int) -> tuple[held.ReserveRequest, list[str]]:
    """An order of so many lines, reserved."""
    wish = shop.wish(of=[shop.menu_item_id] * count)
    await shop.orders.Reserve(wish)
    return wish, [line.line_id for line in wish.lines]


class TestReserve:
    async def test_adds_new_lines_and_leaves_the_others(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish, (first,) = await of_lines(shop, 1)
        wish.lines[0].quantity = 5
        wish.lines.add(line_id=str(uuid7()), menu_item_id=shop.menu_item_id, quantity=2)

        reservation = await shop.orders.Reserve(wish)

        assert [(line.line_id == first, line.quantity) for line in reservation.lines] == [(True, 1), (False, 2)]
        assert await shop.stock() == (10, 3)

    async def test_what_is_held_stays_when_it_is_switched_off(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish, _ = await of_lines(shop, 1)
        off = menu.UpdateMenuItemRequest(id=shop.menu_item_id, menu_item=menu.MenuItem(sold_out=True))
        off.update_mask.paths.append("sold_out")
        await shop.staff.UpdateMenuItem(off)

        assert (await shop.orders.Reserve(wish)).state == ACTIVE

    async def test_a_new_line_that_is_refused_changes_nothing_and_is_named(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish, _ = await of_lines(shop, 2)
        wish.lines.add(line_id=str(uuid7()), menu_item_id=str(uuid7()), quantity=1)

        with pytest.raises(errors.Invalid) as refused:
            await shop.orders.Reserve(wish)

        assert list(refused.value.fields) == ["lines.2.menu_item_id"]
        assert await shop.stock() == (10, 2)

    async def test_a_line_is_there_once(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish = shop.wish(of=[shop.menu_item_id] * 2)
        wish.lines[1].line_id = wish.lines[0].line_id

        with pytest.raises(errors.Invalid):
            await shop.orders.Reserve(wish)

    async def test_says_which_line_a_batch_is_for(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (1, 2), (9, 0))
        wish = shop.wish(of=[shop.menu_item_id] * 2)

        reservation = await shop.orders.Reserve(wish)

        assert [(pick.line_id, pick.reason) for pick in reservation.picks] == [
            (wish.lines[0].line_id, "first_expiry"),
            (wish.lines[1].line_id, "first_in"),
        ]

    async def test_a_line_given_back_before_stays_given_back(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish = shop.wish(of=[shop.menu_item_id] * 2)
        await shop.orders.ReleaseReservation(release(wish.order_id, wish.lines[0].line_id))

        reservation = await shop.orders.Reserve(wish)

        assert [line.line_id for line in reservation.lines] == [wish.lines[1].line_id]
        assert (reservation.state, reservation.site_id) == (ACTIVE, shop.site_id)
        assert await shop.stock() == (10, 1)

    async def test_a_line_of_another_site_is_refused(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish, _ = await of_lines(shop, 1)
        wish.site_id = str(uuid7())
        wish.lines.add(line_id=str(uuid7()), menu_item_id=shop.menu_item_id, quantity=1)

        with pytest.raises(errors.Invalid):
            await shop.orders.Reserve(wish)

    async def test_nothing_is_added_to_what_has_ended(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish, _ = await of_lines(shop, 1)
        await shop.orders.PostReservation(post(wish.order_id))
        wish.lines.add(line_id=str(uuid7()), menu_item_id=shop.menu_item_id, quantity=1)

        reservation = await shop.orders.Reserve(wish)

        assert (reservation.state, len(reservation.lines)) == (POSTED, 1)
        assert await shop.stock() == (9, 0)


class TestPost:
    async def test_line_by_line(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish, (first, second, third) = await of_lines(shop, 3)

        states = []
        for line_ids in ((first,), (first,), (second, third), ()):
            posted = await shop.orders.PostReservation(post(wish.order_id, *line_ids))
            states.append((posted.state, [line.state for line in posted.lines]))

        assert states == [
            (PARTIALLY_POSTED, [POSTED, ACTIVE, ACTIVE]),
            (PARTIALLY_POSTED, [POSTED, ACTIVE, ACTIVE]),
            (POSTED, [POSTED] * 3),
            (POSTED, [POSTED] * 3),
        ]
        assert await shop.stock() == (7, 0)
        await balanced(databases, tenant)

    async def test_a_line_added_later_is_posted_too(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish, (first, _) = await of_lines(shop, 2)
        await shop.orders.PostReservation(post(wish.order_id, first))
        wish.lines.add(line_id=str(uuid7()), menu_item_id=shop.menu_item_id, quantity=3)
        assert (await shop.orders.Reserve(wish)).state == PARTIALLY_POSTED

        posted = await shop.orders.PostReservation(post(wish.order_id))

        assert posted.state == POSTED
        assert await shop.stock() == (5, 0)

    async def test_an_unknown_line_is_not_found(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish, (first,) = await of_lines(shop, 1)

        with pytest.raises(errors.NotFound):
            await shop.orders.PostReservation(post(wish.order_id, first, str(uuid7())))

        assert await shop.stock() == (10, 1)

    async def test_a_line_given_back_is_refused(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish, (first, _) = await of_lines(shop, 2)
        await shop.orders.ReleaseReservation(release(wish.order_id, first))

        with pytest.raises(errors.InvalidTransition):
            await shop.orders.PostReservation(post(wish.order_id, first))

    async def test_a_recalled_batch_is_replaced_for_the_line(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        shop = await Shop.open(serve, tenant, (2, 1), (5, 9))
        wish, (first, second) = await of_lines(shop, 2)
        await recall(shop, "L0")

        posted = await shop.orders.PostReservation(post(wish.order_id, first))

        batches = (await shop.staff.ListBatches(pb.ListBatchesRequest(item_id=shop.item_id))).batches
        lots = {batch.id: batch.lot for batch in batches}
        assert {pick.line_id: lots[pick.batch_id] for pick in posted.picks} == {first: "L1", second: "L0"}
        await balanced(databases, tenant)

    async def test_takes_of_the_station_first_then_of_the_store_room(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        mine, other = sorted(str(uuid7()) for _ in range(2))[::-1]
        sites = cast("TestedService", shop.running.service).every_site
        sites.stations[shop.site_id] = [mine, other]
        sites._known.clear()
        batch_id = (await shop.staff.ListBatches(pb.ListBatchesRequest(item_id=shop.item_id))).batches[0].id
        for station in (mine, other):
            told = pb.Movement(type=pb.MOVEMENT_TYPE_RECEIVE, site_id=shop.site_id, quantity=3, reason="morning")
            told.batch_id, told.station_id = batch_id, station
            await shop.staff.CreateMovement(pb.CreateMovementRequest(item_id=shop.item_id, movement=told))
        wish = shop.wish(14)
        wish.station_id = mine
        await shop.orders.Reserve(wish)

        await shop.orders.PostReservation(post(wish.order_id))

        sql = "SELECT station_id::text, quantity FROM movements WHERE order_id = $1::text::uuid"
        sold = await admin(databases, sql, wish.order_id)
        assert {row["station_id"]: row["quantity"] for row in sold} == {mine: -3, None: -10, other: -1}
        assert await shop.stock() == (2, 0)
        await balanced(databases, tenant)


class TestRelease:
    async def test_line_by_line(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish, (first, second) = await of_lines(shop, 2)

        states = []
        for line_id in (first, first, second, second):
            released = await shop.orders.ReleaseReservation(release(wish.order_id, line_id))
            states.append((released.state, len(released.picks)))

        assert states == [(ACTIVE, 1), (ACTIVE, 1), (RELEASED, 0), (RELEASED, 0)]
        assert await shop.stock() == (10, 0)
        await balanced(databases, tenant)

    async def test_the_rest_of_what_was_posted_ends_posted(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish, (first, _) = await of_lines(shop, 2)
        await shop.orders.PostReservation(post(wish.order_id, first))

        answers = [await shop.orders.ReleaseReservation(release(wish.order_id)) for _ in range(2)]

        assert [answer.state for answer in answers] == [POSTED, POSTED]
        assert await shop.stock() == (9, 0)

    @pytest.mark.parametrize("named", [True, False])
    async def test_what_is_posted_is_refused(self, serve: Serve, tenant: Tenant, *, named: bool) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish, (first,) = await of_lines(shop, 1)
        await shop.orders.PostReservation(post(wish.order_id))

        with pytest.raises(errors.InvalidTransition):
            await shop.orders.ReleaseReservation(release(wish.order_id, *([first] if named else [])))


class TestExpire:
    async def test_is_told_with_the_lines_that_were_held(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish, (first, second) = await of_lines(shop, 2)
        await shop.orders.PostReservation(post(wish.order_id, first))

        with clock.shifted(timedelta(days=8)):
            await work.expire(shop.running.service.database)

        sql = "SELECT audience, envelope FROM outbox WHERE tenant_id = $1 AND subject LIKE '%.ReservationExpired'"
        (told,) = await admin(databases, sql, tenant.id)
        assert told["audience"] == f"site:{shop.site_id}"
        assert orjson.loads(told["envelope"])["data"] == {
            "order_id": wish.order_id,
            "site_id": shop.site_id,
            "line_ids": [second],
        }
        reservation = await shop.orders.Reserve(wish)
        assert (reservation.state, [line.state for line in reservation.lines]) == (EXPIRED, [POSTED, EXPIRED])
        assert await shop.stock() == (9, 0)

    async def test_the_life_is_a_setting(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0), reservation_life_s=60.0)
        wish, _ = await of_lines(shop, 1)

        with clock.shifted(timedelta(seconds=61)):
            await work.expire(shop.running.service.database)

        assert (await shop.orders.Reserve(wish)).state == EXPIRED


class TestBackorder:
    async def test_what_is_not_there_is_held_without_a_batch(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        shop = await Shop.open(serve, tenant, (2, 0))
        await allow_backorder(databases, shop.item_id)

        reservation = await shop.orders.Reserve(shop.wish(5))

        assert [(pick.quantity, pick.reason, bool(pick.batch_id)) for pick in reservation.picks] == [
            (2, "first_in", True),
            (3, "backorder", False),
        ]
        assert await shop.stock() == (2, 5)
        await balanced(databases, tenant)

    async def test_posting_waits_for_the_stock_and_picks_it(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        shop = await Shop.open(serve, tenant, (2, 0))
        await allow_backorder(databases, shop.item_id)
        wish = shop.wish(5)
        await shop.orders.Reserve(wish)
        with pytest.raises(errors.Conflict) as refused:
            await shop.orders.PostReservation(post(wish.order_id))
        assert refused.value.fields == {"X": ["5 wanted, 2 available"]}
        await shop.receive(10, lot="N")

        posted = await shop.orders.PostReservation(post(wish.order_id))

        assert sorted(pick.quantity for pick in posted.picks) == [2, 3]
        assert await shop.stock() == (7, 0)
        await balanced(databases, tenant)

    async def test_what_comes_in_belongs_to_who_waits(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        shop = await Shop.open(serve, tenant)
        await allow_backorder(databases, shop.item_id)
        waiting = shop.wish(5)
        await shop.orders.Reserve(waiting)
        await shop.receive(6, lot="N")

        newcomer = await shop.orders.Reserve(shop.wish(2))

        assert [(pick.quantity, pick.reason) for pick in newcomer.picks] == [(1, "first_in"), (1, "backorder")]
        assert (await shop.orders.PostReservation(post(waiting.order_id))).state == POSTED
        await balanced(databases, tenant)

    async def test_given_back_nobody_waits(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        shop = await Shop.open(serve, tenant, (2, 0))
        await allow_backorder(databases, shop.item_id)
        wish = shop.wish(5)
        await shop.orders.Reserve(wish)

        await shop.orders.ReleaseReservation(release(wish.order_id))

        assert await shop.stock() == (2, 0)
        await balanced(databases, tenant)

    async def test_an_item_for_which_somebody_waits_stays_so(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        shop = await Shop.open(serve, tenant)
        await allow_backorder(databases, shop.item_id)
        await shop.orders.Reserve(shop.wish())

        with pytest.raises(asyncpg.CheckViolationError):
            await allow_backorder(databases, shop.item_id, allow=False)

    async def test_the_database_holds_no_more_than_there_is_of_other_items(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        shop = await Shop.open(serve, tenant, (2, 0))

        for change in ("reserved = 3", "reserved = 3, backordered = 3", "reserved = 3, backordered = 1"):
            with pytest.raises(asyncpg.CheckViolationError):
                await admin(databases, f"UPDATE balances SET {change} WHERE item_id = $1::text::uuid", shop.item_id)


class TestDatabase:
    async def test_nothing_is_held_by_what_has_ended(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish, (first,) = await of_lines(shop, 1)

        with pytest.raises(asyncpg.RaiseError):
            await admin(databases, "UPDATE reservations SET state = 4 WHERE order_id = $1::text::uuid", wish.order_id)
        await shop.orders.PostReservation(post(wish.order_id))
        again = "UPDATE reservation_lines SET state = 1 WHERE line_id = $1::text::uuid"
        added = (
            "INSERT INTO reservation_lines (tenant_id, order_id, line_id, place, state, menu_item_id) "
            "SELECT tenant_id, order_id, order_id, 1, 1, order_id FROM reservation_lines "
            "WHERE line_id = $1::text::uuid"
        )
        for change in (again, added):
            with pytest.raises(asyncpg.RaiseError):
                await admin(databases, change, first)
