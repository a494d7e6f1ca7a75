"""The saga behind each order: reserve and authorise, the pivot, capture, post; or void and release.

A step calls inventory or the payment's provider with no transaction open and keeps the outcome in one transaction
(`services.orders.saga_steps`) that also says what comes next. Every step may be done again, by anybody, after a crash
at any point: what is called is idempotent by order id, and what a step changes here is guarded by the state of the
locked order. Before the pivot what fails is undone; after it, it is tried until it is done, or somebody must look. This
module is an edge of its own, moved by a timer as well as by requests, and therefore opens transactions.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import structlog
from switchyard.inventory.v1 import reservations_pb2, reservations_pb2_grpc

from chassis import call, clock, errors, faults, identity, telemetry
from chassis.db import Database
from services.orders import orders, payment_store, payments, saga_steps, saga_store
from services.orders.paying import CALL_TIMEOUT_S as PAYING_TIMEOUT_S
from services.orders.paying import CASH, Charge, Desk, Money, State

# Shorter than the claim on a saga, so that a step of one call is not made by two processes at once.
CALL_TIMEOUT_S = 6.0
# Delays before the next try, in seconds, the last one for all further tries. An outage of a quarter of an hour heals by
# itself; after that somebody must look.
DELAYS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
TRIES_MAX = 22
# Sagas taken up in one round, all at once: half of the pool's connections, so that requests find the others.
BATCH = 10
# More than any way through the steps has.
STEPS_MAX = 6

log = structlog.get_logger()


class Sagas:
    """Works sagas, for a request at once and for the resumer when they are due."""

    def __init__(
        self,
        database: Database,
        inventory: "reservations_pb2_grpc.ReservationsServiceAsyncStub",
        desk: Desk | None = None,
    ) -> None:
        self._database = database
        self._inventory = inventory
        # Without one, orders are paid at the till.
        self.desk = desk or Desk()
        self._steps: Mapping[str, Callable[[UUID], Awaitable[bool]]] = {
            "reserve": self._reserve,
            "authorise": self._authorise,
            "capture": self._capture,
            "trim": self._trim,
            "post": self._post,
            "void": self._void,
            "release": self._release,
        }
        self._stuck = telemetry.meter().create_gauge("switchyard.orders.sagas_needing_attention")

    async def work(self, order_id: UUID) -> None:
        """Do an order's steps until nothing is due, for the current call. Raises what keeps an order from going on."""
        for _ in range(STEPS_MAX):
            step = await self._step(order_id)
            if step == "none" or not await self._steps[step](order_id):
                return

    async def _step(self, order_id: UUID) -> str:
        rows = await self._database.read(saga_store.STEP, call.current().principal.tenant, order_id=order_id)
        return str(rows[0]["step"]) if rows else "none"

    async def resume(self) -> None:
        """Take up the sagas of all tenants that are due: their process has died, or inventory was away."""
        nobody = identity.service_principal(self._database.service, None)
        async with self._database.transaction(nobody) as session:
            due = await saga_store.due(session, at=clock.now(), most=BATCH)
            self._stuck.set(await saga_store.stuck(session))
        await asyncio.gather(*(self._resume(tenant_id, order_id) for tenant_id, order_id in due))

    async def _resume(self, tenant_id: UUID, order_id: UUID) -> None:
        principal = identity.service_principal(self._database.service, tenant_id)
        with call.answering(call.Call(principal, "orders.Resume", category="financial")) as current:
            try:
                async with self._database.transaction() as session:
                    now = clock.now()
                    asked = await saga_store.claim(session, order_id, at=now, until=now + orders.CLAIM)
                if asked is None:
                    return
                # Whoever acts in another's name stands in the trail with both.
                actor, subject = asked
                current.principal = replace(principal, on_behalf_of=subject or actor, actor=actor if subject else "")
                await self.work(order_id)
            except errors.Error as failure:
                log.info("saga_not_resumed", order_id=str(order_id), error=failure.code)
            except Exception:
                # A fault of ours is tried again like an outage, and needs attention in the end like one.
                log.exception("saga_broken", order_id=str(order_id))
                await self._put_off(order_id, await self._step(order_id), errors.Internal())

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
                refused = await saga_steps.reject(session, order_id, failure)
            if refused == "lines":
                await self._trim(order_id)
                raise
            if refused == "order":
                return True
            # Its stock has lapsed and is gone. Who makes it may be making it by now: somebody must look.
            await self._put_off(order_id, "reserve", failure)
            return False
        async with self._database.transaction() as session:
            payable = await saga_steps.reserved(session, order_id, reservation)
        # Nobody can have asked the provider before.
        return await self._authorise(order_id, asked=False) if payable else True

    async def _wish(self, order_id: UUID) -> reservations_pb2.ReserveRequest:
        rows = await self._database.read(saga_store.RESERVED, call.current().principal.tenant, id=order_id)
        lines = [
            reservations_pb2.ReserveLine(
                line_id=str(row["id"]),
                menu_item_id=str(row["menu_item_id"]),
                quantity=row["quantity"],
                modifiers=map(_chosen, orjson.loads(row["modifiers"])),
            )
            for row in rows
        ]
        order, station = rows[0], rows[0]["station_id"]
        return reservations_pb2.ReserveRequest(
            order_id=str(order_id),
            site_id=str(order["site_id"]),
            lines=lines,
            station_id=str(station) if station is not None else None,
            renews=True,
        )

    async def _authorise(self, order_id: UUID, *, asked: bool = True) -> bool:
        """`asked`: perhaps it was asked before, and is looked up first. What is not known is never charged again."""
        due = await self._due(order_id)
        try:
            charge = await self._charge(order_id, due, asked=asked)
        except errors.Error as failure:
            async with self._database.transaction() as session:
                await saga_steps.authorized(session, order_id, Charge(State.UNKNOWN))
            await self._put_off(order_id, "authorise", failure)
            message = "the payment's provider does not answer; the order is queued or cancelled when it does"
            raise errors.Unavailable(message, code="PAYMENT_UNKNOWN", retry_after_s=1) from failure
        async with self._database.transaction() as session:
            await saga_steps.authorized(session, order_id, charge)
        return True

    async def _charge(self, order_id: UUID, due: Any, *, asked: bool) -> Charge:
        """The provider's word on an authorisation. Raises `Unavailable` when it gives none."""
        provider = self.desk.of(due["payment_provider"])
        found = await _asked(provider.look_up, order_id) if asked else Charge(State.ABSENT)
        if found.state is State.ABSENT and due["token"] is not None:
            token = self.desk.token(call.current().principal.tenant, due["id"], due["token"])
            try:
                found = await _asked(provider.authorise, order_id, _money(due), token)
            except errors.Unavailable:
                found = await _asked(provider.look_up, order_id)
        if found.state in {State.ABSENT, State.UNKNOWN}:
            message = "the payment's provider does not know yet"
            raise errors.Unavailable(message)
        return found

    async def _capture(self, order_id: UUID) -> bool:
        due = await self._due(order_id)
        try:
            charge = await _asked(self.desk.of(due["payment_provider"]).capture, order_id, _money(due))
            async with self._database.transaction() as session:
                if await saga_steps.captured(session, order_id, charge):
                    return True
            raise _not_captured(charge)
        except errors.Error as failure:
            # The order is queued already, which is what the caller wanted: what is left is between us and the provider.
            await self._put_off(order_id, "capture", failure)
            return False

    async def _due(self, order_id: UUID) -> Any:
        return (await self._database.read(payment_store.DUE, call.current().principal.tenant, id=order_id))[0]

    async def _trim(self, order_id: UUID) -> bool:
        rows = await self._database.read(saga_store.VOIDED, call.current().principal.tenant, id=order_id)
        released = {row["id"] for row in rows}
        request = reservations_pb2.ReleaseReservationRequest(order_id=str(order_id), line_ids=map(str, released))
        try:
            # Without lines it would be the whole reservation.
            if released:
                await self._inventory.ReleaseReservation(request, timeout=CALL_TIMEOUT_S)
            charge = await self._refund(order_id)
        except errors.Error as failure:
            # The lines are voided already, which is what the caller wanted: what is left is between the services.
            await self._put_off(order_id, "trim", failure)
            return False
        async with self._database.transaction() as session:
            await saga_steps.trimmed(session, order_id, released, charge)
        return True

    async def _refund(self, order_id: UUID) -> Charge | None:
        """Give back what an order was paid that costs less now."""
        due = await self._due(order_id)
        much = payments.excess(captured=due["captured"], refunded=due["refunded"], amount=due["amount"])
        if not much:
            return None
        provider = self.desk.of(due["payment_provider"])
        charge = await _asked(provider.refund, order_id, Money(much, due["currency"]))
        if charge.refunded < much:
            message = "the payment's provider has not given the money back yet"
            raise errors.Unavailable(message, code="PAYMENT_NOT_UNDONE")
        return charge

    async def _post(self, order_id: UUID) -> bool:
        request = reservations_pb2.PostReservationRequest(order_id=str(order_id))
        try:
            try:
                await self._inventory.PostReservation(request, timeout=CALL_TIMEOUT_S)
            except errors.InvalidTransition:
                # What has lapsed is held anew, if it is still there; what was posted or given back stays so.
                await self._inventory.Reserve(await self._wish(order_id), timeout=CALL_TIMEOUT_S)
                await self._inventory.PostReservation(request, timeout=CALL_TIMEOUT_S)
            charge = await self._at_the_till(order_id)
        except errors.Error as failure:
            if not _is_refusal(failure):
                await self._put_off(order_id, "post", failure)
                raise
            async with self._database.transaction() as session:
                await saga_steps.give_up_completing(session, order_id, failure)
            raise
        async with self._database.transaction() as session:
            await saga_steps.complete(session, order_id, charge)
        return True

    async def _at_the_till(self, order_id: UUID) -> Charge | None:
        due = await self._due(order_id)
        if due["payment_provider"] != CASH:
            return None
        return await self.desk.of(CASH).capture(order_id, _money(due))

    async def _void(self, order_id: UUID) -> bool:
        due, charge = await self._due(order_id), Charge(State.VOIDED)
        try:
            if due["state"] == State.CAPTURED and not due["captured"]:
                # What was free has never been at the provider.
                charge = Charge(State.REFUNDED)
            elif due["state"] not in payments.CLOSED:
                charge = await self._undone(order_id, due)
        except errors.Error as failure:
            await self._put_off(order_id, "void", failure)
            return False
        async with self._database.transaction() as session:
            await saga_steps.voided(session, order_id, charge)
        return True

    async def _undone(self, order_id: UUID, due: Any) -> Charge:
        """Void what is authorised; what turns out to be captured is refunded. Raises `Unavailable` for neither."""
        provider = self.desk.of(due["payment_provider"])
        charge = await _asked(provider.void, order_id)
        if charge.state is State.CAPTURED:
            charge = await _asked(provider.refund, order_id, Money(charge.captured, due["currency"]))
        if charge.state not in {State.VOIDED, State.REFUNDED, State.DECLINED}:
            message = "the payment's provider has not given the money back yet"
            raise errors.Unavailable(message, code="PAYMENT_NOT_UNDONE")
        return charge

    async def _release(self, order_id: UUID) -> bool:
        request = reservations_pb2.ReleaseReservationRequest(order_id=str(order_id))
        try:
            await self._inventory.ReleaseReservation(request, timeout=CALL_TIMEOUT_S)
        except errors.Error as failure:
            # The order is cancelled already, which is what the caller wanted: what is left is between the services.
            await self._put_off(order_id, "release", failure)
            return False
        async with self._database.transaction() as session:
            await saga_steps.released(session, order_id)
        return True

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


def _chosen(told: Mapping[str, Any]) -> reservations_pb2.ChosenModifier:
    """What was chosen; once it is priced, its name and price stand beside it."""
    return reservations_pb2.ChosenModifier(option_id=told["option_id"], quantity=told["quantity"])


def _is_refusal(failure: errors.Error) -> bool:
    # A conflict that names a time to try again is contention, not an answer.
    return isinstance(failure, saga_steps.REFUSALS) and failure.retry_after_s is None


async def _asked(ask: Callable[..., Awaitable[Charge]], *about: object) -> Charge:
    """A provider's answer. Raises `Unavailable` when it takes too long: nobody knows what has become of it."""
    name = getattr(ask, "__name__", "provider")
    faults.point(f"{name}.before")
    try:
        async with asyncio.timeout(PAYING_TIMEOUT_S):
            charge = await ask(*about)
    except TimeoutError:
        message = "the payment's provider does not answer"
        raise errors.Unavailable(message) from None
    faults.point(f"{name}.after")
    return charge


def _not_captured(charge: Charge) -> errors.Error:
    if charge.state in {State.DECLINED, State.VOIDED}:
        message = "the payment's provider does not take the money it was sure of"
        return errors.Conflict(message, code="CAPTURE_REFUSED")
    message = "the payment's provider has not taken the money yet"
    return errors.Unavailable(message)


def _money(due: Any) -> Money:
    return Money(due["amount"], due["currency"])
