"""The point of sale, as the contract orders it."""

from typing import ClassVar
from uuid import UUID

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.orders.v1 import orders_pb2, pos_pb2

from chassis import errors
from chassis.encryption import Vault
from chassis.rpc import server
from chassis.sites import Sites
from services.orders import messages, pos, pos_messages, pos_store, store
from services.orders.pos_addresses import Forbidden, Guard, Unresolved


class PosRpc:
    """Serves `switchyard.orders.v1.PosService`."""

    service: ClassVar[ServiceDescriptor] = pos_pb2.DESCRIPTOR.services_by_name["PosService"]

    def __init__(self, vault: Vault, guard: Guard, sites: Sites) -> None:
        self._vault = vault
        self._guard = guard
        self._sites = sites

    async def _see_site(self, request: pos_pb2.GetPosConnectionRequest | pos_pb2.DeletePosConnectionRequest) -> None:
        """Raise `NotFound` unless the caller has the site."""
        await self._sites.get(request.site_id)

    async def _see_site_and_url(self, request: pos_pb2.PutPosConnectionRequest) -> None:
        """Raise `NotFound` unless the caller has the site, `Invalid` for a URL that nothing would be sent to."""
        await self._sites.get(request.site_id)
        try:
            await self._guard.resolve(request.url)
        except Forbidden as failure:
            raise errors.Invalid(fields={"url": [str(failure)]}) from failure
        except Unresolved:
            # The POS may be set up after us: the name is looked at again whenever something is sent.
            return

    @server.prepared(_see_site)
    @server.transactional
    async def GetPosConnection(
        self, request: pos_pb2.GetPosConnectionRequest, session: AsyncSession, _site: None
    ) -> pos_pb2.PosConnection:
        row = await pos_store.connection(session, UUID(request.site_id))
        if row is None:
            raise errors.NotFound
        return pos_messages.connection(row)

    @server.prepared(_see_site_and_url)
    @server.transactional
    async def PutPosConnection(
        self, request: pos_pb2.PutPosConnectionRequest, session: AsyncSession, _site: None
    ) -> pos_pb2.PosConnection:
        wanted = pos_messages.wanted(request)
        row, secret = await pos.put(session, self._vault, UUID(request.site_id), wanted)
        return pos_messages.connection(row, secret)

    @server.prepared(_see_site)
    @server.transactional
    async def DeletePosConnection(
        self, request: pos_pb2.DeletePosConnectionRequest, session: AsyncSession, _site: None
    ) -> Empty:
        await pos.delete(session, UUID(request.site_id))
        return Empty()

    @server.transactional
    async def ConfirmPosOrder(self, request: pos_pb2.ConfirmPosOrderRequest, session: AsyncSession) -> orders_pb2.Order:
        await pos.confirm(session, UUID(request.id), pos_messages.verdict(request), request.reference)
        return messages.order(await store.shown(session, UUID(request.id)))

    @server.transactional
    async def ForwardOrder(self, request: pos_pb2.ForwardOrderRequest, session: AsyncSession) -> orders_pb2.Order:
        await pos.again(session, UUID(request.id))
        return messages.order(await store.shown(session, UUID(request.id)))
