"""What goes from place to place, and what is taken back, attacked by many clients at once."""

from typing import Any

import pytest
from switchyard.inventory.v1 import inventory_pb2 as pb

from chassis import errors
from chassis.testing import Serve, Tenant
from services.inventory.tests.place import Place, codes, everyone
from services.inventory.tests.support import Stub

RECEIVE, DEDUCT, WASTE = pb.MOVEMENT_TYPE_RECEIVE, pb.MOVEMENT_TYPE_DEDUCT, pb.MOVEMENT_TYPE_WASTE
TRANSFER = pb.MOVEMENT_TYPE_TRANSFER


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

        answers = await everyone(
            *(place.move(TRANSFER, 1, to_site_id=place.other) for _ in range(15)),
            *(place.move(TRANSFER, 1, site_id=place.other, to_site_id=place.site) for _ in range(15)),
        )

        assert codes(answers) == set()
        assert all(isinstance(answer, pb.Movement) for answer in answers)
        verified = await place.verified()
        assert (verified.consistent, verified.ledger_quantity) == (True, 100)

    async def test_a_station_gives_no_more_than_it_has(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 5, station_id=place.bar)
        await place.move(RECEIVE, 50)

        answers = await everyone(
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

        answers = await everyone(*(place.reverse(wasted) for _ in range(10)))

        assert sum(isinstance(answer, pb.Movement) for answer in answers) == 1
        assert codes(answers) == {"ALREADY_REVERSED"}
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


class TestSearch:
    async def test_finds_by_type_station_and_time(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        came = await place.move(RECEIVE, 9)
        moved = await place.move(TRANSFER, 2, to_station_id=place.bar)
        wasted = await place.move(WASTE, 1)

        found = [
            [row.id for row in (await place.stub.SearchMovements(pb.SearchMovementsRequest(**by))).movements]
            for by in (
                {"type": WASTE},
                {"station_id": place.bar},
                {"date_to": came.recorded_at},
                {"site_id": place.other},
            )
        ]

        assert (found[0], found[2:]) == ([wasted.id], [[], []])
        (arrived,) = found[1]
        ends = [await place.stub.GetMovement(pb.GetMovementRequest(id=each)) for each in (moved.id, arrived)]
        assert (ends[0].entry_id, [end.delta for end in ends]) == (ends[1].entry_id, [-2, 2])

    async def test_goes_on_over_pages(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        rows = [(await place.move(RECEIVE, 1)).id for _ in range(5)]
        asked: dict[str, Any] = {"item_id": place.item_id, "page_size": 3}
        first = await place.stub.SearchMovements(pb.SearchMovementsRequest(**asked))

        second = await place.stub.SearchMovements(pb.SearchMovementsRequest(cursor=first.next_cursor, **asked))

        assert [row.id for row in (*first.movements, *second.movements)] == rows[::-1]

    async def test_an_orders_movements_are_found(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 3)
        orders, wish = await place.order()
        await orders.Reserve(wish)
        await place.deplete(place.bar, 1, items=[], order_id=wish.order_id)

        found = await place.stub.SearchMovements(pb.SearchMovementsRequest(order_id=wish.order_id))

        assert [(row.type, row.delta) for row in found.movements] == [(pb.MOVEMENT_TYPE_SALE, -1)]

    async def test_a_sale_comes_back_once(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.move(RECEIVE, 3)
        orders, wish = await place.order()
        await orders.Reserve(wish)
        done = await place.deplete(place.bar, 1, items=[], order_id=wish.order_id)

        answers = await everyone(*(place.reverse(done.movements[0]) for _ in range(5)))

        assert sum(isinstance(answer, pb.Movement) for answer in answers) == 1
        assert ((await place.item()).on_hand, (await place.verified()).consistent) == (3, True)
