"""The edge of tenants: one method an RPC, in the contract's order."""

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.tenants.v1 import tenants_pb2 as pb

from chassis.paging import Pager
from chassis.rpc import server
from services.tenants import store, tenants
from services.tenants.models import Changing, Site, Station, Tenant


class TenantsRpc:
    """Serves the contract."""

    service = pb.DESCRIPTOR.services_by_name["TenantsService"]

    def __init__(self, pager: Pager) -> None:
        self._pager = pager

    @server.transactional
    async def ListTenants(self, request: pb.ListTenantsRequest, session: AsyncSession) -> pb.ListTenantsResponse:
        page = self._pager.page(request, _columns(Tenant), default="name")
        rows, cursor = page.cut((await session.scalars(page.apply(store.tenants(request.q)))).all())
        return pb.ListTenantsResponse(tenants=[_tenant(row) for row in rows], next_cursor=cursor)

    @server.transactional
    async def CreateTenant(self, request: pb.CreateTenantRequest, session: AsyncSession) -> pb.Tenant:
        return _tenant(await tenants.create_tenant(session, request.tenant))

    @server.transactional
    async def GetTenant(self, request: pb.GetTenantRequest, session: AsyncSession) -> pb.Tenant:
        return _tenant(await tenants.get_tenant(session, request.id))

    @server.transactional
    async def UpdateTenant(self, request: pb.UpdateTenantRequest, session: AsyncSession) -> pb.Tenant:
        row = await tenants.get_tenant(session, request.id, lock=True)
        await tenants.change(session, row, request.tenant, request.update_mask.paths)
        return _tenant(row)


def _columns(model: type[Tenant | Site | Station]) -> dict[str, object]:
    return {"id": model.id, "name": model.name, "created_at": model.created_at}


def _tenant(row: Tenant) -> pb.Tenant:
    return _dated(pb.Tenant(id=str(row.id), name=row.name, slug=row.slug, currency=row.currency), row)


def _dated(message: pb.Tenant, row: Changing) -> pb.Tenant:
    message.version = row.version
    message.created_at.FromDatetime(row.created_at)
    message.updated_at.FromDatetime(row.updated_at)
    return message
