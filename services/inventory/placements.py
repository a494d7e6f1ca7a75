"""Where in a site its batches lie: at its stations, and for the rest in the store room.

Placements are changed under the lock of their item's balance at the site, as batches are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import events_pb2

from chassis import events
from services.inventory import placement_store
from services.inventory.models import Batch, Item, Placement

# What lies at stations of each batch; a batch of which nothing does may be missing.
Placed = Mapping[UUID, Sequence[Placement]]


@dataclass(frozen=True)
class Source:
    """Of where in the site something is taken: of a station first (none: the store room), or of nowhere else."""

    station_id: UUID | None = None
    only: bool = False


ANYWHERE = Source()


async def of(session: AsyncSession, batches: Iterable[Batch]) -> dict[UUID, list[Placement]]:
    """Where batches lie. For those that lie in the store room nothing is asked."""
    placed = [batch.id for batch in batches if batch.placed]
    return await placement_store.of_batches(session, placed) if placed else {}


async def at(session: AsyncSession, batch: Batch, station_id: UUID | None) -> Placement | None:
    """What of a batch lies at a station, made where there is nothing yet; none for the store room."""
    if station_id is None:
        return None
    found = await placement_store.placement(session, batch.id, station_id)
    if found is None:
        found = Placement(
            tenant_id=batch.tenant_id,
            batch_id=batch.id,
            station_id=station_id,
            item_id=batch.item_id,
            site_id=batch.site_id,
            on_hand=0,
        )
        session.add(found)
        # Asked for again in this transaction, it is found.
        await session.flush()
    return found


def parts(batch: Batch, placed: Placed, source: Source) -> Iterator[tuple[Placement | None, int]]:
    """Where a batch lies and how much of it, in the order in which it is taken: the store room is told as none."""
    found = sorted(placed.get(batch.id, ()), key=lambda each: (each.station_id != source.station_id, each.station_id))
    chosen = [each for each in found if each.station_id == source.station_id]
    store_room = (None, batch.on_hand - sum(each.on_hand for each in found))
    if source.only:
        yield from [(each, each.on_hand) for each in chosen] if source.station_id else [store_room]
        return
    yield from ((each, each.on_hand) for each in chosen)
    yield store_room
    yield from ((each, each.on_hand) for each in found if each not in chosen)


async def tell(session: AsyncSession, item: Item, site_id: UUID, stations: Iterable[UUID | None]) -> None:
    """Publish what there is now of an item at stations where it moved."""
    moved = {station_id for station_id in stations if station_id is not None}
    if not moved:
        return
    await session.flush()
    for station_id, on_hand in sorted((await placement_store.at_stations(session, item.id, moved)).items()):
        event = events_pb2.StationStockMoved(
            item_id=str(item.id), sku=item.sku, site_id=str(site_id), station_id=str(station_id), on_hand=on_hand
        )
        audience = [f"site:{site_id}", f"station:{station_id}"]
        events.publish(session, event, subject=f"stations/{station_id}/items/{item.id}", audience=audience, state=True)
