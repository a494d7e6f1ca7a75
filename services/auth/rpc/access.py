"""The edge to roles and API tokens."""

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import access_pb2

from chassis import paging
from chassis.rpc.server import prepared, transactional
from services.auth import explain, roles, tokens
from services.auth.models import ApiToken
from services.auth.permissions import Catalogue, Permission, Permissions
from services.auth.sites import Sites


class AccessRpc:
    """Serves `switchyard.auth.v1.AccessService`."""

    service: ClassVar[ServiceDescriptor] = access_pb2.DESCRIPTOR.services_by_name["AccessService"]

    def __init__(self, *, catalogue: Catalogue, pager: paging.Pager, sites: Sites) -> None:
        self._catalogue = catalogue
        self._pager = pager
        self._sites = sites

    @transactional
    async def ListRoles(
        self, _request: access_pb2.ListRolesRequest, session: AsyncSession
    ) -> access_pb2.ListRolesResponse:
        return access_pb2.ListRolesResponse(roles=await roles.listed(session))

    async def _there(self, _request: object) -> Permissions:
        return await self._catalogue.now()

    @transactional
    @prepared(_there)
    async def CreateRole(
        self, request: access_pb2.CreateRoleRequest, session: AsyncSession, there: Permissions
    ) -> access_pb2.Role:
        return await roles.create(session, request.role, there)

    @transactional
    async def GetRole(self, request: access_pb2.GetRoleRequest, session: AsyncSession) -> access_pb2.Role:
        return await roles.get(session, request.name)

    @transactional
    @prepared(_there)
    async def UpdateRole(
        self, request: access_pb2.UpdateRoleRequest, session: AsyncSession, there: Permissions
    ) -> access_pb2.Role:
        named = set(request.update_mask.paths)
        change = roles.Change(
            permissions=list(request.role.permissions) if "permissions" in named else None,
            description=request.role.description if "description" in named else None,
        )
        return await roles.update(session, request.name, change, there)

    @transactional
    async def DeleteRole(self, request: access_pb2.DeleteRoleRequest, session: AsyncSession) -> Empty:
        await roles.delete(session, request.name)
        return Empty()

    @transactional
    @prepared(_there)
    async def ListPermissions(
        self, _request: access_pb2.ListPermissionsRequest, session: AsyncSession, there: Permissions
    ) -> access_pb2.ListPermissionsResponse:
        defined = await roles.every(session)
        shown = [_permission(each, defined) for each in there.known.values()]
        return access_pb2.ListPermissionsResponse(permissions=shown)

    @transactional
    @prepared(_there)
    async def ExplainAccess(
        self, request: access_pb2.ExplainAccessRequest, session: AsyncSession, there: Permissions
    ) -> access_pb2.Explanation:
        return await explain.explain(session, request, there)

    @transactional
    async def ListTokens(
        self, request: access_pb2.ListTokensRequest, session: AsyncSession
    ) -> access_pb2.ListTokensResponse:
        columns = {"id": ApiToken.id, "created_at": ApiToken.created_at}
        page = self._pager.page(request, columns, default="-created_at")
        rows, next_cursor = page.cut((await session.scalars(page.apply(tokens.matching(request)))).all())
        return access_pb2.ListTokensResponse(tokens=[tokens.to_message(row) for row in rows], next_cursor=next_cursor)

    async def _before_token(self, request: access_pb2.CreateTokenRequest) -> None:
        if request.token.site_id:
            await self._sites.require_one(request.token.site_id)

    @transactional
    @prepared(_before_token)
    async def CreateToken(
        self, request: access_pb2.CreateTokenRequest, session: AsyncSession, _there: None
    ) -> access_pb2.ApiToken:
        return await tokens.create(session, request.token)

    @transactional
    async def DeleteToken(self, request: access_pb2.DeleteTokenRequest, session: AsyncSession) -> Empty:
        await tokens.delete(session, UUID(request.id))
        return Empty()


def _permission(there: Permission, defined: Mapping[str, frozenset[str]]) -> access_pb2.Permission:
    holders = [name for name, permissions in defined.items() if roles.granting(permissions, there.name)]
    return access_pb2.Permission(name=there.name, service=there.service, methods=there.methods, roles=holders)
