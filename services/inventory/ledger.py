"""The ledger: stock changes by movements alone, and every change keeps the balance in the same transaction."""

from collections.abc import Iterable, Mapping
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
# What may not be sold is there all the same: it is thrown away, and it is counted.
_OF_ALL = (pb.MOVEMENT_TYPE_WASTE, pb.MOVEMENT_TYPE_ADJUST)


@dataclass(frozen=True)
class Taking:
    """A quantity of one batch, and why of this one."""

    batch: Batch
    quantity: int
    reason: str


async def receive_batch(session: AsyncSession, item_id: str, told: pb.Batch) -> Batch:
    """A new lot and the movement that brings it in. Raises `NotFound`, `AlreadyExists` when the lot is known."""
    if told.lot == UNDATED_LOT:
        raise errors.Invalid(fields={"batch.lot": ["is the name of what comes in without a lot"]})
    item, balance = await _open(session, item_id, told.site_id)
    expires_at = told.expires_at.ToDatetime(clock.now().tzinfo) if told.HasField("expires_at") else NEVER
    batch = await new_batch(session, balance, lot=told.lot, expires_at=expires_at)
    move(session, balance, batch, told.quantity, kind=pb.MOVEMENT_TYPE_RECEIVE, reason=f"lot {told.lot}")
    tell(session, item, balance)
    return batch


async def record(session: AsyncSession, item_id: str, told: pb.Movement) -> list[Movement]:
    """A movement that a person makes; over several batches it is several rows.

    Raises `NotFound` for item, site or batch, `Conflict` (`INSUFFICIENT_STOCK`) when more would go than is available.
    """
    item, balance = await _open(session, item_id, told.site_id)
    batch_id = UUID(told.batch_id) if told.HasField("batch_id") else None
    goes = told.type in OUT or told.quantity < 0
    if goes:
        batches = await _where_it_may_come_from(session, balance, batch_id, kind=told.type)
        takings = take(batches, abs(told.quantity), sku=item.sku)
        rows = [
            move(session, balance, taking.batch, -taking.quantity, kind=told.type, reason=told.reason)
            for taking in takings
        ]
    else:
        batch = await _where_it_comes_in(session, balance, batch_id)
        rows = [move(session, balance, batch, told.quantity, kind=told.type, reason=told.reason)]
    tell(session, item, balance)
    return rows


def pick(batches: Iterable[Batch], quantity: int) -> tuple[list[Taking], int]:
    """Which of some batches, in their order, a quantity comes from, and how much of it none of them has."""
    takings, missing = [], quantity
    for batch in batches:
        taken = min(missing, batch.on_hand - batch.reserved)
        if taken > 0:
            takings.append(Taking(batch, taken, why(batch)))
            missing -= taken
    return takings, missing


def take(batches: Iterable[Batch], quantity: int, *, sku: str) -> list[Taking]:
    """As `pick`. Raises `Conflict` (`INSUFFICIENT_STOCK`) unless all of it is available."""
    takings, missing = pick(batches, quantity)
    if missing:
        raise insufficient({sku: (quantity, quantity - missing)})
    return takings


def why(batch: Batch) -> str:
    """Why a batch stands where it does in the order of picking."""
    return "first_in" if batch.expires_at >= NEVER else "first_expiry"


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
    if kind == pb.MOVEMENT_TYPE_RECEIVE:
        batch.quantity += quantity
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


def tell(session: AsyncSession, item: Item, balance: Balance, *, order_id: str = "") -> None:
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


async def verify(session: AsyncSession, item_id: str) -> pb.LedgerVerification:
    """Recompute an item's batches and balances, at the caller's sites, from its ledger and reservations.

    Raises `NotFound`.
    """
    item = await inventory.get(session, item_id)
    sums = await store.ledger_sums(session, item.id, call.current().principal.sites)
    return pb.LedgerVerification(
        consistent=not sums.wrong,
        ledger_quantity=int(sums.moved),
        balance_quantity=int(sums.on_hand),
        movements=int(sums.movements),
        reserved_by_reservations=int(sums.held),
        reserved_in_balances=int(sums.reserved),
    )


def insufficient(short: Mapping[str, tuple[int, int]]) -> errors.Conflict:
    """There is not enough: by SKU, how much was wanted and how much there is."""
    fields = {sku: [f"{wanted} wanted, {available} available"] for sku, (wanted, available) in short.items()}
    return errors.Conflict(f"not enough stock of {', '.join(short)}", code="INSUFFICIENT_STOCK", fields=fields)


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
    return known or await new_batch(session, balance, lot=UNDATED_LOT, expires_at=NEVER)


async def _where_it_may_come_from(
    session: AsyncSession, balance: Balance, batch_id: UUID | None, *, kind: int
) -> list[Batch]:
    if batch_id is not None:
        return [await _named_batch(session, balance, batch_id)]
    at = None if kind in _OF_ALL else clock.now()
    found = await store.in_picking_order(session, item_ids=[balance.item_id], site_id=balance.site_id, sellable_at=at)
    return found[balance.item_id]


async def _named_batch(session: AsyncSession, balance: Balance, batch_id: UUID) -> Batch:
    batch = await store.batch(session, item_id=balance.item_id, site_id=balance.site_id, batch_id=batch_id)
    if batch is None:
        raise errors.NotFound
    return batch


async def new_batch(session: AsyncSession, balance: Balance, *, lot: str, expires_at: datetime) -> Batch:
    """A new lot with nothing in it yet. Raises `AlreadyExists` when the site has a lot of this name."""
    batch = Batch(
        tenant_id=balance.tenant_id,
        id=uuid7(),
        item_id=balance.item_id,
        site_id=balance.site_id,
        lot=lot,
        quantity=0,
        on_hand=0,
        reserved=0,
        status=pb.BATCH_STATUS_AVAILABLE,
        expires_at=expires_at,
        received_at=clock.now(),
    )
    session.add(batch)
    await session.flush()
    return batch
