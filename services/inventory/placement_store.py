"""The queries of where in a site its batches lie."""

from collections.abc import Iterable
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.inventory.models import Placement

_batches = sa.bindparam("batches", type_=sa.Uuid, expanding=True)
_stations = sa.bindparam("stations", type_=sa.Uuid, expanding=True)
_OF_BATCHES = (
    sa.select(Placement).where(Placement.batch_id.in_(_batches)).order_by(Placement.batch_id, Placement.station_id)
)
_ONE = sa.select(Placement).where(
    Placement.batch_id == sa.bindparam("batch", type_=sa.Uuid),
    Placement.station_id == sa.bindparam("station", type_=sa.Uuid),
)
_AT_STATIONS = (
    sa.select(Placement.station_id, sa.cast(sa.func.sum(Placement.on_hand), sa.BigInteger))
    .where(Placement.item_id == sa.bindparam("item", type_=sa.Uuid), Placement.station_id.in_(_stations))
    .group_by(Placement.station_id)
)


async def of_batches(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, list[Placement]]:
    """What lies at stations of batches, by batch."""
    found: dict[UUID, list[Placement]] = {}
    for row in await session.scalars(_OF_BATCHES, {"batches": list(ids)}):
        found.setdefault(row.batch_id, []).append(row)
    return found


async def placement(session: AsyncSession, batch_id: UUID, station_id: UUID) -> Placement | None:
    """What lies at a station of a batch."""
    found: Placement | None = await session.scalar(_ONE, {"batch": batch_id, "station": station_id})
    return found


async def at_stations(session: AsyncSession, item_id: UUID, stations: Iterable[UUID]) -> dict[UUID, int]:
    """How much of an item lies at stations."""
    rows = await session.execute(_AT_STATIONS, {"item": item_id, "stations": list(stations)})
    return {station_id: on_hand for station_id, on_hand in rows}  # noqa: C416 - rows are not pairs to the type checker
