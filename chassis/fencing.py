"""The other half of a lock: the resource refuses a holder whose lease has been taken over.

A fencing token only grows. `fenced` notes the highest token seen for a resource, in the transaction of the write it
guards, and makes the write fail when a newer token has been seen. (M. Kleppmann,
"How to do distributed locking", 2016.)
"""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from chassis import errors, events

_SEE = sa.text(
    "INSERT INTO fencing_tokens AS seen (tenant_id, resource, token) VALUES (:tenant, :resource, :token) "
    "ON CONFLICT (tenant_id, resource) DO UPDATE SET token = excluded.token WHERE seen.token <= excluded.token "
    "RETURNING 1"
)


async def fenced(session: AsyncSession, *, resource: str, token: int) -> None:
    """Let the transaction go on only if no newer token was seen for `resource`. Raises `Conflict` (`LEASE_LOST`)."""
    row = {"tenant": events.of(session).principal.tenant, "resource": resource, "token": token}
    if not await session.scalar(_SEE, row):
        message = f"a newer holder has written to {resource}"
        raise errors.Conflict(message, code="LEASE_LOST")
