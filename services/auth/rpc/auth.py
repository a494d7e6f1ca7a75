"""The edge of auth. Sign-in and refresh open their own transactions: a refusal, too, leaves something to commit."""

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import auth_pb2

from chassis import call, errors, identity, paging, policy
from chassis.db import Database
from chassis.rpc.server import prepared, transactional
from services.auth import active_sites, auth, sessions, store, tokens, users
from services.auth.auth import Standing
from services.auth.keys import Keyring
from services.auth.models import Session
from services.auth.rpc.door import Door, answer
from services.auth.settings import AuthSettings
from services.auth.sites import Sites


class AuthRpc:
    """Serves `switchyard.auth.v1.AuthService`."""

    service: ClassVar[ServiceDescriptor] = auth_pb2.DESCRIPTOR.services_by_name["AuthService"]

    def __init__(
        self,
        database: Database,
        *,
        settings: AuthSettings,
        keyring: Keyring,
        door: Door,
        uses: tokens.Uses,
        pager: paging.Pager,
        sites: Sites,
    ) -> None:
        self._database = database
        self._root_secret = settings.service_root_secret.get_secret_value()
        self._keyring = keyring
        self._door = door
        self._uses = uses
        self._pager = pager
        self._sites = sites

    async def Login(self, request: auth_pb2.LoginRequest) -> auth_pb2.LoginResponse:
        email = users.normalised(request.email or request.username)
        found, method = await self._door.recognise(email, request.password, request.otp)
        signed_in = await self._door.let_in(
            found, email, method=method, device_id=request.device_id, remember=request.remember
        )
        return answer(self._keyring, signed_in)

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
        return answer(self._keyring, signed_in)

    @transactional
    async def Logout(self, _request: auth_pb2.LogoutRequest, session: AsyncSession) -> Empty:
        await sessions.log_out(session)
        return Empty()

    @transactional
    async def Heartbeat(self, _request: auth_pb2.HeartbeatRequest, session: AsyncSession) -> auth_pb2.HeartbeatResponse:
        return auth_pb2.HeartbeatResponse(expires_in=await sessions.keep_alive(session))

    @transactional
    async def GetMe(self, _request: auth_pb2.GetMeRequest, session: AsyncSession) -> auth_pb2.Me:
        return await _me(session)

    async def _before_list_sites(self, _request: auth_pb2.ListMySitesRequest) -> Sequence[Any]:
        async with self._database.transaction() as session:
            among = await active_sites.choosable(session)
        return await self._sites.named(among)

    @transactional
    @prepared(_before_list_sites)
    async def ListMySites(
        self, _request: auth_pb2.ListMySitesRequest, session: AsyncSession, named: Sequence[Any]
    ) -> auth_pb2.ListMySitesResponse:
        active = str(await active_sites.active(session) or "")
        sites = [auth_pb2.MySite(id=site.id, name=site.name, active=site.id == active) for site in named]
        return auth_pb2.ListMySitesResponse(sites=sites)

    async def _before_set_site(self, request: auth_pb2.SetSiteRequest) -> None:
        if request.site_id:
            await self._sites.require_one(request.site_id)

    @transactional
    @prepared(_before_set_site)
    async def SetSite(self, request: auth_pb2.SetSiteRequest, session: AsyncSession, _there: None) -> auth_pb2.Me:
        await active_sites.choose(session, _optional(request.site_id))
        return await _me(session)

    @transactional
    async def ListSessions(
        self, request: auth_pb2.ListSessionsRequest, session: AsyncSession
    ) -> auth_pb2.ListSessionsResponse:
        await sessions.require_person(session)
        columns = {"id": Session.id, "last_used_at": Session.last_used_at}
        page = self._pager.page(request, columns, default="-last_used_at")
        rows, next_cursor = page.cut((await session.scalars(page.apply(sessions.own()))).all())
        return auth_pb2.ListSessionsResponse(sessions=map(sessions.to_message, rows), next_cursor=next_cursor)

    @transactional
    async def DeleteSession(self, request: auth_pb2.DeleteSessionRequest, session: AsyncSession) -> Empty:
        await sessions.end_own(session, UUID(request.id))
        return Empty()

    @transactional
    async def DeleteOtherSessions(self, _request: auth_pb2.DeleteOtherSessionsRequest, session: AsyncSession) -> Empty:
        await sessions.end_others(session)
        return Empty()

    async def StepUp(self, request: auth_pb2.StepUpRequest) -> auth_pb2.StepUpResponse:
        await self._door.show_again(request)
        async with self._database.transaction() as session:
            await sessions.step_up(session)
        return auth_pb2.StepUpResponse(expires_in=policy.STEP_UP_S)

    async def GetJwks(self, _request: auth_pb2.GetJwksRequest) -> auth_pb2.Jwks:
        return auth_pb2.Jwks(keys=[auth_pb2.Jwk(**key) for key in self._keyring.document])

    async def ExchangeToken(self, request: auth_pb2.ExchangeTokenRequest) -> auth_pb2.Pass:
        standing = await auth.stand(
            self._database,
            request.credential,
            keys=self._keyring,
            root_secret=self._root_secret,
            tenant_id=_optional(request.tenant_id),
            site_id=_optional(request.site_id),
        )
        self._uses.note(standing.principal, standing.token_id)
        return _issued(standing, identity.sign_pass(standing.principal, self._keyring.signing))


async def _me(session: AsyncSession) -> auth_pb2.Me:
    principal = call.current().principal
    return auth_pb2.Me(
        user=await users.me(session),
        kind=principal.kind,
        id=principal.id,
        tenant_id=str(principal.tenant_id or ""),
        roles=principal.roles,
        permissions=sorted(principal.permissions),
        site_ids=sorted(principal.sites),
        active_site_id=str(await active_sites.active(session) or ""),
        actor=principal.actor,
    )


def _issued(standing: Standing, token: str) -> auth_pb2.Pass:
    issued = auth_pb2.Pass(token=token, allowed_networks=standing.allowed_networks)
    issued.expires_at.FromDatetime(standing.pass_ends_at)
    if standing.ends_at is not None:
        issued.credential_expires_at.FromDatetime(standing.ends_at)
    return issued


def _optional(given: str) -> UUID | None:
    return UUID(given) if given else None
