"""Holding a lock of the `locks` service while something is done.

    async with locks.hold("restock-plan", ttl_s=30) as lease:
        plan = await ...
        async with database.transaction() as session:
            await fenced(session, lease)
            ...

The lease is renewed while the body runs. When it is lost, the body is cancelled and `errors.LeaseLost` raised: it was
broken, or has expired, of which the service tells at once; or no renewal was answered in time. That is counted on the
monotonic clock from before the request was *sent* that granted or renewed the lease, so that the body is told to end
before anybody else is let in, however late the answer was.

Told to end is not ended. The body goes on to its next `await`; and a process that was stopped (SIGSTOP, a machine that
was swapped out or moved) goes on where it was before anything can look at its clock. **Only the fence is safe**: what
must never be done by two is done in a transaction that begins with `chassis.fencing.fenced`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID
from weakref import WeakValueDictionary

from switchyard.locks.v1 import locks_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import call, leases
from chassis.leases import Keeper, Lease

EXCLUSIVE: Final = pb.LOCK_MODE_EXCLUSIVE
SHARED: Final = pb.LOCK_MODE_SHARED


@dataclass(frozen=True, slots=True)
class _Chain:
    """What is done within a body, in whatever task: one owner, and the leases that the body is under."""

    owner: str
    keepers: frozenset[Keeper] = frozenset()


_chain: ContextVar[_Chain | None] = ContextVar("locks", default=None)


class Locks:
    """The locks of the callers' tenants; one object a process. `stub` is the one of `LocksService`.

    The holder is this service, whoever called it: the lease may outlive the caller's pass.
    """

    def __init__(self, stub: Any) -> None:
        self._stub = stub
        # By tenant, owner and lock; whoever uses one has it.
        self._keepers: WeakValueDictionary[tuple[UUID, str, str], Keeper] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(
        self,
        name: str,
        *,
        ttl_s: int = 30,
        mode: pb.LockMode = EXCLUSIVE,
        permits: int = 1,
        patience_s: float | None = None,
        owner: str | None = None,
    ) -> AsyncIterator[Lease]:
        """Wait in line for a lock, hold it for the body, and give it back.

        `ttl_s` (1 to 3,600) is how long the others wait for a holder that died. `mode` is `EXCLUSIVE` or `SHARED`; an
        exclusive lock with `permits` is held by so many at once. Who has waited for `patience_s` seconds gives up: 0
        takes the lock only if it is free, `None` waits for ever. The first answer is waited for up to
        `leases.ANSWER_S`, also by the impatient.

        Within the body, also in tasks that are begun there, the lock may be held again; it is given back when the last
        has left it. What happens there has one `owner`, unless one is given: when owners wait for each other in a
        circle, the youngest is told. Two tasks that were begun in one body still wait for one another.

        Raises `Exhausted` (`LOCK_TIMEOUT`, `LOCK_QUEUE_FULL`), `Conflict` (`DEADLOCK`; `LOCK_MISMATCH` when others ask
        for other permits), `Unavailable` when the patience ends in an outage, and `LeaseLost`, also after a body that
        came to its end and was perhaps not alone. A cancellation from outside stays one.
        """
        asked_at = leases.monotonic()
        chain = _chain.get() or _Chain(str(uuid7()))
        wish = pb.AcquireRequest(
            lock_name=name, timeout=ttl_s, mode=mode, permits=permits, owner=owner or chain.owner, lock_id=str(uuid7())
        )
        keeper = await self._keeper(wish, chain, patience_s, joins=owner is not None)
        async with keeper:
            lease = await keeper.until_held(asked_at, patience_s)
            with _under(chain, keeper):
                async with leases.Body(keeper):
                    yield lease

    async def _keeper(self, wish: pb.AcquireRequest, chain: _Chain, patience_s: float | None, *, joins: bool) -> Keeper:
        """Who gets the lease, or has it already for this owner."""
        current = call.current()
        key = (current.principal.tenant, wish.owner, wish.lock_name)
        try:
            async with asyncio.timeout(patience_s):
                while (known := self._keepers.get(key)) is not None and not known.closed.is_set():
                    if known.in_use and (joins or known in chain.keepers):
                        known.admit(wish)
                        return known
                    await known.closed.wait()
        except TimeoutError:
            raise leases.impatient(wish.lock_name) from None
        # The pass of whoever is served ends before the lease does, and is perhaps not good for locks.
        acting = replace(current, token="", trailers={})
        keeper = self._keepers[key] = Keeper(self._stub, wish, acting)
        return keeper


@contextmanager
def _under(chain: _Chain, keeper: Keeper) -> Iterator[None]:
    token = _chain.set(replace(chain, keepers=chain.keepers | {keeper}))
    try:
        yield
    finally:
        _chain.reset(token)
