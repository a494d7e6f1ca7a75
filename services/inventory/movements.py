"""What people record of stock: it came in, went out, was put right, was counted, went elsewhere."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import inventory_pb2 as pb

from chassis import clock
from services.inventory import counts, ledger, placements, store, transfers
from services.inventory.models import Balance, Batch, Item, Movement
from services.inventory.placements import Source

OUT = (pb.MOVEMENT_TYPE_DEDUCT, pb.MOVEMENT_TYPE_WASTE)
# What may not be sold is there all the same: it is thrown away, and it is counted.
OF_ALL = (pb.MOVEMENT_TYPE_WASTE, pb.MOVEMENT_TYPE_ADJUST)


async def record(session: AsyncSession, item_id: str, told: pb.Movement) -> tuple[Balance, list[Movement]]:
    """A movement that a person makes, over several batches or stations several rows; a count may be none.

    Raises `NotFound` for item, site or batch, `Conflict` (`INSUFFICIENT_STOCK`, `BATCH_NOT_AVAILABLE`,
    `CHANGE_FROM_QUANTITY_STALE`, `LOT_DIFFERS`).
    """
    if told.type == pb.MOVEMENT_TYPE_TRANSFER:
        return await transfers.transfer(session, item_id, told)
    item, balance = await ledger.open_balance(session, item_id, told.site_id)
    batch = await ledger.named_batch(session, balance, told.batch_id) if told.HasField("batch_id") else None
    station_id = UUID(told.station_id) if told.HasField("station_id") else None
    if told.type == pb.MOVEMENT_TYPE_COUNT:
        count = counts.Count(told.quantity, told.change_from_quantity, station_id, batch, told.reason)
        rows = await counts.apply(session, item, balance, count, field="movement.change_from_quantity")
    elif told.type in OUT or told.quantity < 0:
        rows = await _goes_out(session, item, balance, told, batch, station_id)
    else:
        into = batch or await ledger.undated(session, balance)
        at = await placements.at(session, into, station_id)
        rows = [ledger.move(session, balance, into, told.quantity, kind=told.type, reason=told.reason, at=at)]
    if rows:
        await ledger.tell_all(session, item, balance, rows)
    return balance, rows


async def _goes_out(
    session: AsyncSession, item: Item, balance: Balance, told: pb.Movement, batch: Batch | None, station_id: UUID | None
) -> list[Movement]:
    if batch is not None:
        if told.type not in OF_ALL and not ledger.may_be_sold(batch):
            raise ledger.not_available(batch)
        batches = [batch]
    else:
        at = None if told.type in OF_ALL else clock.now()
        ids = [balance.item_id]
        batches = (await store.in_picking_order(session, item_ids=ids, site_id=balance.site_id, sellable_at=at))[ids[0]]
    wanted = abs(told.quantity)
    source = Source(station_id, only=station_id is not None)
    takings, missing = ledger.pick(batches, await placements.of(session, batches), wanted, source)
    if missing:
        raise ledger.insufficient({item.sku: (wanted, wanted - missing)})
    return ledger.take_out(session, balance, takings, kind=told.type, reason=told.reason)
