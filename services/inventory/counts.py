"""Counts: somebody says how much there is, and the ledger is told the difference."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import inventory_pb2 as pb

from chassis import errors
from services.inventory import ledger, placements, store
from services.inventory.models import Balance, Batch, Item, Movement
from services.inventory.placements import Placed, Source

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


async def apply(
    session: AsyncSession, item: Item, balance: Balance, count: Count, *, field: str = ""
) -> list[Movement]:
    """Write the difference, if there is one. Nothing has been written where it raises.

    Raises `Conflict`: `CHANGE_FROM_QUANTITY_STALE`, named after `field`; `INSUFFICIENT_STOCK` when what is missing has
    been promised to orders.
    """
    batches = [count.batch] if count.batch is not None else await _batches(session, balance)
    placed = await placements.of(session, batches)
    present = there(batches, placed, count.station_id)
    if not count.believes(present):
        raise stale({field: present})
    difference = count.quantity - present
    if difference < 0:
        return _less(session, item, balance, batches, placed, count, -difference)
    if difference > 0:
        return [await _more(session, balance, batches, placed, count, difference)]
    return []


def there(batches: list[Batch], placed: Placed, station_id: UUID | None) -> int:
    """How much of some batches lies at a station; without one, at the site."""
    if station_id is None:
        return sum(batch.on_hand for batch in batches)
    source = Source(station_id, only=True)
    return sum(quantity for batch in batches for _, quantity in placements.parts(batch, placed, source))


def stale(present: dict[str, int]) -> errors.Conflict:
    """Somebody changed the quantity since: by field, what it is now."""
    message = "the quantity has changed since it was read: count again"
    fields = {field: [f"is {quantity} now"] for field, quantity in present.items()}
    told = {"current_quantity": ",".join(str(quantity) for quantity in present.values())}
    return errors.Conflict(message, code=STALE, fields=fields, metadata=told)


async def _batches(session: AsyncSession, balance: Balance) -> list[Batch]:
    ids = [balance.item_id]
    return (await store.in_picking_order(session, item_ids=ids, site_id=balance.site_id, sellable_at=None))[ids[0]]


def _less(
    session: AsyncSession,
    item: Item,
    balance: Balance,
    batches: list[Batch],
    placed: Placed,
    count: Count,
    quantity: int,
) -> list[Movement]:
    source = Source(count.station_id, only=count.station_id is not None)
    takings, missing = ledger.pick(batches, placed, quantity, source)
    if missing:
        raise ledger.insufficient({item.sku: (quantity, quantity - missing)})
    return ledger.take_out(session, balance, takings, kind=pb.MOVEMENT_TYPE_COUNT, reason=count.reason)


async def _more(
    session: AsyncSession, balance: Balance, batches: list[Batch], placed: Placed, count: Count, quantity: int
) -> Movement:
    """What was found goes to the lot that came in last, of which too little was counted most likely."""
    here = [batch for batch in batches if there([batch], placed, count.station_id)]
    into = max(here or batches, key=lambda batch: (batch.received_at, batch.id), default=None)
    into = into or await ledger.undated(session, balance)
    at = await placements.at(session, into, count.station_id)
    return ledger.move(session, balance, into, quantity, kind=pb.MOVEMENT_TYPE_COUNT, reason=count.reason, at=at)
