"""Webhooks, as the contract orders them."""

from uuid import UUID

from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.common.v1 import http_pb2
from switchyard.inventory.v1 import webhooks_pb2 as pb

from chassis import call, codec
from chassis.db import Database
from chassis.encryption import Vault
from chassis.paging import Pager
from chassis.rpc import server
from chassis.sites import Sites
from services.inventory import inventory, webhook_endpoints, webhook_messages, webhook_reading, webhook_store, webhooks
from services.inventory.webhook_models import WebhookDelivery, WebhookEndpoint

_ENDPOINT_COLUMNS = {"id": WebhookEndpoint.provider, "site_id": WebhookEndpoint.site_id}
_DELIVERY_COLUMNS = {"id": WebhookDelivery.id, "received_at": WebhookDelivery.received_at}
_WORDS = codec.words(pb.DeliveryStatus.DESCRIPTOR)


class WebhooksRpc:
    """Serves `switchyard.inventory.v1.WebhooksService`."""

    service = pb.DESCRIPTOR.services_by_name["WebhooksService"]

    def __init__(self, database: Database, pager: Pager, sites: Sites, vault: Vault) -> None:
        self._database = database
        self._pager = pager
        self._sites = sites
        self._vault = vault

    async def _site(
        self, request: pb.GetWebhookEndpointRequest | pb.PutWebhookEndpointRequest | pb.DeleteWebhookEndpointRequest
    ) -> UUID:
        return (await self._sites.get(request.site_id)).id

    async def ReceiveWebhook(self, request: http_pb2.HttpRequest) -> http_pb2.HttpResponse:
        sent = webhook_reading.receive(request)
        await self._sites.get(sent.site_id)
        async with self._database.transaction() as session:
            endpoint = await webhook_endpoints.get(session, sent.site_id, sent.provider)
        webhook_endpoints.verify(endpoint, sent, self._vault)
        event = webhook_reading.adapter(sent.provider).read(sent)
        async with self._database.transaction() as session:
            return webhook_messages.answer(await webhooks.receive(session, endpoint, event))

    @server.transactional
    async def ListWebhookEndpoints(
        self, request: pb.ListWebhookEndpointsRequest, session: AsyncSession
    ) -> pb.ListWebhookEndpointsResponse:
        page = self._pager.page(request, _ENDPOINT_COLUMNS, default="site_id,id")
        rows = await session.execute(page.apply(webhook_store.endpoints(call.current().principal.sites)))
        kept, cursor = page.cut(rows.all())
        endpoints = [webhook_messages.endpoint(row[0]) for row in kept]
        return pb.ListWebhookEndpointsResponse(webhook_endpoints=endpoints, next_cursor=cursor)

    @server.transactional
    @server.prepared(_site)
    async def GetWebhookEndpoint(
        self, request: pb.GetWebhookEndpointRequest, session: AsyncSession, site_id: UUID
    ) -> pb.WebhookEndpoint:
        return webhook_messages.endpoint(await webhook_endpoints.get(session, site_id, request.provider))

    @server.transactional
    @server.prepared(_site)
    async def PutWebhookEndpoint(
        self, request: pb.PutWebhookEndpointRequest, session: AsyncSession, site_id: UUID
    ) -> pb.WebhookEndpoint:
        return webhook_messages.endpoint(*await webhook_endpoints.put(session, site_id, request, self._vault))

    @server.transactional
    @server.prepared(_site)
    async def DeleteWebhookEndpoint(
        self, request: pb.DeleteWebhookEndpointRequest, session: AsyncSession, site_id: UUID
    ) -> Empty:
        await webhook_endpoints.remove(session, site_id, request.provider)
        return Empty()

    @server.transactional
    async def ListWebhookDeliveries(
        self, request: pb.ListWebhookDeliveriesRequest, session: AsyncSession
    ) -> pb.ListWebhookDeliveriesResponse:
        page = self._pager.page(request, _DELIVERY_COLUMNS, default="-received_at")
        status = _WORDS.get(request.status, "")
        select = webhook_store.deliveries(_sites(request), provider=request.provider, status=status)
        kept, cursor = page.cut((await session.scalars(page.apply(select))).all())
        deliveries = [webhook_messages.delivery(row) for row in kept]
        return pb.ListWebhookDeliveriesResponse(webhook_deliveries=deliveries, next_cursor=cursor)


def _sites(request: pb.ListWebhookDeliveriesRequest) -> list[str]:
    """The sites a list is about: the one asked for, or those of the caller; none: all."""
    if request.HasField("site_id"):
        inventory.check_site(request.site_id)
        return [request.site_id]
    return sorted(call.current().principal.sites)
