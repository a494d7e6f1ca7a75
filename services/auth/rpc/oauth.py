"""The edge of the authorization server and its clients.

The protocol's own methods commit a refusal, too: what a replayed code or a stolen refresh token has ended stays ended.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import ClassVar
from uuid import UUID

from authlib.oauth2.rfc6750 import InsufficientScopeError, InvalidTokenError
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import oauth_pb2
from switchyard.common.v1 import http_pb2

from chassis import errors, paging
from chassis.db import Database
from chassis.rpc.server import prepared, transactional
from services.auth import access_tokens, auth, oauth, oauth_clients, oauth_endpoints, oauth_http, oauth_scopes
from services.auth.keys import Keyring
from services.auth.oauth import Provider
from services.auth.oauth_clients import to_message
from services.auth.oauth_http import Answer, Asked
from services.auth.oauth_models import OauthClient
from services.auth.rpc.authorizing import Authorizing, act_for_client
from services.auth.rpc.door import Door
from services.auth.sites import Sites

_COLUMNS = {"id": OauthClient.id, "name": OauthClient.name, "created_at": OauthClient.created_at}


class OauthRpc:
    """Serves `switchyard.auth.v1.OauthService`."""

    service: ClassVar[ServiceDescriptor] = oauth_pb2.DESCRIPTOR.services_by_name["OauthService"]

    def __init__(self, database: Database, *, keyring: Keyring, door: Door, pager: paging.Pager, sites: Sites) -> None:
        self._database = database
        self._keyring = keyring
        self._authorizing = Authorizing(database, keyring=keyring, door=door)
        self._pager = pager
        self._sites = sites

    async def GetConfiguration(self, _request: oauth_pb2.GetConfigurationRequest) -> oauth_pb2.OpenidConfiguration:
        return oauth.configuration(self._keyring.issuer)

    async def Authorize(self, request: http_pb2.HttpRequest) -> http_pb2.HttpResponse:
        return await self._authorizing.ask(oauth_http.read(request))

    async def AnswerAuthorize(self, request: http_pb2.HttpRequest) -> http_pb2.HttpResponse:
        return await self._authorizing.answer(oauth_http.read(request))

    async def Token(self, request: http_pb2.HttpRequest) -> http_pb2.HttpResponse:
        return await self._answered(oauth_http.read(request), oauth.token)

    async def Revoke(self, request: http_pb2.HttpRequest) -> http_pb2.HttpResponse:
        return await self._answered(oauth_http.read(request), oauth.revoke)

    async def Introspect(self, request: http_pb2.HttpRequest) -> http_pb2.HttpResponse:
        return await self._answered(oauth_http.read(request), oauth.introspect)

    async def Userinfo(self, request: http_pb2.HttpRequest) -> http_pb2.HttpResponse:
        return (await self._userinfo(oauth_http.read(request))).to_message()

    async def PostUserinfo(self, request: http_pb2.HttpRequest) -> http_pb2.HttpResponse:
        return (await self._userinfo(oauth_http.read(request))).to_message()

    @transactional
    async def ListClients(
        self, request: oauth_pb2.ListClientsRequest, session: AsyncSession
    ) -> oauth_pb2.ListClientsResponse:
        page = self._pager.page(request, _COLUMNS, default="name")
        rows, next_cursor = page.cut((await session.scalars(page.apply(oauth_clients.listed()))).all())
        return oauth_pb2.ListClientsResponse(clients=map(to_message, rows), next_cursor=next_cursor)

    async def _before_create(self, request: oauth_pb2.CreateClientRequest) -> None:
        await self._sites.require(request.client.site_ids, field="client.site_ids")

    @transactional
    @prepared(_before_create)
    async def CreateClient(
        self, request: oauth_pb2.CreateClientRequest, session: AsyncSession, _there: None
    ) -> oauth_pb2.OauthClient:
        return to_message(*await oauth_clients.create(session, request.client))

    @transactional
    async def GetClient(self, request: oauth_pb2.GetClientRequest, session: AsyncSession) -> oauth_pb2.OauthClient:
        return to_message(await oauth_clients.get(session, UUID(request.id)))

    async def _before_update(self, request: oauth_pb2.UpdateClientRequest) -> Collection[str]:
        changes = "site_ids" in request.update_mask.paths
        return await self._sites.unknown(request.client.site_ids) if changes else ()

    @transactional
    @prepared(_before_update)
    async def UpdateClient(
        self, request: oauth_pb2.UpdateClientRequest, session: AsyncSession, unknown_sites: Collection[str]
    ) -> oauth_pb2.OauthClient:
        changed = await oauth_clients.update(
            session,
            UUID(request.id),
            request.client,
            named=set(request.update_mask.paths),
            unknown_sites=unknown_sites,
        )
        return to_message(changed)

    @transactional
    async def RotateClientSecret(
        self, request: oauth_pb2.RotateClientSecretRequest, session: AsyncSession
    ) -> oauth_pb2.OauthClient:
        return to_message(*await oauth_clients.rotate_secret(session, UUID(request.id)))

    @transactional
    async def DeleteClient(self, request: oauth_pb2.DeleteClientRequest, session: AsyncSession) -> Empty:
        await oauth_clients.delete(session, UUID(request.id))
        return Empty()

    async def _answered(
        self, asked: Asked, work: Callable[[Provider, Asked], Awaitable[Answer]]
    ) -> http_pb2.HttpResponse:
        suspended = await act_for_client(self._database, asked)
        async with self._database.transaction() as session:
            answer = await work(Provider(session, self._keyring, suspended=suspended), asked)
        return answer.to_message()

    async def _userinfo(self, asked: Asked) -> Answer:
        shown = [token for token in (asked.bearer, asked.get("access_token")) if token and asked.method == "POST"]
        token = shown[0] if shown else asked.bearer
        if not token:
            # Nothing was shown, so nothing was wrong with it (RFC 6750, section 3.1).
            return Answer(401, {}, [("www-authenticate", "Bearer")])
        try:
            claims = access_tokens.read(token, self._keyring.public, self._keyring.issuer)
            standing = await auth.of_token(self._database, claims, None)
        except (errors.Unauthenticated, errors.Denied, errors.Invalid):
            return Answer(*InvalidTokenError()())
        if standing.principal.kind != "user" or oauth_scopes.OPENID not in (claims.scopes or ()):
            status, body, headers = InsufficientScopeError()()
            told = 'Bearer error="insufficient_scope", scope="openid"'
            return Answer(status, body, [*headers, ("WWW-Authenticate", told)])
        async with self._database.transaction(standing.principal) as session:
            body = await oauth_endpoints.userinfo(session, standing.principal, claims.scopes or ())
        return Answer(200, body)
