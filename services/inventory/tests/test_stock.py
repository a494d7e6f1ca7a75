"""Stations' stock, attacked by many clients at once: counts, transfers, reversals, what is used up."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from switchyard.inventory.v1 import inventory_pb2 as pb
from switchyard.inventory.v1 import menu_pb2 as menu
from switchyard.inventory.v1 import reservations_pb2 as held
from switchyard.inventory.v1 import stock_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.testing import Running, Serve, Tenant
from services.inventory import work
from services.inventory.__main__ import build
from services.inventory.settings import InventorySettings
from services.inventory.tests.support import Stub

RECEIVE, DEDUCT, WASTE = pb.MOVEMENT_TYPE_RECEIVE, pb.MOVEMENT_TYPE_DEDUCT, pb.MOVEMENT_TYPE_WASTE
TRANSFER, COUNT = pb.MOVEMENT_TYPE_TRANSFER, pb.MOVEMENT_TYPE_COUNT
QUARANTINED, RECALLED = pb.BATCH_STATUS_QUARANTINED, pb.BATCH_STATUS_RECALLED
APPLIED, UNCHANGED = stock_pb2.SYNC_STATUS_APPLIED, stock_pb2.SYNC_STATUS_UNCHANGED
STALE, REJECTED = stock_pb2.SYNC_STATUS_STALE, stock_pb2.SYNC_STATUS_REJECTED


@dataclass(frozen=True)
class Place:
    """One item at two sites, the first of which has two stations and the second one."""

    running: Running
    tenant: Tenant
    stub: Any
    item_id: str
    site: str
    other: str
    bar: str
    back: str
    far: str

    @classmethod
    async def open(cls, serve: Serve, tenant: Tenant, **item: Any) -> "Place":
        running = await serve("inventory", build, settings=InventorySettings)
        site, other, bar, back, far = (str(uuid7()) for _ in range(5))
        known: Any = running.service
        known.every_site.stations.update({site: [bar, back], other: [far]})
        stub = Stub(running.channel(tenant.user()))
        told: dict[str, Any] = {"sku": "MILK", "name": "Milk", "unit": pb.UNIT_ML, **item}
        created = await stub.CreateItem(pb.CreateItemRequest(item=pb.Item(**told)))
        return cls(running, tenant, stub, created.id, site, other, bar, back, far)

    async def move(self, kind: Any, quantity: int, **more: Any) -> pb.Movement:
        told = pb.Movement(type=kind, quantity=quantity, **{"site_id": self.site, **more})
        moved: pb.Movement = await self.stub.CreateMovement(
            pb.CreateMovementRequest(item_id=self.item_id, movement=told)
        )
        return moved

    async def lot(self, name: str, quantity: int, *, days: int = 0, **more: Any) -> pb.Batch:
        told = pb.Batch(site_id=self.site, lot=name, quantity=quantity, **more)
        if days:
            told.expires_at.FromDatetime(clock.now() + timedelta(days=days))
        batch: pb.Batch = await self.stub.CreateBatch(pb.CreateBatchRequest(item_id=self.item_id, batch=told))
        return batch

    async def hold(self, batch: pb.Batch, status: Any = QUARANTINED, reason: str = "smells") -> pb.Batch:
        request = pb.UpdateBatchRequest(id=batch.id, batch=pb.Batch(status=status, reason=reason))
        request.update_mask.paths.extend(["status", "reason"])
        changed: pb.Batch = await self.stub.UpdateBatch(request)
        return changed

    async def reverse(self, movement: pb.Movement) -> pb.Movement:
        undone: pb.Movement = await self.stub.ReverseMovement(pb.ReverseMovementRequest(id=movement.id, reason="oops"))
        return undone

    async def count(self, station: str, quantity: int, believed: int | None = None) -> stock_pb2.StationStock:
        line = stock_pb2.StationCount(item_id=self.item_id, quantity=quantity, change_from_quantity=believed)
        request = stock_pb2.SetStationStockRequest(station_id=station, items=[line])
        counted: stock_pb2.StationStock = await self.stub.SetStationStock(request)
        return counted

    async def at(self, station: str) -> int:
        told = await self.stub.GetStationStock(stock_pb2.GetStationStockRequest(station_id=station))
        return sum(item.on_hand for item in told.items)

    async def deplete(self, station: str, quantity: int, **more: Any) -> stock_pb2.Depletion:
        used = [stock_pb2.DepletedItem(item_id=self.item_id, quantity=quantity)]
        told: dict[str, Any] = {"id": str(uuid7()), "station_id": station, "items": used, **more}
        done: stock_pb2.Depletion = await self.stub.Deplete(stock_pb2.DepleteRequest(**told))
        return done

    async def item(self) -> pb.Item:
        read: pb.Item = await self.stub.GetItem(pb.GetItemRequest(id=self.item_id))
        return read

    async def verified(self) -> pb.LedgerVerification:
        told: pb.LedgerVerification = await self.stub.VerifyLedger(pb.VerifyLedgerRequest(item_id=self.item_id))
        return told

    async def order(self) -> tuple[Any, held.ReserveRequest]:
        """The service that reserves, and a request for one of the item."""
        sold = menu.MenuItem(name="Glass", recipe=[menu.RecipeLine(item_id=self.item_id, quantity=1)])
        sold.price.amount, sold.price.currency = 1, "USD"
        made = await self.stub.CreateMenuItem(menu.CreateMenuItemRequest(menu_item=sold))
        line = held.ReserveLine(line_id=str(uuid7()), menu_item_id=made.id, quantity=1)
        wish = held.ReserveRequest(order_id=str(uuid7()), site_id=self.site, lines=[line])
        return Stub(self.running.channel(self.tenant.service("orders"))), wish


async def _all(*attempts: Any) -> list[Any]:
    return list(await asyncio.gather(*attempts, return_exceptions=True))


def _codes(answers: list[Any]) -> set[str]:
    return {answer.code for answer in answers if isinstance(answer, errors.Error)}


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

        answers = await _all(*(place.move(COUNT, 20 + number, change_from_quantity=10) for number in range(20)))

        assert sum(isinstance(answer, pb.Movement) for answer in answers) == 1
        assert _codes(answers) == {"CHANGE_FROM_QUANTITY_STALE"}
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


class TestTransfer:
    async def test_to_a_station_leaves_the_site_as_it_was(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 10)

        moved = await place.move(TRANSFER, 4, to_station_id=place.bar)

        assert (moved.quantity, moved.delta, moved.balance_after) == (4, -4, 6)
        assert (await place.at(place.bar), (await place.item()).on_hand) == (4, 10)
        assert (await place.verified()).consistent

    async def test_to_a_site_takes_lot_and_date_along(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        lot = await place.lot("A", 10, days=3)

        await place.move(TRANSFER, 4, to_site_id=place.other, to_station_id=place.far)

        told = await place.stub.SearchBatches(pb.SearchBatchesRequest(site_id=place.other, item_id=place.item_id))
        (there,) = told.batches
        assert (there.lot, there.expires_at, there.on_hand, there.quantity) == ("A", lot.expires_at, 4, 4)
        assert (await place.at(place.far), (await place.verified()).consistent) == (4, True)

    async def test_opposite_ones_do_not_deadlock(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 50)
        await place.move(RECEIVE, 50, site_id=place.other)

        answers = await _all(
            *(place.move(TRANSFER, 1, to_site_id=place.other) for _ in range(15)),
            *(place.move(TRANSFER, 1, site_id=place.other, to_site_id=place.site) for _ in range(15)),
        )

        assert _codes(answers) == set()
        assert all(isinstance(answer, pb.Movement) for answer in answers)
        verified = await place.verified()
        assert (verified.consistent, verified.ledger_quantity) == (True, 100)

    async def test_a_station_gives_no_more_than_it_has(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 5, station_id=place.bar)
        await place.move(RECEIVE, 50)

        answers = await _all(
            *(place.move(TRANSFER, 1, station_id=place.bar, to_station_id=place.back) for _ in range(12))
        )

        assert sum(isinstance(answer, pb.Movement) for answer in answers) == 5
        assert (await place.at(place.bar), await place.at(place.back)) == (0, 5)
        assert (await place.verified()).consistent

    async def test_what_is_promised_may_move_within_its_site_only(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 1)
        orders, wish = await place.order()
        await orders.Reserve(wish)
        await place.move(TRANSFER, 1, to_station_id=place.bar)

        with pytest.raises(errors.Conflict):
            await place.move(TRANSFER, 1, station_id=place.bar, to_site_id=place.other)

    async def test_what_is_held_back_does_not_leave(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        lot = await place.hold(await place.lot("A", 5))

        with pytest.raises(errors.Conflict) as refused:
            await place.move(TRANSFER, 1, batch_id=lot.id, to_site_id=place.other)
        await place.move(TRANSFER, 5, batch_id=lot.id, to_station_id=place.back)

        assert refused.value.code == "BATCH_NOT_AVAILABLE"
        assert await place.at(place.back) == 5

    async def test_goes_somewhere(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 5, station_id=place.bar)

        with pytest.raises(errors.Invalid):
            await place.move(TRANSFER, 1, station_id=place.bar, to_station_id=place.bar)

    async def test_a_station_of_another_site_is_not_found(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 5)

        for more in ({"to_station_id": place.far}, {"to_site_id": place.other, "to_station_id": place.bar}):
            with pytest.raises(errors.NotFound):
                await place.move(TRANSFER, 1, **more)


class TestReverse:
    async def test_ten_at_once_reverse_once(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 9)
        wasted = await place.move(WASTE, 4)

        answers = await _all(*(place.reverse(wasted) for _ in range(10)))

        assert sum(isinstance(answer, pb.Movement) for answer in answers) == 1
        assert _codes(answers) == {"ALREADY_REVERSED"}
        read = await place.stub.GetMovement(pb.GetMovementRequest(id=wasted.id))
        assert read.reversed
        item = await place.item()
        assert (item.on_hand, item.wasted, (await place.verified()).consistent) == (9, 0, True)

    async def test_takes_back_all_that_was_recorded_as_one(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.lot("A", 3, days=2)
        await place.lot("B", 3, days=3)
        taken = await place.move(DEDUCT, 5)

        undone = await place.reverse(taken)

        assert (undone.delta, undone.balance_after, undone.reversal_of) == (5, 6, taken.id)
        assert (await place.verified()).consistent

    async def test_a_transfer_comes_back(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.lot("A", 5, days=3)
        moved = await place.move(TRANSFER, 4, to_site_id=place.other, to_station_id=place.far)

        await place.reverse(moved)

        told = await place.stub.SearchBatches(pb.SearchBatchesRequest(item_id=place.item_id, empty=True))
        assert {(batch.site_id, batch.on_hand, batch.quantity) for batch in told.batches} == {
            (place.site, 5, 5),
            (place.other, 0, 0),
        }
        assert (await place.at(place.far), (await place.verified()).consistent) == (0, True)

    async def test_what_was_used_since_is_not_taken_back(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        came = await place.move(RECEIVE, 5)
        await place.move(DEDUCT, 1)

        with pytest.raises(errors.Conflict) as refused:
            await place.reverse(came)

        assert refused.value.code == "INSUFFICIENT_STOCK"
        assert (await place.verified()).consistent

    async def test_what_lies_at_a_station_now_is_not_taken_back_from_the_store_room(
        self, serve: Serve, tenant: Tenant
    ) -> None:
        place = await Place.open(serve, tenant)
        came = await place.move(RECEIVE, 5)
        await place.move(TRANSFER, 5, to_station_id=place.bar)

        with pytest.raises(errors.Conflict):
            await place.reverse(came)

    async def test_a_reversal_is_not_reversed(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        undone = await place.reverse(await place.move(RECEIVE, 5))

        with pytest.raises(errors.Conflict) as refused:
            await place.reverse(undone)

        assert refused.value.code == "IS_A_REVERSAL"

    async def test_anothers_is_not_found(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        came = await place.move(RECEIVE, 5)
        request = pb.ReverseMovementRequest(id=came.id)

        for stranger in (Tenant().user(), tenant.user(sites=[place.other])):
            with pytest.raises(errors.NotFound):
                await Stub(place.running.channel(stranger)).ReverseMovement(request)


class TestBatches:
    async def test_a_quarantined_one_is_there_and_not_available(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        lot = await place.lot("A", 5)
        await place.move(RECEIVE, 3)

        changed = await place.hold(lot)

        item = await place.item()
        assert (item.on_hand, item.quarantined, item.available) == (8, 5, 3)
        assert (changed.status, changed.reason, changed.version) == (QUARANTINED, "smells", lot.version + 1)
        assert (await place.verified()).consistent

    async def test_an_expired_one_is_there_and_not_available(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.lot("A", 5, days=2)

        with clock.shifted(timedelta(days=3)):
            item = await place.item()

        assert (item.on_hand, item.expired, item.available) == (5, 5, 0)

    async def test_holding_back_is_for_a_reason(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        lot = await place.lot("A", 5)

        with pytest.raises(errors.Invalid) as refused:
            await place.hold(lot, reason="")

        assert list(refused.value.fields) == ["batch.reason"]

    async def test_nothing_of_one_is_deducted_after_its_recall(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        lot = await place.lot("A", 30)

        answers = await _all(
            *(place.move(DEDUCT, 1, batch_id=lot.id) for _ in range(15)),
            place.hold(lot, RECALLED),
            *(place.move(DEDUCT, 1) for _ in range(15)),
        )

        taken = sum(isinstance(answer, pb.Movement) for answer in answers)
        assert _codes(answers) <= {"BATCH_NOT_AVAILABLE", "INSUFFICIENT_STOCK"}
        item = await place.item()
        assert (item.on_hand, item.quarantined, item.available) == (30 - taken, 30 - taken, 0)
        assert (await place.verified()).consistent

    async def test_an_expired_one_is_wasted_by_name_and_not_deducted(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        lot = await place.lot("A", 5, days=2)

        with clock.shifted(timedelta(days=3)):
            with pytest.raises(errors.Conflict) as refused:
                await place.move(DEDUCT, 1, batch_id=lot.id)
            await place.move(WASTE, 5, batch_id=lot.id)

        assert refused.value.code == "BATCH_NOT_AVAILABLE"

    async def test_a_stale_version_is_refused(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        lot = await place.lot("A", 5)
        stub = Stub(place.running.channel(tenant.user(), switchyard_expected_version="99"))

        with pytest.raises(errors.StaleVersion):
            await stub.UpdateBatch(_held(lot))

    async def test_the_same_again_changes_nothing(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        first = await place.hold(await place.lot("A", 5))

        second = await place.hold(first)

        assert second.version == first.version

    async def test_are_found_by_status_and_by_days(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.hold(await place.lot("A", 5, days=30))
        await place.lot("B", 5, days=2)

        held_back = await place.stub.SearchBatches(pb.SearchBatchesRequest(status=QUARANTINED))
        soon = await place.stub.SearchBatches(pb.SearchBatchesRequest(expiring_within=7))
        items = await place.stub.ListItems(pb.ListItemsRequest(expiring_within=1))

        assert ([batch.lot for batch in held_back.batches], [batch.lot for batch in soon.batches]) == (["A"], ["B"])
        assert not items.items


def _held(lot: pb.Batch) -> pb.UpdateBatchRequest:
    request = pb.UpdateBatchRequest(id=lot.id, batch=pb.Batch(status=QUARANTINED, reason="smells"))
    request.update_mask.paths.extend(["status", "reason"])
    return request


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

        answers = await _all(*(place.count(place.bar, 10 + number, 3) for number in range(10)))

        assert sum(isinstance(answer, stock_pb2.StationStock) for answer in answers) == 1
        assert _codes(answers) == {"CHANGE_FROM_QUANTITY_STALE"}

    async def test_counts_and_use_at_once_never_fall_below_nothing(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 5, station_id=place.bar)
        await place.move(RECEIVE, 5, station_id=place.back)

        answers = await _all(
            *(place.move(DEDUCT, 1, station_id=place.bar) for _ in range(8)),
            *(place.deplete(place.back, 1) for _ in range(8)),
            *(place.count(place.bar, 2) for _ in range(3)),
            *(place.move(TRANSFER, 1, station_id=place.back, to_station_id=place.bar) for _ in range(4)),
        )

        assert _codes(answers) <= {"INSUFFICIENT_STOCK"}
        assert all(isinstance(answer, errors.Error) or not isinstance(answer, Exception) for answer in answers)
        verified = await place.verified()
        assert (verified.consistent, verified.at_stations) == (
            True,
            await place.at(place.bar) + await place.at(place.back),
        )

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

        answers = await _all(*(place.deplete(place.bar, 2, id=same) for _ in range(10)))

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


class TestExpiry:
    async def test_is_told_once_for_each_threshold(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant, low_stock_threshold=3)
        await place.lot("A", 5, days=2)
        database = place.running.service.database

        await work.warn(database)
        await work.warn(database)
        with clock.shifted(timedelta(days=2, hours=1)):
            await asyncio.gather(*(work.warn(database) for _ in range(3)))

        sql = "SELECT subject FROM outbox WHERE tenant_id = $1 AND subject LIKE 'evt.%' ORDER BY seq"
        connection = await database.connect()
        await connection.execute("SELECT set_config('app.tenant_id', $1, false)", str(tenant.id))
        names = [row["subject"].rsplit(".", 1)[1] for row in await connection.fetch(sql, tenant.id)]
        await connection.close()
        assert names.count("BatchExpiring") == 2
        assert names[-1] == "LowStock"
        assert (await place.verified()).consistent
