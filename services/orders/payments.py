"""How far orders are paid: what providers answer, kept with the order that it is about.

Whoever keeps something here holds the order. What is known already changes nothing.
"""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from chassis import call, clock, errors
from services.orders import payment_store
from services.orders.models import Order
from services.orders.paying import Charge, Intent, State
from services.orders.payment_models import OrderPayment

DECLINED = "PAYMENT_DECLINED"
# How far a payment is in each state: it never goes back.
_FAR = {
    "created": 0,
    "processing": 1,
    "unknown": 1,
    "authorized": 2,
    "failed": 3,
    "voided": 3,
    "captured": 3,
    "refunded": 4,
}
_STATES = {State.DECLINED: "failed"}
# What an order shows while its payment is still to be decided.
_SHOWN = {"created": "pending", "processing": "pending"}
# In one of these it is over; in one of those nothing stands at a provider that must be given back.
_OVER = frozenset({"failed", "voided", "refunded"})
CLOSED = _OVER | {"created"}


async def begin(session: AsyncSession, order_id: UUID, intent: Intent) -> None:
    """Keep how a new order is to be paid."""
    row = {"tenant_id": call.current().principal.tenant, "order_id": order_id, "id": intent.id}
    now = clock.now()
    asked = {"provider": intent.provider, "token": intent.token, "state": "created", "currency": "", "refunded": 0}
    await payment_store.insert(
        session, {**row, **asked, "reference": "", "code": "", "created_at": now, "updated_at": now}
    )


async def of(session: AsyncSession, order: Order) -> OrderPayment:
    """The payment of an order that is not paid at the till."""
    payment = await payment_store.of(session, order.id)
    assert payment is not None  # inserted with the order
    return payment


async def price(session: AsyncSession, order: Order) -> None:
    """Say what is to be authorised. From here on the provider may have been asked."""
    payment = await of(session, order)
    if payment.state == "created":
        payment.state, payment.amount, payment.currency = "processing", order.amount, order.currency
        payment.updated_at = clock.now()


async def take(session: AsyncSession, order: Order, charge: Charge) -> None:
    """Keep what was paid at the till for an order that is being completed."""
    now = clock.now()
    payment = OrderPayment(
        tenant_id=order.tenant_id,
        id=uuid7(),
        order_id=order.id,
        provider=order.payment_provider,
        state="captured",
        amount=charge.captured,
        currency=order.currency,
        authorized=charge.authorized,
        captured=charge.captured,
        refunded=0,
        reference="",
        code="",
        created_at=now,
        updated_at=now,
    )
    session.add(payment)
    await session.flush()
    _show(order, payment)


async def keep(session: AsyncSession, order: Order, charge: Charge) -> bool:
    """Keep a provider's answer; whether it says anything new."""
    payment = await of(session, order)
    state = _STATES.get(charge.state, charge.state.value)
    if charge.state is State.ABSENT or payment.state in _OVER or _FAR[state] < _FAR[payment.state]:
        return False
    before = (payment.state, payment.captured, payment.refunded)
    payment.state = state
    if charge.state in {State.AUTHORIZED, State.CAPTURED, State.REFUNDED}:
        payment.authorized = max(payment.authorized or 0, charge.authorized)
    if charge.state in {State.CAPTURED, State.REFUNDED}:
        payment.captured = max(payment.captured or 0, charge.captured)
    payment.refunded = max(payment.refunded, charge.refunded)
    payment.reference, payment.code = charge.reference or payment.reference, charge.code
    if charge.state is not State.UNKNOWN:
        # It has done its work: what is not kept cannot be stolen.
        payment.token = None
    if before == (payment.state, payment.captured, payment.refunded):
        return False
    payment.updated_at = clock.now()
    _show(order, payment)
    return True


def _show(order: Order, payment: OrderPayment) -> None:
    order.payment_state = _SHOWN.get(payment.state, payment.state)
    order.authorized, order.captured = payment.authorized, payment.captured
    order.refunded = payment.refunded or None
    order.payment_reference = payment.reference


def excess(*, captured: int | None, refunded: int | None, amount: int | None) -> int:
    """How much of what was captured is to be given back altogether, because the order costs less now; else zero."""
    more = (captured or 0) - (amount or 0)
    return more if more > (refunded or 0) else 0


def declined(charge: Charge) -> errors.Conflict:
    """The refusal of an order whose money nobody is good for."""
    metadata = {"decline_code": charge.code} if charge.code else {}
    return errors.Conflict("the payment was declined", code=DECLINED, metadata=metadata)
