"""Counts: somebody says how much there is, and the ledger is told the difference."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import inventory_pb2 as pb

from chassis import errors
from services.inventory import ledger, placements, store
from services.inventory.models import Balance, Batch, Item, Movement, Placement
from services.inventory.placements import Source

STALE = "CHANGE_FROM_QUANTITY_STALE"


@dataclass(frozen=True)
class Count:
    """How much was found: of a batch or of all, at a station or at the whole site, and what was believed."""

    quantity: int
    change_from: int | None
    station_id: UUID | None = None
    batch: Batch | None = None
    reason: str = ""

    def believes(self, present: int) -> bool:
        """Whether its maker knew how much there is."""
        return self.change_from is None or self.change_from == present


@dataclass(frozen=True)
class Shelf:
    """The batches of an item at a site with something in them, and where they lie. Kept up to date by `apply`."""

    batches: list[Batch]
    placed: dict[UUID, list[Placement]]

    def there(self, station_id: UUID | None) -> int:
        """How much lies at a station; without one, at the site."""
        if station_id is None:
            return sum(batch.on_hand for batch in self.batches)
        return sum(self.of(batch, station_id) for batch in self.batches)

    def of(self, batch: Batch, station_id: UUID | None) -> int:
        """How much of a batch lies at a station; without one, at the site."""
        source = Source(station_id, only=True)
        parts = placements.parts(batch, self.placed, source)
        return batch.on_hand if station_id is None else sum(quantity for _, quantity in parts)

    def note(self, batch: Batch, at: Placement | None) -> None:
        """Something lies where nothing did."""
        if batch not in self.batches:
            self.batches.append(batch)
        if at is not None and at not in self.placed.setdefault(batch.id, []):
            self.placed[batch.id].append(at)


async def shelves(session: AsyncSession, site_id: UUID, item_ids: Iterable[UUID]) -> dict[UUID, Shelf]:
    """What there is of items at a site, whose balances are locked."""
    found = await store.in_picking_order(session, item_ids=item_ids, site_id=site_id, sellable_at=None)
    placed = await placements.of(session, [batch for batches in found.values() for batch in batches])
    return {
        item_id: Shelf(batches, {batch.id: placed[batch.id] for batch in batches if batch.id in placed})
        for item_id, batches in found.items()
    }


async def apply(
    session: AsyncSession, item: Item, balance: Balance, count: Count, *, field: str = "", shelf: Shelf | None = None
) -> list[Movement]:
    """Write the difference, if there is one. Nothing has been written where it raises.

    `shelf`: what there is, for whoever counts much and has asked before. Raises `Conflict`:
    `CHANGE_FROM_QUANTITY_STALE`, named after `field`; `INSUFFICIENT_STOCK` when what is missing has been promised.
    """
    if count.batch is not None:
        shelf = Shelf([count.batch], await placements.of(session, [count.batch]))
    elif shelf is None:
        shelf = (await shelves(session, balance.site_id, [item.id]))[item.id]
    present = shelf.there(count.station_id)
    if not count.believes(present):
        raise stale({field: present})
    difference = count.quantity - present
    if difference < 0:
        return _less(session, item, balance, shelf, count, -difference)
    if difference > 0:
        return [await _more(session, balance, shelf, count, difference)]
    return []


def stale(present: dict[str, int]) -> errors.Conflict:
    """Somebody changed the quantity since: by field, what it is now."""
    message = "the quantity has changed since it was read: count again"
    fields = {field: [f"is {quantity} now"] for field, quantity in present.items()}
    told = {"current_quantity": ",".join(str(quantity) for quantity in present.values())}
    return errors.Conflict(message, code=STALE, fields=fields, metadata=told)


def _less(
    session: AsyncSession, item: Item, balance: Balance, shelf: Shelf, count: Count, quantity: int
) -> list[Movement]:
    source = Source(count.station_id, only=count.station_id is not None)
    takings, missing = ledger.pick(shelf.batches, shelf.placed, quantity, source)
    if missing:
        raise ledger.insufficient({item.sku: (quantity, quantity - missing)})
    return ledger.take_out(session, balance, takings, kind=pb.MOVEMENT_TYPE_COUNT, reason=count.reason)


async def _more(session: AsyncSession, balance: Balance, shelf: Shelf, count: Count, quantity: int) -> Movement:
    """What was found goes to the lot that came in last, of which too little was counted most likely."""
    here = [batch for batch in shelf.batches if shelf.of(batch, count.station_id)]
    into = max(here or shelf.batches, key=lambda batch: (batch.received_at, batch.id), default=None)
    into = into or await ledger.undated(session, balance)
    at = await placements.at(session, into, count.station_id)
    shelf.note(into, at)
    return ledger.move(session, balance, into, quantity, kind=pb.MOVEMENT_TYPE_COUNT, reason=count.reason, at=at)
