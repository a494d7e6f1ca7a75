"""Restocking through a real server: plans along their states, deliveries into the ledger, suggestions from use."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from switchyard.inventory.v1 import inventory_pb2
from switchyard.inventory.v1 import restock_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.identity import Principal
from chassis.testing import Databases, Running, Serve, Tenant
from services.inventory.__main__ import build
from services.inventory.settings import InventorySettings
from services.inventory.tests.support import Stub

DRAFT, APPROVED, ORDERED = pb.RESTOCK_STATE_DRAFT, pb.RESTOCK_STATE_APPROVED, pb.RESTOCK_STATE_ORDERED
PARTLY, RECEIVED = pb.RESTOCK_STATE_PARTIALLY_RECEIVED, pb.RESTOCK_STATE_RECEIVED
CANCELLED = pb.RESTOCK_STATE_CANCELLED
# Of two deliveries of one lot the date is the same, whichever second they come in.
TODAY = clock.now().replace(microsecond=0)

# What would be searched for to the end of time.
NEVER = [
    "FREQ=DAILY;BYDAY=XX",
    "FREQ=DAILY;INTERVAL=0",
    "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=DAILY;INTERVAL=7;BYDAY=TU",
]


@dataclass(frozen=True)
class Buyer:
    """A site that buys, and somebody who does it."""

    running: Running
    tenant: Tenant
    stub: Any
    site_id: str

    @classmethod
    async def open(cls, serve: Serve, tenant: Tenant) -> "Buyer":
        running = await serve("inventory", build, settings=InventorySettings)
        return cls(
            running, tenant, Stub(running.channel(tenant.user(roles=("admin",), permissions=["*"]))), str(uuid7())
        )

    def as_(self, principal: Principal) -> Any:
        return Stub(self.running.channel(principal))

    async def item(self, sku: str = "BEAN", **more: Any) -> str:
        told = inventory_pb2.Item(sku=sku, name=sku, unit=inventory_pb2.UNIT_G, **more)
        return str((await self.stub.CreateItem(inventory_pb2.CreateItemRequest(item=told))).id)

    async def plan(self, *item_ids: str, quantity: int = 100, state: int = DRAFT, **more: Any) -> pb.RestockPlan:
        lines = [pb.RestockLine(item_id=each, min=10, max=500, quantity=quantity) for each in item_ids]
        told = pb.RestockPlan(site_id=self.site_id, supplier="Roaster", lead_days=3, lines=lines, **more)
        plan = await self.stub.CreateRestockPlan(pb.CreateRestockPlanRequest(plan=told))
        for wanted in (APPROVED, ORDERED)[: state - 1]:
            plan = await self.move(plan.id, wanted)
        return plan  # type: ignore[no-any-return]

    async def move(self, plan_id: str, state: int, stub: Any = None) -> pb.RestockPlan:
        return await self.patch(plan_id, "state", stub=stub, state=state)

    async def patch(self, plan_id: str, *paths: str, stub: Any = None, **values: Any) -> pb.RestockPlan:
        request = pb.UpdateRestockPlanRequest(
            id=plan_id, plan=pb.RestockPlan(**values), update_mask=FieldMask(paths=paths)
        )
        return await (stub or self.stub).UpdateRestockPlan(request)  # type: ignore[no-any-return]

    async def receive(self, plan_id: str, item_id: str, quantity: int, **more: Any) -> pb.RestockPlan:
        line = pb.ReceivedLine(item_id=item_id, quantity=quantity, lot=more.pop("lot", "L1"))
        if "days" in more:
            line.expires_at.FromDatetime(TODAY + timedelta(days=more.pop("days")))
        request = pb.ReceiveRestockPlanRequest(id=plan_id, lines=[line], **more)
        return await self.stub.ReceiveRestockPlan(request)  # type: ignore[no-any-return]

    async def read(self, plan_id: str) -> pb.RestockPlan:
        return await self.stub.GetRestockPlan(pb.GetRestockPlanRequest(id=plan_id))  # type: ignore[no-any-return]

    async def on_hand(self, item_id: str) -> int:
        verified = await self.stub.VerifyLedger(inventory_pb2.VerifyLedgerRequest(item_id=item_id))
        assert verified.consistent
        return int(verified.ledger_quantity)

    async def suggested(self, **more: Any) -> dict[str, pb.RestockSuggestion]:
        request = pb.ListRestockSuggestionsRequest(site_id=self.site_id, **more)
        found = (await self.stub.ListRestockSuggestions(request)).suggestions
        return {each.sku: each for each in found}

    async def moved(self, item_id: str, kind: Any, quantity: int) -> None:
        told = inventory_pb2.Movement(type=kind, quantity=quantity, site_id=self.site_id)
        await self.stub.CreateMovement(inventory_pb2.CreateMovementRequest(item_id=item_id, movement=told))


async def _outcome(call: Any) -> str:
    try:
        await call
    except errors.Error as refusal:
        return refusal.code
    return "ok"


class TestPlans:
    async def test_is_read_as_it_was_written(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        item_id = await buyer.item()
        plan = await buyer.plan(item_id, schedule="FREQ=WEEKLY;BYDAY=MO")

        read = await buyer.read(plan.id)

        assert read == plan
        assert (read.state, read.lines[0].quantity, read.lines[0].received) == (DRAFT, 100, 0)
        assert clock.now().date().isoformat() <= read.next_due_on

    async def test_an_item_that_is_not_there_or_stands_twice_is_invalid(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        item_id = await buyer.item()

        for wrong in ([str(uuid7())], [item_id, item_id]):
            with pytest.raises(errors.Invalid) as refusal:
                await buyer.plan(*wrong)
            assert "plan.lines.0.item_id" in refusal.value.fields

    @pytest.mark.parametrize("schedule", ["every day", "FREQ=SECONDLY", "FREQ=DAILY;COUNT=3", *NEVER])
    async def test_a_bad_schedule_is_invalid(self, serve: Serve, tenant: Tenant, schedule: str) -> None:
        buyer = await Buyer.open(serve, tenant)

        with pytest.raises(errors.Invalid):
            await buyer.plan(await buyer.item(), schedule=schedule)

    async def test_a_site_that_is_not_there_is_not_found(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        item_id = await buyer.item()
        buyer.running.service.every_site.closed.add(buyer.site_id)  # type: ignore[attr-defined]

        with pytest.raises(errors.NotFound):
            await buyer.plan(item_id)

    async def test_another_tenant_or_site_does_not_see_it(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        plan = await buyer.plan(await buyer.item())
        strangers = [buyer.as_(Tenant().user()), buyer.as_(tenant.user(sites=[str(uuid7())]))]

        for stub in strangers:
            with pytest.raises(errors.NotFound):
                await stub.GetRestockPlan(pb.GetRestockPlanRequest(id=plan.id))
            with pytest.raises(errors.NotFound):
                await buyer.move(plan.id, APPROVED, stub)
            assert list((await stub.ListRestockPlans(pb.ListRestockPlansRequest())).plans) == []

    async def test_lists_by_state_and_supplier(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        item_id = await buyer.item()
        await buyer.plan(item_id)
        ordered = await buyer.plan(item_id, state=ORDERED)

        request = pb.ListRestockPlansRequest(state=ORDERED, supplier="Roaster", site_id=buyer.site_id)
        found = (await buyer.stub.ListRestockPlans(request)).plans

        assert [plan.id for plan in found] == [ordered.id]

    async def test_a_draft_gets_other_lines(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        first, second = await buyer.item("A"), await buyer.item("B")
        plan = await buyer.plan(first)

        lines = [pb.RestockLine(item_id=first, quantity=7), pb.RestockLine(item_id=second, quantity=9)]
        changed = await buyer.patch(plan.id, "lines", "notes", lines=lines, notes="soon")

        assert [line.quantity for line in changed.lines] == [7, 9]
        assert (changed.notes, changed.version) == ("soon", 2)

    async def test_what_changes_nothing_counts_no_version(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        plan = await buyer.plan(await buyer.item())

        same = await buyer.patch(plan.id, "supplier", "state", supplier="Roaster", state=DRAFT)

        assert same.version == 1


class TestStates:
    async def test_every_move_that_is_not_legal_is_refused(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        item_id = await buyer.item()
        legal = {DRAFT: {APPROVED, CANCELLED}, APPROVED: {ORDERED, CANCELLED}, ORDERED: {CANCELLED}}

        for begun, moves in legal.items():
            plan = await buyer.plan(item_id, state=begun)
            for wanted in set(range(1, 7)) - moves - {begun}:
                with pytest.raises(errors.InvalidTransition) as refusal:
                    await buyer.move(plan.id, wanted)
                allowed = refusal.value.metadata["allowed_transitions"].split(",")
                assert len(allowed) == len(moves)

    async def test_approving_takes_a_permission_of_its_own(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        plan = await buyer.plan(await buyer.item())
        clerk = buyer.as_(tenant.user(permissions=["inventory.restock.read", "inventory.restock.write"]))

        with pytest.raises(errors.Denied) as refusal:
            await buyer.move(plan.id, APPROVED, clerk)

        assert refusal.value.metadata == {"permission": "inventory.restock.approve"}
        assert (await buyer.read(plan.id)).state == DRAFT

    async def test_what_is_approved_is_not_rewritten(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        plan = await buyer.plan(await buyer.item(), state=APPROVED)

        with pytest.raises(errors.Conflict) as refusal:
            await buyer.patch(plan.id, "notes", notes="no")

        assert refusal.value.code == "PLAN_NOT_DRAFT"

    async def test_the_database_knows_the_moves_too(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        buyer = await Buyer.open(serve, tenant)
        plan = await buyer.plan(await buyer.item(), state=ORDERED)
        tampering = await asyncpg.connect(databases.admin("inventory"))

        try:
            for sql in (
                "UPDATE restock_plans SET state = 'draft' WHERE id = $1",
                "UPDATE restock_lines SET received = 101 WHERE plan_id = $1",
            ):
                with pytest.raises(asyncpg.CheckViolationError):
                    await tampering.execute(sql, plan.id)
        finally:
            await tampering.close()

    async def test_of_a_cancellation_and_a_delivery_one_wins(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        item_id = await buyer.item()
        for _ in range(5):
            before = await buyer.on_hand(item_id)
            plan = await buyer.plan(item_id, state=ORDERED)

            outcomes = await asyncio.gather(
                _outcome(buyer.move(plan.id, CANCELLED)), _outcome(buyer.receive(plan.id, item_id, 100, lot=plan.id))
            )

            assert sorted(outcomes) == ["INVALID_STATE_TRANSITION", "ok"]
            came = await buyer.on_hand(item_id) - before
            assert (came, (await buyer.read(plan.id)).state) in {(0, CANCELLED), (100, RECEIVED)}


class TestReceive:
    async def test_parts_become_lots_and_movements(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        item_id = await buyer.item()
        plan = await buyer.plan(item_id, state=ORDERED)

        partly = await buyer.receive(plan.id, item_id, 60, lot="L1", days=30)
        await buyer.receive(plan.id, item_id, 10, lot="L1", days=30)
        whole = await buyer.receive(plan.id, item_id, 30, lot="L2")

        assert (partly.state, partly.lines[0].received) == (PARTLY, 60)
        assert (whole.state, whole.lines[0].received) == (RECEIVED, 100)
        lots = await buyer.stub.ListBatches(inventory_pb2.ListBatchesRequest(item_id=item_id))
        assert [(lot.lot, lot.quantity, lot.on_hand) for lot in lots.batches] == [("L1", 70, 70), ("L2", 30, 30)]
        assert await buyer.on_hand(item_id) == 100

    async def test_nothing_comes_of_a_plan_that_is_not_ordered(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        item_id = await buyer.item()
        plan = await buyer.plan(item_id, state=APPROVED)

        with pytest.raises(errors.InvalidTransition):
            await buyer.receive(plan.id, item_id, 1)

        assert await buyer.on_hand(item_id) == 0

    async def test_more_than_was_ordered_is_refused_as_a_whole(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        first, second = await buyer.item("A"), await buyer.item("B")
        plan = await buyer.plan(first, second, state=ORDERED)
        lines = [
            pb.ReceivedLine(item_id=first, quantity=1, lot="L"),
            pb.ReceivedLine(item_id=second, quantity=101, lot="L"),
        ]

        with pytest.raises(errors.Conflict) as refusal:
            await buyer.stub.ReceiveRestockPlan(pb.ReceiveRestockPlanRequest(id=plan.id, lines=lines))

        assert (refusal.value.code, set(refusal.value.fields)) == ("MORE_THAN_ORDERED", {"lines.1.quantity"})
        assert [line.received for line in (await buyer.read(plan.id)).lines] == [0, 0]
        assert await buyer.on_hand(first) == 0

    async def test_of_a_retired_item_nothing_comes(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        item_id = await buyer.item()
        plan = await buyer.plan(item_id, state=ORDERED)
        await buyer.stub.DeleteItem(inventory_pb2.DeleteItemRequest(id=item_id))

        with pytest.raises(errors.Invalid):
            await buyer.receive(plan.id, item_id, 1)

        assert (await buyer.read(plan.id)).lines[0].received == 0

    async def test_a_lot_has_one_date(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        item_id = await buyer.item()
        plan = await buyer.plan(item_id, state=ORDERED)
        await buyer.receive(plan.id, item_id, 1, days=30)

        with pytest.raises(errors.Conflict) as refusal:
            await buyer.receive(plan.id, item_id, 1, days=31)

        assert refusal.value.code == "LOT_DIFFERS"

    async def test_a_receipt_is_taken_in_once(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        item_id = await buyer.item()
        plan = await buyer.plan(item_id, state=ORDERED)
        receipt_id = str(uuid7())

        sent = [buyer.receive(plan.id, item_id, 40, receipt_id=receipt_id) for _ in range(10)]
        outcomes = await asyncio.gather(*map(_outcome, sent))

        assert set(outcomes) == {"ok"}
        assert (await buyer.read(plan.id)).lines[0].received == await buyer.on_hand(item_id) == 40
        with pytest.raises(errors.AlreadyExists):
            await buyer.receive(plan.id, item_id, 41, receipt_id=receipt_id)

    async def test_many_receive_at_once_and_stock_is_what_was_recorded(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        item_id = await buyer.item()
        plan = await buyer.plan(item_id, state=ORDERED)

        sent = [buyer.receive(plan.id, item_id, 7, lot=f"L{number % 5}") for number in range(30)]
        outcomes = await asyncio.gather(*map(_outcome, sent))

        assert outcomes.count("ok") == 14
        assert set(outcomes) == {"ok", "MORE_THAN_ORDERED"}
        assert (await buyer.read(plan.id)).lines[0].received == await buyer.on_hand(item_id) == 98


class TestSuggestions:
    async def test_use_against_what_is_there_and_on_its_way(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        used = await buyer.item("USED")
        await buyer.item("IDLE")
        await buyer.moved(used, inventory_pb2.MOVEMENT_TYPE_RECEIVE, 400)
        await buyer.moved(used, inventory_pb2.MOVEMENT_TYPE_DEDUCT, 200)
        await buyer.moved(used, inventory_pb2.MOVEMENT_TYPE_WASTE, 80)

        found = await buyer.suggested(use_days=28, horizon_days=14, lead_days=2)

        assert set(found) == {"USED"}
        told = found["USED"]
        # 280 in 28 days are 10 a day: 120 last 12 days, and they are to last 2 and 14.
        assert (told.daily_use, told.days_of_cover, told.available, told.quantity) == (10.0, 12.0, 120, 40)
        assert list(told.reasons) == [pb.RESTOCK_REASON_RUNS_OUT_WITHIN_HORIZON]
        assert "uses 10 a day" in told.explanation

    async def test_what_is_ordered_is_counted_until_it_has_come(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        item_id = await buyer.item(low_stock_threshold=50)
        before = await buyer.suggested()
        plan = await buyer.plan(item_id, quantity=30, state=ORDERED)

        ordered = await buyer.suggested()
        await buyer.receive(plan.id, item_id, 5)

        assert (before["BEAN"].min, before["BEAN"].quantity) == (50, 50)
        assert list(before["BEAN"].reasons) == [pb.RESTOCK_REASON_BELOW_MINIMUM]
        # The plan's own minimum is 10, and 30 are on the way.
        assert ordered == {}
        assert await buyer.suggested() == {}

    async def test_fills_up_to_the_maximum_of_the_newest_plan(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        await buyer.plan(await buyer.item())

        told = (await buyer.suggested())["BEAN"]

        assert (told.min, told.max, told.quantity, told.lead_days) == (10, 500, 500, 3)

    async def test_what_has_expired_is_not_there(self, serve: Serve, tenant: Tenant) -> None:
        buyer = await Buyer.open(serve, tenant)
        item_id = await buyer.item(low_stock_threshold=10)
        plan = await buyer.plan(item_id, state=ORDERED)
        await buyer.receive(plan.id, item_id, 100, days=2)

        assert await buyer.suggested() == {}
        with clock.shifted(timedelta(days=3)):
            assert (await buyer.suggested())["BEAN"].available == 0
