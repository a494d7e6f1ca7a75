"""What the steps of the saga change: each outcome is kept with what comes next, in one transaction.

Whoever changes something here holds the order first and looks at what has become of it: of two who tell the same
outcome the second changes nothing, and an order that was cancelled meanwhile is undone.
"""

from collections.abc import Collection, Mapping
from typing import Any, Literal
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import reservations_pb2
from switchyard.orders.v1 import events_pb2

from chassis import audit, clock, errors, events
from services.orders import lines, messages, orders, payments, saga_store, store
from services.orders.models import Order
from services.orders.paying import CASH, Charge, State
from services.orders.saga_models import Saga

# An answer that will be the same however often it is asked; everything else may be a passing fault.
REFUSALS = (errors.Conflict, errors.Invalid, errors.NotFound, errors.FailedPrecondition, errors.AlreadyExists)
_KINDS: Mapping[str, type[errors.Error]] = {kind.__name__: kind for kind in (*REFUSALS, errors.InvalidTransition)}
# A reservation to which lines can be added.
_OPEN = (reservations_pb2.RESERVATION_STATE_ACTIVE, reservations_pb2.RESERVATION_STATE_PARTIALLY_POSTED)


async def reserved(session: AsyncSession, order_id: UUID, reservation: reservations_pb2.Reservation) -> bool:
    """What an order needs is reserved: it is queued, or its money is asked for, and then the answer is true."""
    order = await _locked(session, order_id)
    if order.status != "draft":
        await _admit(session, order, reservation)
        return False
    saga = await saga_store.saga_of(session, order_id)
    if reservation.state != reservations_pb2.RESERVATION_STATE_ACTIVE:
        message = "the reservation has ended before the order was queued"
        await reject(session, order_id, errors.Conflict(message, code="RESERVATION_ENDED"))
        return False
    if saga.step != "reserve":
        return False
    await store.price(session, order_id, [_priced(line) for line in reservation.lines])
    # The order is written once, with all that changes.
    with session.no_autoflush:
        return await _priced_order(session, order, reservation)


async def _priced_order(session: AsyncSession, order: Order, reservation: reservations_pb2.Reservation) -> bool:
    order.amount = sum(line.quantity * line.unit_price.amount for line in reservation.lines)
    order.currency = reservation.lines[0].unit_price.currency
    if order.payment_provider == CASH:
        await _queue(session, order)
        return False
    if order.amount == 0:
        # Nobody is asked for nothing.
        await payments.price(session, order)
        await payments.keep(session, order, Charge(State.CAPTURED))
        await _queue(session, order)
        return False
    order.updated_at = clock.now()
    await payments.price(session, order)
    await _next(session, order.id, "authorise")
    return True


def _priced(line: reservations_pb2.PricedLine) -> dict[str, object]:
    money = line.unit_price
    return {
        "line_id": UUID(line.line_id),
        "priced_name": line.name,
        "priced": money.amount,
        "money": money.currency,
        "chosen": lines.chosen(line),
    }


async def authorized(session: AsyncSession, order_id: UUID, charge: Charge) -> None:
    """The provider has said whether somebody is good for the money. Good: the pivot. Not: the order is cancelled."""
    order = await _locked(session, order_id)
    with session.no_autoflush:
        await payments.keep(session, order, charge)
        await _decide(session, order, charge)


async def _decide(session: AsyncSession, order: Order, charge: Charge) -> None:
    if order.status == "cancelled":
        await _undo_again(session, order)
    elif order.status != "draft" or charge.state is State.UNKNOWN:
        return
    elif charge.state in {State.AUTHORIZED, State.CAPTURED}:
        await _queue(session, order, to_be_captured=charge.state is State.AUTHORIZED)
    else:
        await reject(session, order.id, payments.declined(charge))


async def _queue(session: AsyncSession, order: Order, *, to_be_captured: bool = False) -> None:
    """The pivot: what is reserved, and good for its money, is in the queue with its number."""
    if to_be_captured:
        await _next(session, order.id, "capture")
    else:
        await settle(session, order.id)
    await orders.note(session, order.id, "queued", actor=order.placed_by, channel="system")
    now = clock.now()
    # The day on which it was accepted, however long its stock took.
    day = order.day or now.date()
    # Late, for the counter is held until the commit and all orders of the site pass through it.
    order.number = await store.next_number(session, order.tenant_id, order.site_id, day)
    order.day, order.status, order.updated_at = day, "queued", now
    row = await store.shown(session, order.id)
    audit.changed(session, f"orders/{order.id}", after={"lines": orjson.loads(row["lines"])})
    event = events_pb2.OrderPlaced(order=messages.order(row))
    events.publish(session, event, subject=f"orders/{order.id}", audience=messages.audience(row))


async def _admit(session: AsyncSession, order: Order, reservation: reservations_pb2.Reservation) -> None:
    """Let the new lines of a queued order be made: their stock is reserved."""
    saga = await saga_store.saga_of(session, order.id)
    if order.status in orders.FINAL or saga.step != "reserve":
        return
    if reservation.state not in _OPEN and await lines.any_new(session, order):
        message = "the reservation has ended before the lines were added"
        await lines.refuse(session, order, saga, errors.Conflict(message, code="RESERVATION_ENDED"))
    elif await lines.admit(session, order, reservation):
        await settle(session, order.id)


async def captured(session: AsyncSession, order_id: UUID, charge: Charge) -> bool:
    """The provider has answered the capture; false when it did not take the money."""
    order = await _locked(session, order_id)
    saga = await saga_store.saga_of(session, order_id)
    # What is refused this time is still authorised.
    new = charge.state is not State.DECLINED and await payments.keep(session, order, charge)
    if order.status == "cancelled":
        await _undo_again(session, order)
        return True
    if charge.state not in {State.CAPTURED, State.REFUNDED}:
        return False
    if saga.step == "capture":
        await settle(session, order_id)
    if new:
        await _tell(session, order, saga, "payment_captured")
    return True


async def trimmed(session: AsyncSession, order_id: UUID, released: Collection[UUID], charge: Charge | None) -> None:
    """The stock of voided lines is given back, and what was paid for them."""
    order = await _locked(session, order_id)
    saga = await saga_store.saga_of(session, order_id)
    if charge is not None and await payments.keep(session, order, charge):
        await _tell(session, order, saga, "payment_refunded")
    if saga.step == "trim" and await lines.all_released(session, order, released):
        await settle(session, order_id)
        await lines.go_on(session, order, saga)


async def reject(session: AsyncSession, order_id: UUID, failure: errors.Error) -> Literal["order", "lines", ""]:
    """Cancel a draft that inventory or the payment's provider refuses. What a late reservation might hold is released.

    Of an order that is queued already it is the new lines that are refused. Without new ones it is refused what it had:
    nothing is changed, and the answer is empty.
    """
    order = await _locked(session, order_id)
    if order.status in orders.FINAL:
        return "order"
    if order.status != "draft":
        saga = await saga_store.saga_of(session, order_id)
        if saga.step != "reserve" or not await lines.any_new(session, order):
            return "" if saga.step == "reserve" else "order"
        await lines.refuse(session, order, saga, failure)
        return "lines"
    await _next(session, order_id, orders.first_backwards(order), "compensating")
    order.rejection = failure.code
    order.refusal = {
        "kind": type(failure).__name__,
        "code": failure.code,
        "message": failure.message,
        "fields": failure.fields,
        "metadata": failure.metadata,
    }
    await orders.move(session, order, "cancelled", actor=order.placed_by, channel="system", detail=failure.code)
    return "order"


def refusal(stored: str) -> errors.Error:
    """The error with which an order was refused, again."""
    told: dict[str, Any] = orjson.loads(stored)
    kind = _KINDS.get(told["kind"], errors.Conflict)
    return kind(told["message"], code=told["code"], fields=told["fields"], metadata=told["metadata"])


async def complete(session: AsyncSession, order_id: UUID, charge: Charge | None) -> None:
    """Complete an order whose stock inventory has booked out; `charge` is what is paid at the till."""
    order = await _locked(session, order_id)
    if order.status in orders.FINAL:
        return
    saga = await saga_store.saga_of(session, order_id)
    await settle(session, order_id)
    # The order is written once, with all that changes.
    with session.no_autoflush:
        if charge is not None:
            await payments.take(session, order, charge)
        order.posted = True
        orders.apply(order, saga.edits)
        await orders.move(session, order, "completed", **_who(saga))


async def give_up_completing(session: AsyncSession, order_id: UUID, failure: errors.Error) -> None:
    """Leave an order as it is when inventory will not book its stock out."""
    await _locked(session, order_id)
    saga = await saga_store.saga_of(session, order_id)
    if saga.step == "post":
        await settle(session, order_id)
        await orders.note(session, order_id, "completion_refused", **_who(saga), detail=failure.code)


async def voided(session: AsyncSession, order_id: UUID, charge: Charge) -> None:
    """No money of a cancelled order stands at its provider any more: its stock is next."""
    order = await _locked(session, order_id)
    saga = await saga_store.saga_of(session, order_id)
    if await payments.keep(session, order, charge) and order.authorized is not None:
        await _tell(session, order, saga, f"payment_{charge.state}")
    if saga.step == "void":
        await _next(session, order_id, "release", "compensating")


async def released(session: AsyncSession, order_id: UUID) -> None:
    """A cancelled order holds nothing any more."""
    await _locked(session, order_id)
    saga = await saga_store.saga_of(session, order_id)
    if saga.step == "release":
        await saga_store.set_step(session, order_id, "none", "settled", edits={}, released=True)


async def lapsed(session: AsyncSession, order_id: UUID) -> None:
    """What was reserved for an order has lapsed: it is reserved anew; what reserves or books out anyway sees it itself.

    Raises `Unavailable` while money is on its way: it is told again later.
    """
    order = await store.lock(session, order_id)
    if order is None or order.status in {"draft", *orders.FINAL}:
        return
    saga = await saga_store.saga_of(session, order_id)
    if saga.step in {"capture", "trim"}:
        message = "the order is in the middle of a payment"
        raise errors.Unavailable(message)
    if saga.step == "none":
        await saga_store.set_step(session, order_id, "reserve", "running", due_at=clock.now())
        await orders.note(session, order_id, "reservation_expired", actor="service:inventory", channel="system")


async def retry(session: AsyncSession, order_id: UUID) -> None:
    """Let a saga that needs attention go on; nothing happens to one that does not. Raises `NotFound`."""
    await orders.held(session, order_id)
    saga = await saga_store.saga_of(session, order_id)
    if saga.state == "needs_attention":
        await orders.rearm(session, saga)
        who = orders.acting(orders.OVERRIDE)
        told = {"actor": who.actor, "subject": who.subject, "channel": who.channel}
        await orders.note(session, order_id, "retried", **told, detail=f"{saga.step}: {saga.error}")
        await orders.tell_updated(session, order_id)


async def settle(session: AsyncSession, order_id: UUID) -> None:
    """Nothing is due any more."""
    await saga_store.set_step(session, order_id, "none", "settled", edits={})


async def _next(session: AsyncSession, order_id: UUID, step: str, state: str = "running") -> None:
    await saga_store.set_step(session, order_id, step, state, due_at=clock.now() + orders.CLAIM)


async def _undo_again(session: AsyncSession, order: Order) -> None:
    """Money has come to a provider after its order was cancelled: it is given back, whatever was done before."""
    saga = await saga_store.saga_of(session, order.id)
    payment = await payments.of(session, order)
    if payment.state not in payments.CLOSED and saga.step != "void":
        await _next(session, order.id, "void", "compensating")


async def _tell(session: AsyncSession, order: Order, saga: Saga, kind: str) -> None:
    order.updated_at = clock.now()
    await orders.note(session, order.id, kind, actor=saga.actor, subject=saga.subject, channel="system")
    await orders.tell_updated(session, order.id)


def _who(saga: Saga) -> dict[str, Any]:
    return {"actor": saga.actor, "subject": saga.subject, "channel": saga.channel}


async def _locked(session: AsyncSession, order_id: UUID) -> Order:
    order = await store.lock(session, order_id)
    assert order is not None  # sagas hang on their orders by a foreign key
    return order
