"""The provider `test`: does what the payment's token says, and remembers it in a table of its own.

Each call is a transaction of its own, as at a real provider somewhere else: what it has done stays done, whatever
becomes of whoever asked. It is there in development alone; no money moves.
"""

import asyncio
from collections.abc import Callable, Mapping
from uuid import UUID

from chassis import call, errors, identity
from chassis.db import Database
from services.orders import paying, payment_store
from services.orders.paying import Charge, Money, State
from services.orders.payment_models import ScriptedCharge

NAME = "test"
SLOW_S = 1.5

# What goes wrong when a method is asked for the first time, the second time and so on; after that it works.
# `unheard`: nothing was done and nobody answers. `lost`: it was done, and the answer is lost. `refused`: not this time.
SCRIPTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "test_success": {},
    "test_decline": {"authorise": ("declined",)},
    "test_timeout_after_charge": {"authorise": ("lost",)},
    "test_timeout_before_charge": {"authorise": ("unheard",)},
    "test_unknown": {"authorise": ("lost",), "look_up": ("unheard", "unheard")},
    "test_down": {"authorise": ("unheard", "unheard"), "look_up": ("unheard", "unheard", "unheard")},
    "test_slow": {"authorise": ("slow",), "capture": ("slow",)},
    "test_capture_fails_twice": {"capture": ("unheard", "unheard")},
    "test_capture_lost": {"capture": ("lost",)},
    "test_capture_refused": {"capture": ("refused",)},
    "test_void_fails_twice": {"void": ("unheard", "unheard")},
    "test_void_lost": {"void": ("lost",)},
    "test_refund_fails_twice": {"refund": ("unheard", "unheard")},
    "test_refund_lost": {"refund": ("lost",)},
}


class Scripted:
    """The provider of tests and demonstrations."""

    name = NAME

    def __init__(self, database: Database) -> None:
        self._database = database

    async def authorise(self, order_id: UUID, money: Money, token: str) -> Charge:
        """As the token says; one that is not known is declined."""

        def effect(charge: ScriptedCharge) -> None:
            if charge.state == State.ABSENT:
                charge.state, charge.authorized, charge.currency = State.AUTHORIZED, money.amount, money.currency

        return await self._asked(order_id, "authorise", effect, token)

    async def capture(self, order_id: UUID, money: Money) -> Charge:
        """Once."""

        def effect(charge: ScriptedCharge) -> None:
            if charge.state == State.AUTHORIZED:
                charge.state, charge.captured = State.CAPTURED, money.amount

        return await self._asked(order_id, "capture", effect)

    async def void(self, order_id: UUID) -> Charge:
        """What is not known yet is closed."""

        def effect(charge: ScriptedCharge) -> None:
            if charge.state in {State.ABSENT, State.AUTHORIZED}:
                charge.state = State.VOIDED

        return await self._asked(order_id, "void", effect)

    async def refund(self, order_id: UUID, money: Money) -> Charge:
        """Up to so much."""

        def effect(charge: ScriptedCharge) -> None:
            if charge.state == State.CAPTURED:
                charge.refunded = max(charge.refunded, min(money.amount, charge.captured))
                charge.state = State.REFUNDED if charge.refunded == charge.captured else State.CAPTURED

        return await self._asked(order_id, "refund", effect)

    async def look_up(self, order_id: UUID) -> Charge:
        """What it remembers."""
        return await self._asked(order_id, "look_up", lambda _: None)

    async def _asked(
        self, order_id: UUID, method: str, effect: Callable[[ScriptedCharge], None], token: str = ""
    ) -> Charge:
        tenant = call.current().principal.tenant
        principal = identity.service_principal(self._database.service, tenant)
        # Somebody else's doing, which our trail is not told.
        with call.answering(call.Call(principal, "test.Provider")):
            async with self._database.transaction() as session:
                charge = await payment_store.charge(session, _new(tenant, order_id, token))
                charge.token = charge.token or token
                fault = _fault(charge, method)
                if fault == "declined":
                    charge.state = State.DECLINED
                elif fault not in {"unheard", "refused"}:
                    effect(charge)
                answer = _answer(charge)
        if fault == "slow":
            await asyncio.sleep(SLOW_S)
        if fault in {"unheard", "lost"}:
            message = "the test provider does not answer"
            raise errors.Unavailable(message)
        return Charge(State.DECLINED, code="REFUSED") if fault == "refused" else answer


def _new(tenant: UUID, order_id: UUID, token: str) -> Mapping[str, object]:
    row = {"tenant_id": tenant, "key": paying.key(order_id, "authorise"), "token": token, "state": State.ABSENT.value}
    return {**row, "currency": "", "authorized": 0, "captured": 0, "refunded": 0, "asked": {}}


def _fault(charge: ScriptedCharge, method: str) -> str:
    """What goes wrong this time."""
    asked = charge.asked.get(method, 0)
    charge.asked = {**charge.asked, method: asked + 1}
    if method == "authorise" and charge.token not in SCRIPTS:
        return "declined" if charge.state == State.ABSENT else ""
    faults = SCRIPTS.get(charge.token, {}).get(method, ())
    fault = faults[asked] if asked < len(faults) else ""
    return "" if fault == "declined" and charge.state != State.ABSENT else fault


def _answer(charge: ScriptedCharge) -> Charge:
    code = "" if charge.state != State.DECLINED else "CARD_DECLINED" if charge.token in SCRIPTS else "UNKNOWN_TOKEN"
    amounts = {"authorized": charge.authorized, "captured": charge.captured, "refunded": charge.refunded}
    return Charge(State(charge.state), **amounts, reference=f"test_{charge.key.partition('/')[0]}", code=code)
