"""From a credential to who it is: the exchange that every request begins with.

What cannot be taken is refused in one way, whatever is wrong with it; only a credential that was good and has ended is
told so. A tenant that is not the caller's answers the same whether it exists or not.
"""

import hashlib
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from chassis import clock, errors, identity
from chassis.db import Database
from chassis.identity import PLATFORM, Principal
from services.auth import access_tokens, oauth_scopes, oauth_store, roles, scopes, sessions, store, tokens
from services.auth.access_tokens import AccessToken
from services.auth.keys import Keyring

SERVICE_PREFIX = "svc_"


@dataclass(frozen=True)
class Standing:
    """Who a credential is, and when it ends (`None`: it does not)."""

    principal: Principal
    ends_at: datetime | None = None
    # Networks (CIDR) that the credential may be shown from; none: anywhere.
    allowed_networks: tuple[str, ...] = ()
    # Of an API token.
    token_id: UUID | None = None
    # Where the session acts unless the call says otherwise.
    active_site: UUID | None = None

    @property
    def pass_ends_at(self) -> datetime:
        """When a pass made now must be asked for again."""
        soon = clock.now() + timedelta(seconds=identity.PASS_LIFETIME_S)
        return min(soon, self.ends_at) if self.ends_at else soon


async def stand(
    database: Database,
    credential: str,
    *,
    keys: Keyring,
    root_secret: str,
    tenant_id: UUID | None,
    site_id: UUID | None,
) -> Standing:
    """Who a credential is in a tenant (or where it can only be) and at a site (or at all of theirs)."""
    if credential.startswith(SERVICE_PREFIX):
        standing = _of_service(credential, root_secret, tenant_id)
    elif credential.startswith(tuple(tokens.PREFIXES.values())):
        standing = await _of_api_token(database, credential, tenant_id)
    else:
        token = access_tokens.read(credential, keys.public, keys.issuer)
        standing = await of_token(database, token, tenant_id)
    site_id = site_id or standing.active_site
    return replace(standing, principal=_narrowed(standing.principal, site_id)) if site_id else standing


def _of_service(credential: str, root_secret: str, tenant_id: UUID | None) -> Standing:
    name, _, given = credential.removeprefix(SERVICE_PREFIX).rpartition(".")
    wanted = hmac.new(root_secret.encode(), name.encode(), hashlib.sha256).hexdigest()
    if not name or not hmac.compare_digest(given.encode(), wanted.encode()):
        raise errors.Unauthenticated
    return Standing(identity.service_principal(name, tenant_id))


async def _of_api_token(database: Database, credential: str, tenant_id: UUID | None) -> Standing:
    rows = await database.read(store.API_TOKEN, PLATFORM, hash=sessions.digest(credential))
    if not rows:
        raise errors.Unauthenticated
    (row,) = rows
    if row["expires_at"] is not None and row["expires_at"] <= clock.now():
        raise sessions.expired()
    if tenant_id not in {None, row["tenant_id"]}:
        raise _not_a_member()
    if row["kind"] == "personal" and row["role"] is None:
        # The person is no member any more, or may not act.
        raise errors.Unauthenticated
    if row["suspended"]:
        raise _suspended()
    principal = _person_of_token(row) if row["kind"] == "personal" else _device(row)
    if row["scopes"]:
        principal = replace(principal, permissions=scopes.limited(principal.permissions, row["scopes"]))
    networks = tuple(row["allowed_networks"])
    return Standing(principal, row["expires_at"], allowed_networks=networks, token_id=UUID(str(row["id"])))


def _device(row: Any) -> Principal:
    kind = tokens.PRINCIPALS[row["kind"]]
    return Principal(
        kind=kind,
        id=str(row["id"]),
        tenant_id=UUID(str(row["tenant_id"])),
        roles=(kind,),
        permissions=roles.permissions(kind),
        sites=frozenset({str(row["site_id"])}),
    )


def _person_of_token(row: Any) -> Principal:
    # What the token does, its revocation ends: it stands where a session would.
    person = Principal(kind="user", id=str(row["user_id"]), tenant_id=None, session_id=str(row["id"]))
    person = _member(person, row)
    if row["site_id"] is None:
        return person
    if not person.may_see_site(row["site_id"]):
        raise errors.Unauthenticated
    return replace(person, sites=frozenset({str(row["site_id"])}))


async def of_token(database: Database, token: AccessToken, tenant_id: UUID | None) -> Standing:
    """Who an access token is that was read before."""
    if not token.session_id:
        return await _of_client(database, token, tenant_id)
    rows = await database.read(store.STANDING_OF_SESSION, PLATFORM, session=token.session_id)
    # No row: the session has ended.
    if not rows or str(rows[0]["user_id"]) != token.subject:
        raise errors.Unauthenticated
    session = rows[0]
    if session["expires_at"] <= clock.now():
        raise sessions.expired()
    confined_to = session["confined_to"] and UUID(str(session["confined_to"]))
    if confined_to and tenant_id not in {None, confined_to}:
        raise _not_a_member()
    tenant_id = tenant_id or confined_to
    person = Principal(
        kind="user",
        id=token.subject,
        tenant_id=None,
        session_id=token.session_id,
        actor=session["actor"],
        authenticated_at=int(session["authenticated_at"].timestamp()),
    )
    if session["operator"] and session["client_id"]:
        # What acts for the platform is never lent to a tenant's program.
        raise errors.Unauthenticated
    person = await _placed(database, person, rows, tenant_id)
    person = replace(person, permissions=_limited(person.permissions, session["scopes"], token.scopes))
    if session["actor_session"]:
        person = await _within_actor(database, person, session["actor_session"])
    ends_at = min(datetime.fromtimestamp(token.expires_at, UTC), session["expires_at"])
    return Standing(person, ends_at, active_site=_active_site(person, rows))


async def _placed(database: Database, person: Principal, rows: Sequence[Any], tenant_id: UUID | None) -> Principal:
    if rows[0]["operator"]:
        return await _operator(database, person, tenant_id)
    return _in_tenant(person, rows, tenant_id)


async def _within_actor(database: Database, person: Principal, actor_session: Any) -> Principal:
    """In another's name nobody does more than they could in their own, nor longer."""
    rows = await database.read(store.STANDING_OF_SESSION, PLATFORM, session=str(actor_session))
    if not rows or rows[0]["expires_at"] <= clock.now():
        raise errors.Unauthenticated
    actor = await _placed(database, Principal("user", str(rows[0]["user_id"]), None), rows, person.tenant_id)
    sites = person.sites & actor.sites if person.sites and actor.sites else person.sites | actor.sites
    if not sites and (person.sites or actor.sites):
        raise _not_a_member()
    return replace(person, permissions=scopes.limited(person.permissions, actor.permissions), sites=sites)


def _active_site(person: Principal, rows: Sequence[Any]) -> UUID | None:
    chosen = next((row["active_site"] for row in rows if str(row["tenant_id"]) == str(person.tenant_id)), None)
    # Somebody who lost the site since acts in all that they have left.
    return UUID(str(chosen)) if chosen and person.may_see_site(chosen) else None


async def _of_client(database: Database, token: AccessToken, tenant_id: UUID | None) -> Standing:
    rows = await database.read(oauth_store.STANDING_OF_CLIENT, PLATFORM, client=token.subject)
    # Another generation: what the client may do has changed since.
    if not rows or rows[0]["generation"] != token.generation or not rows[0]["role"]:
        raise errors.Unauthenticated
    (row,) = rows
    own = UUID(str(row["tenant_id"]))
    if tenant_id not in {None, own}:
        raise _not_a_member()
    if row["suspended"]:
        raise _suspended()
    program = Principal(
        kind="client",
        id=token.subject,
        tenant_id=own,
        roles=(row["role"],),
        permissions=_limited(row["own_permissions"] or roles.permissions(row["role"]), row["scopes"], token.scopes),
        sites=frozenset(str(site) for site in row["site_ids"]),
    )
    return Standing(program, datetime.fromtimestamp(token.expires_at, UTC))


def _limited(granted: Collection[str], *limits: Collection[str] | None) -> frozenset[str]:
    """What is granted, and within the scopes of each that has some."""
    left = frozenset(granted)
    for limit in limits:
        if limit is not None:
            left = scopes.limited(left, oauth_scopes.permissions(limit))
    return left


def _in_tenant(person: Principal, rows: Sequence[Any], tenant_id: UUID | None) -> Principal:
    access = {UUID(str(row["tenant_id"])): row for row in rows if row["tenant_id"] is not None}
    if tenant_id is None and len(access) > 1:
        raise errors.Invalid(fields={"X-Tenant-ID": ["is required: you are a member of several tenants"]})
    if not access:
        raise errors.Unauthenticated if tenant_id is None else _not_a_member()
    chosen = access.get(tenant_id or next(iter(access)))
    if chosen is None:
        raise _not_a_member()
    if chosen["suspended"]:
        raise _suspended()
    return _member(person, chosen)


def _member(person: Principal, row: Any) -> Principal:
    """What a member may do: the union of their roles, at their sites."""
    named = (row["role"], *row["additional_roles"])
    return replace(
        person,
        tenant_id=UUID(str(row["tenant_id"])),
        roles=tuple(dict.fromkeys(named)),
        permissions=frozenset(row["own_permissions"]).union(*(roles.permissions(name) for name in named)),
        sites=frozenset(str(site) for site in row["site_ids"]),
    )


async def _operator(database: Database, person: Principal, tenant_id: UUID | None) -> Principal:
    if tenant_id is None:
        return replace(person, roles=(roles.OPERATOR,), permissions=roles.OPERATOR_PERMISSIONS)
    if (await database.read(store.SUSPENDED, PLATFORM, which=tenant_id))[0]["suspended"]:
        raise _suspended()
    return replace(
        person,
        tenant_id=tenant_id,
        roles=(roles.OPERATOR, roles.ADMIN),
        permissions=roles.OPERATOR_PERMISSIONS | roles.permissions(roles.ADMIN),
    )


def _narrowed(principal: Principal, site_id: UUID) -> Principal:
    if not principal.may_see_site(site_id):
        message = "you do not act in this site"
        raise errors.Denied(message)
    return replace(principal, sites=frozenset({str(site_id)}))


def _suspended() -> errors.Denied:
    return errors.Denied("the tenant is suspended", code="TENANT_SUSPENDED")


def _not_a_member() -> errors.Denied:
    return errors.Denied("you are not a member of this tenant")
