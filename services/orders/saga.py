"""The saga behind each order: reserve before the pivot, post or release after it.

A step calls inventory with no transaction open and keeps the outcome in one transaction that also says what comes
next. Every step may be done again, by anybody, after a crash at any point: inventory's methods are idempotent by order
id, and what a step changes here is guarded by the state of the locked order. This module is an edge of its own, moved
by a timer as well as by requests, and therefore opens transactions.

Paying at the till asks nothing of the saga; an authorisation would be a step between reserve and the pivot.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import reservations_pb2, reservations_pb2_grpc
from switchyard.orders.v1 import events_pb2

from chassis import audit, call, clock, errors, events, identity, telemetry
from chassis.db import Database
from services.orders import lines, messages, orders, saga_store, store
from services.orders.models import Order

# Shorter than the claim on a saga, so that two processes never wait for inventory about one order.
CALL_TIMEOUT_S = 6.0
# Delays before the next try, in seconds, the last one for all further tries. An outage of a quarter of an hour heals by
# itself; after that somebody must look.
DELAYS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
TRIES_MAX = 22
# Sagas taken up in one round, all at once: half of the pool's connections, so that requests find the others.
BATCH = 10
# reserve, then release when it was refused.
STEPS_MAX = 3

# An answer that will be the same however often it is asked; everything else may be a passing fault.
_REFUSALS = (errors.Conflict, errors.Invalid, errors.NotFound, errors.FailedPrecondition, errors.AlreadyExists)
_KINDS: Mapping[str, type[errors.Error]] = {kind.__name__: kind for kind in (*_REFUSALS, errors.InvalidTransition)}

# A reservation to which lines can be added.
_OPEN = (reservations_pb2.RESERVATION_STATE_ACTIVE, reservations_pb2.RESERVATION_STATE_PARTIALLY_POSTED)

log = structlog.get_logger()


class Sagas:
    """Works sagas, for a request at once and for the resumer when they are due."""

    def __init__(self, database: Database, inventory: "reservations_pb2_grpc.ReservationsServiceAsyncStub") -> None:
        self._database = database
        self._inventory = inventory
        steps = {"reserve": self._reserve, "trim": self._trim, "post": self._post, "release": self._release}
        self._steps: Mapping[str, Callable[[UUID], Awaitable[bool]]] = steps
        self._stuck = telemetry.meter().create_gauge("switchyard.orders.sagas_needing_attention")

    async def work(self, order_id: UUID) -> None:
        """Do an order's steps until nothing is due, for the current call. Raises what keeps an order from going on."""
        for _ in range(STEPS_MAX):
            rows = await self._database.read(saga_store.STEP, call.current().principal.tenant, order_id=order_id)
            if not rows or rows[0]["step"] == "none":
                return
            if not await self._steps[rows[0]["step"]](order_id):
                return

    async def resume(self) -> None:
        """Take up the sagas of all tenants that are due: their process has died, or inventory was away."""
        nobody = identity.service_principal(self._database.service, None)
        async with self._database.transaction(nobody) as session:
            due = await saga_store.due(session, at=clock.now(), most=BATCH)
            self._stuck.set(await saga_store.stuck(session))
        await asyncio.gather(*(self._resume(tenant_id, order_id) for tenant_id, order_id in due))

    async def _resume(self, tenant_id: UUID, order_id: UUID) -> None:
        principal = identity.service_principal(self._database.service, tenant_id)
        try:
            async with self._database.transaction(principal) as session:
                now = clock.now()
                actor = await saga_store.claim(session, order_id, at=now, until=now + orders.CLAIM)
            if actor is None:
                return
            acting = replace(principal, on_behalf_of=actor)
            with call.answering(call.Call(acting, "orders.Resume", category="financial")):
                await self.work(order_id)
        except errors.Error as failure:
            log.info("saga_not_resumed", order_id=str(order_id), error=failure.code)

    # The steps. Each says whether another may follow.

    async def _reserve(self, order_id: UUID) -> bool:
        request = await self._wish(order_id)
        try:
            reservation = await self._inventory.Reserve(request, timeout=CALL_TIMEOUT_S)
        except errors.Error as failure:
            if not _is_refusal(failure):
                await self._put_off(order_id, "reserve", failure)
                raise
            async with self._database.transaction() as session:
                queued = await reject(session, order_id, failure)
            if queued:
                await self._trim(order_id)
                raise
            return True
        async with self._database.transaction() as session:
            await queue(session, order_id, reservation)
        return True

    async def _wish(self, order_id: UUID) -> reservations_pb2.ReserveRequest:
        rows = await self._database.read(saga_store.RESERVED, call.current().principal.tenant, id=order_id)
        lines = [
            reservations_pb2.ReserveLine(
                line_id=str(row["id"]),
                menu_item_id=str(row["menu_item_id"]),
                quantity=row["quantity"],
                modifiers=[reservations_pb2.ChosenModifier(**chosen) for chosen in orjson.loads(row["modifiers"])],
            )
            for row in rows
        ]
        order, station = rows[0], rows[0]["station_id"]
        return reservations_pb2.ReserveRequest(
            order_id=str(order_id),
            site_id=str(order["site_id"]),
            lines=lines,
            station_id=str(station) if station is not None else None,
        )

    async def _trim(self, order_id: UUID) -> bool:
        rows = await self._database.read(saga_store.VOIDED, call.current().principal.tenant, id=order_id)
        released = {row["id"] for row in rows}
        request = reservations_pb2.ReleaseReservationRequest(order_id=str(order_id), line_ids=map(str, released))
        try:
            # Without lines it would be the whole reservation.
            if released:
                await self._inventory.ReleaseReservation(request, timeout=CALL_TIMEOUT_S)
        except errors.Error as failure:
            # The lines are voided already, which is what the caller wanted: what is left is between the services.
            await self._put_off(order_id, "trim", failure)
            return False
        async with self._database.transaction() as session:
            await trimmed(session, order_id, released)
        return True

    async def _post(self, order_id: UUID) -> bool:
        request = reservations_pb2.PostReservationRequest(order_id=str(order_id))
        try:
            await self._inventory.PostReservation(request, timeout=CALL_TIMEOUT_S)
        except errors.Error as failure:
            if not _is_refusal(failure):
                await self._put_off(order_id, "post", failure)
                raise
            async with self._database.transaction() as session:
                await give_up_completing(session, order_id, failure)
            raise
        async with self._database.transaction() as session:
            await complete(session, order_id)
        return True

    async def _release(self, order_id: UUID) -> bool:
        request = reservations_pb2.ReleaseReservationRequest(order_id=str(order_id))
        try:
            await self._inventory.ReleaseReservation(request, timeout=CALL_TIMEOUT_S)
        except errors.Error as failure:
            # The order is cancelled already, which is what the caller wanted: what is left is between the services.
            await self._put_off(order_id, "release", failure)
            return False
        async with self._database.transaction() as session:
            await settle(session, order_id)
        return False

    async def _put_off(self, order_id: UUID, step: str, failure: errors.Error) -> None:
        async with self._database.transaction() as session:
            tries = (await saga_store.saga_of(session, order_id)).tries
            stuck = _is_refusal(failure) or tries >= TRIES_MAX
            delay = timedelta(seconds=DELAYS_S[min(tries, len(DELAYS_S)) - 1])
            state = "needs_attention" if stuck else None
            await saga_store.put_off(
                session, order_id, step=step, state=state, due_at=clock.now() + delay, error=failure.code
            )
        log.warning("saga_step_failed", order_id=str(order_id), step=step, error=failure.code, stuck=stuck)


async def queue(session: AsyncSession, order_id: UUID, reservation: reservations_pb2.Reservation) -> None:
    """The pivot: what is reserved is in the queue, with its number, names and prices."""
    order = await _locked(session, order_id)
    if order.status != "draft":
        await admit(session, order, reservation)
        return
    if reservation.state != reservations_pb2.RESERVATION_STATE_ACTIVE:
        message = "the reservation has ended before the order was queued"
        await reject(session, order_id, errors.Conflict(message, code="RESERVATION_ENDED"))
        return
    await store.price(session, order_id, [_priced(line) for line in reservation.lines])
    await settle(session, order_id)
    await orders.note(session, order_id, "queued", actor=order.placed_by, channel="system")
    now = clock.now()
    # The day on which it was accepted, however long its stock took.
    day = order.day or now.date()
    # Late, for the counter is held until the commit and all orders of the site pass through it.
    order.number = await store.next_number(session, order.tenant_id, order.site_id, day)
    order.day, order.status, order.updated_at = day, "queued", now
    order.amount = sum(line.quantity * line.unit_price.amount for line in reservation.lines)
    order.currency = reservation.lines[0].unit_price.currency
    row = await store.shown(session, order_id)
    audit.changed(session, f"orders/{order_id}", after={"lines": orjson.loads(row["lines"])})
    event = events_pb2.OrderPlaced(order=messages.order(row))
    events.publish(session, event, subject=f"orders/{order_id}", audience=messages.audience(row))


def _priced(line: reservations_pb2.PricedLine) -> dict[str, object]:
    money = line.unit_price
    return {
        "line_id": UUID(line.line_id),
        "priced_name": line.name,
        "priced": money.amount,
        "money": money.currency,
        "chosen": lines.chosen(line),
    }


async def admit(session: AsyncSession, order: Order, reservation: reservations_pb2.Reservation) -> None:
    """Let the new lines of a queued order be made: their stock is reserved."""
    saga = await saga_store.saga_of(session, order.id)
    if order.status in orders.FINAL or saga.step != "reserve":
        return
    if reservation.state not in _OPEN:
        message = "the reservation has ended before the lines were added"
        await lines.refuse(session, order, saga, errors.Conflict(message, code="RESERVATION_ENDED"))
    elif await lines.admit(session, order, reservation):
        await settle(session, order.id)


async def trimmed(session: AsyncSession, order_id: UUID, released: Collection[UUID]) -> None:
    """The stock of voided lines is given back."""
    order = await _locked(session, order_id)
    saga = await saga_store.saga_of(session, order_id)
    if saga.step == "trim" and await lines.all_released(session, order, released):
        await settle(session, order_id)
        await lines.go_on(session, order, saga)


async def reject(session: AsyncSession, order_id: UUID, failure: errors.Error) -> bool:
    """Cancel a draft that inventory refuses. What a late reservation might hold is released.

    Of an order that is queued already it is the new lines that are refused: then the answer is true.
    """
    order = await _locked(session, order_id)
    if order.status != "draft":
        saga = await saga_store.saga_of(session, order_id)
        refused = order.status not in orders.FINAL and saga.step == "reserve"
        if refused:
            await lines.refuse(session, order, saga, failure)
        return refused
    await saga_store.set_step(session, order_id, "release", "compensating", due_at=clock.now() + orders.CLAIM)
    order.rejection = failure.code
    order.refusal = {
        "kind": type(failure).__name__,
        "code": failure.code,
        "message": failure.message,
        "fields": failure.fields,
        "metadata": failure.metadata,
    }
    await orders.move(session, order, "cancelled", actor=order.placed_by, channel="system", detail=failure.code)
    return False


def refusal(stored: str) -> errors.Error:
    """The error with which an order was refused, again."""
    told: dict[str, Any] = orjson.loads(stored)
    kind = _KINDS.get(told["kind"], errors.Conflict)
    return kind(told["message"], code=told["code"], fields=told["fields"], metadata=told["metadata"])


async def complete(session: AsyncSession, order_id: UUID) -> None:
    """Complete an order whose stock inventory has booked out."""
    order = await _locked(session, order_id)
    if order.status in orders.FINAL:
        return
    saga = await saga_store.saga_of(session, order_id)
    await settle(session, order_id)
    order.posted = True
    orders.apply(order, saga.edits)
    await orders.move(session, order, "completed", actor=saga.actor, channel=saga.channel)


async def give_up_completing(session: AsyncSession, order_id: UUID, failure: errors.Error) -> None:
    """Leave an order as it is when inventory will not book its stock out."""
    await _locked(session, order_id)
    saga = await saga_store.saga_of(session, order_id)
    if saga.step == "post":
        await settle(session, order_id)
        told = {"actor": saga.actor, "channel": saga.channel, "detail": failure.code}
        await orders.note(session, order_id, "completion_refused", **told)


async def settle(session: AsyncSession, order_id: UUID) -> None:
    """Nothing is due any more."""
    await saga_store.set_step(session, order_id, "none", "settled", edits={})


async def _locked(session: AsyncSession, order_id: UUID) -> Order:
    order = await store.lock(session, order_id)
    assert order is not None  # sagas hang on their orders by a foreign key
    return order


def _is_refusal(failure: errors.Error) -> bool:
    # A conflict that names a time to try again is contention, not an answer.
    return isinstance(failure, _REFUSALS) and failure.retry_after_s is None
