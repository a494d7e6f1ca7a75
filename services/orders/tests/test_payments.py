"""Orders that are paid by card: authorised, captured, given back; nobody is charged twice and nothing stays open."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from switchyard.orders.v1 import groups_pb2, lines_pb2, orders_pb2
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.testing import Databases, Serve, Tenant
from services.orders import saga
from services.orders.tests import till
from services.orders.tests.crowd import gather_crowd
from services.orders.tests.till import CANCELLED, CARD, COMPLETED, DRAFT, NEEDS_ATTENTION, QUEUED, SETTLED

PREPARING = orders_pb2.ORDER_STATUS_PREPARING


async def _complete(shop: Any, order_id: str) -> Any:
    return await shop.patch(order_id, shop.manager, status=COMPLETED)


async def _cancel(shop: Any, order_id: str) -> Any:
    return await shop.patch(order_id, status=CANCELLED)


async def _resumed(shop: Any, order_id: object, rounds: int = 4) -> Any:
    """An order after its saga was taken up so often, each time after its claim has ended."""
    for number in range(1, rounds + 1):
        await shop.resume_later(timedelta(minutes=5 * number))
    return await shop.get(order_id)


async def _retry(shop: Any, order_id: str, principal: Any = None) -> Any:
    return await shop.stub(principal or shop.manager).RetryOrder(orders_pb2.RetryOrderRequest(id=order_id))


class TestPaying:
    async def test_by_card_it_is_authorised_queued_and_captured(self, shop: Any) -> None:
        order = await till.by_card(shop)

        assert (order.status, order.saga_state) == (QUEUED, SETTLED)
        paid = order.payment
        assert (paid.provider, paid.state) == ("test", till.CAPTURED)
        assert (paid.authorized.amount, paid.captured.amount, paid.reference) == (900, 900, f"test_{order.id}")
        assert await till.asked(shop, order.id) == {"authorise": 1, "capture": 1}

    async def test_the_world_is_told(self, shop: Any) -> None:
        order = await till.by_card(shop)

        assert await shop.outbox(order.id) == ["OrderPlaced", "OrderUpdated"]

    async def test_at_the_till_it_is_paid_when_it_is_handed_out(self, shop: Any) -> None:
        order = await shop.place()

        done = await _complete(shop, order.id)

        assert (order.payment.state, order.payment.provider) == (till.PENDING, "cash")
        assert (done.payment.state, done.payment.captured.amount) == (till.CAPTURED, 900)
        assert await till.imbalances(shop, order.id) == []

    async def test_what_is_paid_is_completed(self, shop: Any) -> None:
        order = await till.by_card(shop)

        done = await _complete(shop, order.id)

        assert done.status == COMPLETED
        assert await till.imbalances(shop, order.id) == []

    async def test_sent_again_it_is_not_charged_again(self, shop: Any) -> None:
        wish = shop.wish(uuid7(), payment_method=CARD, payment_token="test_success")

        answers = await asyncio.gather(*(shop.stub().PlaceOrder(wish) for _ in range(6)))

        assert {answer.status for answer in answers} == {QUEUED}
        assert (await till.charge(shop, wish.id))["captured"] == 900

    async def test_lines_are_not_added_to_what_is_paid(self, shop: Any) -> None:
        order = await till.by_card(shop)
        line = orders_pb2.OrderLine(menu_item_id=shop.menu_item, quantity=1)
        request = lines_pb2.AddLinesRequest(id=order.id, lines=[line])

        with pytest.raises(errors.Conflict, match="fixed"):
            await shop.lines().AddLines(request)

    async def test_a_voided_line_is_given_back(self, shop: Any) -> None:
        lines = [orders_pb2.OrderLine(menu_item_id=shop.menu_item, quantity=quantity) for quantity in (1, 2)]
        order = await till.by_card(shop, lines=lines)

        await shop.patch_line(order, 0, shop.manager, status=orders_pb2.LINE_STATUS_VOIDED)

        left = await shop.get(order.id)
        assert (left.total.amount, left.payment.state) == (900, till.CAPTURED)
        assert (left.payment.captured.amount, left.payment.refunded.amount) == (1350, 450)
        assert (await _complete(shop, order.id)).status == COMPLETED
        assert await till.imbalances(shop, order.id) == []


class TestDeclined:
    async def test_is_cancelled_and_holds_nothing(self, shop: Any) -> None:
        order_id = str(uuid7())

        with pytest.raises(errors.Conflict) as refused:
            await till.by_card(shop, "test_decline", id=order_id)

        order = await shop.get(order_id)
        assert (refused.value.code, refused.value.metadata["decline_code"]) == ("PAYMENT_DECLINED", "CARD_DECLINED")
        assert (order.status, order.rejection, order.saga_state) == (CANCELLED, "PAYMENT_DECLINED", SETTLED)
        assert order.payment.state == till.FAILED
        assert shop.inventory.stock == till.FULL

    async def test_sent_again_is_declined_again_without_asking(self, shop: Any) -> None:
        order_id = str(uuid7())
        for _ in range(2):
            with pytest.raises(errors.Conflict, match="declined"):
                await till.by_card(shop, "test_decline", id=order_id)

        assert await till.asked(shop, order_id) == {"authorise": 1}

    async def test_out_of_stock_nobody_is_asked_for_money(self, shop: Any) -> None:
        shop.inventory.stock = 1
        order_id = str(uuid7())

        with pytest.raises(errors.Conflict, match="beans"):
            await till.by_card(shop, id=order_id)

        assert await till.charges(shop, order_id) == []
        assert (await shop.get(order_id)).payment.state == till.VOIDED


class TestUnknown:
    async def test_a_lost_answer_is_looked_up_at_once(self, shop: Any) -> None:
        order = await till.by_card(shop, "test_timeout_after_charge")

        assert order.status == QUEUED
        assert await till.asked(shop, order.id) == {"authorise": 1, "look_up": 1, "capture": 1}

    async def test_what_nobody_knows_stays_a_draft_and_is_looked_up_later(self, shop: Any) -> None:
        order_id = str(uuid7())
        with pytest.raises(errors.Unavailable) as unknown:
            await till.by_card(shop, "test_unknown", id=order_id)
        draft = await shop.get(order_id)

        order = await _resumed(shop, order_id)

        assert unknown.value.code == "PAYMENT_UNKNOWN"
        assert (draft.status, draft.payment.state) == (DRAFT, till.UNKNOWN)
        assert (order.status, order.payment.state) == (QUEUED, till.CAPTURED)
        assert (await till.asked(shop, order_id))["authorise"] == 1

    async def test_what_never_arrived_is_asked_again_under_the_same_key(self, shop: Any) -> None:
        order_id = str(uuid7())
        with pytest.raises(errors.Unavailable):
            await till.by_card(shop, "test_timeout_before_charge", id=order_id)

        order = await _resumed(shop, order_id)

        assert order.status == QUEUED
        assert (await till.charge(shop, order_id))["authorized"] == 900

    async def test_a_provider_that_is_down_keeps_the_draft(self, shop: Any) -> None:
        order_id = str(uuid7())
        with pytest.raises(errors.Unavailable):
            await till.by_card(shop, "test_down", id=order_id)
        draft = await shop.get(order_id)

        order = await _resumed(shop, order_id)

        assert (draft.status, shop.inventory.held(order_id)) == (DRAFT, 2)
        assert order.status == QUEUED
        assert await till.imbalances(shop, order_id) == []

    async def test_cancelled_meanwhile_it_is_given_back(self, shop: Any) -> None:
        order_id = str(uuid7())
        with pytest.raises(errors.Unavailable):
            await till.by_card(shop, "test_unknown", id=order_id)

        await _cancel(shop, order_id)

        order = await _resumed(shop, order_id)
        assert (order.status, order.saga_state, order.payment.state) == (CANCELLED, SETTLED, till.VOIDED)
        assert (await till.charge(shop, order_id))["state"] == "voided"
        assert shop.inventory.stock == till.FULL


class TestCapture:
    @pytest.mark.parametrize("token", ["test_capture_fails_twice", "test_capture_lost"])
    async def test_is_tried_until_it_is_done(self, shop: Any, token: str) -> None:
        order = await till.by_card(shop, token)

        done = await _resumed(shop, order.id)

        assert (order.status, order.payment.state) == (QUEUED, till.AUTHORIZED)
        assert (done.payment.state, done.saga_state, done.saga_error) == (till.CAPTURED, SETTLED, "")

    async def test_nothing_is_completed_before(self, shop: Any) -> None:
        order = await till.by_card(shop, "test_capture_fails_twice")

        with pytest.raises(errors.Conflict, match="still to be done"):
            await _complete(shop, order.id)

    async def test_refused_it_needs_attention_and_says_why(self, shop: Any) -> None:
        order = await till.by_card(shop, "test_capture_refused")

        found = await shop.stub().ListOrders(orders_pb2.ListOrdersRequest(saga_state=NEEDS_ATTENTION))

        assert order.id in [each.id for each in found.orders]
        stuck = await shop.get(order.id)
        assert (stuck.status, stuck.saga_error) == (QUEUED, "CAPTURE_REFUSED")

    async def test_two_resumers_capture_once(self, shop: Any) -> None:
        orders = [await till.by_card(shop, "test_capture_lost") for _ in range(6)]

        await asyncio.gather(*(shop.resume_later() for _ in range(4)))

        for order in orders:
            assert (await till.charge(shop, order.id))["captured"] == 900
            assert [event.type for event in await shop.timeline(order.id)].count("payment_captured") == 1


class TestRetry:
    async def test_lets_a_stuck_order_go_on(self, shop: Any) -> None:
        order = await till.by_card(shop, "test_capture_refused")

        retried = await _retry(shop, order.id)

        assert (retried.saga_state, retried.saga_error, retried.payment.state) == (SETTLED, "", till.CAPTURED)

    async def test_says_who_and_why(self, shop: Any) -> None:
        order = await till.by_card(shop, "test_capture_refused")

        await _retry(shop, order.id)

        entry = next(event for event in await shop.timeline(order.id) if event.type == "retried")
        assert (entry.actor, entry.detail) == (shop.manager.name, "capture: CAPTURE_REFUSED")

    async def test_of_what_needs_none_changes_nothing(self, shop: Any) -> None:
        order = await till.by_card(shop)

        again = await _retry(shop, order.id)

        assert again == order

    async def test_takes_a_permission(self, shop: Any) -> None:
        order = await till.by_card(shop, "test_capture_refused")

        with pytest.raises(errors.Denied, match=r"orders\.override"):
            await _retry(shop, order.id, shop.staff)

    async def test_of_nothing_is_not_found(self, shop: Any) -> None:
        with pytest.raises(errors.NotFound):
            await _retry(shop, str(uuid7()))

    async def test_after_many_tries_it_needs_attention(self, shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(saga, "TRIES_MAX", 1)
        order = await till.by_card(shop, "test_capture_fails_twice")

        assert (await shop.get(order.id)).saga_state == NEEDS_ATTENTION
        await _retry(shop, order.id)
        assert (await _retry(shop, order.id)).saga_state == SETTLED


class TestCancel:
    async def test_what_is_captured_is_refunded(self, shop: Any) -> None:
        order = await till.by_card(shop)

        cancelled = await _cancel(shop, order.id)

        assert (cancelled.status, cancelled.saga_state) == (CANCELLED, SETTLED)
        assert (cancelled.payment.state, cancelled.payment.refunded.amount) == (till.REFUNDED, 900)
        assert await till.imbalances(shop, order.id) == []

    async def test_what_is_authorised_only_is_voided(self, shop: Any) -> None:
        order = await till.by_card(shop, "test_capture_fails_twice")

        cancelled = await _cancel(shop, order.id)

        assert (cancelled.saga_state, cancelled.payment.state) == (SETTLED, till.VOIDED)
        assert await till.imbalances(shop, order.id) == []

    @pytest.mark.parametrize("token", ["test_refund_fails_twice", "test_refund_lost", "test_void_fails_twice"])
    async def test_is_tried_until_the_money_is_back(self, shop: Any, token: str) -> None:
        order = await till.by_card(shop, token)
        await _cancel(shop, order.id)

        cancelled = await _resumed(shop, order.id)

        assert (cancelled.saga_state, cancelled.payment.state) == (SETTLED, till.REFUNDED)
        assert await till.imbalances(shop, order.id) == []

    async def test_after_a_voided_line_the_rest_is_refunded(self, shop: Any) -> None:
        lines = [orders_pb2.OrderLine(menu_item_id=shop.menu_item, quantity=quantity) for quantity in (1, 2)]
        order = await till.by_card(shop, lines=lines)
        await shop.patch_line(order, 0, shop.manager, status=orders_pb2.LINE_STATUS_VOIDED)

        cancelled = await _cancel(shop, order.id)

        assert (cancelled.payment.state, cancelled.payment.refunded.amount) == (till.REFUNDED, 1350)
        assert await till.imbalances(shop, order.id) == []

    async def test_the_same_again_changes_nothing(self, shop: Any) -> None:
        order = await till.by_card(shop)
        cancelled = await _cancel(shop, order.id)

        assert await _cancel(shop, order.id) == cancelled


class TestRaces:
    async def test_cancel_capture_and_complete_agree(self, shop: Any) -> None:
        """Clients cancel and complete while the money is being captured: one of them wins, and the books agree."""
        ends = set()
        for token in ("test_success", "test_capture_lost", "test_slow", "test_capture_fails_twice"):
            wish = shop.wish(uuid7(), payment_method=CARD, payment_token=token)
            acting = [_until_there(shop, wish.id, act) for act in (_cancel, _complete, _complete, _cancel)]

            await asyncio.gather(shop.stub().PlaceOrder(wish), *acting, return_exceptions=True)

            order = await _resumed(shop, wish.id)
            ends.add(order.status)
            assert order.status in {QUEUED, COMPLETED, CANCELLED}
            assert order.saga_state == SETTLED
            assert await till.imbalances(shop, wish.id) == []
        assert ends

    async def test_a_draft_that_is_cancelled_while_it_is_authorised(self, shop: Any) -> None:
        for _ in range(6):
            wish = shop.wish(uuid7(), payment_method=CARD, payment_token="test_slow")

            await asyncio.gather(
                shop.stub().PlaceOrder(wish), _until_there(shop, wish.id, _cancel), return_exceptions=True
            )

            order = await _resumed(shop, wish.id, 2)
            assert (order.status, order.saga_state) == (CANCELLED, SETTLED)
            assert await till.imbalances(shop, wish.id) == []
        assert shop.inventory.stock == till.FULL


async def _until_there(shop: Any, order_id: str, act: Any) -> Any:
    """Do something to an order as soon as there is one, again while it has to wait."""
    async with asyncio.timeout(15):
        while True:
            try:
                return await act(shop, order_id)
            except errors.Error as failure:
                if not isinstance(failure, errors.NotFound) and failure.retry_after_s is None:
                    raise
                await asyncio.sleep(0.01)


class TestWhoAsked:
    async def test_stays_known_however_late_it_is_done(self, shop: Any) -> None:
        order = await shop.place()
        shop.inventory.fail("PostReservation", errors.Unavailable(), times=3)
        with pytest.raises(errors.Unavailable):
            await _complete(shop, order.id)

        await shop.resume_later()

        entry = (await shop.timeline(order.id))[-1]
        assert (entry.type, entry.actor) == ("completed", shop.manager.name)


class TestGroups:
    async def test_a_group_pays_by_card(
        self, serve: Serve, databases: Databases, tenant: Tenant, inventory: tuple[Any, str]
    ) -> None:
        crowd = await gather_crowd(serve, databases, tenant, inventory)
        group = await crowd.open()
        await crowd.join(group)
        request = groups_pb2.SubmitGroupOrderRequest(id=group.id, payment_token="test_success")
        request.payment_method = CARD

        submitted = await crowd.groups().SubmitGroupOrder(request)

        order = await crowd.shop.get(submitted.order_id)
        assert (order.status, order.payment.state) == (QUEUED, till.CAPTURED)
        assert UUID(order.group_id) == UUID(group.id)
