"""Stations' stock, attacked by many clients at once: counted, used up, reconciled."""

import asyncpg
import pytest
from switchyard.inventory.v1 import inventory_pb2 as pb
from switchyard.inventory.v1 import stock_pb2
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.testing import Databases, Serve, Tenant
from services.inventory.tests.place import Place, codes, everyone
from services.inventory.tests.support import Stub

RECEIVE, DEDUCT = pb.MOVEMENT_TYPE_RECEIVE, pb.MOVEMENT_TYPE_DEDUCT
TRANSFER, COUNT = pb.MOVEMENT_TYPE_TRANSFER, pb.MOVEMENT_TYPE_COUNT
APPLIED, UNCHANGED = stock_pb2.SYNC_STATUS_APPLIED, stock_pb2.SYNC_STATUS_UNCHANGED
STALE, REJECTED = stock_pb2.SYNC_STATUS_STALE, stock_pb2.SYNC_STATUS_REJECTED


class TestCount:
    async def test_writes_the_difference(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 10)

        counted = await place.move(COUNT, 7, change_from_quantity=10)

        assert (counted.quantity, counted.delta, counted.balance_after) == (-3, -3, 7)
        assert (await place.verified()).consistent

    async def test_that_agrees_writes_nothing(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 10)

        counted = await place.move(COUNT, 10, change_from_quantity=10)

        assert (counted.id, counted.quantity, counted.balance_after) == ("", 0, 10)
        assert (await place.verified()).movements == 1

    async def test_of_nothing_is_a_count(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 10)

        await place.move(COUNT, 0, change_from_quantity=10)

        assert (await place.item()).on_hand == 0

    async def test_twenty_at_once_lose_no_update(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 10)

        answers = await everyone(*(place.move(COUNT, 20 + number, change_from_quantity=10) for number in range(20)))

        assert sum(isinstance(answer, pb.Movement) for answer in answers) == 1
        assert codes(answers) == {"CHANGE_FROM_QUANTITY_STALE"}
        assert (await place.verified()).consistent

    async def test_a_stale_one_says_what_there_is(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 10)

        with pytest.raises(errors.Conflict) as refused:
            await place.move(COUNT, 7, change_from_quantity=9)

        assert refused.value.fields == {"movement.change_from_quantity": ["is 10 now"]}
        assert refused.value.metadata["current_quantity"] == "10"

    async def test_does_not_take_what_is_promised(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 2)
        orders, wish = await place.order()
        await orders.Reserve(wish)

        with pytest.raises(errors.Conflict) as refused:
            await place.move(COUNT, 0, change_from_quantity=2)

        assert refused.value.code == "INSUFFICIENT_STOCK"

    async def test_what_is_found_has_the_date_of_what_lies_there(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        lot = await place.lot("A", 5, days=3)

        counted = await place.move(COUNT, 8, change_from_quantity=5)

        assert counted.batch_id == lot.id

    @pytest.mark.parametrize("more", [{}, {"change_from_quantity": -1}])
    async def test_says_what_it_believed(self, serve: Serve, tenant: Tenant, more: dict[str, int]) -> None:
        place = await Place.open(serve, tenant)

        with pytest.raises(errors.Invalid):
            await place.move(COUNT, 1, **more)


class TestStations:
    async def test_a_count_is_what_is_read(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 5)

        counted = await place.count(place.bar, 3)

        (item,) = counted.items
        assert (item.on_hand, item.available, item.site_on_hand, item.site_available) == (3, 3, 8, 8)
        assert (await place.verified()).consistent

    async def test_ten_counts_of_the_same_belief_apply_once(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.count(place.bar, 3)

        answers = await everyone(*(place.count(place.bar, 10 + number, 3) for number in range(10)))

        assert sum(isinstance(answer, stock_pb2.StationStock) for answer in answers) == 1
        assert codes(answers) == {"CHANGE_FROM_QUANTITY_STALE"}

    async def test_counts_and_use_at_once_never_fall_below_nothing(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 5, station_id=place.bar)
        await place.move(RECEIVE, 5, station_id=place.back)

        answers = await everyone(
            *(place.move(DEDUCT, 1, station_id=place.bar) for _ in range(8)),
            *(place.deplete(place.back, 1) for _ in range(8)),
            *(place.count(place.bar, 2) for _ in range(3)),
            *(place.move(TRANSFER, 1, station_id=place.back, to_station_id=place.bar) for _ in range(4)),
        )

        assert codes(answers) <= {"INSUFFICIENT_STOCK"}
        assert all(isinstance(answer, errors.Error) or not isinstance(answer, Exception) for answer in answers)
        verified = await place.verified()
        assert (verified.consistent, verified.at_stations) == (
            True,
            await place.at(place.bar) + await place.at(place.back),
        )

    async def test_another_sites_people_do_not_find_it(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        limited = Stub(place.running.channel(tenant.user(sites=[place.other])))

        with pytest.raises(errors.NotFound):
            await limited.GetStationStock(stock_pb2.GetStationStockRequest(station_id=place.bar))

    @pytest.mark.parametrize(
        "attack",
        [
            "UPDATE placements SET on_hand = on_hand - 1 WHERE tenant_id = $1",
            "UPDATE batches SET placed = placed - 1 WHERE tenant_id = $1",
            "UPDATE balances SET held_back = 1 WHERE tenant_id = $1",
            "UPDATE balances SET wasted = 1 WHERE tenant_id = $1",
        ],
    )
    async def test_whatever_was_tampered_with_is_found(
        self, serve: Serve, tenant: Tenant, databases: Databases, attack: str
    ) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 5, station_id=place.bar)
        connection = await asyncpg.connect(databases.admin("inventory"))

        await connection.execute(attack, tenant.id)

        await connection.close()
        assert not (await place.verified()).consistent

    async def test_no_more_lies_at_stations_than_there_is(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 5, station_id=place.bar)
        connection = await asyncpg.connect(databases.admin("inventory"))

        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute("UPDATE placements SET on_hand = 6 WHERE tenant_id = $1", tenant.id)

        await connection.close()

    async def test_an_unknown_one_is_not_found(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)

        for attempt in (place.at(str(uuid7())), place.count(str(uuid7()), 1), place.deplete(str(uuid7()), 1)):
            with pytest.raises(errors.NotFound):
                await attempt


class TestDeplete:
    async def test_the_station_gives_first(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        for station in (place.bar, place.back):
            await place.move(RECEIVE, 3, station_id=station)
        await place.move(RECEIVE, 3)

        done = await place.deplete(place.back, 7)

        assert sorted(row.delta for row in done.movements) == [-3, -3, -1]
        assert (await place.at(place.back), await place.at(place.bar)) == (0, 2)

    async def test_the_same_id_is_done_once(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 30)
        same = str(uuid7())

        answers = await everyone(*(place.deplete(place.bar, 2, id=same) for _ in range(10)))

        assert {answer.SerializeToString() for answer in answers} == {answers[0].SerializeToString()}
        assert (await place.item()).on_hand == 28

    async def test_something_else_under_the_id_is_refused(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 30)
        first = await place.deplete(place.bar, 2)

        with pytest.raises(errors.AlreadyExists):
            await place.deplete(place.bar, 3, id=first.id)

    async def test_an_orders_reservation_is_posted(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 3)
        orders, wish = await place.order()
        await orders.Reserve(wish)

        done = await place.deplete(place.bar, 1, items=[], order_id=wish.order_id)

        item = await place.item()
        assert ([row.delta for row in done.movements], item.on_hand, item.reserved) == ([-1], 2, 0)

    async def test_menu_items_take_what_they_are_made_of(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 3)
        _, wish = await place.order()
        made = [stock_pb2.DepletedMenuItem(menu_item_id=wish.lines[0].menu_item_id, quantity=2)]

        await place.deplete(place.bar, 0, items=[], menu_items=made)

        assert (await place.item()).on_hand == 1


class TestSync:
    async def test_each_row_answers_for_itself(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 3, station_id=place.bar)
        await place.move(RECEIVE, 4, station_id=place.back)
        told: list[tuple[str, str, int, int | None]] = [
            (place.bar, place.item_id, 5, 3),
            (place.back, place.item_id, 4, None),
            (place.far, place.item_id, 2, 1),
            (str(uuid7()), place.item_id, 2, None),
            (place.bar, str(uuid7()), 2, None),
            (place.bar, place.item_id, 9, None),
        ]
        rows = [
            stock_pb2.SyncRow(station_id=station, item_id=item, quantity=quantity, change_from_quantity=believed)
            for station, item, quantity, believed in told
        ]

        answer = await place.stub.SyncStock(stock_pb2.SyncStockRequest(rows=rows))

        assert [(result.status, result.code) for result in answer.results] == [
            (APPLIED, ""),
            (UNCHANGED, ""),
            (STALE, ""),
            (REJECTED, "NOT_FOUND"),
            (REJECTED, "NOT_FOUND"),
            (REJECTED, "DUPLICATE"),
        ]
        assert [result.on_hand for result in answer.results[:3]] == [5, 4, 0]
        assert (await place.verified()).consistent
