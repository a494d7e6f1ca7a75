"""Lots: received, held back and freed, and told of before they expire."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import events_pb2
from switchyard.inventory.v1 import inventory_pb2 as pb

from chassis import call, clock, errors, events
from services.inventory import ledger, messages, store
from services.inventory.models import NEVER, UNTOLD_DAYS, Balance, Batch, Item

# Of how many days before its expiry the world is told; 0: it has expired.
WARN_DAYS = (7, 3, 1, 0)


async def receive(session: AsyncSession, item_id: str, told: pb.Batch) -> Batch:
    """A new lot and the movement that brings it in. Raises `NotFound`, `AlreadyExists` when the lot is known."""
    if told.lot == ledger.UNDATED_LOT:
        raise errors.Invalid(fields={"batch.lot": ["is the name of what comes in without a lot"]})
    status = told.status or pb.BATCH_STATUS_AVAILABLE
    _check_reason(status, told.reason)
    item, balance = await ledger.open_balance(session, item_id, told.site_id)
    held = {"status": status, "reason": told.reason}
    batch = await ledger.new_batch(session, balance, lot=told.lot, expires_at=_expiry(told), **held)
    ledger.move(session, balance, batch, told.quantity, kind=pb.MOVEMENT_TYPE_RECEIVE, reason=f"lot {told.lot}")
    ledger.tell(session, item, balance)
    return batch


async def get(session: AsyncSession, batch_id: str | UUID) -> Batch:
    """One batch, as it is now. Raises `NotFound`."""
    row = await store.batch_by_id(session, UUID(str(batch_id)))
    if row is None or not call.current().principal.may_see_site(row.site_id):
        raise errors.NotFound
    return row


async def change(session: AsyncSession, batch_id: str, told: pb.Batch, paths: Sequence[str]) -> Batch:
    """Hold a batch back, free it, correct its expiry. Raises `NotFound`, `StaleVersion`, `Invalid`."""
    item, balance, row = await _lock(session, batch_id)
    call.current().require_version(row.version)
    if "status" in paths:
        row.status = told.status or pb.BATCH_STATUS_AVAILABLE
    if "reason" in paths or row.status == pb.BATCH_STATUS_AVAILABLE:
        row.reason = told.reason
    _check_reason(row.status, row.reason)
    if "expires_at" in paths and row.expires_at != _expiry(told):
        # It is news again.
        row.expires_at, row.told_days = _expiry(told), UNTOLD_DAYS
    if session.is_modified(row):
        await session.flush()
        event = events_pb2.BatchStatusChanged(batch=messages.batch(row), sku=item.sku)
        events.publish(session, event, subject=f"batches/{row.id}", audience=[f"site:{row.site_id}"])
        await _tell_of_what_is_left(session, item, balance, row)
    return row


async def warn(session: AsyncSession, batch_id: UUID) -> None:
    """Tell that a batch expires soon or has, unless that was told already."""
    item, balance, row = await _lock(session, batch_id)
    now = clock.now()
    days = min((each for each in WARN_DAYS if row.expires_at <= now + timedelta(days=each)), default=UNTOLD_DAYS)
    if days >= row.told_days or not row.on_hand:
        return
    row.told_days = days
    await session.flush()
    event = events_pb2.BatchExpiring(
        batch_id=str(row.id),
        lot=row.lot,
        item_id=str(item.id),
        sku=item.sku,
        site_id=str(row.site_id),
        on_hand=row.on_hand,
        expires_at=messages.moment(row.expires_at),
        within_days=days,
    )
    events.publish(session, event, subject=f"batches/{row.id}", audience=[f"site:{row.site_id}"])
    if days == 0:
        await _tell_of_what_is_left(session, item, balance, row)


async def _lock(session: AsyncSession, batch_id: str | UUID) -> tuple[Item, Balance, Batch]:
    """A batch under its balance's lock. Raises `NotFound`."""
    row = await get(session, batch_id)
    item = (await store.items_by_id(session, [row.item_id]))[row.item_id]
    balances = await store.lock_balances(session, tenant=row.tenant_id, site_id=row.site_id, item_ids=[row.item_id])
    return item, balances[row.item_id], await get(session, row.id)


async def _tell_of_what_is_left(session: AsyncSession, item: Item, balance: Balance, row: Batch) -> None:
    """What may be sold is another quantity than before, though nothing moved."""
    if row.on_hand:
        await session.refresh(balance, ["held_back"])
        ledger.tell(session, item, balance)


def _expiry(told: pb.Batch) -> datetime:
    expires_at: Timestamp = told.expires_at
    return expires_at.ToDatetime(UTC) if told.HasField("expires_at") else NEVER


def _check_reason(status: int, reason: str) -> None:
    if status != pb.BATCH_STATUS_AVAILABLE and not reason:
        raise errors.Invalid(fields={"batch.reason": ["says why the batch is held back"]})
