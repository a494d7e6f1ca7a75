"""Who sees group orders to their end: placing their orders, and locking and closing what is due.

The order of a group order is accepted in the transaction that submits it; from there on its saga takes it further,
whatever becomes of this process, and what it comes to is found here by a timer.
"""

import asyncio
from dataclasses import replace
from uuid import UUID

import structlog
from switchyard.orders.v1 import groups_pb2, orders_pb2

from chassis import call, clock, errors, identity
from chassis.db import Database
from services.orders import group_store, groups, messages, orders, saga, saga_steps, saga_store
from services.orders.rpc.counter import Counter

# Group orders followed in one round; there are few, and the next round is near.
BATCH = 20

log = structlog.get_logger()


class GroupKeeping:
    """Keeps group orders in step with their orders and the time."""

    def __init__(self, database: Database, counter: Counter, sagas: saga.Sagas) -> None:
        self._database = database
        self._counter = counter
        self._sagas = sagas

    async def terms(self, request: groups_pb2.SubmitGroupOrderRequest) -> orders.Wish:
        """What of an order's wish the group order itself does not say. Raises `NotFound` or `Invalid`."""
        async with self._database.transaction() as session:
            group = await groups.get(session, UUID(request.id))
        method = messages.word("PaymentMethod", request.payment_method)
        located = await self._counter.located(orders.Wish(group.site_id, lines=[], payment_method=method))
        return replace(located, payment=self._sagas.desk.intent(method, request.payment_token))

    async def place(self, group_id: UUID, order_id: UUID) -> None:
        """Take the accepted order of a group order further, for the current call. Raises what refuses it."""
        await self._sagas.work(order_id)
        order = await self._counter.read(order_id)
        if order.rejection:
            failure = await self._refusal(order_id)
            async with self._database.transaction() as session:
                await groups.refused(session, group_id, order, failure.message)
            raise failure

    async def resume(self) -> None:
        """Do what is due for the group orders of all tenants."""
        nobody = identity.service_principal(self._database.service, None)
        async with self._database.transaction(nobody) as session:
            due = await group_store.due(session, at=clock.now(), most=BATCH)
        await asyncio.gather(*(self._follow(tenant_id, group_id) for tenant_id, group_id in due))

    async def _follow(self, tenant_id: UUID, group_id: UUID) -> None:
        principal = identity.service_principal(self._database.service, tenant_id)
        try:
            with call.answering(call.Call(principal, "orders.FollowGroupOrder", category="data")):
                order = await self._order_of(group_id)
                failure = await self._refusal(UUID(order.id)) if order is not None and order.rejection else None
                async with self._database.transaction() as session:
                    await groups.follow(session, group_id, order, failure.message if failure else "")
        except errors.Error as failure:
            log.info("group_order_not_followed", group_id=str(group_id), error=failure.code)

    async def _order_of(self, group_id: UUID) -> orders_pb2.Order | None:
        async with self._database.transaction() as session:
            group = await group_store.find(session, group_id)
        if group is None or group.status != "submitted" or group.order_id is None:
            return None
        return await self._counter.read(group.order_id)

    async def _refusal(self, order_id: UUID) -> errors.Error:
        rows = await self._database.read(saga_store.REFUSAL, call.current().principal.tenant, id=order_id)
        return saga_steps.refusal(rows[0]["refusal"])
