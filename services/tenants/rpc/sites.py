"""The edge of sites and stations: one method an RPC, in the contract's order."""

from uuid import UUID

from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.tenants.v1 import sites_pb2 as pb

from chassis import call, errors
from chassis.db import Database
from chassis.paging import Pager
from chassis.rpc import server
from services.tenants import messages, sites, store
from services.tenants.models import Site, Station


class SitesRpc:
    """Serves the contract."""

    service = pb.DESCRIPTOR.services_by_name["SitesService"]

    def __init__(self, database: Database, pager: Pager) -> None:
        self._database = database
        self._pager = pager

    @server.transactional
    async def ListSites(self, request: pb.ListSitesRequest, session: AsyncSession) -> pb.ListSitesResponse:
        page = self._pager.page(request, _columns(Site), default="name")
        select = store.sites(call.current().principal, q=request.q, time_zone=request.time_zone)
        rows, cursor = page.cut((await session.scalars(page.apply(select))).all())
        return pb.ListSitesResponse(sites=[messages.site(row) for row in rows], next_cursor=cursor)

    @server.transactional
    async def CreateSite(self, request: pb.CreateSiteRequest, session: AsyncSession) -> pb.Site:
        return messages.site(await sites.create(session, request.site))

    async def GetSite(self, request: pb.GetSiteRequest) -> pb.Site:
        principal = call.current().principal
        row = messages.read(await self._database.read(store.SITE, principal.tenant, id=UUID(request.id)))
        if row is None or not principal.may_see_site(row.id):
            raise errors.NotFound
        return messages.site(row)

    @server.transactional
    async def UpdateSite(self, request: pb.UpdateSiteRequest, session: AsyncSession) -> pb.Site:
        return messages.site(await sites.change(session, request.id, request.site, request.update_mask.paths))

    @server.transactional
    async def DeleteSite(self, request: pb.DeleteSiteRequest, session: AsyncSession) -> Empty:
        await sites.close(session, request.id)
        return Empty()

    @server.transactional
    async def ListStations(self, request: pb.ListStationsRequest, session: AsyncSession) -> pb.ListStationsResponse:
        site = await sites.get(session, request.site_id)
        page = self._pager.page(request, _columns(Station), default="name")
        kind = request.kind if request.HasField("kind") else None
        select = store.stations_of(call.current().principal, site.id, q=request.q, kind=kind)
        rows, cursor = page.cut((await session.scalars(page.apply(select))).all())
        return pb.ListStationsResponse(stations=[messages.station(row) for row in rows], next_cursor=cursor)

    @server.transactional
    async def CreateStation(self, request: pb.CreateStationRequest, session: AsyncSession) -> pb.Station:
        return messages.station(await sites.create_station(session, request.site_id, request.station))

    @server.transactional
    async def GetStation(self, request: pb.GetStationRequest, session: AsyncSession) -> pb.Station:
        return messages.station(await sites.get_station(session, request.id))

    @server.transactional
    async def UpdateStation(self, request: pb.UpdateStationRequest, session: AsyncSession) -> pb.Station:
        paths = request.update_mask.paths
        return messages.station(await sites.change_station(session, request.id, request.station, paths))

    @server.transactional
    async def DeleteStation(self, request: pb.DeleteStationRequest, session: AsyncSession) -> Empty:
        await sites.close_station(session, request.id)
        return Empty()

    async def ResolveSites(self, request: pb.ResolveSitesRequest) -> pb.ResolveSitesResponse:
        query, told = store.OPEN_SITES, {}
        if request.site_ids:
            query, told = store.OPEN_SITES_BY_ID, {"ids": [UUID(site) for site in request.site_ids]}
        rows = await self._database.read(query, call.current().principal.tenant, **told)
        return pb.ResolveSitesResponse(sites=[messages.resolved(row) for row in rows])


def _columns(model: type[Site | Station]) -> dict[str, object]:
    return {"id": model.id, "name": model.name, "created_at": model.created_at}
