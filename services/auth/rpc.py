"""The edge of auth. Sign-in and refresh open their own transactions: a refusal, too, leaves something to commit."""

from datetime import UTC
from typing import ClassVar
from uuid import UUID

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import auth_pb2
from uuid_utils.compat import uuid7

from chassis import call, errors, identity, paging
from chassis.db import Database
from chassis.rpc.server import transactional
from services.auth import attempts, auth, passwords, roles, sessions, store, tokens, users
from services.auth.keys import Keyring
from services.auth.models import Account, ApiToken, Membership
from services.auth.settings import AuthSettings
from services.auth.store import Found

_KINDS = {auth_pb2.TOKEN_KIND_STORE: "store", auth_pb2.TOKEN_KIND_CATALOG: "catalog"}
_KIND_NUMBERS = {word: number for number, word in _KINDS.items()}


class AuthRpc:
    """Serves `switchyard.auth.v1.AuthService`."""

    service: ClassVar[ServiceDescriptor] = auth_pb2.DESCRIPTOR.services_by_name["AuthService"]

    def __init__(
        self,
        database: Database,
        *,
        settings: AuthSettings,
        keyring: Keyring,
        hasher: passwords.Hasher,
        uses: tokens.Uses,
        pager: paging.Pager,
    ) -> None:
        self._database = database
        self._master = settings.auth_master_key.get_secret_value()
        self._root_secret = settings.service_root_secret.get_secret_value()
        self._keyring = keyring
        self._hasher = hasher
        self._uses = uses
        self._pager = pager

    async def Login(self, request: auth_pb2.LoginRequest) -> auth_pb2.LoginResponse:
        email = users.normalised(request.email or request.username)
        found = await self._recognise(email, request.password)
        async with self._database.transaction() as session:
            signed_in = await sessions.begin(session, found, device_id=request.device_id, remember=request.remember)
        async with self._database.transaction(identity.service_principal("auth", None)) as session:
            await attempts.succeeded(session, email=email, address=call.current().address)
        return self._answer(signed_in)

    async def Refresh(self, request: auth_pb2.RefreshRequest) -> auth_pb2.LoginResponse:
        async with self._database.transaction() as session:
            owner = await store.owner_of_refresh_token(session, sessions.digest(request.refresh_token))
            if owner is None:
                raise errors.Unauthenticated
            access = await store.access_of(session, owner)
        call.current().principal = sessions.acting(owner, access)
        async with self._database.transaction() as session:
            signed_in = await sessions.refresh(session, request.refresh_token, self._master)
        if signed_in is None:
            raise errors.Unauthenticated
        return self._answer(signed_in)

    @transactional
    async def Logout(self, _request: auth_pb2.LogoutRequest, session: AsyncSession) -> Empty:
        await sessions.log_out(session)
        return Empty()

    @transactional
    async def Heartbeat(self, _request: auth_pb2.HeartbeatRequest, session: AsyncSession) -> auth_pb2.HeartbeatResponse:
        return auth_pb2.HeartbeatResponse(expires_in=await sessions.keep_alive(session))

    @transactional
    async def GetMe(self, _request: auth_pb2.GetMeRequest, session: AsyncSession) -> auth_pb2.Me:
        principal = call.current().principal
        return auth_pb2.Me(
            user=await users.me(session),
            kind=principal.kind,
            id=principal.id,
            tenant_id=str(principal.tenant_id or ""),
            roles=principal.roles,
            permissions=sorted(principal.permissions),
            site_ids=sorted(principal.sites),
        )

    @transactional
    async def ListUsers(self, request: auth_pb2.ListUsersRequest, session: AsyncSession) -> auth_pb2.ListUsersResponse:
        columns = {
            "id": Membership.user_id,
            "name": Membership.name,
            "email": Account.email,
            "created_at": Membership.created_at,
        }
        page = self._pager.page(request, columns, default="name")
        rows = (await session.execute(page.apply(users.matching(request)))).all()
        rows, next_cursor = page.cut(rows)
        return auth_pb2.ListUsersResponse(users=[users.to_message(row) for row in rows], next_cursor=next_cursor)

    @transactional
    async def CreateUser(self, request: auth_pb2.CreateUserRequest, session: AsyncSession) -> auth_pb2.User:
        return await users.create(session, request.user, self._hasher)

    @transactional
    async def GetUser(self, request: auth_pb2.GetUserRequest, session: AsyncSession) -> auth_pb2.User:
        return await users.get(session, UUID(request.id))

    @transactional
    async def UpdateUser(self, request: auth_pb2.UpdateUserRequest, session: AsyncSession) -> auth_pb2.User:
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
    async def DeleteUser(self, request: auth_pb2.DeleteUserRequest, session: AsyncSession) -> Empty:
        await users.delete(session, UUID(request.id))
        return Empty()

    async def ListRoles(self, _request: auth_pb2.ListRolesRequest) -> auth_pb2.ListRolesResponse:
        listed = [
            auth_pb2.Role(name=name, permissions=sorted(permissions), built_in=True)
            for name, permissions in roles.ROLES.items()
        ]
        return auth_pb2.ListRolesResponse(roles=listed)

    @transactional
    async def ListTokens(
        self, request: auth_pb2.ListTokensRequest, session: AsyncSession
    ) -> auth_pb2.ListTokensResponse:
        columns = {"id": ApiToken.id, "created_at": ApiToken.created_at}
        page = self._pager.page(request, columns, default="-created_at")
        site_id = UUID(request.site_id) if request.HasField("site_id") else None
        rows = (await session.scalars(page.apply(tokens.matching(_KINDS.get(request.kind), site_id)))).all()
        rows, next_cursor = page.cut(rows)
        return auth_pb2.ListTokensResponse(tokens=[_token(row) for row in rows], next_cursor=next_cursor)

    @transactional
    async def CreateToken(self, request: auth_pb2.CreateTokenRequest, session: AsyncSession) -> auth_pb2.ApiToken:
        wanted = request.token
        ends = wanted.expires_at.ToDatetime(tzinfo=UTC) if wanted.HasField("expires_at") else None
        row, secret = await tokens.create(
            session, name=wanted.name, kind=_KINDS[wanted.kind], site_id=UUID(wanted.site_id), expires_at=ends
        )
        created = _token(row)
        created.token = secret
        return created

    @transactional
    async def DeleteToken(self, request: auth_pb2.DeleteTokenRequest, session: AsyncSession) -> Empty:
        await tokens.delete(session, UUID(request.id))
        return Empty()

    async def GetJwks(self, _request: auth_pb2.GetJwksRequest) -> auth_pb2.Jwks:
        public = [key.as_dict(private=False) for key in self._keyring.public.keys]
        named = [{name: str(key[name]) for name in ("kty", "crv", "x", "kid")} for key in public]
        return auth_pb2.Jwks(keys=[auth_pb2.Jwk(**key, alg=identity.ALGORITHM, use="sig") for key in named])

    async def ExchangeToken(self, request: auth_pb2.ExchangeTokenRequest) -> auth_pb2.Pass:
        standing = await auth.stand(
            self._database,
            request.credential,
            keys=self._keyring.public,
            root_secret=self._root_secret,
            tenant_id=_optional(request.tenant_id),
            site_id=_optional(request.site_id),
        )
        self._uses.note(standing.principal)
        issued = auth_pb2.Pass(token=identity.sign_pass(standing.principal, self._keyring.signing))
        issued.expires_at.FromDatetime(standing.pass_ends_at)
        if standing.ends_at is not None:
            issued.credential_expires_at.FromDatetime(standing.ends_at)
        return issued

    async def _recognise(self, email: str, password: str) -> Found:
        """The account that e-mail address and password belong to; as slow, and the same refusal, for none."""
        current = call.current()
        async with self._database.transaction() as session:
            await attempts.admit(session, email=email, address=current.address)
            found = await store.find_account(session, email)
            access = await store.access_of(session, found.id if found else UUID(int=0))
        if found is not None:
            # Whose trail tells of it, whatever comes of it.
            current.principal = sessions.suspected(found.id, access)
        if not await self._hasher.matches(password, found.password_hash if found else None):
            raise sessions.refused()
        if found is None or not (access or found.operator):
            raise sessions.refused()
        current.principal = sessions.acting(found.id, access, uuid7())
        return found

    def _answer(self, signed_in: sessions.SignedIn) -> auth_pb2.LoginResponse:
        account = signed_in.account
        return auth_pb2.LoginResponse(
            access_token=sessions.sign_access(self._keyring.signing, signed_in.row),
            refresh_token=signed_in.refresh_token,
            expires_in=sessions.ACCESS_S,
            token_type="Bearer",  # noqa: S106 - the scheme's name
            user=auth_pb2.Account(id=str(account.id), email=account.email, name=account.name),
            tenants=[
                auth_pb2.TenantAccess(
                    tenant_id=str(access.tenant_id), role=access.role, site_ids=[str(site) for site in access.site_ids]
                )
                for access in signed_in.access
            ],
        )


def _optional(given: str) -> UUID | None:
    return UUID(given) if given else None


def _token(row: ApiToken) -> auth_pb2.ApiToken:
    answer = auth_pb2.ApiToken(
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
