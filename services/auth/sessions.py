"""Sessions: opened by a sign-in, prolonged by use, carried by access and refresh tokens, ended at once.

A refresh token's successor is derived from it (HMAC with a secret of auth's), so that a racing retry can be given the
same one although the database holds nothing but hashes.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import auth_pb2, events_pb2

from chassis import audit, call, clock, errors, events
from chassis.identity import Principal
from services.auth import access_tokens, oauth_store, store
from services.auth.access_tokens import AccessToken
from services.auth.models import Account, RefreshToken, Session
from services.auth.store import Access, Found

ACCESS_S = access_tokens.LIFE_S
LIFE_S = 8 * 3600
LIFE_REMEMBERED_S = 24 * 3600
# However much it is used, a session asks for the password again after this.
AGE_MAX_S = 30 * 24 * 3600
# A client that lost the answer, or refreshed twice at once, tries again within this.
RETRY_WITHIN = timedelta(seconds=10)
FORGOTTEN_AFTER = timedelta(days=30)
REFRESH_PREFIX = "rt_"


@dataclass(frozen=True)
class Grant:
    """What a person lets an OAuth client do, in the client's tenant.

    `parent` is the session that this one came of (token exchange), and with which it ends.
    """

    tenant_id: UUID
    client_id: UUID
    scopes: Sequence[str]
    authenticated_at: datetime
    parent: Session | None = None


@dataclass(frozen=True)
class SignedIn:
    """A session, its next refresh token, and who it is."""

    row: Session
    refresh_token: str
    account: Account
    access: Sequence[Access]


def acting(user_id: UUID, access: Sequence[Access], session_id: UUID | None = None) -> Principal:
    """The person in the first tenant of theirs, whose trail tells of a sign-in; in none, for an operator."""
    tenant_id = access[0].tenant_id if access else None
    return Principal("user", str(user_id), tenant_id, str(session_id or ""))


def suspected(user_id: UUID, access: Sequence[Access]) -> Principal:
    """Somebody who claims to be the account without having shown it."""
    tenant_id = access[0].tenant_id if access else None
    return Principal("anonymous", "", tenant_id, on_behalf_of=f"user:{user_id}")


async def begin(
    session: AsyncSession,
    found: Found,
    *,
    device_id: str = "",
    remember: bool = False,
    method: str = "password",
    tenant_id: UUID | None = None,
) -> SignedIn:
    """Open the session of a person who has just shown who they are, by a method (for one tenant only, if given)."""
    row = _opened(found.id, remember=remember, method=method)
    row.device_id = device_id
    row.tenant_id = tenant_id
    return await _begun(session, row)


async def begin_for_client(session: AsyncSession, user_id: UUID, grant: Grant, *, remember: bool) -> SignedIn:
    """Open the session with which a client acts for a person."""
    row = _opened(user_id, remember=remember, method="oauth")
    row.tenant_id = grant.tenant_id
    row.client_id = grant.client_id
    row.scopes = list(grant.scopes)
    row.authenticated_at = grant.authenticated_at
    if grant.parent is not None:
        row.parent_id = grant.parent.parent_id or grant.parent.id
        row.expires_at = min(row.expires_at, grant.parent.expires_at)
        row.renewable = False
    return await _begun(session, row)


def _opened(user_id: UUID, *, remember: bool, method: str) -> Session:
    now = clock.now()
    current = call.current()
    life_s = LIFE_REMEMBERED_S if remember else LIFE_S
    return Session(
        id=UUID(current.principal.session_id),
        user_id=user_id,
        life_s=life_s,
        device_id="",
        address=current.address,
        user_agent=current.user_agent,
        created_at=now,
        last_used_at=now,
        expires_at=now + timedelta(seconds=life_s),
        method=method,
        authenticated_at=now,
    )


async def _begun(session: AsyncSession, row: Session) -> SignedIn:
    await store.act_as(session, row.user_id)
    session.add(row)
    await session.flush()
    token = REFRESH_PREFIX + secrets.token_urlsafe(32)
    await store.add_refresh_token(session, row, digest(token), row.created_at)
    return await _signed_in(session, row, token)


async def refresh(
    session: AsyncSession, token: str, secret: bytes, *, client_id: UUID | None = None
) -> SignedIn | None:
    """Spend a refresh token for its successor; a spent one gives the same successor for a moment.

    A token of an OAuth client's is taken from that client only.

    `None`: the token was used again later, and the session has been ended for it. The caller refuses only after the
    transaction has been committed. Raises `Unauthenticated` for a session that is over.
    """
    now = clock.now()
    hashed = digest(token)
    await store.act_as(session, UUID(call.current().principal.id))
    known = await store.refresh_token(session, hashed)
    row = await store.lock_session(session, known.session_id) if known else None
    if row is None or row.ended_at is not None or row.client_id != client_id or not row.renewable:
        raise errors.Unauthenticated
    if row.expires_at <= now:
        raise expired()
    audit.about(session, f"sessions/{row.id}")
    successor = _successor(token, secret)
    if await store.spend(session, hashed, now):
        await store.add_refresh_token(session, row, digest(successor), now, parent=hashed)
    elif not _is_racing(await store.refresh_token(session, hashed), now):
        await end(session, row.user_id, reason="reuse_detected", only=row.id)
        return None
    await store.use(session, row.id, now, at_most_s=AGE_MAX_S)
    return await _signed_in(session, row, successor)


async def end(
    session: AsyncSession, user_id: UUID, *, reason: str, only: UUID | None = None, but: UUID | None = None
) -> None:
    """End a person's sessions, or only one, or all but one; what hangs on them stops within a second."""
    await store.act_as(session, user_id)
    now = clock.now()
    ended = await store.end_sessions(session, user_id, now, reason=reason, only=only, but=but)
    for session_id in ended:
        _tell_ended(session, session_id, user_id, reason)
    if not ended:
        return
    for session_id, whose in await store.end_sessions_of_actors(session, ended, now, reason="ended"):
        _tell_ended(session, session_id, whose, "ended")


def _tell_ended(session: AsyncSession, session_id: UUID, user_id: UUID, reason: str) -> None:
    audit.changed(session, f"sessions/{session_id}", after={"end_reason": reason})
    ended = events_pb2.SessionRevoked(session_id=str(session_id), user_id=str(user_id), reason=reason)
    events.publish(session, ended, subject=f"sessions/{session_id}", audience=[f"user:{user_id}"])


async def log_out(session: AsyncSession) -> None:
    """End the caller's session; again is harmless."""
    principal = call.current().principal
    audit.about(session, f"sessions/{principal.session_id}")
    await end(session, UUID(principal.id), reason="logout", only=UUID(principal.session_id))


async def keep_alive(session: AsyncSession) -> int:
    """Mark the caller's session used; the seconds until it ends. Raises `Unauthenticated` when it is over."""
    principal = call.current().principal
    now = clock.now()
    audit.about(session, f"sessions/{principal.session_id}")
    await store.act_as(session, UUID(principal.id))
    ends = await store.use(session, UUID(principal.session_id), now, at_most_s=AGE_MAX_S)
    if ends is None:
        raise errors.Unauthenticated
    return int((ends - now).total_seconds())


async def require_person(session: AsyncSession, *, also_in_their_name: bool = False) -> None:
    """Name the caller, and raise `Denied` unless the person calls, and no program or other person for them."""
    principal = call.current().principal
    await store.act_as(session, UUID(principal.id))
    row = await session.get(Session, UUID(principal.session_id)) if principal.session_id else None
    if row is None or row.client_id is not None or (row.actor and not also_in_their_name):
        message = "this is for the person alone, in a session of their own"
        raise errors.Denied(message)


async def scopes(session: AsyncSession) -> Sequence[str] | None:
    """What limits the session of the caller, whom the transaction has named; `None`: nothing does."""
    principal = call.current().principal
    row = await session.get(Session, UUID(principal.session_id)) if principal.session_id else None
    return row.scopes if row is not None else None


def own() -> "sa.Select[Session]":
    """The caller's live sessions, in a transaction that has named them."""
    user_id = UUID(call.current().principal.id)
    return sa.select(Session).where(
        Session.user_id == user_id, Session.ended_at.is_(None), Session.expires_at > clock.now()
    )


async def end_own(session: AsyncSession, session_id: UUID) -> None:
    """End one of the caller's sessions; again is harmless. Raises `NotFound` for any other.

    Whoever ends that of a program takes back what they have allowed it: it has to ask again.
    """
    user_id = UUID(call.current().principal.id)
    await require_person(session)
    row = await store.lock_session(session, session_id)
    if row is None:
        raise errors.NotFound
    if row.client_id is not None and row.tenant_id is not None:
        await oauth_store.withdraw_consent(session, row.tenant_id, row.client_id)
    audit.about(session, f"sessions/{session_id}")
    await end(session, user_id, reason="ended", only=session_id)


async def end_others(session: AsyncSession) -> None:
    """End all of the caller's sessions but theirs."""
    principal = call.current().principal
    await require_person(session)
    audit.about(session, f"users/{principal.id}")
    await end(session, UUID(principal.id), reason="ended", but=UUID(principal.session_id))


async def step_up(session: AsyncSession) -> None:
    """Note that the caller has shown a factor just now."""
    principal = call.current().principal
    await require_person(session)
    row = await store.lock_session(session, UUID(principal.session_id))
    if row is None or row.ended_at is not None:
        raise errors.Unauthenticated
    row.authenticated_at = clock.now()


def to_message(row: Session) -> auth_pb2.Session:
    """A session as its person sees it."""
    shown = auth_pb2.Session(
        id=str(row.id),
        current=str(row.id) == call.current().principal.session_id,
        device_id=row.device_id,
        address=row.address,
        user_agent=row.user_agent,
        method=row.method,
        client_id=str(row.client_id or ""),
        actor=row.actor,
    )
    shown.created_at.FromDatetime(row.created_at)
    shown.last_used_at.FromDatetime(row.last_used_at)
    shown.expires_at.FromDatetime(row.expires_at)
    return shown


async def forget(session: AsyncSession) -> None:
    """Delete sessions that ended long ago."""
    await store.forget_sessions(session, clock.now() - FORGOTTEN_AFTER)


def sign_access(key: OKPKey, row: Session, issuer: str) -> str:
    """An access token of a session."""
    return access_tokens.sign(access_token(row), key, issuer)


def access_token(row: Session, *, scopes: Sequence[str] | None = None, actors: Sequence[str] = ()) -> AccessToken:
    """What an access token of a session says, made now; `scopes` may be fewer than the session's."""
    token = AccessToken(
        subject=str(row.user_id),
        client_id=str(row.client_id or access_tokens.OWN_CLIENT),
        session_id=str(row.id),
        scopes=row.scopes if scopes is None else scopes,
        authenticated_at=row.authenticated_at,
        actors=actors,
    )
    return access_tokens.made(token, ends_by=row.expires_at if row.parent_id else None)


def digest(token: str) -> bytes:
    """What is kept of a token of 256 random bits."""
    return hashlib.sha256(token.encode()).digest()


def expired() -> errors.Unauthenticated:
    """The refusal of what was good once."""
    return access_tokens.expired()


def refused() -> errors.Unauthenticated:
    """The one refusal of a sign-in, whatever was wrong."""
    return errors.Unauthenticated("the e-mail address or the password is wrong")


def _successor(token: str, secret: bytes) -> str:
    derived = hmac.new(secret, token.encode(), hashlib.sha256).digest()
    return REFRESH_PREFIX + base64.urlsafe_b64encode(derived).decode().rstrip("=")


def _is_racing(spent: RefreshToken | None, now: datetime) -> bool:
    return spent is not None and spent.spent_at is not None and now - spent.spent_at <= RETRY_WITHIN


async def _signed_in(session: AsyncSession, row: Session, token: str) -> SignedIn:
    account = await store.account(session, row.user_id)
    access = await store.access_of(session, row.user_id)
    if account is None or not (access or await store.is_operator(session, row.user_id)):
        # No tenant lets them in any more.
        raise errors.Unauthenticated
    return SignedIn(row, token, account, access)
