"""Asking about tokens, and ending them: RFC 7009, RFC 7662, and who somebody is (OpenID Connect Core, 5.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.util import await_only

from chassis import call, clock, errors
from chassis.identity import Principal
from services.auth import access_store, access_tokens, oauth_granting, oauth_scopes, oauth_store, sessions, store
from services.auth.access_tokens import AccessToken
from services.auth.keys import Keyring
from services.auth.models import Session
from services.auth.oauth_grants import PROOFS, SECRETS, Client
from services.auth.oauth_models import OauthClient

REVOCATION = "revocation"
INTROSPECTION = "introspection"


class NotRevocable(OAuth2Error):  # type: ignore[misc] # authlib ships no types
    """A token of a client's own account hangs on nothing but the client (RFC 7009, section 2.2.1)."""

    error = "unsupported_token_type"
    description = "A token of the client itself ends with the client, or by itself"


@dataclass(frozen=True)
class Known:
    """A token that is ours: an access token, of a session or a client; or (without claims) a refresh token."""

    client_id: str
    row: Session | None
    claims: AccessToken | None
    client: OauthClient | None = None
    spent: bool = False

    def check_client(self, client: Client) -> bool:
        """Whether it was given to the client."""
        return self.client_id == client.get_client_id()

    def is_expired(self) -> bool:
        """Whether it has ended by itself; an access token that has is not known at all."""
        return self.row is not None and self.row.expires_at <= clock.now()

    def is_revoked(self) -> bool:
        """Whether it has been ended."""
        return self.spent or (self.row is not None and self.row.ended_at is not None)


class Revoke(RevocationEndpoint):  # type: ignore[misc]
    """Ends the session of a token, whichever of its tokens is shown."""

    ENDPOINT_NAME = REVOCATION
    CLIENT_AUTH_METHODS = PROOFS

    def query_token(self, token_string: str, _hint: str | None) -> Known | None:
        return await_only(find(self.server.session, self.server.keyring, token_string))

    def revoke_token(self, token: Known, request: OAuth2Request) -> None:
        if token.row is None:
            raise NotRevocable
        row = token.row
        call.current().principal = oauth_granting.proved(request.client.row, row.user_id, row.id)
        await_only(sessions.end(self.server.session, row.user_id, reason="client_revoked", only=row.id))


class Introspect(IntrospectionEndpoint):  # type: ignore[misc]
    """Tells clients with a secret about tokens of their tenant's clients."""

    ENDPOINT_NAME = INTROSPECTION
    CLIENT_AUTH_METHODS = SECRETS

    def query_token(self, token_string: str, _hint: str | None) -> Known | None:
        return await_only(find(self.server.session, self.server.keyring, token_string))

    def check_permission(self, token: Known, client: Client, _request: OAuth2Request) -> bool:
        tenant = token.row.tenant_id if token.row is not None else token.client and token.client.tenant_id
        return bool(tenant == client.row.tenant_id)

    def introspect_token(self, token: Known) -> dict[str, Any]:
        return await_only(_described(self.server.session, self.server.keyring, token))


async def find(session: AsyncSession, keyring: Keyring, text: str) -> Known | None:
    """A token of a client of the transaction's tenant."""
    if text.startswith(sessions.REFRESH_PREFIX):
        return await _find_refresh(session, text)
    try:
        claims = access_tokens.read(text, keyring.public, keyring.issuer)
    except errors.Unauthenticated:
        return None
    if not claims.session_id:
        client = await oauth_store.find_client(session, UUID(claims.subject))
        current = client is not None and client.generation == claims.generation
        return Known(claims.client_id, None, claims, client) if current else None
    row = await oauth_granting.find_session(session, claims)
    return Known(claims.client_id, row, claims) if row is not None and row.client_id is not None else None


async def _find_refresh(session: AsyncSession, text: str) -> Known | None:
    held = await oauth_granting.find_refresh(session, text)
    if held is None or held.row.client_id is None:
        return None
    kept = await store.refresh_token(session, sessions.digest(text))
    return Known(str(held.row.client_id), held.row, None, spent=kept is None or kept.spent_at is not None)


async def _described(session: AsyncSession, keyring: Keyring, token: Known) -> dict[str, Any]:
    told: dict[str, Any] = {
        "active": True,
        "client_id": token.client_id,
        "token_type": "Bearer",
        "iss": keyring.issuer,
    }
    claims = token.claims
    if claims is not None:
        told |= {"sub": claims.subject, "exp": claims.expires_at, "iat": claims.issued_at}
        told |= {"aud": access_tokens.AUDIENCE, "scope": " ".join(claims.scopes or ())}
    if token.row is None:
        assert token.client is not None
        return told | {"tenant_id": str(token.client.tenant_id)}
    row = token.row
    if row.tenant_id is None or not await oauth_granting.member(session, row.user_id, row.tenant_id):
        return {"active": False}
    account = await store.account(session, row.user_id)
    told |= {"tenant_id": str(row.tenant_id), "username": account.email if account else ""}
    if claims is None:
        told |= {"sub": str(row.user_id), "scope": " ".join(row.scopes or ())}
        told |= {"exp": int(row.expires_at.timestamp()), "iat": int(row.last_used_at.timestamp())}
    return told


async def userinfo(session: AsyncSession, principal: Principal, scopes: Sequence[str]) -> dict[str, Any]:
    """What the scopes let a client know of the person it acts for."""
    user_id = UUID(principal.id)
    await store.act_as(session, user_id)
    account = await store.account(session, user_id)
    assert account is not None
    told: dict[str, Any] = {"sub": principal.id}
    if oauth_scopes.PROFILE in scopes:
        told |= {"name": account.name, "tenant_id": str(principal.tenant_id), "roles": principal.roles}
    if oauth_scopes.EMAIL in scopes:
        proven = await access_store.is_proven(session, account.email)
        told |= {"email": account.email, "email_verified": proven}
    return told
