"""The state machine, seen through a real server."""

import asyncio
from typing import Any

import pytest
from switchyard.orders.v1 import orders_pb2
from uuid_utils.compat import uuid7

from chassis import errors

QUEUED, PREPARING, READY, COMPLETED, CANCELLED = (
    orders_pb2.ORDER_STATUS_QUEUED,
    orders_pb2.ORDER_STATUS_PREPARING,
    orders_pb2.ORDER_STATUS_READY,
    orders_pb2.ORDER_STATUS_COMPLETED,
    orders_pb2.ORDER_STATUS_CANCELLED,
)
SERVED, VOIDED = orders_pb2.LINE_STATUS_SERVED, orders_pb2.LINE_STATUS_VOIDED


async def _made_ready(shop: Any) -> Any:
    order = await shop.place()
    await shop.patch(order.id, status=PREPARING)
    return await shop.patch(order.id, status=READY)


class TestForward:
    async def test_staff_go_one_step_at_a_time(self, shop: Any) -> None:
        order = await shop.place()

        states = [(await shop.patch(order.id, status=status)).status for status in (PREPARING, READY, COMPLETED)]

        assert states == [PREPARING, READY, COMPLETED]
        assert await shop.outbox(order.id) == ["OrderPlaced", *["OrderStatusChanged"] * 3]

    async def test_every_step_counts_the_version_up_by_one(self, shop: Any) -> None:
        order = await shop.place()

        moved = await shop.patch(order.id, status=PREPARING, notes="hot")

        assert (order.version, moved.version) == (2, 3)

    async def test_staff_may_not_skip(self, shop: Any) -> None:
        order = await shop.place()

        with pytest.raises(errors.Denied) as denied:
            await shop.patch(order.id, status=READY)

        assert denied.value.metadata["permission"] == "orders.override"

    async def test_a_manager_may_skip_and_it_is_recorded(self, shop: Any) -> None:
        order = await shop.place()

        await shop.patch(order.id, shop.manager, status=READY)

        last = (await shop.timeline(order.id))[-1]
        assert (last.type, last.channel, last.actor) == (
            "ready",
            orders_pb2.CHANNEL_MANAGER_OVERRIDE,
            shop.manager.name,
        )

    async def test_nobody_goes_back(self, shop: Any) -> None:
        order = await _made_ready(shop)

        with pytest.raises(errors.InvalidTransition) as refused:
            await shop.patch(order.id, shop.manager, status=QUEUED)

        assert refused.value.metadata["allowed_transitions"] == "completed,cancelled"

    async def test_allowed_moves_are_those_of_the_caller(self, shop: Any) -> None:
        order = await _made_ready(shop)

        with pytest.raises(errors.InvalidTransition) as refused:
            await shop.patch(order.id, status=QUEUED)

        assert refused.value.metadata["allowed_transitions"] == "completed"

    async def test_same_state_changes_and_publishes_nothing(self, shop: Any) -> None:
        order = await shop.place()

        same = await shop.patch(order.id, status=QUEUED, notes="")

        assert same == order
        assert await shop.outbox(order.id) == ["OrderPlaced"]

    async def test_stale_version_is_refused(self, shop: Any) -> None:
        order = await shop.place()

        with pytest.raises(errors.StaleVersion):
            await shop.patch(order.id, told={"switchyard_expected_version": "1"}, status=PREPARING)

    async def test_in_parallel_one_move_is_made(self, shop: Any) -> None:
        order = await shop.place()
        told = {"switchyard_expected_version": "2"}

        outcomes = await asyncio.gather(
            *(shop.patch(order.id, told=told, status=PREPARING) for _ in range(10)), return_exceptions=True
        )

        assert sum(isinstance(outcome, orders_pb2.Order) for outcome in outcomes) == 1
        assert await shop.outbox(order.id) == ["OrderPlaced", "OrderStatusChanged"]


class TestComplete:
    async def test_books_the_stock_out(self, shop: Any) -> None:
        order = await _made_ready(shop)

        done = await shop.patch(order.id, status=COMPLETED, notes="thanks")

        assert shop.inventory.said(order.id) == ["Reserve", "PostReservation"]
        assert (done.status, done.notes, done.lines[0].status) == (COMPLETED, "thanks", SERVED)
        assert (done.saga_state, done.version) == (orders_pb2.SAGA_STATE_SETTLED, 5)

    async def test_inventory_away_changes_nothing(self, shop: Any) -> None:
        order = await _made_ready(shop)
        shop.inventory.fail("PostReservation", errors.Unavailable(), times=3)

        with pytest.raises(errors.Unavailable):
            await shop.patch(order.id, status=COMPLETED)

        found = await shop.get(order.id)
        assert (found.status, found.version) == (READY, order.version)

    async def test_sent_again_completes(self, shop: Any) -> None:
        order = await _made_ready(shop)
        shop.inventory.fail("PostReservation", errors.Unavailable(), times=3, after=True)
        with pytest.raises(errors.Unavailable):
            await shop.patch(order.id, status=COMPLETED)

        done = await shop.patch(order.id, status=COMPLETED)

        assert done.status == COMPLETED

    async def test_refused_by_inventory_is_told_and_leaves_the_order(self, shop: Any) -> None:
        order = await _made_ready(shop)
        # What has lapsed is held anew and posted: not even that helps.
        shop.inventory.fail("PostReservation", errors.InvalidTransition.between("released", "posted", []), times=2)

        with pytest.raises(errors.InvalidTransition):
            await shop.patch(order.id, status=COMPLETED)

        found = await shop.get(order.id)
        assert (found.status, found.saga_state) == (READY, orders_pb2.SAGA_STATE_SETTLED)

    async def test_no_cancelling_while_the_completion_is_pending(self, shop: Any) -> None:
        order = await _made_ready(shop)
        shop.inventory.fail("PostReservation", errors.Unavailable(), times=3)
        with pytest.raises(errors.Unavailable):
            await shop.patch(order.id, status=COMPLETED)

        with pytest.raises(errors.Conflict) as refused:
            await shop.patch(order.id, shop.manager, status=CANCELLED, cancel_reason="late")

        assert refused.value.code == "COMPLETION_PENDING"

    async def test_against_cancelling_exactly_one_wins(self, shop: Any) -> None:
        orders = [await _made_ready(shop) for _ in range(8)]

        await asyncio.gather(
            *(shop.patch(order.id, status=COMPLETED) for order in orders),
            *(shop.patch(order.id, shop.manager, status=CANCELLED, cancel_reason="late") for order in orders),
            return_exceptions=True,
        )

        for order in orders:
            found, state = await shop.get(order.id), shop.inventory.said(order.id)[1:]
            wanted = "PostReservation" if found.status == COMPLETED else "ReleaseReservation"
            assert found.status in {COMPLETED, CANCELLED}
            assert set(state) == {wanted}


class TestCancel:
    async def test_releases_the_stock(self, shop: Any) -> None:
        order = await shop.place()

        gone = await shop.patch(order.id, status=CANCELLED)

        assert (gone.status, gone.saga_state) == (CANCELLED, orders_pb2.SAGA_STATE_SETTLED)
        assert gone.lines[0].status == VOIDED
        assert shop.inventory.stock == 1_000_000

    async def test_inventory_away_cancels_all_the_same(self, shop: Any) -> None:
        order = await shop.place()
        shop.inventory.fail("ReleaseReservation", errors.Unavailable(), times=3)

        gone = await shop.patch(order.id, status=CANCELLED)

        assert (gone.status, gone.saga_state) == (CANCELLED, orders_pb2.SAGA_STATE_COMPENSATING)

    async def test_what_is_prepared_needs_a_manager(self, shop: Any) -> None:
        order = await _made_ready(shop)

        with pytest.raises(errors.Denied):
            await shop.patch(order.id, status=CANCELLED, cancel_reason="late")

    async def test_what_is_prepared_needs_a_reason(self, shop: Any) -> None:
        order = await _made_ready(shop)

        with pytest.raises(errors.Invalid) as refused:
            await shop.patch(order.id, shop.manager, status=CANCELLED)

        assert list(refused.value.fields) == ["order.cancel_reason"]

    async def test_reason_without_a_cancellation_is_refused(self, shop: Any) -> None:
        order = await shop.place()

        with pytest.raises(errors.Invalid):
            await shop.patch(order.id, cancel_reason="late")

    @pytest.mark.parametrize("status", [QUEUED, PREPARING, READY, COMPLETED])
    async def test_is_final(self, shop: Any, status: Any) -> None:
        order = await shop.place()
        await shop.patch(order.id, status=CANCELLED)

        with pytest.raises(errors.InvalidTransition) as refused:
            await shop.patch(order.id, shop.manager, status=status)

        assert refused.value.metadata["allowed_transitions"] == ""


class TestEdit:
    async def test_changes_only_what_is_named(self, shop: Any) -> None:
        order = await shop.place(customer_name="Ada", notes="cold")

        changed = await shop.patch(order.id, notes="hot")

        assert (changed.customer_name, changed.notes, changed.version) == ("Ada", "hot", 3)
        assert (await shop.timeline(order.id))[-1].detail == "notes"

    async def test_final_order_stays(self, shop: Any) -> None:
        order = await shop.place()
        await shop.patch(order.id, status=CANCELLED)

        with pytest.raises(errors.Conflict) as refused:
            await shop.patch(order.id, notes="hot")

        assert refused.value.code == "ORDER_FINAL"

    async def test_out_of_sight_is_not_found(self, shop: Any) -> None:
        order = await shop.place()
        elsewhere = shop.tenant.user(permissions={"orders.update"}, sites=[str(uuid7())])

        with pytest.raises(errors.NotFound):
            await shop.patch(order.id, elsewhere, notes="hot")

    async def test_number_is_read_only(self, shop: Any) -> None:
        order = await shop.place()

        with pytest.raises(errors.Invalid):
            await shop.patch(order.id, number=7)
