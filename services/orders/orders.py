"""Accepting orders and moving them along their state machine.

What an order has still to say to inventory is left in its saga (`services.orders.saga`), in the same transaction.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.orders.v1 import events_pb2, orders_pb2
from uuid_utils.compat import uuid7

from chassis import audit, call, clock, errors, events, idempotency
from chassis.identity import Principal
from services.orders import messages, payments, saga_store, store
from services.orders.models import Order
from services.orders.paying import CASH, Intent
from services.orders.saga_models import Saga

# Whoever leaves a step in the saga does it at once; nobody else takes the saga before that has had its time. A step
# that is slower than this may be made twice at once: each carries the order's id to inventory and to the provider, and
# what it brought is kept under the order's lock.
CLAIM = timedelta(seconds=10)

UPDATE = "orders.update"
OVERRIDE = "orders.override"
# Every legal move, and the permission it takes. Staff go forward one step; a manager may skip, and cancel what is being
# made. Only the saga moves a draft forward.
MOVES: Mapping[str, Mapping[str, str]] = {
    "draft": {"cancelled": UPDATE},
    "queued": {"preparing": UPDATE, "ready": OVERRIDE, "completed": OVERRIDE, "cancelled": UPDATE},
    "preparing": {"ready": UPDATE, "completed": OVERRIDE, "cancelled": OVERRIDE},
    "ready": {"completed": UPDATE, "cancelled": OVERRIDE},
    "completed": {},
    "cancelled": {},
}
FINAL = frozenset(state for state, moves in MOVES.items() if not moves)
# The state to which an order takes its lines along, and those they are taken from: none goes back.
_LINES = {
    "preparing": ("preparing", ("pending",)),
    "ready": ("ready", ("pending", "preparing")),
    "completed": ("served", ("pending", "preparing", "ready")),
    "cancelled": ("voided", ("pending", "preparing", "ready")),
}
_CHANNELS = {"user": "mobile", "kiosk": "kiosk", "pos": "pos", "client": "api"}


@dataclass(frozen=True)
class Wish:
    """An order as it is wished for."""

    site_id: UUID
    lines: list[orders_pb2.OrderLine]
    id: UUID | None = None
    payment_method: str = ""
    customer_name: str = ""
    notes: str = ""
    station_id: UUID | None = None
    customer_id: str = ""
    # What the payment's provider gave the client for its card; and where it is paid then, unless at the till.
    payment_token: str = ""
    payment: Intent | None = None
    # From where; by who wishes it unless given.
    channel: str = ""
    # The site's business day in which it is counted; by the clock of UTC unless given.
    day: date | None = None
    # The bulk or the group order that it belongs to.
    bulk_id: UUID | None = None
    group_id: UUID | None = None
    group_code: str = ""
    # When it was wished, where that was before we heard of it; told in the timeline.
    occurred_at: datetime | None = None


@dataclass(frozen=True)
class Change:
    """A change of an order: another state, texts, or both."""

    status: str = ""
    cancel_reason: str = ""
    edits: dict[str, str] = field(default_factory=dict)
    occurred_at: datetime | None = None


@dataclass(frozen=True)
class Actor:
    """Who changes an order, for or as whom, and from where."""

    actor: str
    subject: str
    channel: str


def acting(permission: str = "") -> Actor:
    """Who makes the current call; with which permission tells an override."""
    principal = call.current().principal
    actor, subject = audit.names(principal)
    return Actor(actor, subject, "manager_override" if permission == OVERRIDE else _channel(principal))


def business_day(zone: ZoneInfo) -> date:
    """The day of a site in whose numbers an order is counted that is placed now: it ends at the site's midnight."""
    return clock.now().astimezone(zone).date()


async def accept(session: AsyncSession, wish: Wish) -> UUID:
    """Keep the wish as a draft whose saga begins; sent again, it is the same order.

    Raises `NotFound` for a site out of sight and `AlreadyExists` when another order has the id.
    """
    current = call.current()
    if not current.principal.may_see_site(wish.site_id):
        raise errors.NotFound
    if wish.payment is None and wish.payment_method not in {"", CASH}:
        raise errors.Invalid(fields={"payment_method": ["is not possible here"]})
    if current.idempotency_key and (stored := await idempotency.begin(session)) is not None:
        return UUID(orders_pb2.Order.FromString(stored).id)
    order_id = wish.id or _derived_id(current)
    if not await _insert(session, order_id, wish):
        await _require_same(session, order_id)
    if current.idempotency_key:
        # The key names the order, not an answer: the order is asked how it came out.
        await idempotency.store(session, orders_pb2.Order(id=str(order_id)))
    return order_id


def _derived_id(current: call.Call) -> UUID:
    if not current.idempotency_key:
        return uuid7()
    # Outlives the key's own 24 hours.
    return uuid5(current.principal.tenant, f"{current.principal.name}/{current.idempotency_key}")


async def _insert(session: AsyncSession, order_id: UUID, wish: Wish) -> bool:
    current = call.current()
    tenant_id, now = current.principal.tenant, clock.now()
    channel = wish.channel or _channel(current.principal)
    order = {
        "tenant_id": tenant_id,
        "id": order_id,
        "site_id": wish.site_id,
        "day": wish.day or now.date(),
        "status": "draft",
        "channel": channel,
        "payment_method": wish.payment_method or CASH,
        "payment_provider": wish.payment.provider if wish.payment is not None else CASH,
        "customer_name": wish.customer_name,
        "notes": wish.notes,
        "station_id": wish.station_id,
        "customer_id": wish.customer_id,
        "bulk_id": wish.bulk_id,
        "group_id": wish.group_id,
        "group_code": wish.group_code,
        "cancel_reason": "",
        "placed_by": current.principal.name,
        "fingerprint": current.fingerprint,
        "version": 1,
        "placed_at": now,
        "updated_at": now,
    }
    kept = {"tenant_id": tenant_id, "order_id": order_id, "status": "pending"}
    lines = [{"id": uuid7(), "position": at, **kept, **wished(line)} for at, line in enumerate(wish.lines)]
    if not await store.insert(session, order, lines):
        return False
    if wish.payment is not None:
        await payments.begin(session, order_id, wish.payment)
    actor, subject = audit.names(current.principal)
    asked = {"actor": actor, "subject": subject, "channel": channel, "due_at": now + CLAIM}
    saga = {"tenant_id": tenant_id, "order_id": order_id, "step": "reserve", "state": "running", "tries": 1}
    await saga_store.insert_saga(session, {**saga, **asked})
    told = {"actor": actor, "subject": subject, "channel": channel, "moved": ("", "draft")}
    await note(session, order_id, "placed", wish.occurred_at, **told)
    # Who placed it is in the trail from here on, whoever takes the order further.
    audit.changed(session, f"orders/{order_id}", after={"status": "draft", "site_id": wish.site_id, "channel": channel})
    return True


def wished(line: orders_pb2.OrderLine) -> dict[str, Any]:
    """A line as it is wished for, as it is kept."""
    return {
        "menu_item_id": UUID(line.menu_item_id),
        "quantity": line.quantity,
        "notes": line.notes,
        "modifiers": [{"option_id": chosen.option_id, "quantity": chosen.quantity or 1} for chosen in line.modifiers],
    }


async def _require_same(session: AsyncSession, order_id: UUID) -> None:
    found = await store.find(session, order_id)
    current = call.current()
    # An id tells nothing to whoever did not make it.
    if found is None or found.fingerprint != current.fingerprint or found.placed_by != current.principal.name:
        message = "another order has this id"
        raise errors.AlreadyExists(message)


async def held(session: AsyncSession, order_id: UUID) -> Order:
    """An order that is to be changed, held until the transaction ends. Raises `NotFound` and `StaleVersion`."""
    order = await store.lock(session, order_id)
    if order is None or not visible(order.site_id, order.placed_by, call.current().principal):
        raise errors.NotFound
    call.current().require_version(order.version)
    return order


async def update(session: AsyncSession, order_id: UUID, change: Change) -> None:
    """Change an order as far as its state and the caller's permissions allow.

    A completion is only noted in the saga: it takes effect when inventory has booked the stock out.
    """
    order = await held(session, order_id)
    saga = await saga_store.saga_of(session, order_id)
    _check_cancel_reason(order, change)
    if change.status in {"", order.status}:
        await rearm(session, saga, again=order.status == "draft")
        await _edit(session, order, change.edits)
        return
    who = acting(await _permission(session, order, change.status))
    check_settled(saga, completes=change.status == "completed")
    if change.status == "completed":
        await complete_later(session, order, who, change.edits)
        return
    if change.status == "cancelled":
        await give_back(session, order, who)
        order.cancel_reason = change.cancel_reason
    apply(order, change.edits)
    await move(session, order, change.status, **asdict(who), detail=change.cancel_reason, at=change.occurred_at)


def check_settled(saga: Saga, *, completes: bool) -> None:
    """Raise `Conflict` while what was begun has to settle before an order may change its state."""
    if completes and saga.step not in {"none", "post"}:
        message = "a step of the order is still to be done"
        raise errors.Conflict(message, code="ORDER_BUSY", retry_after_s=1)
    if saga.step == "post" and not completes:
        message = "the order is being completed"
        raise errors.Conflict(message, code="COMPLETION_PENDING", retry_after_s=1)


async def complete_later(session: AsyncSession, order: Order, who: Actor, edits: Mapping[str, str]) -> None:
    """Let the saga complete an order."""
    asked = {**asdict(who), "due_at": clock.now() + CLAIM}
    await saga_store.set_step(session, order.id, "post", "running", **asked, edits=dict(edits))


async def give_back(session: AsyncSession, order: Order, who: Actor) -> None:
    """Let the saga undo what was done for an order that is being cancelled."""
    asked = {**asdict(who), "due_at": clock.now() + CLAIM}
    await saga_store.set_step(session, order.id, first_backwards(order), "compensating", **asked)


def first_backwards(order: Order) -> str:
    """The step with which the saga begins to undo what was done for an order: money first, where it was asked for."""
    return "release" if order.payment_provider == CASH else "void"


def visible(site_id: UUID, placed_by: str, principal: Principal) -> bool:
    """Whether the principal may see an order: of its sites, and a kiosk only its own."""
    return principal.may_see_site(site_id) and (principal.kind != "kiosk" or placed_by == principal.name)


async def _permission(session: AsyncSession, order: Order, wanted: str) -> str:
    """The permission that a move takes, which the caller holds."""
    principal = call.current().principal
    needed = allowed_move(MOVES, order.status, wanted, own=order.placed_by == principal.name)
    if wanted == "cancelled" and await store.any_served(session, order.id):
        message = "what has been handed out cannot be cancelled; the other lines can be voided"
        raise errors.Conflict(message, code="LINES_SERVED")
    if wanted != "completed" or order.status != "ready" or not await store.any_outstanding(session, order.id):
        return needed
    if not principal.may(OVERRIDE):
        message = "a line of the order is still to be made"
        raise errors.Conflict(message, code="LINES_OUTSTANDING")
    return OVERRIDE


def allowed_move(moves: Mapping[str, Mapping[str, str]], status: str, wanted: str, *, own: bool = False) -> str:
    """The permission that a move of a state machine takes; whoever placed an order needs none to take it back.

    Raises `InvalidTransition` for what is no move, and `Denied` for what the caller may not.
    """
    may = call.current().principal.may
    needed = {
        state: "" if own and state == "cancelled" and permission == UPDATE else permission
        for state, permission in moves[status].items()
    }
    if wanted not in needed:
        allowed = [state for state, permission in needed.items() if not permission or may(permission)]
        raise errors.InvalidTransition.between(status, wanted, allowed)
    if needed[wanted] and not may(needed[wanted]):
        raise errors.Denied.missing(needed[wanted])
    return needed[wanted]


def _check_cancel_reason(order: Order, change: Change) -> None:
    cancels = change.status == "cancelled"
    if change.cancel_reason and not cancels:
        raise errors.Invalid(fields={"order.cancel_reason": ["goes with a cancellation only"]})
    if cancels and order.status in {"preparing", "ready"} and not change.cancel_reason:
        raise errors.Invalid(fields={"order.cancel_reason": ["is required to cancel what is being prepared"]})


async def rearm(session: AsyncSession, saga: Saga, *, again: bool = False) -> None:
    """Let a stuck saga be tried again, or (`again`) any. Asking an order for what it is, is asking for that."""
    if again or saga.state == "needs_attention":
        state = "compensating" if saga.step in {"void", "release"} else "running"
        await saga_store.set_step(session, saga.order_id, saga.step, state, due_at=clock.now() + CLAIM)


async def _edit(session: AsyncSession, order: Order, edits: Mapping[str, str]) -> None:
    changes = {name: text for name, text in edits.items() if getattr(order, name) != text}
    if not changes:
        return
    check_not_final(order)
    apply(order, changes)
    await note(session, order.id, "edited", **asdict(acting()), detail=", ".join(sorted(changes)))
    await tell_updated(session, order.id)


def check_not_final(order: Order) -> None:
    """Raise `Conflict` for an order that has ended."""
    if order.status in FINAL:
        message = f"a {order.status} order is final"
        raise errors.Conflict(message, code="ORDER_FINAL")


async def tell_updated(session: AsyncSession, order_id: UUID) -> None:
    """Tell the world that an order has changed in its state."""
    row = await store.shown(session, order_id)
    event = events_pb2.OrderUpdated(order=messages.order(row))
    events.publish(session, event, subject=f"orders/{order_id}", audience=messages.audience(row))


def apply(order: Order, edits: Mapping[str, Any]) -> None:
    """Put texts into an order."""
    for name, text in edits.items():
        setattr(order, name, text)
    order.updated_at = clock.now()


async def move(
    session: AsyncSession,
    order: Order,
    status: str,
    *,
    at: datetime | None = None,
    alone: bool = False,
    **told: Any,
) -> None:
    """Set an order's state, take its lines along (unless `alone`), and tell the world.

    `told` goes into the timeline.
    """
    before, order.status, order.updated_at = order.status, status, clock.now()
    # The order is written once, with all that has changed: one version.
    with session.no_autoflush:
        if not alone:
            await store.move_lines(session, order.id, *_LINES[status])
        await note(session, order.id, status, at, **told, moved=(before, status))
    row = await store.shown(session, order.id)
    event = events_pb2.OrderStatusChanged(order=messages.order(row), from_status=messages.number("OrderStatus", before))
    events.publish(session, event, subject=f"orders/{order.id}", audience=messages.audience(row))


async def note(
    session: AsyncSession,
    order_id: UUID,
    kind: str,
    at: datetime | None = None,
    /,
    **told: Any,
) -> None:
    """Append to the order's timeline: who (`actor`, `subject`), from where (`channel`), in words (`detail`).

    `at` is when it happened, unless now; `moved` are the states that were left and reached.
    """
    now = clock.now()
    moved = told.pop("moved", ("draft", "queued") if kind == "queued" else ("", ""))
    entry = {
        "tenant_id": events.of(session).principal.tenant,
        "type": kind,
        "detail": "",
        "from_status": moved[0],
        "to_status": moved[1],
        "occurred_at": at or now,
        "recorded_at": now,
        **told,
    }
    await store.add_event(session, order_id, entry)


def _channel(principal: Principal) -> str:
    return _CHANNELS.get(principal.kind, "system")
