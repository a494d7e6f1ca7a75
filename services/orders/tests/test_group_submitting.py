"""Group orders become orders, and follow them."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from switchyard.orders.v1 import groups_pb2, orders_pb2

from chassis import clock, errors
from chassis.testing import Databases, Serve, Tenant
from services.orders.tests import till
from services.orders.tests.crowd import HOUR, Crowd, gather_crowd, some_id

LOCKED, SUBMITTED, CLOSED = (
    groups_pb2.GROUP_ORDER_STATUS_LOCKED,
    groups_pb2.GROUP_ORDER_STATUS_SUBMITTED,
    groups_pb2.GROUP_ORDER_STATUS_CLOSED,
)
COMPLETED = orders_pb2.ORDER_STATUS_COMPLETED


@pytest_asyncio.fixture
async def crowd(serve: Serve, databases: Databases, tenant: Tenant, inventory: tuple[Any, str]) -> Crowd:
    return await gather_crowd(serve, databases, tenant, inventory)


class TestSubmitGroupOrder:
    async def test_is_one_order_with_everybodys_name(self, crowd: Crowd) -> None:
        group = await crowd.open()
        await crowd.join(group, "Grace", lines=[crowd.line(notes="oat milk"), crowd.line(quantity=2)])
        await crowd.join(group, "Barbara")

        submitted = await crowd.submit(group.id)

        order = await crowd.shop.get(submitted.order_id)
        assert submitted.status == SUBMITTED
        assert [line.notes for line in order.lines] == ["Grace: oat milk", "Grace", "Barbara"]
        assert (order.customer_name, order.notes) == ("Ada", "Friday coffee")
        assert (order.group_id, order.group_code, order.number) == (group.id, group.code, 1)

    async def test_submitted_in_parallel_it_is_one_order(self, crowd: Crowd) -> None:
        group = await crowd.open()
        await crowd.join(group)

        submitted = await asyncio.gather(
            *(crowd.submit(group.id, crowd.shop.staff if each % 2 else None) for each in range(8))
        )

        assert len({one.order_id for one in submitted}) == 1
        assert len(await crowd.orders_of("group_id", group.id)) == 1
        assert crowd.shop.inventory.stock == 1_000_000 - 1

    async def test_the_database_lets_it_have_one_order(self, crowd: Crowd) -> None:
        group = await crowd.open()
        await crowd.join(group)
        await crowd.submit(group.id)
        other = await crowd.shop.place()

        with pytest.raises(Exception, match="orders_one_of_group"):
            await crowd.shop.rows(
                "UPDATE orders SET group_id = $1, version = version + 1 WHERE id = $2", UUID(group.id), UUID(other.id)
            )

    @pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
    async def test_is_counted_in_its_sites_day(self, crowd: Crowd, zone: str) -> None:
        crowd.shop.running.service.every_site.time_zone = zone
        group = await crowd.open()
        await crowd.join(group)

        await crowd.submit(group.id)

        (order,) = await crowd.orders_of("group_id", group.id)
        assert order["day"] == clock.now().astimezone(ZoneInfo(zone)).date()

    async def test_an_unknown_one_is_not_found_before_anything_else_is_wrong(self, crowd: Crowd) -> None:
        request = groups_pb2.SubmitGroupOrderRequest(id=some_id(), payment_method=orders_pb2.PAYMENT_METHOD_CARD)

        with pytest.raises(errors.NotFound):
            await crowd.groups().SubmitGroupOrder(request)

    async def test_nobody_joined_is_a_conflict(self, crowd: Crowd) -> None:
        group = await crowd.open()

        with pytest.raises(errors.Conflict) as refused:
            await crowd.submit(group.id)

        assert refused.value.code == "GROUP_ORDER_EMPTY"

    async def test_refused_it_is_locked_again_and_says_why(self, crowd: Crowd) -> None:
        group = await crowd.open()
        await crowd.join(group)
        crowd.shop.inventory.stock = 0

        with pytest.raises(errors.Conflict) as refused:
            await crowd.submit(group.id)

        found = await crowd.get(group.id)
        assert refused.value.code == "INSUFFICIENT_STOCK"
        assert (found.status, found.rejection, found.rejection_message) == (
            LOCKED,
            "INSUFFICIENT_STOCK",
            "not enough beans",
        )
        assert found.order_id == ""

    async def test_refused_it_may_be_submitted_again(self, crowd: Crowd) -> None:
        group = await crowd.open()
        await crowd.join(group)
        crowd.shop.inventory.stock = 0
        with pytest.raises(errors.Conflict):
            await crowd.submit(group.id)
        crowd.shop.inventory.stock = 5

        submitted = await crowd.submit(group.id)

        assert (submitted.status, submitted.rejection) == (SUBMITTED, "")
        assert [order["status"] for order in await crowd.orders_of("group_id", group.id)] == ["cancelled", "queued"]

    async def test_inventory_away_it_stays_submitted_and_goes_on(self, crowd: Crowd) -> None:
        group = await crowd.open()
        await crowd.join(group)
        crowd.shop.inventory.fail("Reserve", errors.Unavailable(), times=3)
        with pytest.raises(errors.Unavailable):
            await crowd.submit(group.id)

        await crowd.shop.resume_later()

        found = await crowd.get(group.id)
        assert found.status == SUBMITTED
        assert (await crowd.shop.get(found.order_id)).status == orders_pb2.ORDER_STATUS_QUEUED

    async def test_refused_behind_its_back_it_is_locked_by_the_timer(self, crowd: Crowd) -> None:
        group = await crowd.open()
        await crowd.join(group)
        crowd.shop.inventory.fail("Reserve", errors.Unavailable(), times=3)
        with pytest.raises(errors.Unavailable):
            await crowd.submit(group.id)
        crowd.shop.inventory.stock = 0
        await crowd.shop.resume_later()

        await crowd.keeping.resume()

        found = await crowd.get(group.id)
        assert (found.status, found.rejection_message) == (LOCKED, "not enough beans")


class TestPaidByCard:
    async def test_it_is_charged_once_for_everybody(self, crowd: Crowd) -> None:
        group = await crowd.open()
        await crowd.join(group, "Grace", lines=[crowd.line(quantity=2)])
        await crowd.join(group, "Barbara")

        submitted = await crowd.submit(group.id, **_card("test_success"))
        await crowd.submit(group.id, **_card("test_success"))

        order = await crowd.shop.get(submitted.order_id)
        assert (order.payment.state, order.payment.captured) == (till.CAPTURED, order.total)
        assert (await till.charge(crowd.shop, order.id))["captured"] == order.total.amount

    async def test_declined_it_is_locked_again_and_may_be_paid_in_another_way(self, crowd: Crowd) -> None:
        group = await crowd.open()
        await crowd.join(group)

        with pytest.raises(errors.Conflict) as refused:
            await crowd.submit(group.id, **_card("test_decline"))

        found = await crowd.get(group.id)
        assert refused.value.code == "PAYMENT_DECLINED"
        assert (found.status, found.rejection) == (LOCKED, "PAYMENT_DECLINED")
        assert (await crowd.submit(group.id)).status == SUBMITTED

    async def test_not_known_it_stays_submitted_and_goes_on(self, crowd: Crowd) -> None:
        group = await crowd.open()
        await crowd.join(group)

        with pytest.raises(errors.Unavailable) as refused:
            await crowd.submit(group.id, **_card("test_unknown"))
        await crowd.shop.resume_later()
        await crowd.shop.resume_later(2 * HOUR)

        found = await crowd.get(group.id)
        assert (refused.value.code, found.status) == ("PAYMENT_UNKNOWN", SUBMITTED)
        assert (await crowd.shop.get(found.order_id)).payment.state == till.CAPTURED
        assert await till.imbalances(crowd.shop, found.order_id) == []


def _card(token: str) -> dict[str, Any]:
    return {"payment_method": till.CARD, "payment_token": token}


class TestFollowing:
    async def test_is_locked_when_the_deadline_passes(self, crowd: Crowd) -> None:
        group = await crowd.open()

        await crowd.later(crowd.keeping.resume, 2 * HOUR)

        assert (await crowd.get(group.id)).status == LOCKED

    async def test_two_timers_lock_it_once(self, crowd: Crowd) -> None:
        group = await crowd.open()

        await asyncio.gather(*(crowd.later(crowd.keeping.resume, 2 * HOUR) for _ in range(4)))

        assert len(await crowd.told(f"group_orders/{group.id}")) == 2

    async def test_is_closed_when_nobody_submits_it(self, crowd: Crowd) -> None:
        group = await crowd.open()
        await crowd.later(crowd.keeping.resume, 2 * HOUR)

        await crowd.later(crowd.keeping.resume, timedelta(hours=27))

        found = await crowd.get(group.id)
        assert (found.status, found.outcome) == (CLOSED, groups_pb2.GROUP_ORDER_OUTCOME_EXPIRED)

    @pytest.mark.parametrize(
        ("ends", "outcome"),
        [
            (COMPLETED, groups_pb2.GROUP_ORDER_OUTCOME_COMPLETED),
            (orders_pb2.ORDER_STATUS_CANCELLED, groups_pb2.GROUP_ORDER_OUTCOME_ORDER_CANCELLED),
        ],
    )
    async def test_is_closed_with_its_order(self, crowd: Crowd, ends: Any, outcome: Any) -> None:
        group = await crowd.open()
        await crowd.join(group)
        submitted = await crowd.submit(group.id)
        await crowd.keeping.resume()
        assert (await crowd.get(group.id)).status == SUBMITTED
        await crowd.shop.patch(submitted.order_id, crowd.shop.manager, status=ends)

        await crowd.keeping.resume()

        found = await crowd.get(group.id)
        assert (found.status, found.outcome) == (CLOSED, outcome)
        with pytest.raises(errors.InvalidTransition):
            await crowd.submit(group.id)
