"""Stations' stock, as the contract orders it."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import stock_pb2 as pb

from chassis import clock, errors
from chassis.paging import Pager
from chassis.rpc import server
from chassis.sites import Site, Sites
from services.inventory import messages, stock, stock_store
from services.inventory.models import Item

_COLUMNS = {"id": Item.id, "sku": Item.sku}


class StockRpc:
    """Serves `switchyard.inventory.v1.StockService`."""

    service = pb.DESCRIPTOR.services_by_name["StockService"]

    def __init__(self, sites: Sites, pager: Pager) -> None:
        self._sites = sites
        self._pager = pager

    async def _site(self, request: pb.GetStationStockRequest | pb.SetStationStockRequest | pb.DepleteRequest) -> Site:
        return await self._sites.with_station(request.station_id)

    @server.prepared(_site)
    @server.transactional
    async def GetStationStock(
        self, request: pb.GetStationStockRequest, session: AsyncSession, site: Site
    ) -> pb.StationStock:
        page = self._pager.page(request, _COLUMNS, default="sku")
        select = stock_store.station(site.id, UUID(request.station_id), at=clock.now())
        kept, cursor = page.cut((await session.execute(page.apply(select))).all())
        told = [messages.station_item(row) for row in kept]
        return pb.StationStock(station_id=request.station_id, site_id=str(site.id), items=told, next_cursor=cursor)

    @server.prepared(_site)
    @server.transactional
    async def SetStationStock(
        self, request: pb.SetStationStockRequest, session: AsyncSession, site: Site
    ) -> pb.StationStock:
        await stock.count(session, site.id, request)
        await session.flush()
        counted = [UUID(line.item_id) for line in request.items]
        select = stock_store.station(site.id, UUID(request.station_id), at=clock.now()).where(Item.id.in_(counted))
        told = [messages.station_item(row) for row in await session.execute(select.order_by(Item.sku))]
        return pb.StationStock(station_id=request.station_id, site_id=str(site.id), items=told)

    @server.prepared(_site)
    @server.transactional
    async def Deplete(self, request: pb.DepleteRequest, session: AsyncSession, site: Site) -> pb.Depletion:
        return await stock.deplete(session, site.id, request)

    async def _known_sites(self, request: pb.SyncStockRequest) -> dict[UUID, UUID]:
        """The site of each station that is known."""
        return await _sites(self._sites, {UUID(row.station_id) for row in request.rows})

    @server.prepared(_known_sites)
    @server.transactional
    async def SyncStock(
        self, request: pb.SyncStockRequest, session: AsyncSession, sites: dict[UUID, UUID]
    ) -> pb.SyncStockResponse:
        return pb.SyncStockResponse(results=await stock.sync(session, request.rows, sites))


async def _sites(known: Sites, stations: Iterable[UUID]) -> dict[UUID, UUID]:
    found = {}
    for station_id in stations:
        try:
            found[station_id] = (await known.with_station(station_id)).id
        except errors.NotFound:
            continue
    return found
