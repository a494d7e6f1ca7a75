"""What each request depends on: who asks, whether they may now, and a session with their tenant."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import sqlalchemy as sa
from fastapi import Depends, Header, HTTPException, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from joserfc import jwt
from joserfc.errors import JoseError
from sqlalchemy.ext.asyncio import AsyncSession

from bench.monolith.settings import Settings

_bearer = HTTPBearer()
_claims = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": "monolith"},
    aud={"essential": True, "value": "monolith"},
    exp={"essential": True},
)
_SET_TENANT = sa.text("SELECT set_config('app.tenant_id', :tenant, true)")
# Generic cell rate algorithm over two buckets: the tenant's and the principal's.
GCRA = """
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local tats, wait, room = {}, 0, nil
for i = 1, #KEYS do
  local interval, tolerance = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local tat = math.max(tonumber(redis.call('GET', KEYS[i]) or now), now) + interval
  wait = math.max(wait, tat - tolerance - now)
  room = math.min(room or tolerance, math.floor((tolerance - (tat - now)) / interval))
  tats[i] = tat
end
if wait <= 0 then
  for i = 1, #KEYS do
    redis.call('SET', KEYS[i], string.format('%.0f', tats[i]), 'PX', math.ceil((tats[i] - now) / 1000) + 1)
  end
end
return {string.format('%.0f', wait), string.format('%.0f', room)}
"""


@dataclass(frozen=True)
class Principal:
    """Who asks."""

    id: str
    tenant_id: UUID
    permissions: frozenset[str]


async def principal(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials, Depends(_bearer)],
    x_tenant_id: Annotated[UUID, Header()],
) -> Principal:
    """Verify the token of this request."""
    try:
        claims = jwt.decode(credentials.credentials, request.app.state.key, algorithms=["RS256"]).claims
        _claims.validate(claims)
    except (JoseError, ValueError):
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from None
    if str(x_tenant_id) not in claims["tenants"]:
        raise HTTPException(403)
    return Principal(claims["sub"], x_tenant_id, frozenset(claims["permissions"]))


async def limited(request: Request, response: Response, caller: Annotated[Principal, Depends(principal)]) -> Principal:
    """Charge the request to its tenant and its principal."""
    settings: Settings = request.app.state.settings
    keys = [f"monolith:limit:{caller.tenant_id}", f"monolith:limit:{caller.tenant_id}:{caller.id}"]
    arguments = []
    for rate in (settings.limit_tenant, settings.limit_principal):
        interval = 1e6 / rate.per_s
        arguments += [interval, interval * rate.burst]
    wait_us, room = await request.app.state.gcra(keys=keys, args=arguments)
    if float(wait_us) > 0:
        raise HTTPException(429, headers={"Retry-After": str(int(float(wait_us) / 1e6) + 1)})
    response.headers["RateLimit"] = f'"principal";r={int(room)}'
    return caller


def allowed(permission: str) -> Callable[..., Awaitable[Principal]]:
    """A dependency: a principal with a permission and room to ask."""

    async def check(caller: Annotated[Principal, Depends(limited)]) -> Principal:
        if permission not in caller.permissions:
            raise HTTPException(403, detail={"permission": permission})
        return caller

    return check


async def session(request: Request, caller: Annotated[Principal, Depends(principal)]) -> AsyncIterator[AsyncSession]:
    """A session in a transaction of the caller's tenant."""
    async with request.app.state.sessions() as opened, opened.begin():
        await opened.execute(_SET_TENANT, {"tenant": str(caller.tenant_id)})
        yield opened
