"""Access tokens as JWTs (RFC 9068), which name their session, or the client that acts on its own account.

What one may do is not in it: that is looked up when it is exchanged for a pass, so that nothing outlives a change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import KeySet, OKPKey
from uuid_utils.compat import uuid7

from chassis import clock, errors, identity

LIFE_S = 15 * 60
# Not the passes' audience: neither kind of token is ever taken for the other.
AUDIENCE = "switchyard-api"
TYPE = "at+jwt"
# Who asks for the tokens of the suite's own sign-in.
OWN_CLIENT = "switchyard"


@dataclass(frozen=True)
class AccessToken:
    """What an access token says. Without a session it is a client's own, of a generation of the client's.

    `scopes` limit it besides what limits its session; `actors` are the clients that act for the person, the last first
    (RFC 8693, section 4.1).
    """

    subject: str
    client_id: str = OWN_CLIENT
    session_id: str = ""
    generation: int = 0
    scopes: Sequence[str] | None = None
    authenticated_at: datetime | None = None
    actors: Sequence[str] = ()
    expires_at: int = 0
    issued_at: int = 0

    @property
    def left_s(self) -> int:
        """Seconds to its end."""
        return self.expires_at - int(clock.now().timestamp())


def made(token: AccessToken, *, ends_by: datetime | None = None) -> AccessToken:
    """The token with its times: it ends after `LIFE_S`, or with what it hangs on."""
    issued = int(clock.now().timestamp())
    ends = issued + LIFE_S if ends_by is None else min(issued + LIFE_S, int(ends_by.timestamp()))
    return AccessToken(**{**vars(token), "issued_at": issued, "expires_at": ends})


def sign(token: AccessToken, key: OKPKey, issuer: str) -> str:
    """The signed token."""
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": token.subject,
        "client_id": token.client_id,
        "jti": str(uuid7()),
        "iat": token.issued_at,
        "exp": token.expires_at,
    }
    if token.session_id:
        claims["sid"] = token.session_id
    if token.generation:
        claims["gen"] = token.generation
    if token.authenticated_at is not None:
        claims["auth_time"] = int(token.authenticated_at.timestamp())
    if token.scopes is not None:
        claims["scope"] = " ".join(token.scopes)
    if token.actors:
        claims["act"] = _nested(token.actors)
    header = {"alg": identity.ALGORITHM, "kid": key.kid, "typ": TYPE}
    return jwt.encode(header, claims, key, algorithms=[identity.ALGORITHM])


def read(credential: str, keys: KeySet, issuer: str) -> AccessToken:
    """What a token says that we have signed. Raises `Unauthenticated`, with a code of its own once it has ended."""
    registry = jwt.JWTClaimsRegistry(
        now=int(clock.now().timestamp()),
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
        iat={"essential": True},
        sub={"essential": True},
        client_id={"essential": True},
    )
    try:
        decoded = jwt.decode(credential, keys, algorithms=[identity.ALGORITHM])
        if decoded.header.get("typ") != TYPE:
            raise errors.Unauthenticated
        registry.validate(decoded.claims)
        return _told(decoded.claims)
    except ExpiredTokenError as failure:
        raise expired() from failure
    except (JoseError, ValueError) as failure:
        raise errors.Unauthenticated from failure


def expired() -> errors.Unauthenticated:
    """The refusal of what was good once."""
    return errors.Unauthenticated("the credential has expired", code="TOKEN_EXPIRED")


def _told(claims: Mapping[str, Any]) -> AccessToken:
    scope = claims.get("scope")
    return AccessToken(
        subject=str(UUID(claims["sub"])),
        client_id=claims["client_id"],
        session_id=claims.get("sid", ""),
        generation=claims.get("gen", 0),
        scopes=None if scope is None else scope.split(),
        actors=tuple(_flat(claims.get("act"))),
        expires_at=claims["exp"],
        issued_at=claims["iat"],
    )


def _nested(actors: Sequence[str]) -> dict[str, Any]:
    first, *others = actors
    return {"sub": first, "act": _nested(others)} if others else {"sub": first}


def _flat(act: Mapping[str, Any] | None) -> list[str]:
    return [act["sub"], *_flat(act.get("act"))] if act else []
