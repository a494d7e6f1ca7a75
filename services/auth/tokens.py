"""API tokens: what kiosks and POS systems of a site hold, and programs of persons. Shown once, kept as a hash."""

import secrets
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import access_pb2, events_pb2
from uuid_utils.compat import uuid7

from chassis import call, clock, errors, events
from chassis.identity import Principal
from services.auth import roles, scopes, sessions, store
from services.auth.models import ApiToken

PERSONAL = "personal"
PREFIXES = {"catalog": "cat_", "store": "sto_", PERSONAL: "pat_"}
# The kind of principal, which is also its role, behind each kind of token.
PRINCIPALS = {"catalog": "kiosk", "store": "pos"}
_KINDS = {
    access_pb2.TOKEN_KIND_STORE: "store",
    access_pb2.TOKEN_KIND_CATALOG: "catalog",
    access_pb2.TOKEN_KIND_PERSONAL: PERSONAL,
}
_NUMBERS = {word: number for number, word in _KINDS.items()}


async def create(session: AsyncSession, wanted: access_pb2.ApiToken) -> access_pb2.ApiToken:
    """A new token, with its secret. Raises `Denied` where it could do what the caller cannot."""
    principal = call.current().principal
    now = clock.now()
    kind = _KINDS[wanted.kind]
    if wanted.site_id and not principal.may_see_site(wanted.site_id):
        message = "there is no such site"
        raise errors.NotFound(message)
    expires_at = wanted.expires_at.ToDatetime(tzinfo=UTC) if wanted.HasField("expires_at") else None
    if expires_at is not None and expires_at <= now:
        raise errors.Invalid(fields={"token.expires_at": ["must be in the future"]})
    # A personal one can do no more than its person, whatever its scopes say.
    given = roles.permissions(PRINCIPALS[kind]) if kind in PRINCIPALS else frozenset()
    if missing := roles.lacking(principal, scopes.limited(given, wanted.scopes) if wanted.scopes else given):
        raise errors.Denied.missing(missing[0], field="token.kind")
    secret = PREFIXES[kind] + secrets.token_urlsafe(32)
    row = ApiToken(
        tenant_id=principal.tenant,
        id=uuid7(),
        name=wanted.name,
        kind=kind,
        site_id=UUID(wanted.site_id) if wanted.site_id else None,
        user_id=await _owner(session, kind),
        scopes=list(wanted.scopes),
        allowed_networks=list(wanted.allowed_networks),
        created_by=principal.name,
        hash=sessions.digest(secret),
        expires_at=expires_at,
        created_at=now,
    )
    session.add(row)
    await session.flush()
    created = to_message(row)
    created.token = secret
    return created


async def _owner(session: AsyncSession, kind: str) -> UUID | None:
    """Whose a token is. A member of the tenant can make one of their own, but no program of theirs, which has less."""
    principal = call.current().principal
    if kind != PERSONAL:
        return None
    member = await store.membership(session, principal.tenant, UUID(principal.id)) if principal.kind == "user" else None
    if member is None:
        message = "a personal token is made by a member of the tenant"
        raise errors.Denied(message)
    await sessions.require_person(session)
    return member.user_id


def matching(request: access_pb2.ListTokensRequest) -> "sa.Select[ApiToken]":
    """The tokens a list asks for, among those of the caller's sites, and of persons the caller's own."""
    principal = call.current().principal
    own = UUID(principal.id) if principal.kind == "user" else None
    statement = sa.select(ApiToken).where(sa.or_(ApiToken.user_id.is_(None), ApiToken.user_id == own))
    if sites := [UUID(site) for site in principal.sites]:
        statement = statement.where(sa.or_(ApiToken.user_id.is_not(None), ApiToken.site_id.in_(sites)))
    if request.kind:
        statement = statement.where(ApiToken.kind == _KINDS[request.kind])
    return statement.where(ApiToken.site_id == UUID(request.site_id)) if request.HasField("site_id") else statement


def to_message(row: ApiToken) -> access_pb2.ApiToken:
    """A token as answered, without its secret."""
    answer = access_pb2.ApiToken(
        id=str(row.id),
        name=row.name,
        kind=_NUMBERS[row.kind],
        site_id=str(row.site_id or ""),
        catalog_id=str(row.site_id) if row.kind == "catalog" else "",
        user_id=str(row.user_id or ""),
        scopes=row.scopes,
        allowed_networks=row.allowed_networks,
    )
    answer.created_at.FromDatetime(row.created_at)
    if row.expires_at is not None:
        answer.expires_at.FromDatetime(row.expires_at)
    if row.last_used_at is not None:
        answer.last_used_at.FromDatetime(row.last_used_at)
    return answer


async def delete(session: AsyncSession, token_id: UUID) -> None:
    """Revoke a token; it stops working everywhere within a second."""
    row = await store.api_token(session, token_id)
    if row is None or not _sees(call.current().principal, row):
        raise errors.NotFound
    await session.delete(row)
    revoked = events_pb2.TokenRevoked(token_id=str(row.id), site_id=str(row.site_id or ""))
    audience = [f"kiosk:{row.site_id}"] if row.site_id else []
    events.publish(session, revoked, subject=f"tokens/{row.id}", audience=audience)


def _sees(principal: Principal, row: ApiToken) -> bool:
    if row.user_id is not None:
        # Somebody else's is ended by whoever may see all that the person does in the tenant: an administrator.
        return str(row.user_id) == principal.id or principal.may("auth.users.write")
    return row.site_id is not None and principal.may_see_site(row.site_id)


class Uses:
    """When tokens and sessions were last used, and from where, gathered here so that the hot path does not write."""

    def __init__(self) -> None:
        self._used: dict[UUID, dict[UUID, datetime]] = {}
        self._sessions: dict[UUID, tuple[datetime, str]] = {}

    def note(self, principal: Principal, token_id: UUID | None) -> None:
        """Note that a token, or else a session, has been exchanged just now; of others nothing is kept."""
        now = clock.now()
        if token_id is not None:
            self._used.setdefault(principal.tenant, {})[token_id] = now.replace(second=0, microsecond=0)
        elif principal.session_id:
            self._sessions[UUID(principal.session_id)] = now, call.current().address

    def drain_sessions(self) -> dict[UUID, tuple[datetime, str]]:
        """Sessions that were used since the last time: when, and from which address."""
        used, self._sessions = self._sessions, {}
        return used

    def drain(self) -> dict[UUID, dict[UUID, datetime]]:
        """What was noted since the last time, by tenant."""
        used, self._used = self._used, {}
        return used
