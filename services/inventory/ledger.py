"""The ledger: stock changes by movements alone, and every change keeps the balance in the same transaction."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import events_pb2
from switchyard.inventory.v1 import inventory_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import call, clock, errors, events
from services.inventory import inventory, store
from services.inventory.models import NEVER, Balance, Batch, Item, Movement

# Where lies what came in without a lot.
UNDATED_LOT = "-"
OUT = (pb.MOVEMENT_TYPE_DEDUCT, pb.MOVEMENT_TYPE_WASTE)


@dataclass(frozen=True)
class Taking:
    """A quantity of one batch, and why of this one."""

    batch: Batch
    quantity: int
    reason: str


async def receive_batch(session: AsyncSession, item_id: str, told: pb.Batch) -> Batch:
    """A new lot and the movement that brings it in. Raises `NotFound`, `AlreadyExists` when the lot is known."""
    item, balance = await _open(session, item_id, told.site_id)
    expires_at = told.expires_at.ToDatetime(clock.now().tzinfo) if told.HasField("expires_at") else NEVER
    batch = await _new_batch(session, balance, lot=told.lot, quantity=told.quantity, expires_at=expires_at)
    move(session, balance, batch, told.quantity, kind=pb.MOVEMENT_TYPE_RECEIVE, reason=f"lot {told.lot}")
    await told_of(session, item, balance)
    return batch


async def record(session: AsyncSession, item_id: str, told: pb.Movement) -> list[Movement]:
    """A movement that a person makes; over several batches it is several rows.

    Raises `NotFound` for item, site or batch, `Conflict` (`INSUFFICIENT_STOCK`) when more would go than is available.
    """
    item, balance = await _open(session, item_id, told.site_id)
    batch_id = UUID(told.batch_id) if told.HasField("batch_id") else None
    goes = told.type in OUT or told.quantity < 0
    if goes:
        takings = await take(session, balance, abs(told.quantity), batch_id=batch_id, sku=item.sku)
        rows = [
            move(session, balance, taking.batch, -taking.quantity, kind=told.type, reason=told.reason)
            for taking in takings
        ]
    else:
        batch = await _where_it_comes_in(session, balance, batch_id)
        rows = [move(session, balance, batch, told.quantity, kind=told.type, reason=told.reason)]
    await told_of(session, item, balance)
    return rows


async def take(
    session: AsyncSession, balance: Balance, quantity: int, *, batch_id: UUID | None = None, sku: str
) -> list[Taking]:
    """Which batches a quantity comes from: the one named, or first expiry first, then first in.

    Raises `Conflict` (`INSUFFICIENT_STOCK`) unless all of it is available.
    """
    if batch_id is None:
        batches = await store.sellable(session, item_id=balance.item_id, site_id=balance.site_id, at=clock.now())
    else:
        batches = [await _named_batch(session, balance, batch_id)]
    takings, missing = [], quantity
    for batch in batches:
        taken = min(missing, batch.on_hand - batch.reserved)
        if taken > 0:
            reason = "first_in" if batch.expires_at >= NEVER else "first_expiry"
            takings.append(Taking(batch, taken, reason))
            missing -= taken
    if missing:
        raise insufficient(sku, wanted=quantity, available=quantity - missing)
    return takings


def move(
    session: AsyncSession,
    balance: Balance,
    batch: Batch,
    quantity: int,
    *,
    kind: int,
    reason: str,
    order_id: UUID | None = None,
) -> Movement:
    """One row of the ledger, and what it does to its batch and balance, which the caller has locked."""
    batch.on_hand += quantity
    balance.on_hand += quantity
    row = Movement(
        tenant_id=balance.tenant_id,
        id=uuid7(),
        item_id=balance.item_id,
        site_id=balance.site_id,
        batch_id=batch.id,
        type=kind,
        quantity=quantity,
        balance_after=balance.on_hand,
        reason=reason,
        order_id=order_id,
        recorded_at=clock.now(),
    )
    session.add(row)
    return row


async def told_of(session: AsyncSession, item: Item, balance: Balance, *, order_id: str = "") -> None:
    """Publish what has become of an item's stock at a site, and raise the alerts that are due."""
    told = {"item_id": str(item.id), "sku": item.sku, "site_id": str(balance.site_id)}
    subject, audience = f"items/{item.id}", [f"site:{balance.site_id}"]
    moved = events_pb2.StockMoved(
        **told, on_hand=balance.on_hand, reserved=balance.reserved, available=balance.available, order_id=order_id
    )
    events.publish(session, moved, subject=subject, audience=audience)
    if balance.on_hand == 0:
        events.publish(session, events_pb2.StockDepleted(**told), subject=subject, audience=audience)
    is_low = balance.available < item.low_stock_threshold
    if is_low and not balance.is_low:
        low = events_pb2.LowStock(**told, available=balance.available, threshold=item.low_stock_threshold)
        events.publish(session, low, subject=subject, audience=audience)
    balance.is_low = is_low
    await session.flush()


async def verify(session: AsyncSession, item_id: str) -> pb.LedgerVerification:
    """Recompute an item's balances from its ledger and its reservations. Raises `NotFound`."""
    item = await inventory.get(session, item_id)
    sums = await store.ledger_sums(session, item.id)
    agree = sums.moved == sums.on_hand == sums.in_batches and sums.held == sums.reserved
    return pb.LedgerVerification(
        consistent=agree and not await store.disagreements(session, item.id),
        ledger_quantity=int(sums.moved),
        balance_quantity=int(sums.on_hand),
        movements=sums.movements,
        reserved_by_reservations=int(sums.held),
        reserved_in_balances=int(sums.reserved),
    )


def insufficient(sku: str, *, wanted: int, available: int) -> errors.Conflict:
    """There is not enough."""
    fields = {sku: [f"{wanted} wanted, {available} available"]}
    return errors.Conflict(f"not enough stock of {sku}", code="INSUFFICIENT_STOCK", fields=fields)


async def _open(session: AsyncSession, item_id: str, site_id: str) -> tuple[Item, Balance]:
    inventory.check_site(site_id)
    item = await inventory.get(session, item_id, keep=True)
    tenant = call.current().principal.tenant
    balances = await store.lock_balances(session, tenant=tenant, site_id=UUID(site_id), item_ids=[item.id])
    return item, balances[item.id]


async def _where_it_comes_in(session: AsyncSession, balance: Balance, batch_id: UUID | None) -> Batch:
    if batch_id is not None:
        return await _named_batch(session, balance, batch_id)
    known = await store.lot(session, item_id=balance.item_id, site_id=balance.site_id, name=UNDATED_LOT)
    return known or await _new_batch(session, balance, lot=UNDATED_LOT, quantity=0, expires_at=NEVER)


async def _named_batch(session: AsyncSession, balance: Balance, batch_id: UUID) -> Batch:
    batch = await store.batch(session, item_id=balance.item_id, site_id=balance.site_id, batch_id=batch_id)
    if batch is None:
        raise errors.NotFound
    return batch


async def _new_batch(
    session: AsyncSession, balance: Balance, *, lot: str, quantity: int, expires_at: datetime
) -> Batch:
    batch = Batch(
        tenant_id=balance.tenant_id,
        id=uuid7(),
        item_id=balance.item_id,
        site_id=balance.site_id,
        lot=lot,
        quantity=quantity,
        on_hand=0,
        reserved=0,
        status=pb.BATCH_STATUS_AVAILABLE,
        expires_at=expires_at,
        received_at=clock.now(),
    )
    session.add(batch)
    await session.flush()
    return batch
