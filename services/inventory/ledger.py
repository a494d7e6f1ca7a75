"""The ledger: stock changes by movements alone, and every change keeps the balance in the same transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import flag_modified, set_committed_value
from switchyard.inventory.v1 import events_pb2
from switchyard.inventory.v1 import inventory_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import call, clock, errors, events
from services.inventory import inventory, ledger_store, placements, store
from services.inventory.models import NEVER, UNTOLD_DAYS, Balance, Batch, Item, Movement, Placement
from services.inventory.placements import Placed, Source

# Where lies what came in without a lot.
UNDATED_LOT = "-"
_HELD_BACK: Mapping[int, str] = {pb.BATCH_STATUS_QUARANTINED: "quarantined", pb.BATCH_STATUS_RECALLED: "recalled"}


@dataclass(frozen=True)
class Taking:
    """A quantity of one batch in one place, and why of this batch. `at` none: in the store room."""

    batch: Batch
    quantity: int
    reason: str
    at: Placement | None = None


def pick(
    batches: Iterable[Batch], placed: Placed, quantity: int, source: Source, *, promised: bool = False
) -> tuple[list[Taking], int]:
    """Which of some batches, in their order, a quantity comes from, and how much of it none of them has.

    `promised`: what is promised, too, since it does not leave the site.
    """
    takings, missing = [], quantity
    for batch in batches:
        free = batch.on_hand if promised else batch.on_hand - batch.reserved
        for at, there in placements.parts(batch, placed, source):
            taken = min(missing, free, there)
            if taken > 0:
                takings.append(Taking(batch, taken, why(batch), at))
                missing -= taken
                free -= taken
    return takings, missing


def why(batch: Batch) -> str:
    """Why a batch stands where it does in the order of picking."""
    return "first_in" if batch.expires_at >= NEVER else "first_expiry"


def is_held_back(batch: Batch) -> bool:
    """Whether what is free of a batch is in its balance's `held_back`."""
    return batch.status != pb.BATCH_STATUS_AVAILABLE or batch.told_days == 0


def may_be_sold(batch: Batch) -> bool:
    """Whether a batch may be promised and sold now."""
    return batch.status == pb.BATCH_STATUS_AVAILABLE and batch.expires_at > clock.now()


def move(
    session: AsyncSession,
    balance: Balance,
    batch: Batch,
    quantity: int,
    *,
    kind: int,
    reason: str,
    at: Placement | None = None,
    **more: Any,
) -> Movement:
    """One row of the ledger, and what it does to its batch, balance and placement, which the caller has locked.

    `at`: the station; none: the store room. `more` are further columns of the row.
    """
    batch.on_hand += quantity
    balance.on_hand += quantity
    # Written over its version even when it comes to the same in the end.
    flag_modified(batch, "on_hand")
    if kind == pb.MOVEMENT_TYPE_RECEIVE:
        batch.quantity += quantity
    if kind == pb.MOVEMENT_TYPE_WASTE:
        balance.wasted -= quantity
    if at is not None:
        at.on_hand += quantity
        set_committed_value(batch, "placed", batch.placed + quantity)
    if is_held_back(batch):
        set_committed_value(balance, "held_back", balance.held_back + quantity)
    row = Movement(
        tenant_id=balance.tenant_id,
        id=uuid7(),
        item_id=balance.item_id,
        site_id=balance.site_id,
        station_id=at.station_id if at is not None else None,
        batch_id=batch.id,
        type=kind,
        quantity=quantity,
        balance_after=balance.on_hand,
        reason=reason,
        recorded_at=clock.now(),
        **more,
    )
    session.add(row)
    return row


def take_out(
    session: AsyncSession, balance: Balance, takings: Sequence[Taking], *, kind: int, reason: str, **more: Any
) -> list[Movement]:
    """The rows of what was picked, recorded as one."""
    told = {"kind": kind, "reason": reason, "entry_id": uuid7() if len(takings) > 1 else None, **more}
    return [move(session, balance, taking.batch, -taking.quantity, at=taking.at, **told) for taking in takings]


def tell(session: AsyncSession, item: Item, balance: Balance, *, order_id: str = "") -> None:
    """Publish what has become of an item's stock at a site, and raise the alerts that are due."""
    told = {"item_id": str(item.id), "sku": item.sku, "site_id": str(balance.site_id)}
    subject, audience = f"items/{item.id}", [f"site:{balance.site_id}"]
    moved = events_pb2.StockMoved(
        **told, on_hand=balance.on_hand, reserved=balance.reserved, available=balance.available, order_id=order_id
    )
    events.publish(session, moved, subject=subject, audience=audience, state=True)
    if balance.on_hand == 0 < balance.had:
        events.publish(session, events_pb2.StockDepleted(**told), subject=subject, audience=audience)
    is_low = balance.available < item.low_stock_threshold
    if is_low and not balance.is_low:
        low = events_pb2.LowStock(**told, available=balance.available, threshold=item.low_stock_threshold)
        events.publish(session, low, subject=subject, audience=audience)
    balance.is_low = is_low


async def tell_all(session: AsyncSession, item: Item, balance: Balance, rows: Iterable[Movement]) -> None:
    """As `tell`, where anything has come of it, and what there is now at the stations where it moved."""
    if balance.on_hand != balance.had:
        tell(session, item, balance)
    await placements.tell(session, item, balance.site_id, {row.station_id for row in rows})


async def verify(session: AsyncSession, item_id: str) -> pb.LedgerVerification:
    """Recompute an item's batches, balances and placements, at the caller's sites, from ledger and reservations.

    Raises `NotFound`.
    """
    item = await inventory.get(session, item_id)
    sums = await ledger_store.sums(session, item.id, call.current().principal.sites)
    return pb.LedgerVerification(
        consistent=not sums.wrong,
        ledger_quantity=int(sums.moved),
        balance_quantity=int(sums.on_hand),
        movements=int(sums.movements),
        reserved_by_reservations=int(sums.held),
        reserved_in_balances=int(sums.reserved),
        ledger_at_stations=int(sums.moved_at_stations),
        at_stations=int(sums.at_stations),
    )


def insufficient(short: Mapping[str, tuple[int, int]]) -> errors.Conflict:
    """There is not enough: by SKU, how much was wanted and how much there is."""
    fields = {sku: [f"{wanted} wanted, {available} available"] for sku, (wanted, available) in short.items()}
    return errors.Conflict(f"not enough stock of {', '.join(short)}", code="INSUFFICIENT_STOCK", fields=fields)


def not_available(batch: Batch) -> errors.Conflict:
    """A batch that was named may not be sold."""
    status = _HELD_BACK.get(batch.status)
    message = f"lot {batch.lot} {'is ' + status if status else 'has expired'}"
    return errors.Conflict(message, code="BATCH_NOT_AVAILABLE", fields={"movement.batch_id": [message]})


async def open_balance(session: AsyncSession, item_id: str, site_id: str | UUID) -> tuple[Item, Balance]:
    """An item that nobody retires meanwhile, and its balance at a site, locked. Raises `NotFound`."""
    item = await inventory.get(session, item_id, keep=True)
    site = UUID(str(site_id))
    tenant = call.current().principal.tenant
    balances = await store.lock_balances(session, tenant=tenant, site_id=site, item_ids=[item.id])
    return item, balances[item.id]


async def undated(session: AsyncSession, balance: Balance) -> Batch:
    """The site's own lot of what comes in without one."""
    known = await store.lot(session, item_id=balance.item_id, site_id=balance.site_id, name=UNDATED_LOT)
    return known or await new_batch(session, balance, lot=UNDATED_LOT, expires_at=NEVER)


async def named_batch(session: AsyncSession, balance: Balance, batch_id: str | UUID) -> Batch:
    """A batch under a locked balance. Raises `NotFound`."""
    wanted = UUID(str(batch_id))
    batch = await store.batch(session, item_id=balance.item_id, site_id=balance.site_id, batch_id=wanted)
    if batch is None:
        raise errors.NotFound
    return batch


async def new_batch(session: AsyncSession, balance: Balance, *, lot: str, expires_at: datetime, **more: Any) -> Batch:
    """A new lot with nothing in it yet. Raises `AlreadyExists` when the site has a lot of this name."""
    told: dict[str, Any] = {"status": pb.BATCH_STATUS_AVAILABLE, "reason": "", "received_at": clock.now(), **more}
    batch = Batch(
        tenant_id=balance.tenant_id,
        id=uuid7(),
        item_id=balance.item_id,
        site_id=balance.site_id,
        lot=lot,
        quantity=0,
        on_hand=0,
        reserved=0,
        placed=0,
        expires_at=expires_at,
        told_days=UNTOLD_DAYS,
        **told,
    )
    session.add(batch)
    await session.flush()
    return batch
