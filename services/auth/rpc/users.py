"""The edge to the users of a tenant."""

from collections.abc import Collection
from typing import Any, ClassVar
from uuid import UUID

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import users_pb2

from chassis import call, errors, paging
from chassis.db import Database
from chassis.rpc.server import prepared, transactional
from services.auth import impersonation, invitations, passwords, sessions, stats, users
from services.auth.keys import Keyring
from services.auth.letters import Letters
from services.auth.models import Account, Invitation, Membership
from services.auth.sites import Sites

_COLUMNS = {
    "id": Membership.user_id,
    "name": Membership.name,
    "email": Account.email,
    "created_at": Membership.created_at,
}


class UsersRpc:
    """Serves `switchyard.auth.v1.UsersService`."""

    service: ClassVar[ServiceDescriptor] = users_pb2.DESCRIPTOR.services_by_name["UsersService"]

    def __init__(
        self,
        database: Database,
        *,
        hasher: passwords.Hasher,
        keyring: Keyring,
        letters: Letters,
        pager: paging.Pager,
        sites: Sites,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._letters = letters
        self._hasher = hasher
        self._pager = pager
        self._sites = sites

    @transactional
    async def ListUsers(
        self, request: users_pb2.ListUsersRequest, session: AsyncSession
    ) -> users_pb2.ListUsersResponse:
        page = self._pager.page(request, _COLUMNS, default="name")
        rows = (await session.execute(page.apply(users.matching(request)))).all()
        rows, next_cursor = page.cut(rows)
        return users_pb2.ListUsersResponse(users=[users.to_message(row) for row in rows], next_cursor=next_cursor)

    async def _before_create(self, request: users_pb2.CreateUserRequest) -> str:
        users.check_password(request.user)
        await self._sites.require(request.user.site_ids, field="user.site_ids")
        return await self._hasher.hash(request.user.password)

    @transactional
    @prepared(_before_create)
    async def CreateUser(
        self, request: users_pb2.CreateUserRequest, session: AsyncSession, password_hash: str
    ) -> users_pb2.User:
        created = await users.create(session, request.user, password_hash)
        await invitations.confirm(session, created, self._letters)
        return created

    @transactional
    async def UpdateMe(self, request: users_pb2.UpdateMeRequest, session: AsyncSession) -> users_pb2.User:
        others = {f"user.{path}": ["cannot be changed"] for path in request.update_mask.paths if path != "name"}
        if others:
            raise errors.Invalid(fields=others)
        return await users.rename_me(session, request.user.name)

    @transactional
    async def GetUser(self, request: users_pb2.GetUserRequest, session: AsyncSession) -> users_pb2.User:
        return await users.get(session, UUID(request.id))

    async def _before_update(self, request: users_pb2.UpdateUserRequest) -> Collection[str]:
        changes = "site_ids" in request.update_mask.paths
        return await self._sites.unknown(request.user.site_ids) if changes else ()

    @transactional
    @prepared(_before_update)
    async def UpdateUser(
        self, request: users_pb2.UpdateUserRequest, session: AsyncSession, unknown_sites: Collection[str]
    ) -> users_pb2.User:
        return await users.update(session, UUID(request.id), _changes(request), unknown_sites=unknown_sites)

    @transactional
    async def DeleteUser(self, request: users_pb2.DeleteUserRequest, session: AsyncSession) -> Empty:
        await users.delete(session, UUID(request.id))
        return Empty()

    @transactional
    async def GetUserStats(self, request: users_pb2.GetUserStatsRequest, session: AsyncSession) -> users_pb2.UserStats:
        found = await users.get(session, UUID(request.id))
        return await stats.of(session, UUID(found.id))

    async def _before_site(self, request: users_pb2.ListSiteUsersRequest) -> None:
        await self._sites.require_one(request.site_id)

    @transactional
    @prepared(_before_site)
    async def ListSiteUsers(
        self, request: users_pb2.ListSiteUsersRequest, session: AsyncSession, _known: None
    ) -> users_pb2.ListSiteUsersResponse:
        page = self._pager.page(request, _COLUMNS, default="name")
        rows = (await session.execute(page.apply(users.of_site(UUID(request.site_id))))).all()
        rows, next_cursor = page.cut(rows)
        shown = [users_pb2.SiteUser(id=str(row.id), name=row.name, role=row.role) for row in rows]
        return users_pb2.ListSiteUsersResponse(users=shown, next_cursor=next_cursor)

    async def _before_invitation(self, request: users_pb2.CreateInvitationRequest) -> None:
        await self._sites.require(request.invitation.site_ids, field="invitation.site_ids")

    @transactional
    @prepared(_before_invitation)
    async def CreateInvitation(
        self, request: users_pb2.CreateInvitationRequest, session: AsyncSession, _known: None
    ) -> users_pb2.Invitation:
        return await invitations.create(session, request.invitation, self._letters)

    @transactional
    async def ListInvitations(
        self, request: users_pb2.ListInvitationsRequest, session: AsyncSession
    ) -> users_pb2.ListInvitationsResponse:
        page = self._pager.page(request, {"id": Invitation.id}, default="-id")
        rows = (await session.scalars(page.apply(invitations.matching()))).all()
        rows, next_cursor = page.cut(rows)
        shown = [invitations.to_message(row) for row in rows]
        return users_pb2.ListInvitationsResponse(invitations=shown, next_cursor=next_cursor)

    @transactional
    async def DeleteInvitation(self, request: users_pb2.DeleteInvitationRequest, session: AsyncSession) -> Empty:
        await invitations.delete(session, UUID(request.id))
        return Empty()

    async def AcceptInvitation(self, request: users_pb2.AcceptInvitationRequest) -> users_pb2.AcceptInvitationResponse:
        async with self._database.transaction() as session:
            guest = await invitations.find(session, request.token)
        name, password_hash = request.name.strip(), ""
        if not guest.proven:
            invitations.check(guest, name=name, password=request.password)
            password_hash = await self._hasher.hash(request.password)
        call.current().principal = invitations.acting(guest)
        async with self._database.transaction() as session:
            await invitations.accept(session, guest, request.token, name=name, password_hash=password_hash)
        return users_pb2.AcceptInvitationResponse(tenant_id=str(guest.invited.tenant_id), email=guest.invited.email)

    @transactional
    async def Impersonate(
        self, request: users_pb2.ImpersonateRequest, session: AsyncSession
    ) -> users_pb2.Impersonation:
        made = await impersonation.begin(session, UUID(request.id), request.reason)
        return users_pb2.Impersonation(
            access_token=sessions.sign_access(self._keyring.signing, made, self._keyring.issuer),
            expires_in=sessions.ACCESS_S,
            token_type="Bearer",  # noqa: S106 - the scheme's name
            session_id=str(made.id),
        )


def _changes(request: users_pb2.UpdateUserRequest) -> dict[str, Any]:
    wanted = request.user
    changes = {
        "name": wanted.name,
        "role": wanted.role,
        "additional_roles": list(wanted.additional_roles),
        "site_ids": [UUID(site) for site in wanted.site_ids],
        "status": users.STATUSES.get(wanted.status, users.ACTIVE),
    }
    return {name: value for name, value in changes.items() if name in request.update_mask.paths}
