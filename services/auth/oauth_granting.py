"""What a client is given, for what: a code, a refresh token, its own credentials, another client's access token.

All of it happens in the transaction of the request, and is committed with its answer even if that is a refusal: what a
replay or a theft has ended stays ended. Nothing else is written before a refusal.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidScopeError
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from chassis import audit, call, clock, errors
from chassis.identity import Principal
from services.auth import access_tokens, oauth_clients, oauth_scopes, oauth_store, sessions, store
from services.auth.access_tokens import AccessToken
from services.auth.keys import Keyring
from services.auth.models import Session
from services.auth.oauth_models import OauthClient, OauthCode

CODE_PREFIX = "oac_"
# The client exchanges it at once; RFC 6749 allows ten minutes.
CODE_LIFE = timedelta(seconds=60)
# For so long a replayed code ends what it gave.
CODES_FORGOTTEN_AFTER = timedelta(days=1)
REFRESH_SECRET = "refresh-tokens"  # noqa: S105 - what the secret is for


@dataclass(frozen=True)
class Person:
    """Whom a client acts for."""

    id: UUID
    email: str
    name: str
    authenticated_at: datetime


@dataclass(frozen=True)
class Issued:
    """An access token and what comes with it."""

    access_token: str
    token: AccessToken
    scopes: Sequence[str]
    refresh_token: str = ""
    person: Person | None = None


@dataclass(frozen=True)
class Held:
    """A token that a client shows, and the session behind it."""

    row: Session
    text: str

    def check_client(self, client: Any) -> bool:
        """Whether it was given to the client."""
        return bool(self.row.client_id == client.row.id)

    def get_scope(self) -> str:
        """What it is for."""
        return " ".join(self.row.scopes or ())


def proved(row: OauthClient, person: UUID | None = None, session_id: UUID | None = None) -> Principal:
    """A client that has proved itself, and for whom it acts."""
    for_whom = f"user:{person}" if person else ""
    return Principal("client", str(row.id), row.tenant_id, str(session_id or ""), on_behalf_of=for_whom)


async def member(session: AsyncSession, user_id: UUID, tenant_id: UUID) -> bool:
    """Whether somebody may use a tenant's programs. An operator's powers are never lent to one."""
    access = await store.access_of(session, user_id)
    return any(one.tenant_id == tenant_id for one in access) and not await store.is_operator(session, user_id)


async def keep_code(session: AsyncSession, client: OauthClient, person: Person, asked: dict[str, str]) -> str:
    """A new code, for what was asked."""
    code = CODE_PREFIX + secrets.token_urlsafe(32)
    values = {
        "tenant_id": client.tenant_id,
        "hash": sessions.digest(code),
        "client_id": client.id,
        "user_id": person.id,
        "redirect_uri": asked["redirect_uri"],
        "scopes": asked["scope"].split(),
        "nonce": asked.get("nonce", ""),
        "code_challenge": asked["code_challenge"],
        "authenticated_at": person.authenticated_at,
        "expires_at": clock.now() + CODE_LIFE,
    }
    await oauth_store.add_code(session, values)
    audit.changed(session, f"oauth_clients/{client.id}", after={"granted": values["scopes"]})
    return code


async def find_code(session: AsyncSession, client: OauthClient, code: str) -> OauthCode | None:
    """A code of the client's that waits. One that was spent ends what it gave (RFC 6749, section 4.1.2)."""
    row = await oauth_store.code(session, sessions.digest(code))
    if row is None or row.client_id != client.id:
        return None
    if row.spent_at is not None:
        await _end_replayed(session, row)
        return None
    return row if row.expires_at > clock.now() else None


async def from_code(session: AsyncSession, keyring: Keyring, client: OauthClient, code: OauthCode) -> Issued:
    """Spend a code for a session of the client's."""
    await _require_member(session, code.user_id, client)
    session_id = uuid7()
    call.current().principal = proved(client, code.user_id, session_id)
    if not await oauth_store.spend_code(session, code.hash, session_id, clock.now()):
        # Another request was faster by a moment.
        await _end_replayed(session, code)
        raise InvalidGrantError
    grant = sessions.Grant(client.tenant_id, client.id, code.scopes, code.authenticated_at)
    remember = oauth_scopes.OFFLINE in code.scopes
    signed_in = await sessions.begin_for_client(session, code.user_id, grant, remember=remember)
    refreshes = oauth_clients.REFRESH in client.grant_types
    return _issued(keyring, signed_in, refresh_token=signed_in.refresh_token if refreshes else "")


async def find_refresh(session: AsyncSession, token: str) -> Held | None:
    """The session of a refresh token, spent or not. From now on the transaction names its person."""
    digest = sessions.digest(token)
    owner = await store.owner_of_refresh_token(session, digest)
    if owner is None:
        return None
    await store.act_as(session, owner)
    known = await store.refresh_token(session, digest)
    row = await store.lock_session(session, known.session_id) if known else None
    return Held(row, token) if row else None


async def from_refresh(
    session: AsyncSession, keyring: Keyring, client: OauthClient, held: Held, scopes: Sequence[str]
) -> Issued:
    """Spend a refresh token for the next one. Used again later it ends the session."""
    await _require_member(session, held.row.user_id, client)
    call.current().principal = Principal("user", str(held.row.user_id), client.tenant_id, str(held.row.id))
    try:
        signed_in = await sessions.refresh(session, held.text, keyring.derive(REFRESH_SECRET), client_id=client.id)
    except errors.Unauthenticated as failure:
        raise InvalidGrantError from failure
    finally:
        call.current().principal = proved(client, held.row.user_id, held.row.id)
    if signed_in is None:
        raise InvalidGrantError
    return _issued(keyring, signed_in, scopes=scopes, refresh_token=signed_in.refresh_token)


async def from_credentials(
    session: AsyncSession, keyring: Keyring, client: OauthClient, scopes: Sequence[str]
) -> Issued:
    """A token of the client's own account."""
    audit.about(session, f"oauth_clients/{client.id}")
    wanted = AccessToken(str(client.id), str(client.id), generation=client.generation, scopes=scopes)
    token = access_tokens.made(wanted)
    return Issued(access_tokens.sign(token, keyring.signing, keyring.issuer), token, scopes)


async def from_token(
    session: AsyncSession, keyring: Keyring, client: OauthClient, subject_token: str, scopes: Sequence[str]
) -> Issued:
    """A narrower token, for the same person, of another client's token (RFC 8693). It ends with that one."""
    try:
        subject = access_tokens.read(subject_token, keyring.public, keyring.issuer)
    except errors.Unauthenticated as failure:
        raise InvalidGrantError from failure
    parent = await find_session(session, subject)
    # A token of the suite's own sign-in was never meant for a program.
    if parent is None or parent.client_id is None or parent.tenant_id != client.tenant_id:
        raise InvalidGrantError
    await _require_member(session, parent.user_id, client)
    granted = list(scopes) or [one for one in subject.scopes or () if oauth_scopes.covered(one, client.scopes)]
    if not oauth_scopes.all_covered(granted, subject.scopes or ()) or not granted:
        raise InvalidScopeError
    call.current().principal = proved(client, parent.user_id, uuid7())
    grant = sessions.Grant(client.tenant_id, client.id, granted, parent.authenticated_at, parent)
    signed_in = await sessions.begin_for_client(session, parent.user_id, grant, remember=False)
    ends = min(clock.now() + timedelta(seconds=subject.left_s), signed_in.row.expires_at)
    signed_in.row.expires_at = ends
    return _issued(keyring, signed_in, actors=(str(client.id), *subject.actors))


async def find_session(session: AsyncSession, token: AccessToken) -> Session | None:
    """The live session of an access token, locked. From now on the transaction names its person."""
    if not token.session_id:
        return None
    await store.act_as(session, UUID(token.subject))
    row = await store.lock_session(session, UUID(token.session_id))
    if row is None or row.ended_at is not None or row.expires_at <= clock.now():
        return None
    return row


def narrowed(scope: str | None, held: Sequence[str]) -> list[str]:
    """The scopes that a request names, or all that are held. Raises `InvalidScopeError` for more than that."""
    wanted = oauth_scopes.listed(scope)
    if not oauth_scopes.all_covered(wanted, held):
        raise InvalidScopeError
    return wanted or list(held)


async def forget(session: AsyncSession) -> None:
    """Delete what no longer proves anything."""
    await oauth_store.forget(session, clock.now() - CODES_FORGOTTEN_AFTER)


async def _require_member(session: AsyncSession, user_id: UUID, client: OauthClient) -> None:
    if not await member(session, user_id, client.tenant_id):
        raise InvalidGrantError


async def _end_replayed(session: AsyncSession, code: OauthCode) -> None:
    given = await oauth_store.session_of_code(session, code.hash)
    call.current().principal = Principal(
        "anonymous", "", code.tenant_id, str(given or ""), on_behalf_of=f"client:{code.client_id}"
    )
    if given is not None:
        await sessions.end(session, code.user_id, reason="reuse_detected", only=given)


def _issued(
    keyring: Keyring,
    signed_in: sessions.SignedIn,
    *,
    scopes: Sequence[str] | None = None,
    refresh_token: str = "",
    actors: Sequence[str] = (),
) -> Issued:
    row, account = signed_in.row, signed_in.account
    granted = list(scopes) if scopes is not None else list(row.scopes or ())
    token = sessions.access_token(row, scopes=granted, actors=actors)
    person = Person(row.user_id, account.email, account.name, row.authenticated_at)
    signed = access_tokens.sign(token, keyring.signing, keyring.issuer)
    return Issued(signed, token, granted, refresh_token, person)
