"""Offline clients' logs: replayed in any order and portion, by kiosks and staff, with operations that are not valid."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from google.protobuf.struct_pb2 import Struct
from switchyard.orders.v1 import orders_pb2, sync_pb2, sync_pb2_grpc
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.identity import Principal
from chassis.service import Service
from chassis.testing import Databases, Serve, Tenant
from services.orders import messages
from services.orders.rpc.counter import Counter
from services.orders.rpc.sync import SyncRpc
from services.orders.tests.conftest import open_shop

YESTERDAY = datetime(2025, 3, 1, 12, 30, tzinfo=UTC)
QUEUED, PREPARING, READY, COMPLETED, CANCELLED, DRAFT = (
    orders_pb2.ORDER_STATUS_QUEUED,
    orders_pb2.ORDER_STATUS_PREPARING,
    orders_pb2.ORDER_STATUS_READY,
    orders_pb2.ORDER_STATUS_COMPLETED,
    orders_pb2.ORDER_STATUS_CANCELLED,
    orders_pb2.ORDER_STATUS_DRAFT,
)


class Till:
    """A client that was offline and has kept a log."""

    def __init__(self, shop: Any, principal: Principal) -> None:
        self.shop = shop
        self.principal = principal
        self.log: list[sync_pb2.Operation] = []

    def note(self, kind: str, told: dict[str, Any], **more: Any) -> sync_pb2.Operation:
        """Log something."""
        body = Struct()
        body.update(told)
        known: dict[str, Any] = {"operation_id": str(uuid7()), "sequence": len(self.log) + 1, "occurred_at": YESTERDAY}
        self.log.append(sync_pb2.Operation(**{**known, "type": kind, "body": body, **more}))
        return self.log[-1]

    def place(self, order_id: object = None, **more: Any) -> str:
        """Log an order; its id."""
        made = str(order_id or uuid7())
        lines = [{"menu_item_id": self.shop.menu_item, "quantity": 2}]
        told = {"id": made, "lines": lines} | ({} if self.principal.kind == "kiosk" else {"site_id": self.shop.site})
        self.note("place_order", told, **more)
        return made

    def cancel(self, order_id: str, told: dict[str, Any] | None = None, **more: Any) -> None:
        """Log a cancellation."""
        self.note("cancel_order", {"order_id": order_id, **(told or {})}, **more)

    def move(self, order_id: str, status: str, told: dict[str, Any] | None = None, **more: Any) -> None:
        """Log another state."""
        self.note("update_order_status", {"order_id": order_id, "status": status, **(told or {})}, **more)

    async def sync(self, operations: list[sync_pb2.Operation] | None = None) -> list[sync_pb2.OperationResult]:
        """Send the log, or a portion."""
        channel: Any = self.shop.running.channel(self.principal)
        request = sync_pb2.ApplyOperationsRequest(operations=self.log if operations is None else operations)
        answer = await sync_pb2_grpc.SyncServiceStub(channel).ApplyOperations(request)
        return list(answer.results)

    async def outcomes(self, operations: list[sync_pb2.Operation] | None = None) -> list[str]:
        """Send it; what came of each."""
        return [outcome(result) for result in await self.sync(operations)]


def outcome(result: sync_pb2.OperationResult) -> str:
    return sync_pb2.OperationOutcome.Name(result.outcome).removeprefix("OPERATION_OUTCOME_").lower()


@pytest_asyncio.fixture
async def shop(serve: Serve, databases: Databases, tenant: Tenant, inventory: tuple[Any, str]) -> Any:
    def more(service: Service, counter: Counter, _sagas: object) -> None:
        service.serve(SyncRpc(service.database, counter, deadline_s=60.0))

    return await open_shop(serve, databases, tenant, inventory, more)


@pytest.fixture
def kiosk(shop: Any) -> Till:
    return Till(shop, shop.kiosk)


@pytest.fixture
def staff(shop: Any) -> Till:
    return Till(shop, shop.staff)


class TestApplyOperations:
    async def test_a_log_is_applied_in_the_clients_sequence(self, staff: Till) -> None:
        order_id = staff.place()
        for status in ("preparing", "ready", "completed"):
            staff.move(order_id, status)

        results = await staff.sync(staff.log[::-1])

        assert [outcome(result) for result in results] == ["applied"] * 4
        assert [result.sequence for result in results] == [4, 3, 2, 1]
        assert {result.order.status for result in results} == {COMPLETED}

    async def test_again_it_is_duplicate_and_changes_nothing(self, staff: Till) -> None:
        order_id = staff.place()
        staff.move(order_id, "preparing")
        await staff.sync()
        before = await staff.shop.get(order_id)

        again = await staff.outcomes()

        assert again == ["duplicate"] * 2
        assert await staff.shop.get(order_id) == before

    async def test_the_timeline_knows_when_it_was_done(self, kiosk: Till) -> None:
        order_id = kiosk.place()
        kiosk.cancel(order_id, {"reason": "Changed their mind"}, occurred_at=YESTERDAY + timedelta(minutes=1))

        await kiosk.sync()

        told = {event.type: event for event in await kiosk.shop.timeline(order_id)}
        assert told["placed"].occurred_at.ToDatetime(UTC) == YESTERDAY
        assert told["cancelled"].occurred_at.ToDatetime(UTC) == YESTERDAY + timedelta(minutes=1)
        assert messages.word("Channel", told["placed"].channel) == "kiosk"

    async def test_a_clock_ahead_of_ours_does_not_lead_into_the_future(self, kiosk: Till) -> None:
        order_id = kiosk.place(occurred_at=datetime.now(UTC) + timedelta(days=3))

        await kiosk.sync()

        placed = (await kiosk.shop.timeline(order_id))[0]
        assert placed.occurred_at.ToDatetime(UTC) < datetime.now(UTC) + timedelta(minutes=1)

    async def test_a_cancellation_before_its_order_is_deferred_and_heals(self, kiosk: Till) -> None:
        order_id = kiosk.place()
        kiosk.cancel(order_id)

        early = await kiosk.outcomes(kiosk.log[1:])
        then = await kiosk.outcomes(kiosk.log[:1])
        healed = await kiosk.outcomes(kiosk.log[1:])

        assert (early, then, healed) == (["deferred"], ["applied"], ["applied"])
        assert kiosk.shop.inventory.stock == 1_000_000

    async def test_what_comes_after_something_deferred_waits_with_it(self, staff: Till) -> None:
        order_id = str(uuid7())
        staff.move(order_id, "preparing")
        staff.move(order_id, "ready")

        assert await staff.outcomes() == ["deferred", "deferred"]

    async def test_it_waits_for_the_operation_it_names(self, staff: Till) -> None:
        order_id = staff.place()
        staff.move(order_id, "preparing")
        staff.move(order_id, "ready", after=staff.log[1].operation_id)
        await staff.sync(staff.log[:1])

        early = await staff.outcomes(staff.log[2:])
        healed = await staff.outcomes(staff.log[1:])

        assert (early, healed) == (["deferred"], ["applied", "applied"])

    async def test_a_later_operation_is_not_waited_for(self, kiosk: Till) -> None:
        kiosk.place(after=str(uuid7()))
        kiosk.place(after=kiosk.log[0].operation_id)
        kiosk.log[0].after = kiosk.log[1].operation_id

        assert await kiosk.outcomes() == ["deferred", "deferred"]

    async def test_an_order_that_moved_on_is_a_conflict_for_ever(self, kiosk: Till, staff: Till) -> None:
        order_id = kiosk.place()
        kiosk.cancel(order_id)
        staff.move(order_id, "ready")
        await kiosk.sync(kiosk.log[:1])
        await staff.shop.patch(order_id, status=PREPARING)
        await staff.shop.patch(order_id, status=READY)
        await staff.shop.patch(order_id, status=COMPLETED)

        cancelled, moved = (await kiosk.sync(kiosk.log[1:]))[0], (await staff.sync())[0]
        again = (await staff.sync())[0]

        assert [(outcome(result), result.code) for result in (cancelled, moved, again)] == [
            ("conflict", "INVALID_STATE_TRANSITION")
        ] * 3
        assert moved.order.status == COMPLETED

    async def test_an_older_version_is_a_conflict(self, staff: Till) -> None:
        order = await staff.shop.place()
        staff.move(order.id, "preparing", {"expected_version": order.version - 1})
        staff.move(order.id, "preparing", {"expected_version": order.version})

        results = await staff.sync()

        assert [(outcome(result), result.code) for result in results] == [
            ("conflict", "STALE_VERSION"),
            ("applied", ""),
        ]

    async def test_no_stock_is_rejected_and_stays_so(self, kiosk: Till) -> None:
        kiosk.shop.inventory.stock = 3
        placed, refused = kiosk.place(), kiosk.place()
        kiosk.move(refused, "preparing")
        # One after the other: of two at once either may get the stock.
        before = [result for entry in kiosk.log[:2] for result in await kiosk.sync([entry])]
        kiosk.shop.inventory.stock = 1000

        again = await kiosk.sync(kiosk.log[:2])

        assert [(outcome(result), result.code) for result in before] == [
            ("applied", ""),
            ("rejected", "INSUFFICIENT_STOCK"),
        ]
        assert [(outcome(result), result.code) for result in again] == [
            ("duplicate", ""),
            ("rejected", "INSUFFICIENT_STOCK"),
        ]
        assert again[1].order.id == refused
        assert (await kiosk.shop.get(placed)).status == QUEUED

    async def test_an_inventory_that_is_away_leaves_a_draft(self, kiosk: Till) -> None:
        kiosk.shop.inventory.fail("Reserve", errors.Unavailable(), times=3)
        order_id = kiosk.place()

        first = (await kiosk.sync())[0]
        await kiosk.shop.resume_later()
        then = (await kiosk.sync())[0]

        assert (outcome(first), first.order.status) == ("applied", DRAFT)
        assert (outcome(then), then.order.status) == ("duplicate", QUEUED)
        assert then.order.id == order_id

    async def test_a_completion_that_inventory_refuses_is_a_conflict_and_stays_so(self, staff: Till) -> None:
        order_id = staff.place()
        for status in ("preparing", "ready", "completed"):
            staff.move(order_id, status)
        await staff.sync(staff.log[:3])
        staff.shop.inventory.fail("PostReservation", errors.Conflict("a batch was recalled", code="INSUFFICIENT_STOCK"))

        results = [(await staff.sync(staff.log[3:]))[0] for _ in range(2)]

        assert [(outcome(result), result.code) for result in results] == [("conflict", "INSUFFICIENT_STOCK")] * 2
        assert results[1].order.status == READY

    async def test_an_order_placed_directly_is_the_same_order(self, kiosk: Till) -> None:
        order_id = uuid7()
        await kiosk.shop.stub(kiosk.principal).PlaceKioskOrder(kiosk.shop.kiosk_wish(order_id))
        kiosk.place(order_id)

        result = (await kiosk.sync())[0]

        assert (outcome(result), result.order.id) == ("applied", str(order_id))
        assert kiosk.shop.inventory.stock == 1_000_000 - 2

    async def test_the_trail_says_what_was_done(self, staff: Till) -> None:
        order_id = staff.place()

        await staff.sync()

        sql = "SELECT envelope FROM outbox WHERE subject LIKE 'aud.%' AND envelope LIKE $1 ORDER BY seq"
        first = (await staff.shop.rows(sql, f"%{order_id}%"))[0]["envelope"]
        assert '"action":"orders.PlaceOrder"' in first
        assert f"sync_operations/{staff.log[0].operation_id}" in first


class TestWhatIsNotValid:
    async def test_one_bad_operation_keeps_nobody_waiting(self, kiosk: Till) -> None:
        good = kiosk.place()
        kiosk.note("place_order", {"id": str(uuid7()), "lines": [{"menu_item_id": "no", "quantity": 0}]})
        kiosk.note("place_order", {"id": str(uuid7()), "lines": "none", "colour": "red", "payment_method": 7})
        kiosk.note("repaint", {})
        kiosk.place(operation_id="first")
        kiosk.place(sequence=0)
        kiosk.place()

        results = await kiosk.sync()

        assert [outcome(result) for result in results] == ["applied", *["rejected"] * 5, "applied"]
        assert {result.code for result in results[1:6]} == {"VALIDATION_FAILED"}
        problems = [sorted(problem.field for problem in result.problems) for result in results]
        assert problems[1] == ["body.lines.0.menu_item_id", "body.lines.0.quantity"]
        assert problems[2] == ["body.colour", "body.lines", "body.payment_method"]
        assert problems[3:6] == [["type"], ["operation_id"], ["sequence"]]
        assert (await kiosk.shop.get(good)).status == QUEUED

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("quantity", 1.5),
            ("quantity", "2"),
            ("quantity", True),
            ("quantity", 1e300),
            ("notes", "a\0b"),
            ("notes", 5),
            ("id", "0198c0de-0000-7000-8000-000000000001"),
            ("unitPrice", {}),
        ],
    )
    async def test_lines_are_read_strictly(self, kiosk: Till, field: str, value: Any) -> None:
        line = {"menu_item_id": kiosk.shop.menu_item, "quantity": 1, field: value}
        kiosk.note("place_order", {"id": str(uuid7()), "lines": [line]})

        result = (await kiosk.sync())[0]

        assert outcome(result) == "rejected"
        assert [problem.field for problem in result.problems] == [f"body.lines.0.{field}"]

    async def test_it_is_remembered(self, kiosk: Till) -> None:
        kiosk.note("place_order", {"id": str(uuid7()), "lines": []})

        first, again = (await kiosk.sync())[0], (await kiosk.sync())[0]

        assert first == again
        assert outcome(first) == "rejected"

    async def test_what_builds_on_a_rejected_order_is_rejected(self, kiosk: Till) -> None:
        order_id = str(uuid7())
        kiosk.note("place_order", {"id": order_id, "lines": []})
        kiosk.cancel(order_id)

        results = await kiosk.sync()

        assert [(outcome(result), result.code) for result in results] == [
            ("rejected", "VALIDATION_FAILED"),
            ("rejected", "ORDER_REJECTED"),
        ]

    async def test_an_operation_id_is_one_operations(self, kiosk: Till) -> None:
        kiosk.place()
        kiosk.place(operation_id=kiosk.log[0].operation_id)

        results = await kiosk.sync()

        assert sorted(outcome(result) for result in results) == ["applied", "rejected"]
        assert {result.code for result in results} == {"", "OPERATION_ID_REUSED"}

    async def test_too_many_are_refused_as_a_whole(self, kiosk: Till) -> None:
        kiosk.place()

        with pytest.raises(errors.Invalid):
            await kiosk.sync(kiosk.log * 501)


class TestWhoMay:
    async def test_a_kiosk_does_not_move_orders(self, kiosk: Till) -> None:
        order_id = kiosk.place()
        kiosk.move(order_id, "preparing")

        result = (await kiosk.sync())[1]

        assert (outcome(result), result.code) == ("rejected", "PERMISSION_DENIED")
        sql = "SELECT envelope FROM outbox WHERE subject LIKE 'aud.%' AND envelope LIKE $1"
        assert await kiosk.shop.rows(sql, f'%{kiosk.principal.name}%"outcome":"denied"%')

    async def test_a_kiosk_takes_back_its_own_until_it_is_made(self, kiosk: Till, staff: Till) -> None:
        taken_back, made = kiosk.place(), kiosk.place()
        await kiosk.sync()
        await staff.shop.patch(made, status=PREPARING)
        kiosk.cancel(taken_back)
        kiosk.cancel(made, {"reason": "Too slow"})

        results = await kiosk.sync(kiosk.log[2:])

        assert [outcome(result) for result in results] == ["applied", "conflict"]
        assert [result.order.status for result in results] == [CANCELLED, PREPARING]

    async def test_anothers_order_is_none(self, kiosk: Till, shop: Any) -> None:
        order = await shop.place()
        kiosk.cancel(order.id)

        result = (await kiosk.sync())[0]

        assert (outcome(result), result.HasField("order")) == ("deferred", False)

    async def test_another_site_is_none(self, kiosk: Till) -> None:
        lines = [{"menu_item_id": kiosk.shop.menu_item, "quantity": 1}]
        kiosk.note("place_order", {"id": str(uuid7()), "site_id": str(uuid7()), "lines": lines})

        result = (await kiosk.sync())[0]

        assert (outcome(result), result.code) == ("rejected", "NOT_FOUND")

    async def test_without_the_permission_to_change_orders(self, shop: Any) -> None:
        clerk = Till(shop, shop.tenant.user(permissions={"orders.create", "orders.read"}, roles=("clerk",)))
        order_id = clerk.place()
        clerk.move(order_id, "preparing")
        clerk.cancel(order_id)
        clerk.cancel((await shop.place()).id)

        _, moved, own, others = await clerk.sync()

        assert [outcome(result) for result in (moved, own, others)] == ["rejected", "applied", "rejected"]
        assert {problem.message for result in (moved, others) for problem in result.problems} == {"orders.update"}

    async def test_anothers_tenants_operation_is_none(self, kiosk: Till, shop: Any) -> None:
        kiosk.place()
        await kiosk.sync()
        other = Till(shop, type(shop.tenant)().kiosk(shop.site))

        assert await other.outcomes(kiosk.log) == ["applied"]


class TestManyAtOnce:
    async def test_a_log_sent_by_many_clients_at_once_is_applied_once(self, kiosk: Till) -> None:
        for order_id in [kiosk.place() for _ in range(6)][:3]:
            kiosk.cancel(order_id)

        told = await asyncio.gather(*(kiosk.outcomes(random.sample(kiosk.log, len(kiosk.log))) for _ in range(6)))

        assert sorted(word for words in told for word in words) == ["applied"] * 9 + ["duplicate"] * 45
        assert kiosk.shop.inventory.stock == 1_000_000 - 6

    async def test_numbers_have_no_gaps(self, kiosk: Till) -> None:
        ids = [kiosk.place() for _ in range(30)]
        random.shuffle(kiosk.log)

        await kiosk.sync()

        numbers = await kiosk.shop.rows("SELECT number FROM orders WHERE id = ANY($1)", [UUID(one) for one in ids])
        assert sorted(row["number"] for row in numbers) == list(range(1, 31))
