"""From a credential to who it is: the exchange that every request begins with.

What cannot be taken is refused in one way, whatever is wrong with it; only a credential that was good and has ended is
told so. A tenant that is not the caller's answers the same whether it exists or not.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import KeySet

from chassis import clock, errors, identity
from chassis.db import Database
from chassis.identity import PLATFORM, Principal
from services.auth import roles, sessions, store, tokens

SERVICE_PREFIX = "svc_"


@dataclass(frozen=True)
class Standing:
    """Who a credential is, and when it ends (`None`: it does not)."""

    principal: Principal
    ends_at: datetime | None = None

    @property
    def pass_ends_at(self) -> datetime:
        """When a pass made now must be asked for again."""
        soon = clock.now() + timedelta(seconds=identity.PASS_LIFETIME_S)
        return min(soon, self.ends_at) if self.ends_at else soon


async def stand(
    database: Database, credential: str, *, keys: KeySet, root_secret: str, tenant_id: UUID | None, site_id: UUID | None
) -> Standing:
    """Who a credential is in a tenant (or where it can only be) and at a site (or at all of theirs)."""
    if credential.startswith(SERVICE_PREFIX):
        standing = _of_service(credential, root_secret, tenant_id)
    elif credential.startswith(tuple(tokens.PREFIXES.values())):
        standing = await _of_api_token(database, credential, tenant_id)
    else:
        standing = await _of_access_token(database, credential, keys, tenant_id)
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
    kind = tokens.PRINCIPALS[row["kind"]]
    principal = Principal(
        kind=kind,
        id=str(row["id"]),
        tenant_id=UUID(str(row["tenant_id"])),
        roles=(kind,),
        permissions=roles.permissions(kind),
        sites=frozenset({str(row["site_id"])}),
    )
    return Standing(principal, row["expires_at"])


async def _of_access_token(database: Database, credential: str, keys: KeySet, tenant_id: UUID | None) -> Standing:
    claims = _read(credential, keys)
    rows = await database.read(store.STANDING_OF_SESSION, PLATFORM, session=claims["sid"])
    # No row: the session has ended.
    if not rows or str(rows[0]["user_id"]) != claims["sub"]:
        raise errors.Unauthenticated
    if rows[0]["expires_at"] <= clock.now():
        raise sessions.expired()
    ends_at = min(datetime.fromtimestamp(claims["exp"], UTC), rows[0]["expires_at"])
    person = Principal(kind="user", id=claims["sub"], tenant_id=None, session_id=claims["sid"])
    return Standing(_in_tenant(person, rows, tenant_id), ends_at)


def _read(credential: str, keys: KeySet) -> dict[str, Any]:
    registry = jwt.JWTClaimsRegistry(
        now=int(clock.now().timestamp()),
        iss={"essential": True, "value": identity.ISSUER},
        aud={"essential": True, "value": sessions.ACCESS_AUDIENCE},
        exp={"essential": True},
        sub={"essential": True},
        sid={"essential": True},
    )
    try:
        decoded = jwt.decode(credential, keys, algorithms=[identity.ALGORITHM])
        if decoded.header.get("typ") != sessions.ACCESS_TYPE:
            raise errors.Unauthenticated
        registry.validate(decoded.claims)
    except ExpiredTokenError as failure:
        raise sessions.expired() from failure
    except (JoseError, ValueError) as failure:
        raise errors.Unauthenticated from failure
    return decoded.claims


def _in_tenant(person: Principal, rows: Sequence[Any], tenant_id: UUID | None) -> Principal:
    access = {UUID(str(row["tenant_id"])): row for row in rows if row["tenant_id"] is not None}
    if rows[0]["operator"]:
        return _operator(person, tenant_id)
    if tenant_id is None and len(access) > 1:
        raise errors.Invalid(fields={"X-Tenant-ID": ["is required: you are a member of several tenants"]})
    if not access:
        raise errors.Unauthenticated if tenant_id is None else _not_a_member()
    chosen = access.get(tenant_id or next(iter(access)))
    if chosen is None:
        raise _not_a_member()
    return replace(
        person,
        tenant_id=UUID(str(chosen["tenant_id"])),
        roles=(chosen["role"],),
        permissions=roles.permissions(chosen["role"]),
        sites=frozenset(str(site) for site in chosen["site_ids"]),
    )


def _operator(person: Principal, tenant_id: UUID | None) -> Principal:
    if tenant_id is None:
        return replace(person, roles=(roles.OPERATOR,), permissions=roles.OPERATOR_PERMISSIONS)
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


def _not_a_member() -> errors.Denied:
    return errors.Denied("you are not a member of this tenant")
