"""Transfers: what leaves one place arrives at another in the same transaction, with its lot and expiry."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import inventory_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import call, clock, errors
from services.inventory import inventory, ledger, placements, store
from services.inventory.ledger import Taking
from services.inventory.models import Balance, Batch, Item, Movement, Placement
from services.inventory.placements import Source

KIND = pb.MOVEMENT_TYPE_TRANSFER


class End(NamedTuple):
    """Where a quantity of one lot goes; `at` none: into the store room."""

    batch: Batch
    at: Placement | None
    quantity: int


async def transfer(session: AsyncSession, item_id: str, told: pb.Movement) -> tuple[Balance, list[Movement]]:
    """Move a quantity to another station or site. The rows that left, and the balance where it left.

    Raises as `movements.record` does; `Invalid` when it would not go anywhere.
    """
    here, there = UUID(told.site_id), UUID(told.to_site_id or told.site_id)
    if here == there and told.station_id == told.to_station_id:
        raise errors.Invalid(fields={"movement.to_station_id": ["is where it lies"]})
    item, balances = await _open(session, item_id, {here, there})
    takings = await _take(session, item, balances[here], told, leaves=here != there)
    # Nothing is asked of the database between leaving and arriving: it would be told the half of it.
    ends = await _ends(session, balances[there], takings, _station(told.to_station_id))
    said: dict[str, Any] = {"kind": KIND, "reason": told.reason, "entry_id": uuid7()}
    to: dict[str, Any] = {"to_site_id": there if here != there else None, "to_station_id": _station(told.to_station_id)}
    rows = ledger.take_out(session, balances[here], takings, **said, **to)
    arrived = [_arrive(session, balances[there], end, said, came=here != there) for end in ends]
    await _tell(session, item, balances, [*rows, *arrived])
    return balances[here], rows


async def _open(session: AsyncSession, item_id: str, sites: set[UUID]) -> tuple[Item, dict[UUID, Balance]]:
    item = await inventory.get(session, item_id, keep=True)
    return item, await lock(session, item.id, sites)


async def lock(session: AsyncSession, item_id: UUID, sites: set[UUID]) -> dict[UUID, Balance]:
    """An item's balances at sites, locked in the order of the sites' ids: opposite transfers do not deadlock."""
    tenant = call.current().principal.tenant
    return {
        site: (await store.lock_balances(session, tenant=tenant, site_id=site, item_ids=[item_id]))[item_id]
        for site in sorted(sites)
    }


async def _take(
    session: AsyncSession, item: Item, balance: Balance, told: pb.Movement, *, leaves: bool
) -> list[Taking]:
    station_id = _station(told.station_id)
    batches = await _batches(session, balance, told, leaves=leaves)
    # Within a site "from nowhere" is the store room; to another site it is from wherever it lies.
    source = Source(station_id, only=station_id is not None or not leaves)
    placed = await placements.of(session, batches)
    takings, missing = ledger.pick(batches, placed, told.quantity, source, promised=not leaves)
    if missing:
        raise ledger.insufficient({item.sku: (told.quantity, told.quantity - missing)})
    return takings


async def _batches(session: AsyncSession, balance: Balance, told: pb.Movement, *, leaves: bool) -> list[Batch]:
    if told.HasField("batch_id"):
        batch = await ledger.named_batch(session, balance, told.batch_id)
        if leaves and not ledger.may_be_sold(batch):
            raise ledger.not_available(batch)
        return [batch]
    ids = [balance.item_id]
    found = await store.in_picking_order(session, item_ids=ids, site_id=balance.site_id, sellable_at=clock.now())
    return found[balance.item_id]


async def _ends(
    session: AsyncSession, balance: Balance, takings: Sequence[Taking], station_id: UUID | None
) -> list[End]:
    """Where each lot goes, and how much of it."""
    lots = {taking.batch.id: taking.batch for taking in takings}
    quantities: Counter[UUID] = Counter()
    for taking in takings:
        quantities[taking.batch.id] += taking.quantity
    ends = []
    for batch_id, quantity in quantities.items():
        into = await _lot(session, balance, lots[batch_id])
        ends.append(End(into, await placements.at(session, into, station_id), quantity))
    return ends


def _arrive(session: AsyncSession, balance: Balance, end: End, said: Mapping[str, Any], *, came: bool) -> Movement:
    if came:
        end.batch.quantity += end.quantity
    return ledger.move(session, balance, end.batch, end.quantity, at=end.at, **said)


async def _lot(session: AsyncSession, balance: Balance, batch: Batch) -> Batch:
    """The same lot at the site where it arrives. Raises `Conflict` (`LOT_DIFFERS`)."""
    if batch.site_id == balance.site_id:
        return batch
    known = await store.lot(session, item_id=balance.item_id, site_id=balance.site_id, name=batch.lot)
    if known is None:
        told = {"expires_at": batch.expires_at, "received_at": batch.received_at}
        return await ledger.new_batch(session, balance, lot=batch.lot, **told)
    if known.expires_at != batch.expires_at:
        message = f"the site has a lot {batch.lot} of another date"
        raise errors.Conflict(message, code="LOT_DIFFERS")
    return known


async def _tell(session: AsyncSession, item: Item, balances: dict[UUID, Balance], rows: list[Movement]) -> None:
    for site_id, balance in sorted(balances.items()):
        moved = [row for row in rows if row.site_id == site_id]
        await ledger.tell_all(session, item, balance, moved)


def _station(station_id: str) -> UUID | None:
    return UUID(station_id) if station_id else None
