"""The lines of an order: made, handed out, voided and made anew one by one; the order follows them, forward only.

Whoever changes a line holds its order first, so that of many who do so at once each sees what the others did. What a
line has to say to inventory is left in the order's saga: `reserve` for new lines, `trim` for voided ones.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import reservations_pb2
from switchyard.orders.v1 import events_pb2, orders_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors, events
from services.orders import messages, orders, saga_store, store
from services.orders.models import Line, Order
from services.orders.orders import OVERRIDE, UPDATE, Actor
from services.orders.saga_models import Saga

# Every legal move of a line, and the permission it takes.
MOVES: Mapping[str, Mapping[str, str]] = {
    "pending": {"preparing": UPDATE, "ready": OVERRIDE, "served": OVERRIDE, "voided": UPDATE},
    "preparing": {"ready": UPDATE, "served": OVERRIDE, "voided": OVERRIDE},
    "ready": {"served": UPDATE, "voided": OVERRIDE},
    "served": {},
    "voided": {},
}
# Lines of an order, voided ones included: what inventory reserves at a time.
LINES_MAX = 200

_BEGUN = frozenset({"preparing", "ready", "served"})
# How far an order is, of the two that it may be at: it never goes back.
_FORWARD = ("queued", "preparing", "ready", "completed")


@dataclass(frozen=True)
class Change:
    """A change of a line: another state, other notes, or both."""

    status: str = ""
    notes: str | None = None
    reason: str = ""


async def update(session: AsyncSession, order_id: UUID, line_id: UUID, change: Change) -> None:
    """Change a line as far as its state and the caller's permissions allow, and let its order follow."""
    order = await orders.held(session, order_id)
    lines = await store.lines_of(session, order_id)
    line = _named(lines, line_id)
    _check_reason(line, change)
    moves = change.status not in {"", line.status}
    edits = change.notes is not None and change.notes != line.notes
    if not moves and not edits:
        return
    saga = await _open(session, order)
    if edits and change.notes is not None:
        await _edit(session, order, line, change.notes)
    if moves:
        await _move(session, order, lines, line, change, saga)
    else:
        await orders.tell_updated(session, order_id)


async def remake(session: AsyncSession, order_id: UUID, line_id: UUID, reason: str, quantity: int | None) -> None:
    """Make a line anew: a new line that costs nothing, whose stock the saga reserves."""
    order = await orders.held(session, order_id)
    lines = await store.lines_of(session, order_id)
    line = _named(lines, line_id)
    _check_settled(await _open(session, order))
    if line.status not in _BEGUN:
        message = "the line has not been made"
        raise errors.Conflict(message, code="LINE_NOT_BEGUN")
    left = line.quantity - _remade(lines)[line.id]
    if (quantity or 1) > left:
        raise errors.Invalid(fields={"quantity": [f"of the line, {left} have not been made anew"]})
    wished = {"menu_item_id": line.menu_item_id, "quantity": quantity or left, "notes": line.notes}
    chosen = [{"option_id": each["option_id"], "quantity": each["quantity"]} for each in line.modifiers]
    again = {**wished, "modifiers": chosen, "remake_of": line.id, "reason": reason}
    await _add(session, order, lines, [again], "line_remade")


async def add(session: AsyncSession, order_id: UUID, wished: Sequence[orders_pb2.OrderLine]) -> None:
    """Add lines to an order that is paid at the till; the saga reserves their stock."""
    order = await orders.held(session, order_id)
    _check_settled(await _open(session, order))
    if order.payment_method != "cash":
        message = "what an order costs is fixed once its payment is authorised"
        raise errors.Conflict(message, code="PAYMENT_FIXED")
    rows = [orders.wished(line) for line in wished]
    await _add(session, order, await store.lines_of(session, order_id), rows, "line_added")


async def _open(session: AsyncSession, order: Order) -> Saga:
    """The saga of an order whose lines may change."""
    orders.check_not_final(order)
    if order.status == "draft":
        message = "the order is not queued yet"
        raise errors.Conflict(message, code="ORDER_NOT_QUEUED", retry_after_s=1)
    saga = await saga_store.saga_of(session, order.id)
    orders.check_settled(saga, completes=False)
    return saga


def _check_settled(saga: Saga) -> None:
    """The saga holds one step: what changes stock waits for the one that is due."""
    orders.check_settled(saga, completes=True)


def _named(lines: Sequence[Line], line_id: UUID) -> Line:
    line = next((line for line in lines if line.id == line_id), None)
    if line is None:
        raise errors.NotFound
    return line


def _check_cancellation(order: Order, change: Change) -> None:
    """Voiding the last line is cancelling the order, and takes what that takes."""
    orders.allowed_move(orders.MOVES, order.status, "cancelled")
    if order.status in _BEGUN and not change.reason:
        raise errors.Invalid(fields={"line.reason": ["is required to cancel what is being prepared"]})


def _check_reason(line: Line, change: Change) -> None:
    voids = change.status == "voided"
    if change.reason and not voids:
        raise errors.Invalid(fields={"line.reason": ["goes with a voided line only"]})
    if voids and line.status in _BEGUN and not change.reason:
        raise errors.Invalid(fields={"line.reason": ["is required to void what is being made"]})


async def _edit(session: AsyncSession, order: Order, line: Line, notes: str) -> None:
    if line.status not in {"pending", "preparing"}:
        message = f"a {line.status} line keeps its notes"
        raise errors.Conflict(message, code="LINE_FINAL")
    line.notes, order.updated_at = notes, clock.now()
    await orders.note(session, order.id, "line_edited", **asdict(orders.acting()), line_id=line.id, detail="notes")


async def _move(
    session: AsyncSession, order: Order, lines: Sequence[Line], line: Line, change: Change, saga: Saga
) -> None:
    who = orders.acting(orders.allowed_move(MOVES, line.status, change.status))
    if change.status == "voided" or line.unit_amount is None:
        _check_settled(saga)
    if change.status == "voided" and _remade(lines)[line.id]:
        message = "the line is being made anew: what was made of it is used up"
        raise errors.Conflict(message, code="LINE_REMADE")
    reached = _reached(lines, {line.id: change.status})
    if reached == "completed":
        orders.check_settled(saga, completes=True)
    if reached == "cancelled":
        _check_cancellation(order, change)
    before, line.status, order.updated_at = line.status, change.status, clock.now()
    if change.status == "voided":
        line.reason = change.reason
        _total(order, lines)
    told = {**asdict(who), "line_id": line.id, "detail": change.reason, "moved": (before, change.status)}
    # One change of the order, one version.
    with session.no_autoflush:
        await orders.note(session, order.id, f"line_{change.status}", **told)
        await _follow(session, order, lines, who, change)
    await _tell(session, order, line.id, before)


async def _follow(session: AsyncSession, order: Order, lines: Sequence[Line], who: Actor, change: Change) -> None:
    """Let an order follow a line that has changed."""
    reached = _reached(lines)
    if reached == "cancelled":
        await orders.give_back(session, order, who)
        order.cancel_reason = change.reason
        await orders.move(session, order, "cancelled", **asdict(who), detail=change.reason)
        return
    if change.status == "voided":
        # The completion of what is left, if all of that was handed out, comes after it.
        await _later(session, order, who, "trim")
    elif reached == "completed":
        await orders.complete_later(session, order, who, {})
    if reached != "completed" and _FORWARD.index(reached) > _FORWARD.index(order.status):
        await orders.move(session, order, reached, alone=True, **asdict(who))


def _reached(lines: Sequence[Line], moved: Mapping[UUID, str] | None = None) -> str:
    """The state that an order's lines are in together; `moved` are those that are about to change."""
    remade = _remade(lines)
    states = {(moved or {}).get(line.id, line.status) for line in lines if remade[line.id] < line.quantity}
    states.discard("voided")
    if not states:
        return "cancelled"
    if states == {"served"}:
        return "completed"
    if states <= {"ready", "served"}:
        return "ready"
    return "queued" if states == {"pending"} else "preparing"


def _remade(lines: Sequence[Line]) -> Counter[UUID]:
    """How many pieces of each line are made anew."""
    remade: Counter[UUID] = Counter()
    for line in lines:
        if line.remake_of is not None and line.status != "voided":
            remade[line.remake_of] += line.quantity
    return remade


def _total(order: Order, lines: Sequence[Line]) -> None:
    order.amount = sum(line.quantity * (line.unit_amount or 0) for line in lines if line.status != "voided")


async def _add(
    session: AsyncSession, order: Order, lines: Sequence[Line], rows: Sequence[Mapping[str, Any]], kind: str
) -> None:
    if len(lines) + len(rows) > LINES_MAX:
        message = f"an order has at most {LINES_MAX} lines"
        raise errors.Conflict(message, code="TOO_MANY_LINES")
    who, ids = orders.acting(), [uuid7() for _ in rows]
    kept = {"tenant_id": order.tenant_id, "order_id": order.id, "status": "pending"}
    added = [
        {"id": line_id, "position": len(lines) + place, **row}
        for place, (line_id, row) in enumerate(zip(ids, rows, strict=True))
    ]
    await store.insert_lines(session, [{"remake_of": None, "reason": "", **row, **kept} for row in added])
    order.updated_at = clock.now()
    for row in added:
        told = {**asdict(who), "line_id": row["id"], "detail": row.get("reason", ""), "moved": ("", "pending")}
        await orders.note(session, order.id, kind, **told)
    await _later(session, order, who, "reserve")
    for line_id in ids:
        await _tell(session, order, line_id, "")


async def _later(session: AsyncSession, order: Order, who: Actor, step: str) -> None:
    asked = {**asdict(who), "due_at": clock.now() + orders.CLAIM}
    await saga_store.set_step(session, order.id, step, "running", **asked)


async def _tell(session: AsyncSession, order: Order, line_id: UUID, before: str) -> None:
    row = await store.shown(session, order.id)
    event = events_pb2.OrderLineChanged(order=messages.order(row), line_id=str(line_id))
    if before:
        event.from_status = messages.number("LineStatus", before)
    events.publish(session, event, subject=f"orders/{order.id}", audience=messages.audience(row))


# What the saga does when inventory has answered.


async def admit(session: AsyncSession, order: Order, reservation: reservations_pb2.Reservation) -> bool:
    """Price the new lines of an order, whose stock is reserved; false while there are newer ones than it knows."""
    lines = await store.lines_of(session, order.id)
    priced = {UUID(line.line_id): line for line in reservation.lines}
    new = [line for line in lines if _is_new(line)]
    for line in new:
        if line.id in priced:
            _price(line, priced[line.id])
    _total(order, lines)
    order.updated_at = clock.now()
    await orders.tell_updated(session, order.id)
    return not any(_is_new(line) for line in new)


async def any_new(session: AsyncSession, order: Order) -> bool:
    """Whether an order has lines whose stock is not reserved yet."""
    return any(_is_new(line) for line in await store.lines_of(session, order.id))


def _is_new(line: Line) -> bool:
    return line.status != "voided" and line.unit_amount is None


def _price(line: Line, priced: reservations_pb2.PricedLine) -> None:
    line.name, line.currency = priced.name, priced.unit_price.currency
    line.unit_amount = priced.unit_price.amount if line.remake_of is None else 0
    line.modifiers = chosen(priced)


def chosen(priced: reservations_pb2.PricedLine) -> list[dict[str, Any]]:
    """What goes with each piece of a line, as it is kept."""
    return [
        {
            "option_id": each.option_id,
            "quantity": each.quantity,
            "name": each.name,
            "amount": each.price.amount,
            "currency": each.price.currency,
        }
        for each in priced.modifiers
    ]


async def refuse(session: AsyncSession, order: Order, saga: Saga, failure: errors.Error) -> None:
    """Void the new lines of an order that inventory refuses. What a late reservation might hold is released."""
    lines = await store.lines_of(session, order.id)
    who, new = Actor(saga.actor, saga.subject, "system"), [line for line in lines if _is_new(line)]
    before = {line.id: line.status for line in new}
    with session.no_autoflush:
        for line in new:
            line.status, line.reason = "voided", failure.code
            told = {**asdict(who), "line_id": line.id, "detail": failure.code, "moved": (before[line.id], "voided")}
            await orders.note(session, order.id, "line_voided", **told)
        order.updated_at = clock.now()
        await _follow(session, order, lines, who, Change("voided", reason=failure.code))
    for line in new:
        await _tell(session, order, line.id, before[line.id])


async def all_released(session: AsyncSession, order: Order, released: Collection[UUID]) -> bool:
    """Whether what was released is all that has been voided."""
    lines = await store.lines_of(session, order.id)
    return all(line.id in released for line in lines if line.status == "voided")


async def go_on(session: AsyncSession, order: Order, saga: Saga) -> None:
    """Complete an order all of whose lines were handed out but those whose stock has just been given back."""
    if order.status not in orders.FINAL and _reached(await store.lines_of(session, order.id)) == "completed":
        await orders.complete_later(session, order, Actor(saga.actor, saga.subject, saga.channel), {})
