"""Bulk orders: accepted as a whole, placed one by one by whoever looks after them.

The order of an entry has an id that follows from the bulk order's and its position: placing it again, after a crash at
any point, is placing the same order.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from google.protobuf import json_format
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.orders.v1 import bulk_pb2, events_pb2, orders_pb2
from uuid_utils.compat import uuid7

from chassis import audit, call, clock, errors, events, idempotency
from services.orders import bulk_messages, bulk_store
from services.orders.bulk_models import BulkOrder
from services.orders.orders import Wish

# Nobody else looks after a bulk order for so long; renewed with every handful of orders. Longer than placing one may
# take, all tries included.
LEASE = timedelta(seconds=30)
# Delay after the n-th round in which nothing could be placed, and between looks at how far the orders are.
_DELAY_MIN, _DELAY_MAX = timedelta(seconds=1), timedelta(seconds=60)
FINAL = frozenset({"completed", "cancelled"})


async def create(session: AsyncSession, request: bulk_pb2.CreateBulkOrderRequest) -> BulkOrder:
    """Accept a bulk order; sent again, it is the same one. Raises `AlreadyExists` when another has the id."""
    fingerprint, created_by = idempotency.fingerprint(request), call.current().principal.name
    bulk_id = UUID(request.id) if request.HasField("id") else uuid7()
    row = {**_row(bulk_id, request), "fingerprint": fingerprint, "created_by": created_by}
    entries = [_entry(row, position, entry) for position, entry in enumerate(request.orders)]
    new = await bulk_store.insert(session, row, entries)
    bulk = await bulk_store.find(session, bulk_id)
    if bulk is None or bulk.fingerprint != fingerprint or bulk.created_by != created_by:
        message = "another bulk order has this id"
        raise errors.AlreadyExists(message)
    if new:
        told = ("name", "organisation", "event", "site_id", "owner_id", "order_count")
        audit.changed(session, f"bulk_orders/{bulk_id}", after={name: row[name] for name in told})
        await _tell(session, bulk, {"waiting": bulk.order_count})
    return bulk


def _row(bulk_id: UUID, request: bulk_pb2.CreateBulkOrderRequest) -> dict[str, Any]:
    principal, now = call.current().principal, clock.now()
    owner = request.owner_id or (principal.id if principal.kind == "user" else "")
    return {
        "tenant_id": principal.tenant,
        "id": bulk_id,
        "site_id": UUID(request.site_id),
        "name": request.name,
        "organisation": request.organisation,
        "event": request.event,
        "owner_id": UUID(owner) if owner else None,
        "wanted_at": request.due_at.ToDatetime(UTC) if request.HasField("due_at") else None,
        "status": "placing",
        "order_count": len(request.orders),
        "due_at": now,
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }


def _entry(bulk: dict[str, Any], position: int, entry: bulk_pb2.BulkEntry) -> dict[str, object]:
    return {
        "tenant_id": bulk["tenant_id"],
        "bulk_id": bulk["id"],
        "position": position,
        "order_id": uuid5(bulk["id"], str(position)),
        "customer_name": entry.customer_name,
        "notes": entry.notes,
        "lines": [json_format.MessageToDict(line, preserving_proto_field_name=True) for line in entry.lines],
        "state": "waiting",
    }


async def get(session: AsyncSession, bulk_id: UUID) -> BulkOrder:
    """A bulk order that the caller may see. Raises `NotFound`."""
    return _visible(await bulk_store.find(session, bulk_id))


def _visible(bulk: BulkOrder | None) -> BulkOrder:
    if bulk is None or not call.current().principal.may_see_site(bulk.site_id):
        raise errors.NotFound
    return bulk


async def progress(session: AsyncSession, bulk_id: UUID) -> bulk_pb2.BulkOrderProgress:
    """How far a bulk order is, and what failed. Raises `NotFound`."""
    bulk = await get(session, bulk_id)
    found = await _progress(session, bulk, await bulk_store.counts(session, bulk_id))
    found.failures.extend(bulk_messages.failures(await bulk_store.refused(session, bulk_id)))
    return found


async def _progress(session: AsyncSession, bulk: BulkOrder, counts: dict[str, int]) -> bulk_pb2.BulkOrderProgress:
    first = bulk_store.first_waiting if counts.get("waiting") else bulk_store.oldest_order
    return bulk_messages.progress(bulk, counts, await first(session, bulk.id))


async def cancel(session: AsyncSession, bulk_id: UUID) -> BulkOrder:
    """Let what nobody has tried yet never be placed; whoever looks after it cancels what can be cancelled."""
    bulk = _visible(await bulk_store.lock(session, bulk_id))
    call.current().require_version(bulk.version)
    if bulk.status in {"cancelling", "cancelled"}:
        return bulk
    if bulk.status in FINAL:
        raise errors.InvalidTransition.between(bulk.status, "cancelled", [])
    bulk.status = "cancelling"
    await bulk_store.withdraw(session, bulk_id)
    await bulk_store.put_off(session, bulk_id, until=clock.now())
    await _settle(session, bulk, changed=True)
    return bulk


# What whoever looks after a bulk order does.


def wish(bulk: Any, entry: Any) -> Wish:
    """The order of an entry."""
    return Wish(
        site_id=bulk.site_id,
        lines=[json_format.ParseDict(line, orders_pb2.OrderLine()) for line in entry.lines],
        id=entry.order_id,
        bulk_id=bulk.id,
        customer_name=entry.customer_name,
        notes=entry.notes,
    )


async def claim(session: AsyncSession, bulk_id: UUID) -> Any:
    """Take a due bulk order for oneself; nothing when another was faster."""
    now = clock.now()
    return await bulk_store.claim(session, bulk_id, at=now, until=now + LEASE)


async def take(session: AsyncSession, bulk_id: UUID, *, since: datetime, most: int) -> list[Any]:
    """The next entries to place, of those that were not tried since a time. They cannot be withdrawn any more."""
    # Held, so that a cancellation comes before or after.
    await bulk_store.lock(session, bulk_id)
    now = clock.now()
    await bulk_store.put_off(session, bulk_id, until=now + LEASE)
    return await bulk_store.take(session, bulk_id, since=since, now=now, most=most)


def refused(position: int, failure: errors.Error) -> dict[str, object]:
    """The outcome of an entry that cannot be placed."""
    told = "; ".join(f"{field}: {', '.join(said)}" for field, said in failure.fields.items())
    message = f"{failure.message} ({told})" if told else failure.message
    return {"of_position": position, "new_state": "refused", "new_code": failure.code, "new_message": message}


def placed(position: int) -> dict[str, object]:
    """The outcome of an entry that is an order now."""
    return {"of_position": position, "new_state": "placed", "new_code": "", "new_message": ""}


async def record(session: AsyncSession, bulk_id: UUID, outcomes: Sequence[dict[str, object]]) -> None:
    """Keep what became of entries."""
    bulk = await bulk_store.lock(session, bulk_id)
    assert bulk is not None  # bulk orders are never deleted
    if outcomes:
        await bulk_store.end(session, bulk_id, outcomes)
    await _settle(session, bulk)


async def rest(session: AsyncSession, bulk_id: UUID, *, in_vain: bool) -> None:
    """Say when to look again: at once while there is something to place, later while it is in vain."""
    bulk = await bulk_store.lock(session, bulk_id)
    assert bulk is not None  # bulk orders are never deleted
    waiting = bool(await bulk_store.first_waiting(session, bulk_id))
    now, tries = clock.now(), bulk.tries + 1 if in_vain else 0
    delay = timedelta(0)
    if in_vain:
        delay = min(_DELAY_MAX, _DELAY_MIN * 2 ** min(tries, 6))
    elif not waiting:
        # A tenth of the time in which nothing happened: what rests for a day is looked at every minute.
        delay = min(_DELAY_MAX, max(_DELAY_MIN, (now - bulk.updated_at) / 10))
    await bulk_store.put_off(session, bulk_id, until=now + delay, tries=tries)


async def look_soon(session: AsyncSession, bulk_id: UUID) -> None:
    """One of its orders has ended: let somebody see how far it is."""
    await bulk_store.hasten(session, bulk_id, until=clock.now())


async def _settle(session: AsyncSession, bulk: BulkOrder, *, changed: bool = False) -> None:
    """Bring percentages and state to what the entries and their orders are, and tell it if it is news."""
    counts = await bulk_store.counts(session, bulk.id)
    placed_percent, ended_percent = bulk_messages.percentages(bulk, counts)
    status = _status(bulk, counts)
    before = (bulk.placed_percent, bulk.ended_percent, bulk.status)
    if not changed and before == (placed_percent, ended_percent, status):
        return
    bulk.placed_percent, bulk.ended_percent, bulk.status = placed_percent, ended_percent, status
    bulk.version, bulk.updated_at = bulk.version + 1, clock.now()
    await session.flush()
    await _tell(session, bulk, counts)


def _status(bulk: BulkOrder, counts: dict[str, int]) -> str:
    if bulk.status not in FINAL and bulk_store.ended(counts) == bulk.order_count:
        return "cancelled" if bulk.status == "cancelling" else "completed"
    return "placed" if bulk.status == "placing" and not counts.get("waiting") else bulk.status


async def _tell(session: AsyncSession, bulk: BulkOrder, counts: dict[str, int]) -> None:
    event = events_pb2.BulkOrderProgressed(progress=await _progress(session, bulk, counts))
    owner = [f"user:{bulk.owner_id}"] if bulk.owner_id else []
    audience = [f"orders:queue:{bulk.site_id}", *owner]
    events.publish(session, event, subject=f"bulk_orders/{bulk.id}", audience=audience, state=True)
