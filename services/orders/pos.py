"""The point of sale of a site: its connection, what it is told of orders, and what it says of them.

What is to be told stands in `forwards`, one row for an order and one for its cancellation; `services.orders.post` sends
it. The order shows how far it is (`pos_status`).
"""

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.orders.v1 import events_pb2, orders_pb2

from chassis import audit, call, clock, encryption, errors, events
from chassis.encryption import Vault
from services.orders import messages, orders, pos_store, store
from services.orders.models import Order
from services.orders.pos_models import PosConnection
from services.orders.pos_store import Due

# Longer than one try takes at most: meanwhile no other process sends the message.
LEASE = timedelta(seconds=30)
# Delays before the next try, in seconds, the last one for all further tries: some four hours in all.
DELAYS_S = (2.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0)
TRIES_MAX = 18
# The 256 bits that Standard Webhooks recommends.
SECRET_BYTES = 32
NO_CONNECTION = "NO_POS_CONNECTION"


@dataclass(frozen=True)
class Wanted:
    """A connection as it is to be."""

    provider: str
    url: str
    enabled: bool
    rotate_secret: bool = False


@dataclass(frozen=True)
class Parcel:
    """A message that is to be sent now. `claimed`: until when it is nobody else's."""

    due: Due
    tries: int
    claimed: datetime
    url: str
    secret: str
    order: orders_pb2.Order

    @property
    def message_id(self) -> str:
        """The same at each try, so that the POS knows it again."""
        return f"order_{self.due.order_id}_{self.due.kind}"


# Connections.


async def put(session: AsyncSession, vault: Vault, site_id: UUID, wanted: Wanted) -> tuple[PosConnection, str]:
    """Set up a connection or change it; with it the secret, if it is a new one."""
    row = await pos_store.lock_connection(session, site_id)
    if row is None:
        call.current().require_version(0)
        secret = await _open(session, vault, site_id, wanted)
        row = await pos_store.lock_connection(session, site_id)
        assert row is not None  # just inserted, or by another who was faster
        if secret:
            return row, secret
    call.current().require_version(row.version)
    secret = _new_secret() if wanted.rotate_secret else ""
    _note_host(session, row.site_id, before=row.url, after=wanted.url)
    changes = {"provider": wanted.provider, "url": wanted.url, "enabled": wanted.enabled}
    for name, value in changes.items():
        if getattr(row, name) != value:
            setattr(row, name, value)
            row.updated_at = clock.now()
    if secret:
        row.secret, row.updated_at = vault.seal(secret.encode(), _about(row)), clock.now()
    if session.is_modified(row):
        await session.flush()
        _tell_connection(session, row)
    return row, secret


async def delete(session: AsyncSession, site_id: UUID) -> None:
    """Take a connection away. Raises `NotFound`."""
    row = await pos_store.lock_connection(session, site_id)
    if row is None:
        raise errors.NotFound
    call.current().require_version(row.version)
    await session.delete(row)
    _tell_connection(session, row, deleted=True)


async def _open(session: AsyncSession, vault: Vault, site_id: UUID, wanted: Wanted) -> str:
    """Insert a connection; its secret, or nothing when another call was faster."""
    tenant, now, secret = events.of(session).principal.tenant, clock.now(), _new_secret()
    row = {"tenant_id": tenant, "site_id": site_id, "version": 1, "created_at": now, "updated_at": now}
    told = {"provider": wanted.provider, "enabled": wanted.enabled}
    connection = PosConnection(**row, **told, url=wanted.url)
    sealed = vault.seal(secret.encode(), _about(connection))
    if not await pos_store.insert_connection(session, {**row, **told, "url": wanted.url, "secret": sealed}):
        return ""
    host = urlsplit(wanted.url).netloc
    audit.changed(session, f"pos_connections/{site_id}", after={**told, "host": host, "secret": audit.MASK})
    _tell_connection(session, connection)
    return secret


def _tell_connection(session: AsyncSession, row: PosConnection, *, deleted: bool = False) -> None:
    event = events_pb2.PosConnectionChanged(site_id=str(row.site_id), enabled=row.enabled and not deleted)
    events.publish(session, event, subject=f"pos_connections/{row.site_id}", audience=["tenant"])


def _note_host(session: AsyncSession, site_id: UUID, *, before: str, after: str) -> None:
    hosts = urlsplit(before).netloc, urlsplit(after).netloc
    if hosts[0] != hosts[1]:
        audit.changed(session, f"pos_connections/{site_id}", before={"host": hosts[0]}, after={"host": hosts[1]})


def _new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"


def _about(row: PosConnection) -> str:
    return f"pos_connections/{row.tenant_id}/{row.site_id}"


# Orders that are to be told.


async def begin(session: AsyncSession, order_id: UUID) -> None:
    """Let a queued order be told, where its site has a POS."""
    order = await store.lock(session, order_id)
    # An order that has been cancelled by now was never told, and need not be.
    if order is None or order.status in {"draft", "cancelled"}:
        return
    if await pos_store.enabled(session, order.site_id) and await _insert(session, order, "placed", clock.now()):
        await _show(session, order, "pending")


async def withdraw(session: AsyncSession, order_id: UUID) -> None:
    """Let a cancellation be told, if the order was; an order that was not need not be told any more."""
    order = await store.lock(session, order_id)
    placed = await pos_store.forward(session, order_id, "placed")
    if order is None or placed is None:
        return
    now, waits_until = clock.now(), clock.now()
    if placed.state == "pending":
        # On its way, perhaps: the cancellation must not overtake it.
        waits_until = min(placed.due_at, now + LEASE)
        await pos_store.settle(session, Due(order.tenant_id, order_id, "placed"), state="withdrawn", at=now)
        if placed.tries == 0:
            await _show(session, order, "none")
            return
    await _insert(session, order, "cancelled", max(waits_until, now))


async def again(session: AsyncSession, order_id: UUID) -> None:
    """Let an order, or its cancellation, be told once more. Raises `NotFound`, `Conflict`, `InvalidTransition`."""
    order = await store.lock(session, order_id)
    if order is None or not orders.visible(order.site_id, order.placed_by, call.current().principal):
        raise errors.NotFound
    if not await pos_store.enabled(session, order.site_id):
        message = "the site has no enabled connection to a POS"
        raise errors.Conflict(message, code=NO_CONNECTION)
    kind, now = ("cancelled" if order.status == "cancelled" else "placed"), clock.now()
    known = await pos_store.again(session, order_id, kind, at=now)
    if not known and (order.status in {"draft", "cancelled"} or not await _insert(session, order, kind, now)):
        raise errors.InvalidTransition.between(order.pos_status, "pending", [])
    audit.about(session, f"orders/{order_id}")
    if kind == "placed":
        await _show(session, order, "pending")


async def confirm(session: AsyncSession, order_id: UUID, verdict: str, reference: str) -> None:
    """Keep what the POS says. Raises `NotFound`, `Conflict` for what it was not told, `InvalidTransition`."""
    order = await store.lock(session, order_id)
    if order is None or not call.current().principal.may_see_site(order.site_id):
        raise errors.NotFound
    if await _answer(session, order, verdict, reference):
        return
    known = await pos_store.forward(session, order_id, "placed")
    if known is None:
        message = "the order was not told to a POS"
        raise errors.Conflict(message, code="NOT_FORWARDED")
    if known.state != verdict or (reference and order.pos_reference not in {"", reference}):
        raise errors.InvalidTransition.between(known.state, verdict, [])
    if reference and not order.pos_reference:
        await _show(session, order, verdict, reference)


async def _answer(session: AsyncSession, order: Order, verdict: str, reference: str) -> bool:
    changed = await pos_store.answer(session, order.id, verdict, at=clock.now())
    if changed:
        await _show(session, order, verdict, reference)
    return changed


async def _insert(session: AsyncSession, order: Order, kind: str, due_at: datetime) -> bool:
    now = clock.now()
    row = {"tenant_id": order.tenant_id, "order_id": order.id, "kind": kind, "site_id": order.site_id}
    times = {"due_at": due_at, "created_at": now, "updated_at": now}
    return await pos_store.insert(session, {**row, **times, "state": "pending", "tries": 0, "error": ""})


async def _show(session: AsyncSession, order: Order, status: str, reference: str = "") -> None:
    """Let the order show how far it is, and tell the world; what it shows already is not told again."""
    if (order.pos_status, order.pos_reference) == (status, reference or order.pos_reference):
        return
    order.pos_status, order.updated_at = status, clock.now()
    order.pos_reference = reference or order.pos_reference
    row = await store.shown(session, order.id)
    kind = events_pb2.OrderConfirmed if status == "confirmed" else events_pb2.OrderPosStatusChanged
    event = kind(order=messages.order(row))
    events.publish(session, event, subject=f"orders/{order.id}", audience=messages.audience(row))


# Sending.


async def take(session: AsyncSession, vault: Vault, due: Due) -> Parcel | None:
    """Something due, for the time of the lease this process's alone; nothing, when it is not to be sent by now."""
    now = clock.now()
    # The order first, here as everywhere, so that nobody waits for each other.
    await store.lock(session, due.order_id)
    tries = await pos_store.claim(session, due, at=now, until=now + LEASE)
    if tries is None:
        return None
    row = await store.shown(session, due.order_id)
    connection = await pos_store.connection(session, row["site_id"])
    if connection is None or not connection.enabled:
        await _fail(session, due, NO_CONNECTION)
        return None
    try:
        secret = vault.open(connection.secret, _about(connection)).decode()
    except encryption.Unreadable:
        await _fail(session, due, "SECRET_UNREADABLE")
        return None
    return Parcel(due, tries, now + LEASE, connection.url, secret, messages.order(row))


async def sent(session: AsyncSession, parcel: Parcel, verdict: str, reference: str) -> None:
    """Keep that the POS has taken a message, and what it has said at once."""
    order = await store.lock(session, parcel.due.order_id)
    assert order is not None  # forwards hang on their orders by a foreign key
    now = clock.now()
    if parcel.due.kind == "cancelled":
        if await pos_store.settle(session, parcel.due, state="sent", at=now) and order.pos_status == "failed":
            await _show(session, order, "sent")
        return
    await pos_store.hasten(session, order.id, at=now)
    if verdict:
        await _answer(session, order, verdict, reference)
    elif await pos_store.settle(session, parcel.due, state="sent", at=now):
        await _show(session, order, "sent")


async def not_sent(session: AsyncSession, parcel: Parcel, error: str, *, wait_s: float = 0.0) -> bool:
    """Try again later, or give up; whether it was given up."""
    await store.lock(session, parcel.due.order_id)
    await pos_store.hasten(session, parcel.due.order_id, at=clock.now())
    if parcel.tries >= TRIES_MAX:
        await _fail(session, parcel.due, error)
        return True
    delay = max(wait_s, DELAYS_S[min(parcel.tries, len(DELAYS_S)) - 1])
    due_at = clock.now() + timedelta(seconds=delay)
    await pos_store.put_off(session, parcel.due, claimed=parcel.claimed, due_at=due_at, error=error)
    return False


async def _fail(session: AsyncSession, due: Due, error: str) -> None:
    order = await store.lock(session, due.order_id)
    assert order is not None  # forwards hang on their orders by a foreign key
    if await pos_store.settle(session, due, state="failed", at=clock.now(), error=error):
        await _show(session, order, "failed")
