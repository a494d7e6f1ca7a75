"""Lots that are held back or expire, while many clients want something of them."""

import asyncio
from datetime import timedelta

import pytest
from switchyard.inventory.v1 import inventory_pb2 as pb

from chassis import clock, errors
from chassis.testing import Serve, Tenant
from services.inventory import work
from services.inventory.tests.place import Place, codes, everyone
from services.inventory.tests.support import Stub

TRANSFER = pb.MOVEMENT_TYPE_TRANSFER
RECEIVE, DEDUCT, WASTE = pb.MOVEMENT_TYPE_RECEIVE, pb.MOVEMENT_TYPE_DEDUCT, pb.MOVEMENT_TYPE_WASTE
QUARANTINED, RECALLED = pb.BATCH_STATUS_QUARANTINED, pb.BATCH_STATUS_RECALLED


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

        answers = await everyone(
            *(place.move(DEDUCT, 1, batch_id=lot.id) for _ in range(15)),
            place.hold(lot, RECALLED),
            *(place.move(DEDUCT, 1) for _ in range(15)),
        )

        taken = sum(isinstance(answer, pb.Movement) for answer in answers)
        assert codes(answers) <= {"BATCH_NOT_AVAILABLE", "INSUFFICIENT_STOCK"}
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


class TestExpiry:
    async def test_is_told_once_for_each_threshold(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant, low_stock_threshold=3)
        await place.lot("A", 5, days=2)
        database = place.running.service.database

        await work.warn(database)
        await work.warn(database)
        with clock.shifted(timedelta(days=2, hours=1)):
            await asyncio.gather(*(work.warn(database) for _ in range(3)))

        names = await place.events()
        assert names.count("BatchExpiring") == 2
        assert names[-1] == "LowStock"
        assert (await place.verified()).consistent


class TestAlerts:
    async def test_holding_back_can_be_what_makes_stock_low(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant, low_stock_threshold=3)
        lot = await place.lot("A", 5)

        await place.hold(lot)
        await place.hold(lot, pb.BATCH_STATUS_AVAILABLE, reason="")
        await place.hold(lot, RECALLED)

        names = await place.events()
        assert (names.count("BatchStatusChanged"), names.count("LowStock")) == (3, 2)

    async def test_what_runs_out_is_told_once(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant, allow_backorder=True)
        await place.move(RECEIVE, 1)
        await place.move(DEDUCT, 1)
        orders, wish = await place.order()

        await orders.Reserve(wish)

        assert (await place.events()).count("StockDepleted") == 1


class TestBackorder:
    async def test_is_not_taken_back_while_somebody_waits(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant, allow_backorder=True)
        orders, wish = await place.order()
        await orders.Reserve(wish)
        request = pb.UpdateItemRequest(id=place.item_id, item=pb.Item(allow_backorder=False))
        request.update_mask.paths.append("allow_backorder")

        with pytest.raises(errors.Conflict) as refused:
            await place.stub.UpdateItem(request)

        assert (refused.value.code, (await place.item()).available) == ("BACKORDERS_WAITING", -1)

    async def test_a_display_unit_is_kept(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant, display_unit=pb.DisplayUnit(name="l", factor=1000))

        item = await place.item()

        assert (item.display_unit.name, item.display_unit.factor) == ("l", 1000)


class TestTrail:
    async def test_says_at_which_site(self, serve: Serve, tenant: Tenant) -> None:
        place = await Place.open(serve, tenant)
        await place.lot("A", 5)
        await place.move(TRANSFER, 1, to_site_id=place.other)

        sites = [entry["site_id"] for entry in await place.trail()]

        # An item is no site's, a lot is one's, and a transfer is two's.
        assert sites == ["", place.site, ""]
