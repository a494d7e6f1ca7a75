"""The authorization server: what each endpoint does with a request, in the request's one transaction.

Authlib's core judges (RFC 6749, 7009, 7636, 7662); ours are the tables, the tokens and the pages. A refusal is an
answer like another: it is committed, and stands in the trail.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidRequestError, OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.util import await_only
from switchyard.auth.v1 import oauth_pb2

from chassis import audit, call
from chassis.identity import PLATFORM, Principal
from services.auth import oauth_clients, oauth_endpoints, oauth_granting, oauth_grants, oauth_scopes, oauth_store
from services.auth.keys import ID_TOKENS, Keyring
from services.auth.oauth_grants import Client, IdToken
from services.auth.oauth_http import Answer, Asked

T = TypeVar("T")

_HINTS = ("access_token", "refresh_token")


class Payload(BasicOAuth2Payload):  # type: ignore[misc] # authlib ships no types
    """A request's parameters."""

    @property
    def response_type(self) -> str:
        """Any but the one that there is, is one that there is not; its text is not repeated in the answer."""
        given = self.data.get("response_type", "")
        return "code" if given == "code" else "unsupported"


class Request(OAuth2Request):  # type: ignore[misc]
    """A request as authlib reads it. Whether it came by TLS is the gateway's business."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked.method, "https://localhost/")
        self.payload = Payload(dict(asked.parameters))
        self.person: oauth_granting.Person | None = None
        if asked.basic is not None:
            # Encoded anew: authlib stumbles over what is no text.
            told = ":".join(quote(each, safe="") for each in asked.basic)
            self.headers = {"Authorization": f"Basic {base64.b64encode(told.encode()).decode()}"}

    @property
    def form(self) -> Mapping[str, str]:
        """The parameters of the body."""
        given: Mapping[str, str] = self.payload.data if self.method == "POST" else {}
        return given


class Provider(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server for one request. Every redirect says who sends it (RFC 9207)."""

    def __init__(self, session: AsyncSession, keyring: Keyring, *, suspended: bool) -> None:
        super().__init__()
        self.session = session
        self.keyring = keyring
        self.suspended = suspended
        id_token = IdToken(keyring)
        self.register_grant(oauth_grants.Code, [oauth_grants.Pkce(required=True), id_token])
        self.register_grant(oauth_grants.Refresh, [id_token])
        self.register_grant(oauth_grants.Credentials)
        self.register_grant(oauth_grants.Exchange)
        self.register_endpoint(oauth_endpoints.Revoke)
        self.register_endpoint(oauth_endpoints.Introspect)

    def query_client(self, client_id: str) -> Client | None:
        """A client of the transaction's tenant."""
        try:
            wanted = UUID(client_id)
        except ValueError:
            return None
        row = await_only(oauth_store.client(self.session, wanted))
        return Client(row, suspended=self.suspended) if row else None

    def send_signal(self, name: str, *_told: object, **named: Any) -> None:
        """From here on the trail names the client."""
        if name == "after_authenticate_client":
            call.current().principal = oauth_granting.proved(named["client"].row)

    def create_oauth2_request(self, request: Asked) -> Request:
        return Request(request)

    def handle_response(self, status: int, body: Any, headers: Sequence[tuple[str, str]]) -> Answer:
        sent = [(name, self._named(value) if name == "Location" else value) for name, value in headers]
        return Answer(status, body, sent)

    async def run(self, judge: Callable[[], T]) -> T:
        """Let authlib judge, in the transaction."""
        return await self.session.run_sync(lambda _: judge())

    def _named(self, location: str) -> str:
        named: str = add_params_to_uri(location, [("iss", self.keyring.issuer)])
        return named


def claimed(client_id: UUID | None, tenant_id: UUID | None) -> Principal:
    """Somebody who says that they are a client, and has not shown it."""
    about = f"client:{client_id}" if client_id and tenant_id else ""
    return Principal("anonymous", "", tenant_id or PLATFORM, on_behalf_of=about)


async def token(provider: Provider, asked: Asked) -> Answer:
    """Tokens for what a client shows."""
    return await _answered(provider, asked, lambda: provider.create_token_response(asked))


async def revoke(provider: Provider, asked: Asked) -> Answer:
    """The end of a token. One that is not known is not the client's fault."""
    asked = _without_odd_hint(asked)
    endpoint = oauth_endpoints.REVOCATION
    return await _answered(provider, asked, lambda: provider.create_endpoint_response(endpoint, asked))


async def introspect(provider: Provider, asked: Asked) -> Answer:
    """What is known of a token."""
    asked = _without_odd_hint(asked)
    endpoint = oauth_endpoints.INTROSPECTION
    return await _answered(provider, asked, lambda: provider.create_endpoint_response(endpoint, asked))


def fault_of(asked: Asked) -> str:
    """Why a request is none of the protocol; empty: it is one."""
    if asked.fault:
        return asked.fault
    if asked.repeated:
        return "A parameter is given more than once."
    basic = asked.basic
    if basic is None:
        return ""
    if "client_secret" in asked.parameters:
        return "The client proves itself in more than one way."
    return "The client is named twice, differently." if asked.get("client_id") not in {"", basic[0]} else ""


def refused(session: AsyncSession, error: str) -> None:
    """Leave in its tenant's trail that a client was refused, or somebody in its name. No client is nobody's trail."""
    if call.current().principal.tenant_id not in {None, PLATFORM}:
        audit.add(session, outcome=audit.FAILURE, error_code=error.upper())


async def _answered(provider: Provider, asked: Asked, judge: Callable[[], Answer]) -> Answer:
    if fault := fault_of(asked):
        answer: Answer = provider.handle_error_response(None, InvalidRequestError(fault))
    else:
        answer = await provider.run(judge)
    if answer.error:
        refused(provider.session, answer.error)
    return answer


def _without_odd_hint(asked: Asked) -> Asked:
    # A hint that is none may be passed over (RFC 7009, section 2.1).
    kept = {name: value for name, value in asked.parameters.items() if name != "token_type_hint" or value in _HINTS}
    return Asked(asked.method, asked.headers, kept, asked.repeated, asked.fault)


def configuration(issuer: str) -> oauth_pb2.OpenidConfiguration:
    """What a client needs to know."""
    return oauth_pb2.OpenidConfiguration(
        issuer=issuer,
        authorization_endpoint=f"{issuer}/oauth/authorize",
        token_endpoint=f"{issuer}/oauth/token",
        revocation_endpoint=f"{issuer}/oauth/revoke",
        introspection_endpoint=f"{issuer}/oauth/introspect",
        userinfo_endpoint=f"{issuer}/oauth/userinfo",
        jwks_uri=f"{issuer}/.well-known/jwks.json",
        scopes_supported=oauth_scopes.IDENTITY,
        response_types_supported=["code"],
        response_modes_supported=["query"],
        grant_types_supported=oauth_clients.GRANT_TYPES,
        subject_types_supported=["public"],
        id_token_signing_alg_values_supported=[ID_TOKENS],
        token_endpoint_auth_methods_supported=oauth_grants.PROOFS,
        revocation_endpoint_auth_methods_supported=oauth_grants.PROOFS,
        introspection_endpoint_auth_methods_supported=oauth_grants.SECRETS,
        code_challenge_methods_supported=["S256"],
        claims_supported=["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "name", "email"],
        prompt_values_supported=["none", "login", "consent"],
        authorization_response_iss_parameter_supported=True,
        request_uri_parameter_supported=False,
    )
