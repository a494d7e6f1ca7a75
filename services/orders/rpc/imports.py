"""Orders of the past, as the contract orders them."""

from typing import ClassVar

from google.protobuf.descriptor import ServiceDescriptor
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.orders.v1 import imports_pb2 as pb

from chassis.rpc import server
from chassis.sites import Site, Sites
from services.orders import imports


class OrderImportsRpc:
    """Serves `switchyard.orders.v1.OrderImportsService`."""

    service: ClassVar[ServiceDescriptor] = pb.DESCRIPTOR.services_by_name["OrderImportsService"]

    def __init__(self, sites: Sites) -> None:
        self._sites = sites

    async def _site(self, request: pb.ImportOrdersRequest) -> Site:
        return await self._sites.get(request.site_id)

    @server.prepared(_site)
    @server.transactional
    async def ImportOrders(
        self, request: pb.ImportOrdersRequest, session: AsyncSession, site: Site
    ) -> pb.ImportOrdersResponse:
        return await imports.bring_in(session, request, site.id)
