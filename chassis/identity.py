"""Who acts: principals, and the pass that names one inside the suite.

A pass is a JWT signed with Ed25519 (RFC 7519, RFC 8037), `aud=switchyard`, valid for 60 seconds. Every service verifies
it itself with the public keys of `auth`.
"""

import asyncio
import base64
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from chassis import clock, errors

AUDIENCE = "switchyard"
ISSUER = "switchyard-auth"
ALGORITHM = "Ed25519"
PASS_LIFETIME_S = 60
# A verified pass is looked up instead of verified again; 4,096 principals at once fit a busy process.
VERIFIED_MAX = 4096
# An unknown key id makes the keys be fetched again, but not more often than this: a forger must not cause a storm.
REFETCH_EVERY_S = 2.0
# Keys are fetched again when they are used and this old, so that one which was stolen and dropped is forgotten.
KEYS_AGE_S = 60.0

# The pass was good and has been revoked; whoever holds the credential may have a new one.
REVOKED = "PASS_REVOKED"

# The role of those who work for the platform; no tenant can give it.
OPERATOR = "operator"

# Rows of what concerns the platform itself and no tenant.
PLATFORM = UUID(int=0)


@dataclass(frozen=True)
class Principal:
    """Who acts, in which tenant, and what they may do. `sites` empty: all sites of the tenant.

    `actor` is the person who acts under this principal's name, when somebody does (`user:<id>`). `authenticated_at` is
    when a factor was last shown (seconds since 1970; zero for what is no session), `issued_at` when the pass was made.
    """

    kind: str
    id: str
    tenant_id: UUID | None
    session_id: str = ""
    roles: tuple[str, ...] = ()
    permissions: frozenset[str] = frozenset()
    sites: frozenset[str] = frozenset()
    on_behalf_of: str = ""
    actor: str = ""
    authenticated_at: int = 0
    issued_at: float = field(default=0.0, compare=False)
    expires_at: float = field(default=0.0, compare=False)

    @property
    def name(self) -> str:
        """`kind:id`, as it stands in the audit trail."""
        return f"{self.kind}:{self.id}"

    @property
    def tenant(self) -> UUID:
        """The tenant, or the platform itself for a principal without one."""
        return self.tenant_id or PLATFORM

    def may(self, permission: str) -> bool:
        """Whether the roles give this permission. Services are limited by audience instead.

        A role grants `orders.orders.read` itself, all of a service (`orders.*`), one verb everywhere (`*.read`) or
        everything of the tenant (`*`): a service that registers tomorrow is covered by roles that exist today. What is
        left of the second under the third, where a credential's scopes limit a role, is `orders.*.read`.
        """
        granted = self.permissions
        if permission in granted or "*" in granted:
            return True
        service, verb = permission.split(".", 1)[0], permission.rpartition(".")[2]
        return f"{service}.*" in granted or f"*.{verb}" in granted or f"{service}.*.{verb}" in granted

    def may_for_platform(self, permission: str) -> bool:
        """Whether an operator may do what acts for the platform: nothing that a tenant can give is enough for it."""
        return OPERATOR in self.roles and permission in self.permissions

    def may_see_site(self, site_id: str | UUID) -> bool:
        """Whether the principal acts in this site."""
        return not self.sites or str(site_id) in self.sites


def service_principal(service: str, tenant_id: UUID | None) -> Principal:
    """A process of the suite acting on its own account, in one tenant."""
    return Principal(kind="service", id=service, tenant_id=tenant_id, roles=("service",))


def sign_pass(principal: Principal, key: OKPKey, *, now: float | None = None) -> str:
    """The signed pass of a principal. Only `auth`, which holds the private keys, and tests can."""
    at = now if now is not None else clock.now().timestamp()
    issued = int(at)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": principal.id,
        "knd": principal.kind,
        "tid": str(principal.tenant_id) if principal.tenant_id else "",
        "sid": principal.session_id,
        "rol": list(principal.roles),
        "prm": sorted(principal.permissions),
        "sit": sorted(principal.sites),
        "act": principal.on_behalf_of,
        "imp": principal.actor,
        "aut": principal.authenticated_at,
        # In milliseconds: what is made anew right after a revocation is told from what came before.
        "ims": int(at * 1000),
        "iat": issued,
        "exp": issued + PASS_LIFETIME_S,
    }
    return jwt.encode({"alg": ALGORITHM, "kid": key.kid, "typ": "JWT"}, claims, key, algorithms=[ALGORITHM])


FetchKeys = Callable[[], Awaitable[Mapping[str, object]]]


class Verifier:
    """Verifies passes with the keys of `auth`, fetched when first needed and whenever an unknown key id appears.

    `is_void` knows whose passes were revoked.
    """

    def __init__(self, fetch_keys: FetchKeys, is_void: Callable[[Principal], bool] = lambda _: False) -> None:
        self._fetch_keys = fetch_keys
        self._is_void = is_void
        self._keys: KeySet | None = None
        self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[], None]] = []
        self._verified: OrderedDict[bytes, Principal] = OrderedDict()
        self._claims = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            exp={"essential": True},
        )

    def cached(self, token: str) -> Principal | None:
        """The principal of a pass that was verified before and has not ended: the hot path, without awaiting."""
        principal = self._verified.get(_digest(token))
        if principal is None or principal.expires_at <= clock.now().timestamp() or self._is_void(principal):
            return None
        return principal

    async def verify(self, token: str) -> Principal:
        """The principal of a pass. Raises `Unauthenticated`."""
        known = self.cached(token)
        if known is not None:
            return known
        principal = self._decode(token, await self._keys_for(token))
        if self._is_void(principal):
            raise errors.Unauthenticated(code=REVOKED)
        self._verified[_digest(token)] = principal
        if len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)
        return principal

    def on_dropped(self, listener: Callable[[], None]) -> None:
        """Tell `listener` whenever a key that verified passes does so no more."""
        self._listeners.append(listener)

    async def ready(self) -> bool:
        """Whether the keys could be fetched at least once."""
        if self._keys is None:
            await self._refetch()
        return self._keys is not None

    def _decode(self, token: str, keys: KeySet) -> Principal:
        try:
            decoded = jwt.decode(token, keys, algorithms=[ALGORITHM])
            self._claims.validate(decoded.claims)
        except (JoseError, ValueError) as failure:
            raise errors.Unauthenticated from failure
        claims = decoded.claims
        return Principal(
            kind=claims["knd"],
            id=claims["sub"],
            tenant_id=UUID(claims["tid"]) if claims["tid"] else None,
            session_id=claims["sid"],
            roles=tuple(claims["rol"]),
            permissions=frozenset(claims["prm"]),
            sites=frozenset(claims["sit"]),
            on_behalf_of=claims["act"],
            actor=claims["imp"],
            authenticated_at=claims["aut"],
            issued_at=claims["ims"] / 1000,
            expires_at=float(claims["exp"]),
        )

    async def _keys_for(self, token: str) -> KeySet:
        key_id = _key_id(token)
        if self._keys is None or not any(key.kid == key_id for key in self._keys.keys):
            await self._refetch()
        elif time.monotonic() - self._fetched_at > KEYS_AGE_S and not self._fetching.locked():
            # A key that auth has dropped is not trusted for ever; nobody waits for it.
            self._refreshing = asyncio.create_task(self._refetch())
        if self._keys is None:
            message = "the keys that verify passes are not available yet"
            raise errors.Unavailable(message, retry_after_s=1)
        return self._keys

    async def _refetch(self) -> None:
        async with self._fetching:
            if self._keys is not None and time.monotonic() - self._fetched_at < REFETCH_EVERY_S:
                return
            try:
                document = await self._fetch_keys()
            except errors.Error:
                return
            self._fetched_at = time.monotonic()
            known, self._keys = self._keys, _keys_of_passes(document)
            kept = {key.kid for key in self._keys.keys}
            if known is not None and not kept.issuperset(key.kid for key in known.keys):
                # What a dropped key signed is verified again, and refused.
                self._verified.clear()
                for listener in self._listeners:
                    listener()


def _keys_of_passes(document: Any) -> KeySet:
    """The Ed25519 keys of a key set: what else stands in it (RSA, for ID tokens) never signs a pass."""
    return KeySet([OKPKey.import_key(key) for key in document["keys"] if key.get("kty") == "OKP"])


def _digest(token: str) -> bytes:
    # The digest and not the token is kept: a memory dump holds no usable pass.
    return hashlib.sha256(token.encode()).digest()


def _key_id(token: str) -> str:
    try:
        encoded = token.split(".", 1)[0]
        header = orjson.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except ValueError as failure:
        raise errors.Unauthenticated from failure
    found = header.get("kid") if isinstance(header, dict) else None
    return found if isinstance(found, str) else ""
