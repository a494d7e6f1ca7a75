"""The edge to the users of a tenant."""

from typing import ClassVar
from uuid import UUID

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import users_pb2

from chassis import paging
from chassis.rpc.server import transactional
from services.auth import passwords, users
from services.auth.models import Account, Membership


class UsersRpc:
    """Serves `switchyard.auth.v1.UsersService`."""

    service: ClassVar[ServiceDescriptor] = users_pb2.DESCRIPTOR.services_by_name["UsersService"]

    def __init__(self, *, hasher: passwords.Hasher, pager: paging.Pager) -> None:
        self._hasher = hasher
        self._pager = pager

    @transactional
    async def ListUsers(
        self, request: users_pb2.ListUsersRequest, session: AsyncSession
    ) -> users_pb2.ListUsersResponse:
        columns = {
            "id": Membership.user_id,
            "name": Membership.name,
            "email": Account.email,
            "created_at": Membership.created_at,
        }
        page = self._pager.page(request, columns, default="name")
        rows = (await session.execute(page.apply(users.matching(request)))).all()
        rows, next_cursor = page.cut(rows)
        return users_pb2.ListUsersResponse(users=[users.to_message(row) for row in rows], next_cursor=next_cursor)

    @transactional
    async def CreateUser(self, request: users_pb2.CreateUserRequest, session: AsyncSession) -> users_pb2.User:
        return await users.create(session, request.user, self._hasher)

    @transactional
    async def GetUser(self, request: users_pb2.GetUserRequest, session: AsyncSession) -> users_pb2.User:
        return await users.get(session, UUID(request.id))

    @transactional
    async def UpdateUser(self, request: users_pb2.UpdateUserRequest, session: AsyncSession) -> users_pb2.User:
        wanted = request.user
        changes = {
            "name": wanted.name,
            "role": wanted.role,
            "site_ids": [UUID(site) for site in wanted.site_ids],
            "status": users.STATUSES.get(wanted.status, users.ACTIVE),
        }
        named = {name: value for name, value in changes.items() if name in request.update_mask.paths}
        return await users.update(session, UUID(request.id), named)

    @transactional
    async def DeleteUser(self, request: users_pb2.DeleteUserRequest, session: AsyncSession) -> Empty:
        await users.delete(session, UUID(request.id))
        return Empty()
