"""API tokens: what the kiosks and the POS systems of a site hold. Shown once, kept as a hash."""

import secrets
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import events_pb2
from uuid_utils.compat import uuid7

from chassis import call, clock, errors, events
from chassis.identity import Principal
from services.auth import sessions, store
from services.auth.models import ApiToken

PREFIXES = {"catalog": "cat_", "store": "sto_"}
# The kind of principal, which is also its role, behind each kind of token.
PRINCIPALS = {"catalog": "kiosk", "store": "pos"}


async def create(
    session: AsyncSession, *, name: str, kind: str, site_id: UUID, expires_at: datetime | None
) -> tuple[ApiToken, str]:
    """A new token of a site, and its secret."""
    principal = call.current().principal
    now = clock.now()
    if not principal.may_see_site(site_id):
        message = "there is no such site"
        raise errors.NotFound(message)
    if expires_at is not None and expires_at <= now:
        raise errors.Invalid(fields={"token.expires_at": ["must be in the future"]})
    secret = PREFIXES[kind] + secrets.token_urlsafe(32)
    row = ApiToken(
        tenant_id=principal.tenant,
        id=uuid7(),
        name=name,
        kind=kind,
        site_id=site_id,
        hash=sessions.digest(secret),
        expires_at=expires_at,
        created_at=now,
    )
    session.add(row)
    await session.flush()
    return row, secret


def matching(kind: str | None, site_id: UUID | None) -> "sa.Select[ApiToken]":
    """The tokens a list asks for, among those of the caller's sites."""
    statement = sa.select(ApiToken)
    if sites := [UUID(site) for site in call.current().principal.sites]:
        statement = statement.where(ApiToken.site_id.in_(sites))
    if kind is not None:
        statement = statement.where(ApiToken.kind == kind)
    return statement if site_id is None else statement.where(ApiToken.site_id == site_id)


async def delete(session: AsyncSession, token_id: UUID) -> None:
    """Revoke a token; it stops working everywhere within a second."""
    row = await store.api_token(session, token_id)
    if row is None or not call.current().principal.may_see_site(row.site_id):
        raise errors.NotFound
    await session.delete(row)
    revoked = events_pb2.TokenRevoked(token_id=str(row.id), site_id=str(row.site_id))
    events.publish(session, revoked, subject=f"tokens/{row.id}", audience=[f"kiosk:{row.site_id}"])


class Uses:
    """When tokens were last used, to the minute, gathered here so that the hot path does not write."""

    def __init__(self) -> None:
        self._used: dict[UUID, dict[UUID, datetime]] = {}

    def note(self, principal: Principal) -> None:
        """Note that a credential has been exchanged just now; of others than tokens nothing is kept."""
        if principal.kind not in PRINCIPALS.values():
            return
        minute = clock.now().replace(second=0, microsecond=0)
        self._used.setdefault(principal.tenant, {})[UUID(principal.id)] = minute

    def drain(self) -> dict[UUID, dict[UUID, datetime]]:
        """What was noted since the last time, by tenant."""
        used, self._used = self._used, {}
        return used
