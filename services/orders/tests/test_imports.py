"""Orders of the past through a real server: kept once, as they were, and nothing else moves."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from switchyard.orders.v1 import imports_pb2 as pb
from switchyard.orders.v1 import imports_pb2_grpc, orders_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.testing import Databases, Serve, Tenant
from services.orders.rpc.imports import OrderImportsRpc
from services.orders.tests import conftest
from services.orders.tests.conftest import Inventory, Shop

COMPLETED, CANCELLED = pb.PAST_STATUS_COMPLETED, pb.PAST_STATUS_CANCELLED
IMPORTED, DUPLICATE = pb.IMPORT_OUTCOME_IMPORTED, pb.IMPORT_OUTCOME_DUPLICATE
REJECTED = pb.IMPORT_OUTCOME_REJECTED


@pytest_asyncio.fixture
async def shop(serve: Serve, databases: Databases, tenant: Tenant, inventory: tuple[Inventory, str]) -> Shop:
    """A shop that takes in its history."""
    return await conftest.open_shop(
        serve, databases, tenant, inventory, lambda service, *_: service.serve(OrderImportsRpc(service.sites()))
    )


def _send(shop: Shop, *orders: pb.PastOrder, site_id: str = "", principal: Any = None) -> Any:
    channel: Any = shop.running.channel(principal or shop.tenant.user(permissions=["orders.import"]))
    request = pb.ImportOrdersRequest(site_id=site_id or shop.site, orders=orders)
    return imports_pb2_grpc.OrderImportsServiceStub(channel).ImportOrders(request)


def _order(order_id: object = None, *, days: float = -30, lines: int = 2, **more: Any) -> pb.PastOrder:
    told: dict[str, Any] = {"id": str(order_id or uuid7()), "status": COMPLETED, "currency": "GBP", **more}
    order = pb.PastOrder(placed_at=_moment(days), **told)
    for number in range(lines):
        order.lines.add(name=f"Thing {number}", quantity=number + 1, unit_amount=100, notes=f"SKU{number}")
    return order


def _moment(days: float) -> Timestamp:
    told = Timestamp()
    told.FromDatetime(clock.now().replace(microsecond=0) + timedelta(days=days))
    return told


class TestImportOrders:
    async def test_is_read_as_it_was(self, shop: Shop) -> None:
        order = _order(customer_id="17850", customer_name="Ada", notes="invoice 1")

        answer = await _send(shop, order)

        result = answer.results[0]
        assert (result.outcome, result.lines, result.quantity, result.total.amount) == (IMPORTED, 2, 3, 300)
        read = await shop.get(order.id)
        assert (read.status, read.channel) == (orders_pb2.ORDER_STATUS_COMPLETED, orders_pb2.CHANNEL_IMPORT)
        assert (read.placed_at, read.total.amount, read.customer_name) == (order.placed_at, 300, "Ada")
        assert [(line.name, line.quantity, line.unit_price.amount) for line in read.lines] == [
            ("Thing 0", 1, 100),
            ("Thing 1", 2, 100),
        ]
        assert not read.HasField("number")
        assert [entry.type for entry in await shop.timeline(order.id)] == ["imported"]

    async def test_a_cancelled_one_stays_cancelled(self, shop: Shop) -> None:
        order = _order(status=CANCELLED)

        await _send(shop, order)

        assert (await shop.get(order.id)).status == orders_pb2.ORDER_STATUS_CANCELLED
        with pytest.raises(errors.InvalidTransition):
            await shop.patch(order.id, shop.manager, status=orders_pb2.ORDER_STATUS_QUEUED)

    async def test_no_stock_no_queue_no_number(self, shop: Shop) -> None:
        before = await shop.place()

        await _send(shop, *(_order() for _ in range(20)))

        after = await shop.place()
        assert after.number == before.number + 1
        assert {order_id for _, order_id in shop.inventory.calls} == {before.id, after.id}
        told = await shop.rows("SELECT subject, audience FROM outbox WHERE tenant_id = $1", shop.tenant.id)
        imported = [row["audience"] for row in told if row["subject"].endswith(".OrdersImported")]
        assert imported == [""]
        assert sum(row["subject"].endswith(".OrderPlaced") for row in told) == 2
        queue = await shop.stub().GetQueue(orders_pb2.GetQueueRequest(site_id=shop.site))
        assert [order.id for order in queue.orders] == [before.id, after.id]

    async def test_each_bad_one_says_why_and_keeps_no_other_back(self, shop: Shop) -> None:
        known = _order()
        await _send(shop, known)
        twice = uuid7()
        orders = [
            _order(),
            _order(days=1),
            _order(lines=0),
            _order(known.id, notes="another"),
            _order(ended_at=_moment(-31)),
            _order(twice, lines=1),
            _order(twice, lines=1),
            _order(twice, lines=3),
        ]

        answer = await _send(shop, *orders)

        assert [(result.outcome, result.code) for result in answer.results] == [
            (IMPORTED, ""),
            (REJECTED, "VALIDATION_FAILED"),
            (REJECTED, "VALIDATION_FAILED"),
            (REJECTED, "ALREADY_EXISTS"),
            (REJECTED, "VALIDATION_FAILED"),
            (IMPORTED, ""),
            (DUPLICATE, ""),
            (REJECTED, "ALREADY_EXISTS"),
        ]
        wrong = {result.position: result.details[0].field for result in answer.results if result.details}
        assert wrong == {1: "placed_at", 2: "lines", 3: "id", 4: "ended_at", 7: "id"}
        assert (answer.imported, answer.duplicates, answer.rejected) == (2, 1, 5)

    async def test_an_order_of_ours_is_not_overwritten(self, shop: Shop) -> None:
        placed = await shop.place(order_id=uuid7())

        answer = await _send(shop, _order(placed.id))

        assert answer.results[0].code == "ALREADY_EXISTS"
        assert (await shop.get(placed.id)).status == orders_pb2.ORDER_STATUS_QUEUED

    async def test_takes_a_permission_and_a_site_of_the_callers(self, shop: Shop) -> None:
        elsewhere = shop.tenant.user(permissions=["orders.import"], sites=[str(uuid7())])

        with pytest.raises(errors.Denied):
            await _send(shop, _order(), principal=shop.staff)
        with pytest.raises(errors.NotFound):
            await _send(shop, _order(), principal=elsewhere)

    async def test_the_same_calls_from_many_at_once_import_each_order_once(self, shop: Shop) -> None:
        orders = [_order(lines=3) for _ in range(60)]
        # Every call has most of the orders of the others, in another order.
        calls = [orders[start:] + orders[: start // 2] for start in range(0, 40, 5)]
        calls += [list(reversed(call)) for call in calls]

        answers = await asyncio.gather(*(_send(shop, *call) for call in calls))

        assert sum(answer.imported for answer in answers) == 60
        assert sum(answer.rejected for answer in answers) == 0
        counts = await shop.rows(
            "SELECT count(DISTINCT o.id) AS orders, count(*) AS lines, sum(l.quantity * l.unit_amount) AS amount "
            "FROM orders o JOIN lines l USING (tenant_id) WHERE l.order_id = o.id AND tenant_id = $1",
            shop.tenant.id,
        )
        assert tuple(counts[0]) == (60, 180, 60 * 600)
        for table in ("sagas", "order_events"):
            (row,) = await shop.rows(f"SELECT count(*) AS n FROM {table} WHERE tenant_id = $1", shop.tenant.id)
            assert row["n"] == 60

    async def test_five_hundred_orders_take_a_handful_of_statements(self, shop: Shop) -> None:
        answer = await _send(shop, *(_order(lines=1) for _ in range(500)))

        assert answer.imported == 500


class TestDatabase:
    @pytest.mark.parametrize(
        "change",
        [
            "status = 'queued', version = version + 1",
            "imported = false, version = version + 1",
            "number = 1, day = current_date, version = version + 1",
            "posted = true, version = version + 1",
        ],
    )
    async def test_an_order_of_the_past_becomes_no_other(self, shop: Shop, change: str) -> None:
        order = _order()
        await _send(shop, order)

        with pytest.raises(asyncpg.CheckViolationError):
            await shop.rows(f"UPDATE orders SET {change} WHERE id = $1", order.id)

    async def test_no_other_escapes_into_the_past(self, shop: Shop) -> None:
        placed = await shop.place()

        for change in ("imported = true", "channel = 'import'", "status = 'completed'"):
            with pytest.raises(asyncpg.CheckViolationError):
                await shop.rows(f"UPDATE orders SET {change}, version = version + 1 WHERE id = $1", placed.id)
        with pytest.raises(asyncpg.CheckViolationError):
            await shop.rows("UPDATE lines SET menu_item_id = NULL WHERE order_id = $1", placed.id)
