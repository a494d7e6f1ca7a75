"""The edge of auth. Sign-in and refresh open their own transactions: a refusal, too, leaves something to commit."""

from typing import ClassVar
from uuid import UUID

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import auth_pb2
from uuid_utils.compat import uuid7

from chassis import call, errors, identity
from chassis.db import Database
from chassis.rpc.server import transactional
from services.auth import attempts, auth, passwords, sessions, store, tokens, users
from services.auth.keys import Keyring
from services.auth.settings import AuthSettings
from services.auth.store import Found


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
    ) -> None:
        self._database = database
        self._root_secret = settings.service_root_secret.get_secret_value()
        self._keyring = keyring
        self._hasher = hasher
        self._uses = uses

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
            signed_in = await sessions.refresh(session, request.refresh_token, self._keyring.derive("refresh-tokens"))
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

    async def GetJwks(self, _request: auth_pb2.GetJwksRequest) -> auth_pb2.Jwks:
        return auth_pb2.Jwks(keys=[auth_pb2.Jwk(**key) for key in self._keyring.document])

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
        issued.allowed_networks.extend(standing.allowed_networks)
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
