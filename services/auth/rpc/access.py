"""The edge to roles and API tokens."""

from datetime import UTC
from typing import ClassVar
from uuid import UUID

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import access_pb2

from chassis import paging
from chassis.rpc.server import transactional
from services.auth import roles, tokens
from services.auth.models import ApiToken

_KINDS = {access_pb2.TOKEN_KIND_STORE: "store", access_pb2.TOKEN_KIND_CATALOG: "catalog"}
_KIND_NUMBERS = {word: number for number, word in _KINDS.items()}


class AccessRpc:
    """Serves `switchyard.auth.v1.AccessService`."""

    service: ClassVar[ServiceDescriptor] = access_pb2.DESCRIPTOR.services_by_name["AccessService"]

    def __init__(self, *, pager: paging.Pager) -> None:
        self._pager = pager

    async def ListRoles(self, _request: access_pb2.ListRolesRequest) -> access_pb2.ListRolesResponse:
        listed = [
            access_pb2.Role(name=name, permissions=sorted(permissions), built_in=True)
            for name, permissions in roles.ROLES.items()
        ]
        return access_pb2.ListRolesResponse(roles=listed)

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
