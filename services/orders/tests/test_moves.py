"""Every cell of the orders' state machine, by role; many who move one order; who takes it back; who makes it."""

import asyncio
import itertools
import json
from typing import Any

import pytest
from switchyard.orders.v1 import orders_pb2
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.testing import Tenant
from services.orders import orders
from services.orders.tests.conftest import STAFF

PERMISSIONS = {
    "staff": STAFF,
    "manager": STAFF | {"orders.override"},
    # May place orders, and take back what they placed.
    "guest": {"orders.create", "orders.read"},
    "auditor": {"orders.read"},
}
CELLS = list(itertools.product(orders.MOVES, orders.MOVES, PERMISSIONS))
WAY = ("queued", "preparing", "ready", "completed")


def _number(word: str) -> Any:
    return orders_pb2.OrderStatus.Value(f"ORDER_STATUS_{word.upper()}")


async def _at(shop: Any, status: str) -> Any:
    """An order of the staff's in a state."""
    if status == "draft":
        shop.inventory.fail("Reserve", errors.Unavailable(), times=3)
        order_id = uuid7()
        with pytest.raises(errors.Unavailable):
            await shop.stub().PlaceOrder(shop.wish(order_id))
        return await shop.get(order_id)
    order = await shop.place()
    if status == "cancelled":
        return await shop.patch(order.id, status=_number(status))
    for step in WAY[1 : WAY.index(status) + 1]:
        order = await shop.patch(order.id, status=_number(step))
    return order


class TestMatrix:
    @pytest.mark.parametrize(("status", "wanted", "role"), CELLS, ids=["-".join(cell) for cell in CELLS])
    async def test_cell(self, shop: Any, status: str, wanted: str, role: str) -> None:
        order, permissions = await _at(shop, status), PERMISSIONS[role]
        fields: dict[str, Any] = {"cancel_reason": "late"} if wanted == "cancelled" != status else {}
        principal = shop.tenant.user(permissions=permissions)
        move = shop.patch(order.id, principal, status=_number(wanted), **fields)

        needed = orders.MOVES[status].get(wanted)
        if "orders.update" not in permissions:
            with pytest.raises(errors.Denied):
                await move
        elif status == wanted:
            # Asking a draft for what it is, is asking to try once more.
            assert (await move).version == order.version + (status == "draft")
        elif needed is None:
            with pytest.raises(errors.InvalidTransition) as refused:
                await move
            allowed = [state for state, takes in orders.MOVES[status].items() if takes in permissions]
            assert refused.value.metadata["allowed_transitions"] == ",".join(allowed)
        elif needed not in permissions:
            with pytest.raises(errors.Denied) as denied:
                await move
            assert denied.value.metadata["permission"] == needed
        else:
            moved = await move
            assert (moved.status, moved.version) == (_number(wanted), order.version + 1)
            last = (await shop.timeline(order.id))[-1]
            assert (last.type, last.from_status, last.to_status) == (wanted, status, wanted)
            overrides = needed == "orders.override"
            assert (last.channel == orders_pb2.CHANNEL_MANAGER_OVERRIDE) is overrides


class TestMany:
    async def test_each_step_is_made_once_and_told_in_order(self, shop: Any) -> None:
        order = await shop.place()

        async def push(status: str) -> int:
            outcomes = await asyncio.gather(
                *(shop.patch(order.id, shop.manager, status=_number(status)) for _ in range(6)), return_exceptions=True
            )
            return sum(isinstance(outcome, errors.InvalidTransition) for outcome in outcomes)

        await asyncio.gather(*(push(status) for status in WAY[1:]), return_exceptions=True)

        sql = "SELECT envelope FROM outbox WHERE tenant_id = $1 AND subject LIKE '%.OrderStatusChanged' ORDER BY seq"
        told = [_versions(row["envelope"]) for row in await shop.rows(sql, shop.tenant.id)]
        found = await shop.get(order.id)
        assert found.status == _number("completed")
        assert [version for version, _ in told] == list(range(3, found.version + 1))
        assert [WAY.index(status) for _, status in told] == sorted({WAY.index(status) for _, status in told})

    async def test_cancelling_and_beginning_one_wins(self, shop: Any) -> None:
        placed = [await shop.place() for _ in range(5)]
        told = {"switchyard_expected_version": "2"}

        outcomes = await asyncio.gather(
            *(
                shop.patch(order.id, told=told, status=_number(status))
                for order in placed
                for status in ("cancelled", "preparing")
            ),
            return_exceptions=True,
        )

        made = [isinstance(outcome, orders_pb2.Order) for outcome in outcomes]
        won = [sum(made[at : at + 2]) for at in range(0, 10, 2)]
        assert won == [1] * 5


def _versions(envelope: str) -> tuple[int, str]:
    order = json.loads(envelope)["data"]["order"]
    return order["version"], order["status"]


class TestCancelOrder:
    async def test_whoever_placed_it_takes_it_back(self, shop: Any) -> None:
        guest = shop.tenant.user(permissions=PERMISSIONS["guest"])
        order = await shop.stub(guest).PlaceOrder(shop.wish())

        gone = await shop.stub(guest).CancelOrder(orders_pb2.CancelOrderRequest(id=order.id))

        assert gone.status == _number("cancelled")
        assert shop.inventory.stock == 1_000_000

    async def test_a_kiosk_takes_back_its_own(self, shop: Any) -> None:
        order = await shop.stub(shop.kiosk).PlaceKioskOrder(shop.kiosk_wish())

        gone = await shop.stub(shop.kiosk).CancelOrder(orders_pb2.CancelOrderRequest(id=order.id))

        assert gone.status == _number("cancelled")
        assert (await shop.timeline(order.id))[-1].channel == orders_pb2.CHANNEL_KIOSK

    async def test_a_kiosk_does_not_see_anothers(self, shop: Any) -> None:
        order = await shop.place()

        with pytest.raises(errors.NotFound):
            await shop.stub(shop.kiosk).CancelOrder(orders_pb2.CancelOrderRequest(id=order.id))

    async def test_once_it_is_begun_it_is_not_theirs(self, shop: Any) -> None:
        guest = shop.tenant.user(permissions=PERMISSIONS["guest"])
        order = await shop.stub(guest).PlaceOrder(shop.wish())
        await shop.patch(order.id, status=_number("preparing"))

        with pytest.raises(errors.Denied) as denied:
            await shop.stub(guest).CancelOrder(orders_pb2.CancelOrderRequest(id=order.id, reason="late"))

        assert denied.value.metadata["permission"] == "orders.override"

    async def test_anothers_takes_the_permission(self, shop: Any) -> None:
        order = await shop.place()
        guest = shop.tenant.user(permissions=PERMISSIONS["guest"])

        with pytest.raises(errors.Denied) as denied:
            await shop.stub(guest).CancelOrder(orders_pb2.CancelOrderRequest(id=order.id))

        assert denied.value.metadata["permission"] == "orders.update"

    async def test_again_changes_nothing(self, shop: Any) -> None:
        order = await shop.place()
        request = orders_pb2.CancelOrderRequest(id=order.id, reason="late")
        gone = await shop.stub().CancelOrder(request)

        assert await shop.stub().CancelOrder(orders_pb2.CancelOrderRequest(id=order.id, reason="late")) == gone


class TestAssignOrder:
    async def test_staff_take_what_nobody_makes(self, shop: Any) -> None:
        order = await shop.place()

        taken = await _assign(shop, order, shop.staff.id)

        assert (taken.assigned_to, taken.version) == (shop.staff.id, order.version + 1)
        last = (await shop.timeline(order.id))[-1]
        assert (last.type, last.detail, last.channel) == ("assigned", shop.staff.id, orders_pb2.CHANNEL_MOBILE)

    async def test_is_told_to_the_queue_and_the_user(self, shop: Any) -> None:
        order = await shop.place()

        await _assign(shop, order, shop.staff.id)

        sql = "SELECT audience FROM outbox WHERE subject LIKE '%.OrderAssigned' AND envelope LIKE $1"
        (row,) = await shop.rows(sql, f"%{order.id}%")
        assert row["audience"].split(",") == [f"orders:queue:{shop.site}", f"user:{shop.staff.id}"]

    async def test_the_same_again_changes_nothing(self, shop: Any) -> None:
        order = await shop.place()
        taken = await _assign(shop, order, shop.staff.id)

        assert await _assign(shop, order, shop.staff.id) == taken
        assert await shop.outbox(order.id) == ["OrderPlaced", "OrderAssigned"]

    async def test_one_gives_ones_own_back(self, shop: Any) -> None:
        order = await shop.place()
        await _assign(shop, order, shop.staff.id)

        assert (await _assign(shop, order, None)).assigned_to == ""

    async def test_what_another_makes_is_taken_with_an_override_only(self, shop: Any) -> None:
        order = await shop.place()
        await _assign(shop, order, shop.staff.id)
        other = shop.tenant.user(permissions=STAFF)

        with pytest.raises(errors.Conflict) as refused:
            await _assign(shop, order, other.id, other)
        with pytest.raises(errors.Denied) as denied:
            await _assign(shop, order, None, other)

        assert (refused.value.code, denied.value.metadata["permission"]) == ("ALREADY_ASSIGNED", "orders.override")

    async def test_staff_do_not_assign_others(self, shop: Any) -> None:
        order = await shop.place()

        with pytest.raises(errors.Denied):
            await _assign(shop, order, shop.manager.id)

    async def test_a_manager_assigns_anybody_and_it_is_recorded(self, shop: Any) -> None:
        order = await shop.place()
        manager = shop.tenant.user(permissions=STAFF | {"orders.override"})
        await _assign(shop, order, shop.staff.id)

        moved = await _assign(shop, order, manager.id, shop.tenant.user(permissions=STAFF | {"orders.override"}))

        assert moved.assigned_to == manager.id
        assert (await shop.timeline(order.id))[-1].channel == orders_pb2.CHANNEL_MANAGER_OVERRIDE

    async def test_of_many_who_take_it_one_gets_it(self, shop: Any) -> None:
        order = await shop.place()
        people = [shop.tenant.user(permissions=STAFF) for _ in range(10)]

        outcomes = await asyncio.gather(
            *(_assign(shop, order, person.id, person) for person in people), return_exceptions=True
        )

        won = [
            person.id for person, outcome in zip(people, outcomes, strict=True) if isinstance(outcome, orders_pb2.Order)
        ]
        assert [(await shop.get(order.id)).assigned_to] == won

    async def test_what_has_ended_is_nobodys(self, shop: Any) -> None:
        order = await shop.place()
        await shop.patch(order.id, status=_number("cancelled"))

        with pytest.raises(errors.Conflict) as refused:
            await _assign(shop, order, shop.staff.id)

        assert refused.value.code == "ORDER_FINAL"

    async def test_another_tenants_is_not_found(self, shop: Any) -> None:
        order, stranger = await shop.place(), Tenant().user(permissions=STAFF)

        with pytest.raises(errors.NotFound):
            await _assign(shop, order, stranger.id, stranger)


async def _assign(shop: Any, order: Any, user_id: str | None, principal: Any = None) -> Any:
    return await shop.stub(principal).AssignOrder(orders_pb2.AssignOrderRequest(id=order.id, user_id=user_id))
