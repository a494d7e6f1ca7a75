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

from joserfc import jwt
from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import events_pb2
from uuid_utils.compat import uuid7

from chassis import audit, call, clock, errors, events, identity
from chassis.identity import Principal
from services.auth import store
from services.auth.models import Account, RefreshToken, Session
from services.auth.store import Access, Found

ACCESS_S = 15 * 60
# Not the passes' audience: neither kind of token is ever taken for the other.
ACCESS_AUDIENCE = "switchyard-api"
ACCESS_TYPE = "at+jwt"
CLIENT_ID = "switchyard"
LIFE_S = 8 * 3600
LIFE_REMEMBERED_S = 24 * 3600
# However much it is used, a session asks for the password again after this.
AGE_MAX_S = 30 * 24 * 3600
# A client that lost the answer, or refreshed twice at once, tries again within this.
RETRY_WITHIN = timedelta(seconds=10)
FORGOTTEN_AFTER = timedelta(days=30)
REFRESH_PREFIX = "rt_"


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
    client_id: UUID | None = None,
    scopes: Sequence[str] | None = None,
) -> SignedIn:
    """Open the session of a person who has just shown who they are, by a method.

    For an OAuth client it is confined to the client's tenant and to scopes.
    """
    now = clock.now()
    current = call.current()
    await store.act_as(session, found.id)
    life_s = LIFE_REMEMBERED_S if remember else LIFE_S
    row = Session(
        id=UUID(current.principal.session_id),
        user_id=found.id,
        life_s=life_s,
        device_id=device_id,
        address=current.address,
        user_agent=current.user_agent,
        created_at=now,
        last_used_at=now,
        expires_at=now + timedelta(seconds=life_s),
        method=method,
        tenant_id=tenant_id,
        client_id=client_id,
        scopes=list(scopes) if scopes is not None else None,
        authenticated_at=now,
    )
    session.add(row)
    await session.flush()
    token = REFRESH_PREFIX + secrets.token_urlsafe(32)
    await store.add_refresh_token(session, row, digest(token), now)
    return await _signed_in(session, row, token)


async def refresh(session: AsyncSession, token: str, secret: bytes) -> SignedIn | None:
    """Spend a refresh token for its successor; a spent one gives the same successor for a moment.

    `None`: the token was used again later, and the session has been ended for it. The caller refuses only after the
    transaction has been committed. Raises `Unauthenticated` for a session that is over.
    """
    now = clock.now()
    hashed = digest(token)
    await store.act_as(session, UUID(call.current().principal.id))
    known = await store.refresh_token(session, hashed)
    row = await store.lock_session(session, known.session_id) if known else None
    if row is None or row.ended_at is not None:
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
    for session_id in await store.end_sessions(session, user_id, clock.now(), reason=reason, only=only, but=but):
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


async def forget(session: AsyncSession) -> None:
    """Delete sessions that ended long ago."""
    await store.forget_sessions(session, clock.now() - FORGOTTEN_AFTER)


def sign_access(key: OKPKey, row: Session) -> str:
    """An access token (RFC 9068) of a session."""
    issued = int(clock.now().timestamp())
    claims = {
        "iss": identity.ISSUER,
        "aud": ACCESS_AUDIENCE,
        "sub": str(row.user_id),
        "client_id": CLIENT_ID,
        "sid": str(row.id),
        "jti": str(uuid7()),
        "iat": issued,
        "exp": issued + ACCESS_S,
    }
    header = {"alg": identity.ALGORITHM, "kid": key.kid, "typ": ACCESS_TYPE}
    return jwt.encode(header, claims, key, algorithms=[identity.ALGORITHM])


def digest(token: str) -> bytes:
    """What is kept of a token of 256 random bits."""
    return hashlib.sha256(token.encode()).digest()


def expired() -> errors.Unauthenticated:
    """The refusal of what was good once."""
    return errors.Unauthenticated("the credential has expired", code="TOKEN_EXPIRED")


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
