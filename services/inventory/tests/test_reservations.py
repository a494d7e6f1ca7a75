"""Promised stock, attacked by many orders at once."""

import asyncio
from collections import Counter
from datetime import timedelta

import asyncpg
import pytest
from switchyard.inventory.v1 import inventory_pb2 as pb
from switchyard.inventory.v1 import menu_pb2 as menu
from switchyard.inventory.v1 import reservations_pb2 as held
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.testing import Databases, Serve, Tenant
from services.inventory import work
from services.inventory.tests.shop import Shop, recall


class TestReserve:
    async def test_forty_orders_and_seven_units(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (3, 5), (4, 0))

        answers = await asyncio.gather(*(shop.orders.Reserve(shop.wish()) for _ in range(40)), return_exceptions=True)

        assert Counter(getattr(answer, "code", "reserved") for answer in answers) == {
            "reserved": 7,
            "INSUFFICIENT_STOCK": 33,
        }
        assert await shop.stock() == (7, 7)

    async def test_one_order_reserves_once_however_often_it_asks(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish = shop.wish(2)

        answers = await asyncio.gather(*(shop.orders.Reserve(wish) for _ in range(10)))

        assert all(answer == answers[0] for answer in answers)
        assert await shop.stock() == (10, 2)

    async def test_says_which_batches_and_why(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (3, 0), (2, 5))

        reservation = await shop.orders.Reserve(shop.wish(4))

        assert [(pick.quantity, pick.reason) for pick in sorted(reservation.picks, key=lambda pick: pick.reason)] == [
            (2, "first_expiry"),
            (2, "first_in"),
        ]
        assert (reservation.lines[0].name, reservation.lines[0].unit_price.amount) == ("X", 250)

    async def test_what_has_expired_is_not_promised(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (3, 1))

        with clock.shifted(timedelta(days=2)), pytest.raises(errors.Conflict) as refused:
            await shop.orders.Reserve(shop.wish())

        assert refused.value.code == "INSUFFICIENT_STOCK"

    async def test_users_may_not(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (3, 0))

        with pytest.raises(errors.Denied):
            await shop.staff.Reserve(shop.wish())

    async def test_what_is_not_on_the_menu_is_named(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (3, 0))
        wish = shop.wish()
        wish.lines[0].menu_item_id = str(uuid7())

        with pytest.raises(errors.Invalid) as refused:
            await shop.orders.Reserve(wish)

        assert list(refused.value.fields) == ["lines.0.menu_item_id"]

    async def test_all_that_is_missing_is_named(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (1, 0))
        new = pb.Item(sku="Y", name="Y", unit=pb.UNIT_EACH)
        other = await shop.staff.CreateItem(pb.CreateItemRequest(item=new))
        parts = [menu.RecipeLine(item_id=part, quantity=2) for part in (shop.item_id, other.id)]
        sold = menu.MenuItem(name="XY", recipe=parts)
        sold.price.amount, sold.price.currency = 100, "USD"
        wish = shop.wish()
        wish.lines[0].menu_item_id = (await shop.staff.CreateMenuItem(menu.CreateMenuItemRequest(menu_item=sold))).id

        with pytest.raises(errors.Conflict) as refused:
            await shop.orders.Reserve(wish)

        assert refused.value.fields == {"X": ["2 wanted, 1 available"], "Y": ["2 wanted, 0 available"]}
        assert await shop.stock() == (1, 0)

    async def test_what_is_switched_off_is_not_promised(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (3, 0))
        off = menu.UpdateMenuItemRequest(id=shop.menu_item_id, menu_item=menu.MenuItem(sold_out=True))
        off.update_mask.paths.append("sold_out")
        await shop.staff.UpdateMenuItem(off)

        with pytest.raises(errors.Conflict) as refused:
            await shop.orders.Reserve(shop.wish())

        assert refused.value.code == "SOLD_OUT"

    async def test_two_items_in_opposite_order_do_not_block_each_other(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (100, 0))
        new = pb.Item(sku="Y", name="Y", unit=pb.UNIT_EACH)
        other = await shop.staff.CreateItem(pb.CreateItemRequest(item=new))
        batch = pb.Batch(site_id=shop.site_id, lot="L", quantity=100)
        await shop.staff.CreateBatch(pb.CreateBatchRequest(item_id=other.id, batch=batch))
        sold = []
        for name, parts in (("XY", (shop.item_id, other.id)), ("YX", (other.id, shop.item_id))):
            told = menu.MenuItem(name=name, recipe=[menu.RecipeLine(item_id=part, quantity=1) for part in parts])
            told.price.amount, told.price.currency = 100, "USD"
            sold.append(await shop.staff.CreateMenuItem(menu.CreateMenuItemRequest(menu_item=told)))
        wishes = [shop.wish() for _ in range(30)]
        for place, wish in enumerate(wishes):
            wish.lines[0].menu_item_id = sold[place % 2].id

        await asyncio.gather(*(shop.orders.Reserve(wish) for wish in wishes))

        assert await shop.stock() == (100, 30)


class TestPost:
    async def test_consumes_once_however_often(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish = shop.wish(3)
        await shop.orders.Reserve(wish)
        request = held.PostReservationRequest(order_id=wish.order_id)

        await asyncio.gather(*(shop.orders.PostReservation(request) for _ in range(10)))

        assert await shop.stock() == (7, 0)

    async def test_a_recalled_batch_is_replaced(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        shop = await Shop.open(serve, tenant, (3, 1), (5, 9))
        wish = shop.wish(2)
        await shop.orders.Reserve(wish)
        await recall(shop, "L0")

        await shop.orders.PostReservation(held.PostReservationRequest(order_id=wish.order_id))

        batches = (await shop.staff.ListBatches(pb.ListBatchesRequest(item_id=shop.item_id))).batches
        assert [(batch.lot, batch.on_hand, batch.reserved) for batch in batches] == [("L0", 3, 0), ("L1", 3, 0)]
        assert await shop.stock() == (6, 0)

    async def test_what_replaces_may_lie_in_a_batch_that_is_picked(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        shop = await Shop.open(serve, tenant, (1, 1), (10, 9))
        wish = shop.wish(2)
        await shop.orders.Reserve(wish)
        await recall(shop, "L0")

        posted = await shop.orders.PostReservation(held.PostReservationRequest(order_id=wish.order_id))

        assert [pick.quantity for pick in posted.picks] == [2]
        assert await shop.stock() == (9, 0)

    async def test_says_what_it_has_taken(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        shop = await Shop.open(serve, tenant, (3, 1), (2, 9), (5, 0))
        wish = shop.wish(3)
        await shop.orders.Reserve(wish)
        await recall(shop, "L0")

        posted = await shop.orders.PostReservation(held.PostReservationRequest(order_id=wish.order_id))

        assert sorted((pick.quantity, pick.reason) for pick in posted.picks) == [(1, "first_in"), (2, "first_expiry")]
        movements = await shop.staff.ListMovements(pb.ListMovementsRequest(item_id=shop.item_id))
        sold = {row.batch_id: row.quantity for row in movements.movements if row.type == pb.MOVEMENT_TYPE_SALE}
        assert sold == {pick.batch_id: pick.quantity for pick in posted.picks}

    async def test_replacing_takes_nothing_that_is_promised_to_another(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        shop = await Shop.open(serve, tenant, (2, 1), (2, 9))
        wish = shop.wish(2)
        await shop.orders.Reserve(wish)
        await shop.orders.Reserve(shop.wish(1))
        await recall(shop, "L0")

        with pytest.raises(errors.Conflict) as refused:
            await shop.orders.PostReservation(held.PostReservationRequest(order_id=wish.order_id))

        assert refused.value.fields == {"X": ["2 wanted, 1 available"]}
        assert await shop.stock() == (4, 3)

    async def test_released_it_cannot_be_posted(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish = shop.wish()
        await shop.orders.Reserve(wish)
        await shop.orders.ReleaseReservation(held.ReleaseReservationRequest(order_id=wish.order_id))

        with pytest.raises(errors.InvalidTransition):
            await shop.orders.PostReservation(held.PostReservationRequest(order_id=wish.order_id))

    async def test_what_has_expired_since_is_not_sold(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (3, 1))
        wish = shop.wish()
        await shop.orders.Reserve(wish)

        with clock.shifted(timedelta(days=2)), pytest.raises(errors.Conflict) as refused:
            await shop.orders.PostReservation(held.PostReservationRequest(order_id=wish.order_id))

        assert refused.value.code == "INSUFFICIENT_STOCK"
        assert await shop.stock() == (3, 1)


class TestRelease:
    async def test_gives_back_once_however_often(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish = shop.wish(4)
        await shop.orders.Reserve(wish)
        request = held.ReleaseReservationRequest(order_id=wish.order_id)

        await asyncio.gather(*(shop.orders.ReleaseReservation(request) for _ in range(10)))

        assert await shop.stock() == (10, 0)

    async def test_before_reserving_it_closes_the_order(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish = shop.wish()
        await shop.orders.ReleaseReservation(held.ReleaseReservationRequest(order_id=wish.order_id))

        late = await shop.orders.Reserve(wish)

        assert late.state == held.RESERVATION_STATE_RELEASED
        assert await shop.stock() == (10, 0)

    async def test_posting_and_releasing_at_once_do_one_of_them(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (30, 0))
        wishes = [shop.wish() for _ in range(10)]
        await asyncio.gather(*(shop.orders.Reserve(wish) for wish in wishes))

        await asyncio.gather(
            *(shop.orders.PostReservation(held.PostReservationRequest(order_id=wish.order_id)) for wish in wishes),
            *(
                shop.orders.ReleaseReservation(held.ReleaseReservationRequest(order_id=wish.order_id))
                for wish in wishes
            ),
            return_exceptions=True,
        )

        states = [(await shop.orders.Reserve(wish)).state for wish in wishes]
        sold = states.count(held.RESERVATION_STATE_POSTED)
        assert sold + states.count(held.RESERVATION_STATE_RELEASED) == 10
        assert await shop.stock() == (30 - sold, 0)


class TestExpire:
    async def test_what_lapsed_is_given_back(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish = shop.wish(4)
        await shop.orders.Reserve(wish)

        with clock.shifted(timedelta(days=8)):
            await work.expire(shop.running.service.database)

        assert (await shop.orders.Reserve(wish)).state == held.RESERVATION_STATE_EXPIRED
        assert await shop.stock() == (10, 0)

    async def test_three_processes_that_look_at_once_give_back_once(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        await asyncio.gather(*(shop.orders.Reserve(shop.wish()) for _ in range(6)))

        with clock.shifted(timedelta(days=8)):
            await asyncio.gather(*(work.expire(shop.running.service.database) for _ in range(3)))

        assert await shop.stock() == (10, 0)

    async def test_one_that_cannot_be_given_back_does_not_keep_the_others(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        broken = await Shop.open(serve, Tenant(), (10, 0))
        wish = shop.wish(4)
        await broken.orders.Reserve(broken.wish(4))
        await shop.orders.Reserve(wish)
        # Less is reserved than is to be given back: the database refuses.
        connection = await asyncpg.connect(databases.admin("inventory"))
        await connection.execute("UPDATE batches SET reserved = 0 WHERE item_id = $1::text::uuid", broken.item_id)
        await connection.close()

        with clock.shifted(timedelta(days=8)):
            await work.expire(shop.running.service.database)

        assert await shop.stock() == (10, 0)

    async def test_expiry_and_posting_at_once_do_one_of_them(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish = shop.wish(4)
        await shop.orders.Reserve(wish)

        with clock.shifted(timedelta(days=8)):
            await asyncio.gather(
                work.expire(shop.running.service.database),
                shop.orders.PostReservation(held.PostReservationRequest(order_id=wish.order_id)),
                return_exceptions=True,
            )

        state = (await shop.orders.Reserve(wish)).state
        assert await shop.stock() == ((6, 0) if state == held.RESERVATION_STATE_POSTED else (10, 0))
