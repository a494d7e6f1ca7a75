"""Group orders: open until locked or late, submitted as one order, closed when that has ended.

How people join, who have no account, is `services.orders.group_joining`.
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.orders.v1 import events_pb2, groups_pb2, orders_pb2
from uuid_utils.compat import uuid7

from chassis import audit, call, clock, errors, events, idempotency
from chassis.sites import Site
from services.orders import group_messages, group_store, orders
from services.orders.group_models import GroupOrder, GroupParticipant

# Characters that nobody takes for one another, and no vowels, so that no code is a word: 481 million codes. At ten
# tries a minute from one address, guessing one of a thousand that are open takes a month.
ALPHABET = "23456789BCDFGHJKMNPQRSTVWXYZ"
CODE_LENGTH = 6
# Codes tried for one group order; that all are taken does not happen before hundreds of millions are.
CODES_MAX = 20
DEADLINE_USUAL = timedelta(hours=1)
DEADLINE_MAX = timedelta(days=30)
# Nobody submitted it for so long after it was locked: it is closed, and its code is free again.
FORGOTTEN = timedelta(days=1)

_UPDATE = "orders.update"


async def create(session: AsyncSession, request: groups_pb2.CreateGroupOrderRequest, site: Site) -> GroupOrder:
    """Open a group order; sent again, it is the same one. Raises `AlreadyExists` when another has the id."""
    principal, now = call.current().principal, clock.now()
    deadline = _deadline(request.deadline) if request.HasField("deadline") else now + DEADLINE_USUAL
    group_id = UUID(request.id) if request.HasField("id") else uuid7()
    row: dict[str, Any] = {
        "tenant_id": principal.tenant,
        "id": group_id,
        "site_id": site.id,
        "site_name": site.name,
        "name": request.name,
        "host_name": request.host_name,
        "created_by": principal.name,
        "status": "open",
        "deadline": deadline,
        "due_at": deadline,
        "fingerprint": idempotency.fingerprint(request),
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }
    new = await _insert(session, row)
    group = await group_store.find(session, group_id)
    if group is None or group.fingerprint != row["fingerprint"] or group.created_by != principal.name:
        message = "another group order has this id"
        raise errors.AlreadyExists(message)
    if new:
        told = ("name", "host_name", "site_id", "deadline")
        audit.changed(session, f"group_orders/{group_id}", after={name: row[name] for name in told})
        event = events_pb2.GroupOrderCreated(group_order=group_messages.group(group))
        events.publish(session, event, subject=f"group_orders/{group_id}", audience=[f"orders:queue:{group.site_id}"])
    return group


async def _insert(session: AsyncSession, row: dict[str, Any]) -> bool:
    """Give a group order a code that is free; false when its id is taken."""
    for _ in range(CODES_MAX):
        code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
        if await group_store.insert(session, {**row, "code": code}):
            return True
        if await group_store.find(session, row["id"]) is not None:
            return False
    message = "no code is free"
    raise errors.Unavailable(message, retry_after_s=1)


def _deadline(given: Timestamp) -> datetime:
    deadline, now = given.ToDatetime(UTC), clock.now()
    if not now < deadline <= now + DEADLINE_MAX:
        raise errors.Invalid(fields={"deadline": [f"must be within the next {DEADLINE_MAX.days} days"]})
    return deadline


async def get(session: AsyncSession, group_id: UUID) -> GroupOrder:
    """A group order that the caller may see. Raises `NotFound`."""
    return _visible(await group_store.find(session, group_id))


def _visible(group: GroupOrder | None) -> GroupOrder:
    if group is None or not call.current().principal.may_see_site(group.site_id):
        raise errors.NotFound
    return group


async def manage(session: AsyncSession, group_id: UUID) -> GroupOrder:
    """A group order that the caller may change, held. Raises `NotFound`, `Denied` or `StaleVersion`."""
    group = _visible(await group_store.lock(session, group_id))
    principal = call.current().principal
    if group.created_by != principal.name and not principal.may(_UPDATE):
        raise errors.Denied.missing(_UPDATE)
    call.current().require_version(group.version)
    return group


async def participant_of(session: AsyncSession, group_id: UUID, participant_id: UUID) -> GroupParticipant:
    """Somebody who joined. Raises `NotFound`."""
    found = await group_store.participant(session, group_id, participant_id)
    if found is None:
        raise errors.NotFound
    return found


def closed() -> errors.Conflict:
    """The refusal of whoever is too late."""
    message = "the group order is not open any more"
    return errors.Conflict(message, code="GROUP_ORDER_CLOSED")


async def remove(session: AsyncSession, group_id: UUID, participant_id: UUID) -> None:
    """Take somebody out of a group order that is not submitted."""
    group = await manage(session, group_id)
    participant = await participant_of(session, group_id, participant_id)
    if group.status not in {"open", "locked"}:
        raise closed()
    group.participant_count -= 1
    group.line_count -= participant.line_count
    await session.delete(participant)
    await _changed(session, group)


async def lock(session: AsyncSession, group_id: UUID) -> GroupOrder:
    """Let nobody join or change anything any more."""
    group = await manage(session, group_id)
    if group.status != "locked":
        _require(group, "locked", "open")
        await _lock(session, group)
    return group


async def _lock(session: AsyncSession, group: GroupOrder) -> None:
    group.status = "locked"
    group.due_at = max(group.deadline, clock.now()) + FORGOTTEN
    await _changed(session, group)


async def unlock(session: AsyncSession, request: groups_pb2.UnlockGroupOrderRequest) -> GroupOrder:
    """Let people join again."""
    group = await manage(session, UUID(request.id))
    until = _deadline(request.deadline) if request.HasField("deadline") else group.deadline
    if (group.status, group.deadline) == ("open", until):
        return group
    _require(group, "open", "open", "locked")
    if until <= clock.now():
        raise errors.Invalid(fields={"deadline": ["is required: the present one has passed"]})
    group.status, group.deadline, group.due_at = "open", until, until
    await _changed(session, group)
    return group


async def cancel(session: AsyncSession, group_id: UUID) -> GroupOrder:
    """Close a group order that is not submitted."""
    group = await manage(session, group_id)
    if group.status != "closed":
        _require(group, "closed", "open", "locked")
        await _close(session, group, "cancelled")
    return group


async def _close(session: AsyncSession, group: GroupOrder, outcome: str) -> None:
    group.status, group.outcome = "closed", outcome
    await _changed(session, group)


def _require(group: GroupOrder, wanted: str, *allowed: str) -> None:
    if group.status not in allowed:
        moves = {"open": ["locked", "submitted", "closed"], "locked": ["open", "submitted", "closed"]}
        raise errors.InvalidTransition.between(group.status, wanted, moves.get(group.status, []))


async def submit(session: AsyncSession, group_id: UUID, terms: orders.Wish) -> UUID:
    """Accept the order of a group order, in the transaction that submits it; submitted already, its order is told.

    `terms` is what of the wish the group order itself does not say: how it is paid, and the site's business day.
    """
    group = await manage(session, group_id)
    if group.status == "submitted":
        assert group.order_id is not None  # a constraint
        return group.order_id
    _require(group, "submitted", "open", "locked")
    participants = await group_store.participants(session, group.id)
    if not participants:
        message = "nobody has joined the group order"
        raise errors.Conflict(message, code="GROUP_ORDER_EMPTY")
    group.attempts += 1
    group.order_id = uuid5(group.id, str(group.attempts))
    group.status, group.rejection, group.rejection_message = "submitted", "", ""
    await _changed(session, group)
    await _accept(session, _wish(terms, group, participants))
    return group.order_id


async def _accept(session: AsyncSession, wish: orders.Wish) -> None:
    # The state of the group order makes the call idempotent, not a key: its next order is another one.
    same = idempotency.fingerprint(orders_pb2.PlaceOrderRequest(id=str(wish.id)))
    with call.answering(replace(call.current(), idempotency_key="", fingerprint=same)):
        await orders.accept(session, wish)


def _wish(terms: orders.Wish, group: GroupOrder, participants: Sequence[GroupParticipant]) -> orders.Wish:
    return replace(
        terms,
        site_id=group.site_id,
        lines=[_named(line, one.name) for one in participants for line in map(group_messages.line, one.lines)],
        id=group.order_id,
        group_id=group.id,
        group_code=group.code,
        customer_name=group.host_name,
        notes=group.name,
    )


def _named(line: orders_pb2.OrderLine, name: str) -> orders_pb2.OrderLine:
    line.notes = f"{name}: {line.notes}" if line.notes else name
    return line


async def refused(session: AsyncSession, group_id: UUID, order: orders_pb2.Order, message: str) -> None:
    """Lock a group order again whose order was refused, unless that was done before."""
    group = await group_store.lock(session, group_id)
    if group is not None and group.status == "submitted" and str(group.order_id) == order.id:
        group.rejection, group.rejection_message = order.rejection, message
        await _lock(session, group)


async def follow(session: AsyncSession, group_id: UUID, order: orders_pb2.Order | None, refusal: str) -> None:
    """Do what is due: lock what is late, close what nobody submitted, and what has ended with its order."""
    group = await group_store.lock(session, group_id)
    if group is None or group.status == "closed":
        return
    if group.status == "submitted":
        if order is not None and str(group.order_id) == order.id:
            await _follow_order(session, group, order, refusal)
    elif group.due_at <= clock.now():
        await (_lock(session, group) if group.status == "open" else _close(session, group, "expired"))


async def _follow_order(session: AsyncSession, group: GroupOrder, order: orders_pb2.Order, refusal: str) -> None:
    if order.rejection:
        await refused(session, group.id, order, refusal)
    elif order.status == orders_pb2.ORDER_STATUS_COMPLETED:
        await _close(session, group, "completed")
    elif order.status == orders_pb2.ORDER_STATUS_CANCELLED:
        await _close(session, group, "order_cancelled")


async def _changed(session: AsyncSession, group: GroupOrder) -> None:
    group.updated_at = clock.now()
    await session.flush()
    publish(session, group)


def publish(session: AsyncSession, group: GroupOrder) -> None:
    """Tell what a group order has become."""
    event = events_pb2.GroupOrderUpdated(group_order=group_messages.group(group))
    audience = [f"orders:queue:{group.site_id}"]
    events.publish(session, event, subject=f"group_orders/{group.id}", audience=audience, state=True)
