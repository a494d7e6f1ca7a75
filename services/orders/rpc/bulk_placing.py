"""Who places the orders of bulk orders, at the same counter as everybody, and sees them to their end.

Moved by a timer, in as many processes as there are. One at a time looks after a bulk order; if it dies, another goes on
where it was once its claim has ended. An order that was placed just before is found placed.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog
from switchyard.orders.v1 import orders_pb2

from chassis import call, clock, errors, identity
from chassis.db import Database
from services.orders import bulk, bulk_store
from services.orders.orders import Change
from services.orders.rpc.counter import Counter

# Orders that one process places at once for all bulk orders: a fraction of the pool's connections.
AT_ONCE = 4
# Entries taken at a time; after so many handfuls the other bulk orders get their turn.
HANDFUL = 8
HANDFULS_MAX = 12
# Bulk orders that one process looks after at once.
BULKS_MAX = 4

_CREATE, _UPDATE = "orders.create", "orders.update"
# May be over when it is asked again; anything else is the order's own fault.
_PASSING = (errors.Unavailable, errors.DeadlineExceeded, errors.Exhausted, errors.Internal, errors.Unauthenticated)

log = structlog.get_logger()


class BulkPlacing:
    """Places what bulk orders wait for."""

    def __init__(self, database: Database, counter: Counter) -> None:
        self._database = database
        self._counter = counter
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def resume(self) -> None:
        """Look after the bulk orders of all tenants that are due."""
        nobody = identity.service_principal(self._database.service, None)
        async with self._database.transaction(nobody) as session:
            due = await bulk_store.due(session, at=clock.now(), most=BULKS_MAX)
        await asyncio.gather(*(self._look_after(tenant_id, bulk_id) for tenant_id, bulk_id in due))

    async def _look_after(self, tenant_id: UUID, bulk_id: UUID) -> None:
        principal = identity.service_principal(self._database.service, tenant_id)
        try:
            async with self._database.transaction(principal) as session:
                claimed = await bulk.claim(session, bulk_id)
            if claimed is None:
                return
            in_vain = await self._place(principal, claimed)
            if claimed.status == "cancelling":
                await self._cancel(principal, claimed)
            with _acting(principal, claimed):
                async with self._database.transaction() as session:
                    await bulk.record(session, bulk_id, [])
            async with self._database.transaction(principal) as session:
                await bulk.rest(session, bulk_id, in_vain=in_vain)
        except errors.Error as failure:
            log.info("bulk_order_delayed", bulk_id=str(bulk_id), error=failure.code)

    async def _place(self, principal: identity.Principal, claimed: Any) -> bool:
        """Place entries, each at most once a round; whether there were some and nothing came of it."""
        since = clock.now()
        for _ in range(HANDFULS_MAX):
            async with self._database.transaction(principal) as session:
                entries = await bulk.take(session, claimed.id, since=since, most=HANDFUL)
            if not entries:
                return False
            tried = await asyncio.gather(*(self._place_one(principal, claimed, entry) for entry in entries))
            outcomes = [outcome for outcome in tried if outcome is not None]
            if not outcomes:
                return True
            with _acting(principal, claimed):
                async with self._database.transaction() as session:
                    await bulk.record(session, claimed.id, outcomes)
        return False

    async def _place_one(self, principal: identity.Principal, claimed: Any, entry: Any) -> dict[str, object] | None:
        """What became of an entry; nothing when that is not known yet."""
        # All that makes two of them the same: the rest may be put together in another way by the next release.
        same = orders_pb2.PlaceOrderRequest(id=str(entry.order_id))
        try:
            async with self._slots:
                with _acting(principal, claimed):
                    order = await self._counter.place(same, bulk.wish(claimed, entry))
        except errors.Error as failure:
            if isinstance(failure, _PASSING) or failure.retry_after_s is not None:
                return None
            return bulk.refused(entry.position, failure)
        except Exception:
            log.exception("bulk_entry_failed", bulk_id=str(claimed.id), position=entry.position)
            return None
        return None if order.status == orders_pb2.ORDER_STATUS_DRAFT else bulk.placed(entry.position)

    async def _cancel(self, principal: identity.Principal, claimed: Any) -> None:
        """Cancel the orders that nobody has begun to make."""
        async with self._database.transaction(principal) as session:
            order_ids = await bulk_store.cancellable(session, claimed.id)
        await asyncio.gather(*(self._cancel_one(principal, claimed, order_id) for order_id in order_ids))

    async def _cancel_one(self, principal: identity.Principal, claimed: Any, order_id: UUID) -> None:
        change = Change(status="cancelled", cancel_reason="the bulk order was cancelled")
        try:
            async with self._slots:
                with _acting(principal, claimed):
                    await self._counter.change(order_id, change)
        except errors.Error as failure:
            # Somebody began to make it meanwhile, or it is asked again in a moment.
            log.info("bulk_entry_not_cancelled", order_id=str(order_id), error=failure.code)


@contextmanager
def _acting(principal: identity.Principal, claimed: Any) -> Iterator[None]:
    """Act for whoever made the bulk order, as far as it goes; the trail tells of both."""
    permissions = frozenset({_CREATE, _UPDATE})
    acting = replace(principal, on_behalf_of=claimed.created_by, permissions=permissions)
    with call.answering(call.Call(acting, "orders.PlaceBulkOrder", category="financial")):
        yield
