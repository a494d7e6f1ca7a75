"""The other half of a lock: the database refuses the writes of a holder whose lease has been taken over.

A lease tells only what its holder believes: a process may be paused between the look at it and the write. A fencing
token grows with every grant, and the resource decides by it (M. Kleppmann, "How to do distributed locking", 2016).
"""

from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from chassis import errors, events

# A fenced transaction that is silent for longer than this is ended by PostgreSQL: nothing but the database is waited
# for in one, so its process is paused or cut off, and the next holder would wait for it at the row of the token.
SILENCE_MAX_S = 10
# The row is locked until the transaction ends, also where the token in it is newer and nothing is returned.
_SEE = sa.text(f"""
    INSERT INTO fencing_tokens AS seen (tenant_id, resource, token) VALUES (:tenant, :resource, :token)
    ON CONFLICT (tenant_id, resource) DO UPDATE SET token = excluded.token WHERE seen.token <= excluded.token
    RETURNING set_config('idle_in_transaction_session_timeout', '{SILENCE_MAX_S}s', true)
""")  # noqa: S608 - of a constant


class Fence(Protocol):
    """What of a lease is needed: `chassis.locks.Lease` has it, and so has the contract's own."""

    @property
    def lock_name(self) -> str:
        """The lock."""
        ...

    @property
    def fencing_token(self) -> int:
        """The token of the grant."""
        ...


async def fenced(session: AsyncSession, lease: Fence, *, resource: str | None = None) -> None:
    """Let the session's transaction go on only if no newer token was seen for the resource, and note this one.

    The resource is what the lock is named after, unless another is given. Call it first in each transaction under the
    lease, before what is written and what that depends on is read: it waits until a transaction of an earlier holder
    has ended, and from its commit on an earlier holder's fail. So all fenced transactions of a resource stand in the
    order of their tokens. It is for leases that one holds alone: those who share a lock have tokens of their own, of
    which all but the newest would be refused.

    Raises `errors.LeaseLost`; the transaction is to be given up.
    """
    name = lease.lock_name if resource is None else resource
    row = {"tenant": events.of(session).principal.tenant, "resource": name, "token": lease.fencing_token}
    if await session.scalar(_SEE, row) is None:
        message = f"a newer holder has written to {name}"
        raise errors.LeaseLost(message)
