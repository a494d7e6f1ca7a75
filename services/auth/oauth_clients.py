"""OAuth clients: programs that a tenant lets act for its people, or on their own account.

Nobody can give one what they do not hold, nor lay hands on one that can do more than they can: whoever can change its
redirect URIs, or has its secret, is it. Clients are the whole tenant's.
"""

import hmac
import secrets
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import events_pb2, oauth_pb2
from uuid_utils.compat import uuid7

from chassis import audit, call, clock, db, errors, events
from chassis.identity import Principal
from services.auth import oauth_redirects, oauth_scopes, oauth_store, power, roles, sessions, sites
from services.auth.oauth_models import OauthClient
from services.auth.power import Given

CODE = "authorization_code"
REFRESH = "refresh_token"
CREDENTIALS = "client_credentials"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
GRANT_TYPES = (CODE, REFRESH, CREDENTIALS, EXCHANGE)
SECRET_PREFIX = "ocs_"  # noqa: S105 - what a secret begins with
OLD_SECRET_WORKS = timedelta(days=1)
_FIELDS = ("name", "redirect_uris", "grant_types", "scopes", "trusted", "role", "site_ids")
# What a client may do hangs on these; after a change its tokens are asked for again.
_POWER = frozenset({"grant_types", "scopes", "role", "site_ids"})


class Wanted(NamedTuple):
    """What a client shall be."""

    name: str
    redirect_uris: list[str]
    grant_types: list[str]
    scopes: list[str]
    trusted: bool
    role: str
    site_ids: list[UUID]


def listed() -> "sa.Select[OauthClient]":
    """All clients of the tenant."""
    return sa.select(OauthClient)


async def get(session: AsyncSession, client_id: UUID) -> OauthClient:
    """One client. Raises `NotFound`."""
    found = await oauth_store.find_client(session, client_id)
    if found is None:
        raise errors.NotFound
    return found


async def create(session: AsyncSession, wanted: oauth_pb2.OauthClient) -> tuple[OauthClient, str]:
    """A new client, and the secret of a confidential one."""
    principal = call.current().principal
    asked = _asked(wanted)
    _check(asked, confidential=wanted.confidential)
    await _require_to_give(session, principal, asked)
    secret = _new_secret() if wanted.confidential else ""
    now = clock.now()
    row = OauthClient(
        tenant_id=principal.tenant,
        id=uuid7(),
        confidential=wanted.confidential,
        secret_hash=sessions.digest(secret) if secret else None,
        generation=1,
        version=1,
        created_at=now,
        updated_at=now,
        **asked._asdict(),
    )
    session.add(row)
    await _flush(session, asked)
    return row, secret


async def update(
    session: AsyncSession,
    client_id: UUID,
    wanted: oauth_pb2.OauthClient,
    *,
    named: Collection[str],
    unknown_sites: Collection[str],
) -> OauthClient:
    """Change the named fields of a client. If it may do something else then, what it was given ends."""
    row = await _lock(session, client_id)
    call.current().require_version(row.version)
    before, given = _current(row), _asked(wanted)
    asked = before._replace(**{name: getattr(given, name) for name in _FIELDS if name in named})
    if asked == before:
        return row
    if "site_ids" in named:
        sites.refuse(wanted.site_ids, unknown_sites, field="client.site_ids")
    _check(asked, confidential=row.confidential)
    await _require_to_give(session, call.current().principal, asked)
    for name in _FIELDS:
        setattr(row, name, getattr(asked, name))
    changed = {name for name in _FIELDS if getattr(asked, name) != getattr(before, name)}
    _touch(row)
    if changed & _POWER:
        row.generation += 1
        await _end_all(session, row.id)
    if "redirect_uris" in changed:
        await oauth_store.drop_codes(session, row.id)
    await _flush(session, asked)
    return row


async def rotate_secret(session: AsyncSession, client_id: UUID) -> tuple[OauthClient, str]:
    """A new secret for a confidential client; the one before works for another day, the one before that no more."""
    row = await _lock(session, client_id)
    call.current().require_version(row.version)
    if not row.confidential:
        message = "a public client has no secret"
        raise errors.Conflict(message, code="CLIENT_IS_PUBLIC")
    secret = _new_secret()
    row.old_secret_hash, row.old_secret_until = row.secret_hash, clock.now() + OLD_SECRET_WORKS
    row.secret_hash = sessions.digest(secret)
    _touch(row)
    await session.flush()
    return row, secret


async def delete(session: AsyncSession, client_id: UUID) -> None:
    """Delete a client; all that it was given stops within a second."""
    row = await _lock(session, client_id)
    call.current().require_version(row.version)
    await _end_all(session, row.id)
    await session.delete(row)


def knows_secret(row: OauthClient, secret: str) -> bool:
    """Whether it is the client's secret, or the one before while that still works."""
    given = sessions.digest(secret)
    known = [row.secret_hash] if row.secret_hash else []
    if row.old_secret_hash and row.old_secret_until and row.old_secret_until > clock.now():
        known.append(row.old_secret_hash)
    return any(hmac.compare_digest(given, one) for one in known)


def to_message(row: OauthClient, secret: str = "") -> oauth_pb2.OauthClient:
    """A client as it is told."""
    answer = oauth_pb2.OauthClient(
        id=str(row.id),
        confidential=row.confidential,
        version=row.version,
        **{**_current(row)._asdict(), "site_ids": [str(site) for site in row.site_ids]},
    )
    if secret:
        answer.secret = secret
    answer.created_at.FromDatetime(row.created_at)
    answer.updated_at.FromDatetime(row.updated_at)
    return answer


def _new_secret() -> str:
    return SECRET_PREFIX + secrets.token_urlsafe(32)


def _asked(wanted: oauth_pb2.OauthClient) -> Wanted:
    return Wanted(
        name=wanted.name.strip(),
        redirect_uris=list(wanted.redirect_uris),
        grant_types=list(wanted.grant_types),
        scopes=list(wanted.scopes),
        trusted=wanted.trusted,
        role=wanted.role,
        site_ids=[UUID(site) for site in wanted.site_ids],
    )


def _current(row: OauthClient) -> Wanted:
    return Wanted(*(getattr(row, name) for name in Wanted._fields))


def _check(asked: Wanted, *, confidential: bool) -> None:
    """Raise `Invalid` for what no client can be."""
    acts_alone = CREDENTIALS in asked.grant_types
    found = {
        f"client.redirect_uris.{place}": [fault]
        for place, uri in enumerate(asked.redirect_uris)
        if (fault := oauth_redirects.fault(uri))
    }
    found |= {
        f"client.scopes.{place}": ["is the platform's to give"]
        for place, scope in enumerate(asked.scopes)
        if oauth_scopes.is_of_platform(scope)
    }
    if CODE in asked.grant_types and not asked.redirect_uris:
        found["client.redirect_uris"] = ["is required: people must be sent back somewhere"]
    if REFRESH in asked.grant_types and CODE not in asked.grant_types:
        found["client.grant_types"] = ["refresh_token comes with authorization_code only"]
    if not confidential and {CREDENTIALS, EXCHANGE} & set(asked.grant_types):
        found["client.grant_types"] = ["a public client can prove nothing on its own account"]
    if acts_alone != bool(asked.role):
        found["client.role"] = ["is what client_credentials acts in, and goes with it"]
    if asked.site_ids and not acts_alone:
        found["client.site_ids"] = ["limit a client on its own account; people act in their own sites"]
    if found:
        raise errors.Invalid(fields=found)


async def _require_to_give(session: AsyncSession, principal: Principal, asked: Wanted) -> None:
    """Raise `Denied` unless the principal holds all that the client will, everywhere where it will."""
    if asked.role:
        given = Given(asked.role, (), asked.site_ids)
        await power.require_to_give(session, principal, given, about="client")
    _require_over_people(principal, asked)


async def _require_over(session: AsyncSession, principal: Principal, row: OauthClient) -> None:
    """Raise `Denied` unless the principal may do all that the client may, everywhere where it may."""
    if row.role:
        await power.require_over(session, principal, Given(row.role, (), row.site_ids), about="client")
    _require_over_people(principal, _current(row))


def _require_over_people(principal: Principal, asked: Wanted) -> None:
    if missing := roles.lacking(principal, oauth_scopes.permissions(asked.scopes)):
        raise errors.Denied.missing(missing[0], field="client.scopes")
    if principal.sites and not (set(asked.grant_types) == {CREDENTIALS} and asked.site_ids):
        message = "clients act for people of the whole tenant, and you act in some sites only"
        raise errors.Denied(message)


async def _lock(session: AsyncSession, client_id: UUID) -> OauthClient:
    row = await oauth_store.lock_client(session, client_id)
    if row is None:
        raise errors.NotFound
    await _require_over(session, call.current().principal, row)
    return row


def _touch(row: OauthClient) -> None:
    row.version += 1
    row.updated_at = clock.now()


async def _end_all(session: AsyncSession, client_id: UUID) -> None:
    """End what a client was given by people, and its tokens of its own account. Its row is locked."""
    await oauth_store.drop_codes(session, client_id)
    ended = await oauth_store.end_sessions_of_client(session, client_id, clock.now())
    _tell_ended(session, ended)
    revoked = events_pb2.ClientRevoked(client_id=str(client_id))
    events.publish(session, revoked, subject=f"clients/{client_id}", audience=["role:admin"])


def _tell_ended(session: AsyncSession, ended: Sequence[oauth_store.Ended]) -> None:
    reason = "client_revoked"
    for one in ended:
        audit.changed(session, f"sessions/{one.session_id}", after={"end_reason": reason})
        told = events_pb2.SessionRevoked(session_id=str(one.session_id), user_id=str(one.user_id), reason=reason)
        events.publish(session, told, subject=f"sessions/{one.session_id}", audience=[f"user:{one.user_id}"])


async def _flush(session: AsyncSession, asked: Wanted) -> None:
    try:
        await session.flush()
    except IntegrityError as failure:
        if db.violated(failure) != "oauth_clients_role_exists":
            raise
        raise errors.Invalid(fields={"client.role": [f"there is no role {asked.role}"]}) from failure
