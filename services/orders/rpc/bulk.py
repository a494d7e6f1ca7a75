"""Bulk orders, as the contract orders them."""

from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from google.protobuf.descriptor import ServiceDescriptor
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.orders.v1 import bulk_pb2

from chassis import call, paging
from chassis.rpc import server
from chassis.sites import Site, Sites
from services.orders import bulk, bulk_messages
from services.orders.bulk_models import BulkOrder


class BulkRpc:
    """Serves `switchyard.orders.v1.BulkOrdersService`."""

    service: ClassVar[ServiceDescriptor] = bulk_pb2.DESCRIPTOR.services_by_name["BulkOrdersService"]

    def __init__(self, sites: Sites, pager: paging.Pager) -> None:
        self._sites = sites
        self._pager = pager

    async def _site(self, request: bulk_pb2.CreateBulkOrderRequest) -> Site:
        return await self._sites.get(request.site_id)

    @server.transactional
    @server.prepared(_site)
    async def CreateBulkOrder(
        self, request: bulk_pb2.CreateBulkOrderRequest, session: AsyncSession, _site: Site
    ) -> bulk_pb2.BulkOrder:
        return bulk_messages.bulk(await bulk.create(session, request))

    @server.transactional
    async def ListBulkOrders(
        self, request: bulk_pb2.ListBulkOrdersRequest, session: AsyncSession
    ) -> bulk_pb2.ListBulkOrdersResponse:
        columns = {"created_at": BulkOrder.created_at, "id": BulkOrder.id}
        page = self._pager.page(request, columns, default="-created_at")
        select = sa.select(BulkOrder).where(*_filters(request))
        rows, next_cursor = page.cut((await session.scalars(page.apply(select))).all())
        return bulk_pb2.ListBulkOrdersResponse(bulk_orders=map(bulk_messages.bulk, rows), next_cursor=next_cursor)

    @server.transactional
    async def GetBulkOrder(self, request: bulk_pb2.GetBulkOrderRequest, session: AsyncSession) -> bulk_pb2.BulkOrder:
        return bulk_messages.bulk(await bulk.get(session, UUID(request.id)))

    @server.transactional
    async def GetBulkOrderProgress(
        self, request: bulk_pb2.GetBulkOrderProgressRequest, session: AsyncSession
    ) -> bulk_pb2.BulkOrderProgress:
        return await bulk.progress(session, UUID(request.id))

    @server.transactional
    async def CancelBulkOrder(
        self, request: bulk_pb2.CancelBulkOrderRequest, session: AsyncSession
    ) -> bulk_pb2.BulkOrder:
        return bulk_messages.bulk(await bulk.cancel(session, UUID(request.id)))


def _filters(request: bulk_pb2.ListBulkOrdersRequest) -> list[Any]:
    principal = call.current().principal
    asked: list[tuple[bool, Any]] = [
        (bool(principal.sites), BulkOrder.site_id.in_([UUID(site) for site in principal.sites])),
        (request.status != 0, BulkOrder.status == bulk_messages.word(request.status) if request.status else None),
        (bool(request.site_id), BulkOrder.site_id == (UUID(request.site_id) if request.site_id else None)),
        (bool(request.owner_id), BulkOrder.owner_id == (UUID(request.owner_id) if request.owner_id else None)),
    ]
    return [condition for applies, condition in asked if applies]
