"""Where orders are placed, changed and read, whichever method asks."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from uuid import UUID

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.orders.v1 import orders_pb2

from chassis import call, errors, idempotency
from chassis.db import Database
from chassis.sites import Sites
from services.orders import messages, orders, saga, saga_steps, saga_store, store

Within = Callable[[AsyncSession], Awaitable[None]]


class Counter:
    """Orders for the current call: each change in a transaction of its own, then the steps its saga has due for it.

    What others have asked of the same order is theirs: its refusal would be the answer to a change that has succeeded.
    What is given as `within` comes first in that transaction: it is kept with the change or not at all.
    """

    def __init__(self, database: Database, sagas: saga.Sagas, sites: Sites) -> None:
        self._database = database
        self._sagas = sagas
        self._sites = sites

    async def place(self, request: Message, wish: orders.Wish, *, within: Within | None = None) -> orders_pb2.Order:
        """Place an order. `request`: what must be equal for the order to be the same. Raises what refuses it."""
        current = call.current()
        current.fingerprint = idempotency.fingerprint(request)
        wish = await self.located(wish)
        wish = replace(wish, payment=self._sagas.desk.intent(wish.payment_method, wish.payment_token))
        async with self._database.transaction() as session:
            if within is not None:
                await within(session)
            order_id = await orders.accept(session, wish)
        await self._sagas.work(order_id)
        placed = await self.read(order_id)
        if placed.rejection:
            rows = await self._database.read(saga_store.REFUSAL, current.principal.tenant, id=order_id)
            raise saga_steps.refusal(rows[0]["refusal"])
        return placed

    async def change(self, order_id: UUID, change: orders.Change, *, within: Within | None = None) -> orders_pb2.Order:
        """Change an order. Raises `NotFound`, `StaleVersion`, and what forbids the change."""
        async with self._database.transaction() as session:
            if within is not None:
                await within(session)
            await orders.update(session, order_id, change)
            due = saga_store.told(session)
        if due:
            await self._sagas.work(order_id)
        return await self.read(order_id)

    async def once(self, request: Message, order_id: UUID, act: Within) -> orders_pb2.Order:
        """Do something to an order, once for each `Idempotency-Key`, and the steps that follow from it."""
        current = call.current()
        current.fingerprint = idempotency.fingerprint(request)
        async with self._database.transaction() as session:
            again = bool(current.idempotency_key) and await idempotency.begin(session) is not None
            if not again:
                await act(session)
                if current.idempotency_key:
                    # The key names the order, not an answer: the order is asked what became of it.
                    await idempotency.store(session, orders_pb2.Order(id=str(order_id)))
            due = again or saga_store.told(session)
        if due:
            await self._sagas.work(order_id)
        return await self.read(order_id)

    async def retry(self, request: Message, order_id: UUID) -> orders_pb2.Order:
        """Let the steps of an order that needs attention be tried again, now."""
        return await self.once(request, order_id, partial(saga_steps.retry, order_id=order_id))

    async def located(self, wish: orders.Wish) -> orders.Wish:
        """A wish with its site's business day. Raises `NotFound` for a site that the tenant does not have."""
        site = await self._sites.get(wish.site_id)
        if wish.station_id is not None and wish.station_id not in site.stations:
            raise errors.Invalid(fields={"station_id": ["is not a station of the site"]})
        return replace(wish, day=orders.business_day(site.time_zone))

    async def read(self, order_id: UUID) -> orders_pb2.Order:
        """One order. Raises `NotFound`."""
        principal = call.current().principal
        rows = await self._database.read(store.ONE, principal.tenant, id=order_id)
        if not rows or not orders.visible(rows[0]["site_id"], rows[0]["placed_by"], principal):
            raise errors.NotFound
        return messages.order(rows[0])
