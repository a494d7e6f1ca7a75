"""The edge to roles and API tokens."""

from collections.abc import Mapping
from datetime import UTC
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

_KINDS = {access_pb2.TOKEN_KIND_STORE: "store", access_pb2.TOKEN_KIND_CATALOG: "catalog"}
_KIND_NUMBERS = {word: number for number, word in _KINDS.items()}


class AccessRpc:
    """Serves `switchyard.auth.v1.AccessService`."""

    service: ClassVar[ServiceDescriptor] = access_pb2.DESCRIPTOR.services_by_name["AccessService"]

    def __init__(self, *, catalogue: Catalogue, pager: paging.Pager) -> None:
        self._catalogue = catalogue
        self._pager = pager

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
        site_id = UUID(request.site_id) if request.HasField("site_id") else None
        rows = (await session.scalars(page.apply(tokens.matching(_KINDS.get(request.kind), site_id)))).all()
        rows, next_cursor = page.cut(rows)
        return access_pb2.ListTokensResponse(tokens=[_token(row) for row in rows], next_cursor=next_cursor)

    @transactional
    async def CreateToken(self, request: access_pb2.CreateTokenRequest, session: AsyncSession) -> access_pb2.ApiToken:
        wanted = request.token
        ends = wanted.expires_at.ToDatetime(tzinfo=UTC) if wanted.HasField("expires_at") else None
        row, secret = await tokens.create(
            session, name=wanted.name, kind=_KINDS[wanted.kind], site_id=UUID(wanted.site_id), expires_at=ends
        )
        created = _token(row)
        created.token = secret
        return created

    @transactional
    async def DeleteToken(self, request: access_pb2.DeleteTokenRequest, session: AsyncSession) -> Empty:
        await tokens.delete(session, UUID(request.id))
        return Empty()


def _permission(there: Permission, defined: Mapping[str, frozenset[str]]) -> access_pb2.Permission:
    holders = [name for name, permissions in defined.items() if roles.granting(permissions, there.name)]
    return access_pb2.Permission(name=there.name, service=there.service, methods=there.methods, roles=holders)


def _token(row: ApiToken) -> access_pb2.ApiToken:
    answer = access_pb2.ApiToken(
        id=str(row.id),
        name=row.name,
        kind=_KIND_NUMBERS[row.kind],
        site_id=str(row.site_id),
        catalog_id=str(row.site_id),
    )
    answer.created_at.FromDatetime(row.created_at)
    if row.expires_at is not None:
        answer.expires_at.FromDatetime(row.expires_at)
    if row.last_used_at is not None:
        answer.last_used_at.FromDatetime(row.last_used_at)
    return answer
