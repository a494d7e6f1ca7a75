"""The edge of tenants and of the current tenant's configuration: one method an RPC, in the contract's order."""

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.tenants.v1 import tenants_pb2 as pb

from chassis import call, errors
from chassis.db import Database
from chassis.paging import Pager
from chassis.rpc import server
from services.tenants import messages, store, tenants
from services.tenants.models import Tenant

_COLUMNS = {"id": Tenant.id, "name": Tenant.name, "slug": Tenant.slug, "created_at": Tenant.created_at}


class TenantsRpc:
    """Serves the contract."""

    service = pb.DESCRIPTOR.services_by_name["TenantsService"]

    def __init__(self, database: Database, pager: Pager) -> None:
        self._database = database
        self._pager = pager

    @server.transactional
    async def ListTenants(self, request: pb.ListTenantsRequest, session: AsyncSession) -> pb.ListTenantsResponse:
        page = self._pager.page(request, _COLUMNS, default="name")
        status = request.status if request.HasField("status") else None
        rows, cursor = page.cut((await session.scalars(page.apply(store.tenants(request.q, status)))).all())
        return pb.ListTenantsResponse(tenants=[messages.tenant(row) for row in rows], next_cursor=cursor)

    @server.transactional
    async def CreateTenant(self, request: pb.CreateTenantRequest, session: AsyncSession) -> pb.Tenant:
        return messages.tenant(await tenants.create(session, request.tenant))

    @server.transactional
    async def GetTenant(self, request: pb.GetTenantRequest, session: AsyncSession) -> pb.Tenant:
        return messages.tenant(await tenants.get(session, request.id))

    @server.transactional
    async def UpdateTenant(self, request: pb.UpdateTenantRequest, session: AsyncSession) -> pb.Tenant:
        return messages.tenant(await tenants.change(session, request.id, request.tenant, request.update_mask.paths))

    @server.transactional
    async def SuspendTenant(self, request: pb.SuspendTenantRequest, session: AsyncSession) -> pb.Tenant:
        return messages.tenant(await tenants.suspend(session, request.id, request.reason))

    @server.transactional
    async def ResumeTenant(self, request: pb.ResumeTenantRequest, session: AsyncSession) -> pb.Tenant:
        return messages.tenant(await tenants.resume(session, request.id))

    async def GetTenantConfig(self, _request: pb.GetTenantConfigRequest) -> pb.TenantConfig:
        tenant = call.current().principal.tenant
        row = messages.read(await self._database.read(store.TENANT, tenant, id=tenant), documents=["features"])
        if row is None:
            raise errors.NotFound
        return messages.config(row)

    @server.transactional
    async def UpdateTenantConfig(self, request: pb.UpdateTenantConfigRequest, session: AsyncSession) -> pb.TenantConfig:
        return messages.config(await tenants.configure(session, request.config, request.update_mask.paths))
