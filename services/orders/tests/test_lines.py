"""Lines one by one, through a real server; the order follows them."""

import asyncio
import contextlib
import random
from functools import partial
from typing import Any

import pytest
from switchyard.inventory.v1 import reservations_pb2
from switchyard.orders.v1 import lines_pb2, orders_pb2
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.testing import Tenant
from services.orders import lines

QUEUED, PREPARING, READY, COMPLETED, CANCELLED = (
    orders_pb2.ORDER_STATUS_QUEUED,
    orders_pb2.ORDER_STATUS_PREPARING,
    orders_pb2.ORDER_STATUS_READY,
    orders_pb2.ORDER_STATUS_COMPLETED,
    orders_pb2.ORDER_STATUS_CANCELLED,
)
POSTED = reservations_pb2.RESERVATION_STATE_POSTED
L_PENDING, L_PREPARING, L_READY, L_SERVED, L_VOIDED = (
    orders_pb2.LINE_STATUS_PENDING,
    orders_pb2.LINE_STATUS_PREPARING,
    orders_pb2.LINE_STATUS_READY,
    orders_pb2.LINE_STATUS_SERVED,
    orders_pb2.LINE_STATUS_VOIDED,
)
FULL = 1_000_000


async def _place(shop: Any, *quantities: int) -> Any:
    wished = [orders_pb2.OrderLine(menu_item_id=shop.menu_item, quantity=quantity) for quantity in quantities]
    return await shop.place(lines=wished)


def _number(word: str) -> Any:
    return orders_pb2.LineStatus.Value(f"LINE_STATUS_{word.upper()}")


def _statuses(order: Any) -> list[Any]:
    return [line.status for line in order.lines]


async def _at(shop: Any, word: str) -> Any:
    """An order with one line in a state, and another that keeps the order open."""
    order = await _place(shop, 1, 1)
    if word != "pending":
        fields = {"reason": "late"} if word == "voided" else {}
        order = await shop.patch_line(order, 0, shop.manager, status=_number(word), **fields)
    return order


class TestMoves:
    @pytest.mark.parametrize("role", ["staff", "manager"])
    @pytest.mark.parametrize("wanted", lines.MOVES)
    @pytest.mark.parametrize("status", lines.MOVES)
    async def test_each_is_as_the_table_says(self, shop: Any, status: str, wanted: str, role: str) -> None:
        order, principal = await _at(shop, status), getattr(shop, role)
        fields = {"reason": "late"} if wanted == "voided" and status != wanted else {}
        needed = lines.MOVES[status].get(wanted)
        move = shop.patch_line(order, 0, principal, status=_number(wanted), **fields)

        if status == wanted:
            assert await move == order
        elif needed is None:
            with pytest.raises(errors.InvalidTransition):
                await move
        elif needed not in principal.permissions:
            with pytest.raises(errors.Denied):
                await move
        else:
            assert (await move).lines[0].status == _number(wanted)

    async def test_unknown_line_is_not_found(self, shop: Any) -> None:
        order = await _place(shop, 1)
        request = lines_pb2.UpdateLineRequest(id=order.id, line_id=str(uuid7()))
        request.line.status = L_READY
        request.update_mask.paths.append("status")

        with pytest.raises(errors.NotFound):
            await shop.lines().UpdateLine(request)

    async def test_another_tenants_order_is_not_found(self, shop: Any) -> None:
        order = await _place(shop, 1)

        with pytest.raises(errors.NotFound):
            await shop.patch_line(order, 0, Tenant().user(permissions={"orders.update"}), status=L_PREPARING)

    async def test_is_told_and_noted(self, shop: Any) -> None:
        order = await _place(shop, 1, 1)

        await shop.patch_line(order, 0, shop.manager, status=L_READY)

        entry = next(entry for entry in await shop.timeline(order.id) if entry.type == "line_ready")
        assert (entry.line_id, entry.from_status, entry.to_status) == (order.lines[0].id, "pending", "ready")
        assert (entry.channel, entry.actor) == (orders_pb2.CHANNEL_MANAGER_OVERRIDE, shop.manager.name)
        assert await shop.outbox(order.id) == ["OrderPlaced", "OrderStatusChanged", "OrderLineChanged"]

    async def test_stale_version_is_refused(self, shop: Any) -> None:
        order = await _place(shop, 1)
        request = lines_pb2.UpdateLineRequest(id=order.id, line_id=order.lines[0].id)
        request.line.status = L_PREPARING
        request.update_mask.paths.append("status")

        with pytest.raises(errors.StaleVersion):
            await shop.lines(switchyard_expected_version="1").UpdateLine(request)

    async def test_a_draft_has_to_be_queued_first(self, shop: Any) -> None:
        shop.inventory.fail("Reserve", errors.Unavailable(), times=3)
        order_id = uuid7()
        with pytest.raises(errors.Unavailable):
            await shop.stub().PlaceOrder(shop.wish(order_id))

        with pytest.raises(errors.Conflict) as refused:
            await shop.patch_line(await shop.get(order_id), 0, status=L_PREPARING)

        assert refused.value.code == "ORDER_NOT_QUEUED"


class TestNotes:
    async def test_change_while_it_is_made(self, shop: Any) -> None:
        order = await _place(shop, 1)

        changed = await shop.patch_line(order, 0, notes="hot")

        assert (changed.lines[0].notes, changed.version) == ("hot", order.version + 1)
        assert await shop.outbox(order.id) == ["OrderPlaced", "OrderUpdated"]

    async def test_the_same_change_nothing(self, shop: Any) -> None:
        order = await _place(shop, 1)

        assert await shop.patch_line(order, 0, notes="") == order

    async def test_stay_once_it_is_made(self, shop: Any) -> None:
        order = await _at(shop, "ready")

        with pytest.raises(errors.Conflict) as refused:
            await shop.patch_line(order, 0, notes="hot")

        assert refused.value.code == "LINE_FINAL"


class TestOrderFollows:
    async def test_step_by_step(self, shop: Any) -> None:
        order, seen = await _place(shop, 1, 1), []

        for status in (L_PREPARING, L_READY, L_SERVED):
            for place in (0, 1):
                order = await shop.patch_line(order, place, status=status)
                seen.append(order.status)

        assert seen == [PREPARING, PREPARING, PREPARING, READY, READY, COMPLETED]
        assert shop.inventory.said(order.id) == ["Reserve", "PostReservation"]

    async def test_lines_in_parallel_lose_nothing(self, shop: Any) -> None:
        order = await _place(shop, *[1] * 8)
        await shop.patch(order.id, status=PREPARING)

        await asyncio.gather(*(shop.patch_line(order, place, status=L_READY) for place in range(8)))

        found = await shop.get(order.id)
        assert (found.status, found.version) == (READY, order.version + 9)
        assert (await shop.outbox(order.id)).count("OrderStatusChanged") == 2
        assert [entry.sequence for entry in await shop.timeline(order.id)] == list(range(1, 13))

    async def test_one_line_in_parallel_moves_once(self, shop: Any) -> None:
        order = await _place(shop, 1, 1)

        await asyncio.gather(*(shop.patch_line(order, 0, status=L_PREPARING) for _ in range(8)))

        assert (await shop.outbox(order.id)).count("OrderLineChanged") == 1

    async def test_lines_go_along_and_none_goes_back(self, shop: Any) -> None:
        order = await _at(shop, "ready")

        moved = await shop.patch(order.id, status=READY)

        assert (order.status, _statuses(order)) == (PREPARING, [L_READY, L_PENDING])
        assert _statuses(moved) == [L_READY, L_READY]

    async def test_what_was_handed_out_is_not_cancelled(self, shop: Any) -> None:
        order = await _at(shop, "served")

        with pytest.raises(errors.Conflict) as refused:
            await shop.patch(order.id, shop.manager, status=CANCELLED, cancel_reason="late")

        assert refused.value.code == "LINES_SERVED"

    async def test_voided_lines_stay_voided_when_it_is_completed(self, shop: Any) -> None:
        order = await _at(shop, "voided")

        done = await shop.patch(order.id, shop.manager, status=COMPLETED)

        assert _statuses(done) == [L_VOIDED, L_SERVED]


class TestVoid:
    async def test_gives_the_stock_and_the_money_back(self, shop: Any) -> None:
        order = await _place(shop, 2, 3)

        left = await shop.patch_line(order, 0, status=L_VOIDED)

        assert (left.total.amount, left.saga_state) == (3 * 450, orders_pb2.SAGA_STATE_SETTLED)
        assert (shop.inventory.held(order.id), shop.inventory.stock) == (3, FULL - 3)

    async def test_the_last_line_cancels_the_order(self, shop: Any) -> None:
        order = await _place(shop, 2, 3)
        await shop.patch_line(order, 0, status=L_VOIDED)

        gone = await shop.patch_line(order, 1, status=L_VOIDED)

        assert (gone.status, gone.saga_state) == (CANCELLED, orders_pb2.SAGA_STATE_SETTLED)
        assert shop.inventory.stock == FULL

    async def test_all_at_once_gives_all_back(self, shop: Any) -> None:
        order = await _place(shop, *[1] * 6)

        async def void(place: int) -> None:
            while True:
                try:
                    await shop.patch_line(order, place, status=L_VOIDED)
                except errors.Conflict as busy:
                    if busy.code != "ORDER_BUSY":
                        raise
                else:
                    return

        await asyncio.gather(*(void(place) for place in range(6)))

        assert (await shop.get(order.id)).status == CANCELLED
        assert shop.inventory.stock == FULL

    async def test_what_is_left_was_handed_out(self, shop: Any) -> None:
        order = await _at(shop, "served")

        done = await shop.patch_line(order, 1, status=L_VOIDED)

        assert (done.status, _statuses(done)) == (COMPLETED, [L_SERVED, L_VOIDED])
        assert shop.inventory.said(order.id) == ["Reserve", "ReleaseReservation", "PostReservation"]
        assert shop.inventory.stock == FULL - 1

    async def test_what_is_made_takes_a_reason(self, shop: Any) -> None:
        order = await _at(shop, "preparing")

        with pytest.raises(errors.Invalid) as refused:
            await shop.patch_line(order, 0, shop.manager, status=L_VOIDED)

        assert list(refused.value.fields) == ["line.reason"]

    async def test_is_done_later_when_inventory_is_away(self, shop: Any) -> None:
        order = await _place(shop, 2, 3)
        shop.inventory.fail("ReleaseReservation", errors.Unavailable(), times=3)

        await shop.patch_line(order, 0, status=L_VOIDED)

        with pytest.raises(errors.Conflict) as busy:
            await shop.patch_line(order, 1, status=L_VOIDED)
        assert busy.value.code == "ORDER_BUSY"
        await shop.resume_later()
        assert shop.inventory.held(order.id) == 3


class TestRemake:
    async def test_is_free_and_reserves_again(self, shop: Any) -> None:
        order = await _at(shop, "ready")

        again = await shop.remake(order, 0)

        new = again.lines[2]
        assert (new.remake_of, new.reason, new.status) == (order.lines[0].id, "spilt", L_PENDING)
        assert (new.unit_price.amount, new.name, again.total) == (0, "Flat white", order.total)
        assert shop.inventory.held(order.id) == 3

    async def test_keeps_a_ready_order_from_being_completed(self, shop: Any) -> None:
        order = await _place(shop, 1)
        await shop.patch(order.id, shop.manager, status=READY)
        again = await shop.remake(order, 0)
        with pytest.raises(errors.Conflict) as refused:
            await shop.patch(order.id, status=COMPLETED)

        await shop.patch_line(again, 1, shop.manager, status=L_READY)
        done = await shop.patch(order.id, status=COMPLETED)

        assert (refused.value.code, again.status) == ("LINES_OUTSTANDING", READY)
        assert (done.status, _statuses(done)) == (COMPLETED, [L_SERVED, L_SERVED])
        assert shop.inventory.stock == FULL - 2

    async def test_takes_the_place_of_the_old_line(self, shop: Any) -> None:
        order = await _place(shop, 1)
        order = await shop.patch_line(order, 0, status=L_PREPARING)
        again = await shop.remake(order, 0)

        made = await shop.patch_line(again, 1, shop.manager, status=L_READY)

        assert (made.status, _statuses(made)) == (READY, [L_PREPARING, L_READY])

    async def test_without_stock_is_refused_and_voided(self, shop: Any) -> None:
        order = await _at(shop, "ready")
        shop.inventory.stock = 0

        with pytest.raises(errors.Conflict) as refused:
            await shop.remake(order, 0)

        found = await shop.get(order.id)
        assert refused.value.code == "INSUFFICIENT_STOCK"
        assert (found.lines[2].status, found.lines[2].reason) == (L_VOIDED, "INSUFFICIENT_STOCK")
        assert (found.total, found.saga_state) == (order.total, orders_pb2.SAGA_STATE_SETTLED)

    async def test_goes_on_when_inventory_was_away(self, shop: Any) -> None:
        order = await _at(shop, "ready")
        shop.inventory.fail("Reserve", errors.Unavailable(), times=3)
        with pytest.raises(errors.Unavailable):
            await shop.remake(order, 0)

        await shop.resume_later()

        assert (await shop.get(order.id)).lines[2].name == "Flat white"
        assert shop.inventory.held(order.id) == 3

    async def test_what_nobody_began_is_not_made_anew(self, shop: Any) -> None:
        order = await _place(shop, 1)

        with pytest.raises(errors.Conflict) as refused:
            await shop.remake(order, 0)

        assert refused.value.code == "LINE_NOT_BEGUN"

    async def test_no_more_than_there_was(self, shop: Any) -> None:
        order = await shop.patch_line(await _place(shop, 2), 0, status=L_PREPARING)
        again = await shop.remake(order, 0, quantity=1)

        with pytest.raises(errors.Invalid):
            await shop.remake(again, 0, quantity=2)

        assert shop.inventory.held(order.id) == 3

    async def test_of_many_at_once_one_is_made(self, shop: Any) -> None:
        order = await _at(shop, "ready")

        outcomes = await asyncio.gather(*(shop.remake(order, 0) for _ in range(8)), return_exceptions=True)

        assert sum(isinstance(outcome, orders_pb2.Order) for outcome in outcomes) == 1
        assert shop.inventory.held(order.id) == 3

    async def test_the_same_key_makes_one(self, shop: Any) -> None:
        order = await _at(shop, "ready")
        request = lines_pb2.RemakeLineRequest(id=order.id, line_id=order.lines[0].id, reason="spilt")
        stub = shop.lines(switchyard_idempotency_key="k")

        answers = [await stub.RemakeLine(request) for _ in range(2)]

        assert [len(answer.lines) for answer in answers] == [3, 3]

    async def test_what_is_made_anew_is_not_voided(self, shop: Any) -> None:
        order = await _at(shop, "ready")
        again = await shop.remake(order, 0)

        with pytest.raises(errors.Conflict) as refused:
            await shop.patch_line(again, 0, shop.manager, status=L_VOIDED, reason="late")

        assert refused.value.code == "LINE_REMADE"

    async def test_cancelling_gives_all_back(self, shop: Any) -> None:
        order = await _at(shop, "ready")
        await shop.remake(order, 0)

        await shop.patch(order.id, shop.manager, status=CANCELLED, cancel_reason="late")

        assert shop.inventory.stock == FULL


class TestAddLines:
    async def test_are_reserved_and_priced(self, shop: Any) -> None:
        order, option = await _place(shop, 1), str(uuid7())
        wished = orders_pb2.OrderLine(menu_item_id=shop.menu_item, quantity=2)
        wished.modifiers.add(option_id=option)

        more = await shop.lines().AddLines(lines_pb2.AddLinesRequest(id=order.id, lines=[wished]))

        (chosen,) = more.lines[1].modifiers
        assert (chosen.option_id, chosen.quantity, chosen.name, chosen.price.amount) == (option, 1, "Oat milk", 50)
        assert (more.total.amount, more.status) == (450 + 2 * 500, QUEUED)
        assert shop.inventory.held(order.id) == 3

    async def test_go_beside_one_that_was_priced_with_what_was_chosen(self, shop: Any) -> None:
        order = await _place(shop, 1)
        wished = orders_pb2.OrderLine(menu_item_id=shop.menu_item, quantity=2)
        wished.modifiers.add(option_id=str(uuid7()))
        request = lines_pb2.AddLinesRequest(id=order.id, lines=[wished])
        await shop.lines().AddLines(request)

        more = await shop.lines().AddLines(request)

        assert more.total.amount == 450 + 4 * 500
        assert shop.inventory.held(order.id) == 5

    async def test_their_refusal_is_no_answer_to_somebody_elses_move(self, shop: Any) -> None:
        order = await _place(shop, 1)
        shop.inventory.fail("Reserve", errors.Unavailable(), times=3)
        with pytest.raises(errors.Unavailable):
            await shop.lines().AddLines(lines_pb2.AddLinesRequest(id=order.id, lines=shop.wish().lines))
        shop.inventory.stock = 0

        begun = await shop.patch_line(order, 0, status=L_PREPARING)
        ready = await shop.patch(order.id, shop.manager, status=READY)

        assert (begun.status, ready.status, _statuses(ready)) == (PREPARING, READY, [L_READY, L_READY])
        await shop.resume_later()
        found = await shop.get(order.id)
        assert (found.status, found.lines[1].reason) == (READY, "INSUFFICIENT_STOCK")

    async def test_nothing_is_added_to_what_has_ended(self, shop: Any) -> None:
        order = await _place(shop, 1)
        await shop.patch(order.id, status=CANCELLED)

        with pytest.raises(errors.Conflict) as refused:
            await shop.lines().AddLines(lines_pb2.AddLinesRequest(id=order.id, lines=shop.wish().lines))

        assert refused.value.code == "ORDER_FINAL"

    async def test_more_than_there_can_be_are_refused(self, shop: Any) -> None:
        order = await _place(shop, *[1] * 100)
        request = lines_pb2.AddLinesRequest(id=order.id, lines=list(shop.wish().lines) * 50)
        await shop.lines().AddLines(request)
        await shop.lines().AddLines(request)

        with pytest.raises(errors.Conflict) as refused:
            await shop.lines().AddLines(request)

        assert refused.value.code == "TOO_MANY_LINES"


class TestAllAtOnce:
    """Many who change one order in all ways at once: what it holds, what it costs and what it shows stay one."""

    @pytest.mark.parametrize("seed", range(4))
    async def test_stock_and_money_add_up(self, shop: Any, seed: int) -> None:
        order, chance = await _place(shop, 1, 2, 3), random.Random(seed)
        # Enough for all, and for some.
        shop.inventory.stock = left = (FULL, 5)[seed % 2]

        await asyncio.gather(*(_meddle(shop, order.id, random.Random(chance.random())) for _ in range(6)))
        await _end(shop, order.id)

        found = await shop.get(order.id)
        live = [line for line in found.lines if line.status != L_VOIDED]
        posted = sum(pieces for pieces, state in shop.inventory.lines[order.id].values() if state == POSTED)
        assert found.saga_state == orders_pb2.SAGA_STATE_SETTLED
        assert shop.inventory.held(order.id) == 0
        assert shop.inventory.stock == left + 6 - posted
        assert posted == (sum(line.quantity for line in live) if found.status == COMPLETED else 0)
        assert found.status == CANCELLED or found.total.amount == sum(
            line.quantity * line.unit_price.amount for line in live
        )
        told = await shop.timeline(order.id)
        assert [entry.sequence for entry in told] == list(range(1, len(told) + 1))


async def _meddle(shop: Any, order_id: str, chance: random.Random) -> None:
    """Change an order in whichever ways it allows."""
    for _ in range(8):
        order = await shop.get(order_id)
        place = chance.randrange(len(order.lines))
        step = chance.choice((L_PREPARING, L_READY, L_SERVED))
        more = lines_pb2.AddLinesRequest(id=order_id, lines=shop.wish().lines)
        ways = (
            partial(shop.patch_line, order, place, shop.manager, status=step),
            partial(shop.patch_line, order, place, shop.manager, status=L_VOIDED, reason="late"),
            partial(shop.remake, order, place),
            partial(shop.lines().AddLines, more),
        )
        with contextlib.suppress(errors.Conflict, errors.Invalid, errors.InvalidTransition):
            await chance.choice(ways)()


async def _end(shop: Any, order_id: str) -> None:
    order = await shop.get(order_id)
    if order.status not in {COMPLETED, CANCELLED}:
        await shop.patch(order_id, shop.manager, status=COMPLETED)
