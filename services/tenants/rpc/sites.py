"""The edge of tenants: one method an RPC, in the contract's order."""

from typing import TypeVar

from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.tenants.v1 import sites_pb2 as pb

from chassis import call
from chassis.paging import Pager
from chassis.rpc import server
from services.tenants import store, tenants
from services.tenants.models import Changing, Site, Station, Tenant

M = TypeVar("M", pb.Site, pb.Station)


class SitesRpc:
    """Serves the contract."""

    service = pb.DESCRIPTOR.services_by_name["SitesService"]

    def __init__(self, pager: Pager) -> None:
        self._pager = pager

    @server.transactional
    async def ListSites(self, request: pb.ListSitesRequest, session: AsyncSession) -> pb.ListSitesResponse:
        page = self._pager.page(request, _columns(Site), default="name")
        select = store.sites(call.current().principal, request.q)
        rows, cursor = page.cut((await session.scalars(page.apply(select))).all())
        return pb.ListSitesResponse(sites=[_site(row) for row in rows], next_cursor=cursor)

    @server.transactional
    async def CreateSite(self, request: pb.CreateSiteRequest, session: AsyncSession) -> pb.Site:
        return _site(await tenants.create_site(session, request.site))

    @server.transactional
    async def GetSite(self, request: pb.GetSiteRequest, session: AsyncSession) -> pb.Site:
        return _site(await tenants.get_site(session, request.id))

    @server.transactional
    async def UpdateSite(self, request: pb.UpdateSiteRequest, session: AsyncSession) -> pb.Site:
        row = await tenants.get_site(session, request.id, lock=True)
        await tenants.change(session, row, request.site, request.update_mask.paths)
        return _site(row)

    @server.transactional
    async def DeleteSite(self, request: pb.DeleteSiteRequest, session: AsyncSession) -> Empty:
        tenants.close(await tenants.get_site(session, request.id, lock=True))
        return Empty()

    @server.transactional
    async def ListStations(self, request: pb.ListStationsRequest, session: AsyncSession) -> pb.ListStationsResponse:
        site = await tenants.get_site(session, request.site_id)
        page = self._pager.page(request, _columns(Station), default="name")
        select = store.stations(call.current().principal, site.id)
        rows, cursor = page.cut((await session.scalars(page.apply(select))).all())
        return pb.ListStationsResponse(stations=[_station(row) for row in rows], next_cursor=cursor)

    @server.transactional
    async def CreateStation(self, request: pb.CreateStationRequest, session: AsyncSession) -> pb.Station:
        return _station(await tenants.create_station(session, request.site_id, request.station))

    @server.transactional
    async def GetStation(self, request: pb.GetStationRequest, session: AsyncSession) -> pb.Station:
        return _station(await tenants.get_station(session, request.id))

    @server.transactional
    async def UpdateStation(self, request: pb.UpdateStationRequest, session: AsyncSession) -> pb.Station:
        row = await tenants.get_station(session, request.id, lock=True)
        await tenants.change(session, row, request.station, request.update_mask.paths)
        return _station(row)

    @server.transactional
    async def DeleteStation(self, request: pb.DeleteStationRequest, session: AsyncSession) -> Empty:
        tenants.close(await tenants.get_station(session, request.id, lock=True))
        return Empty()


def _columns(model: type[Tenant | Site | Station]) -> dict[str, object]:
    return {"id": model.id, "name": model.name, "created_at": model.created_at}


def _site(row: Site) -> pb.Site:
    return _dated(pb.Site(id=str(row.id), name=row.name, time_zone=row.time_zone, address=row.address), row)


def _station(row: Station) -> pb.Station:
    # The generated types know no number.
    station = pb.Station(id=str(row.id), site_id=str(row.site_id), name=row.name, kind=row.kind)  # type: ignore[arg-type]
    return _dated(station, row)


def _dated(message: M, row: Changing) -> M:
    message.version = row.version
    message.created_at.FromDatetime(row.created_at)
    message.updated_at.FromDatetime(row.updated_at)
    return message
