"""Paying: orders by card at the provider `test`, and whether the books agree."""

from typing import Any
from uuid import UUID

from switchyard.orders.v1 import orders_pb2

from services.orders import paying

CARD = orders_pb2.PAYMENT_METHOD_CARD
PENDING, AUTHORIZED, CAPTURED, VOIDED, FAILED, UNKNOWN, REFUNDED = (
    orders_pb2.PaymentState.Value(f"PAYMENT_STATE_{name}")
    for name in ("PENDING", "AUTHORIZED", "CAPTURED", "VOIDED", "FAILED", "UNKNOWN", "REFUNDED")
)
QUEUED, READY, COMPLETED, CANCELLED, DRAFT = (
    orders_pb2.OrderStatus.Value(f"ORDER_STATUS_{name}")
    for name in ("QUEUED", "READY", "COMPLETED", "CANCELLED", "DRAFT")
)
SETTLED, NEEDS_ATTENTION = orders_pb2.SAGA_STATE_SETTLED, orders_pb2.SAGA_STATE_NEEDS_ATTENTION
FULL = 1_000_000


async def by_card(shop: Any, token: str = "test_success", **more: Any) -> Any:
    """An order that is paid by card."""
    return await shop.place(payment_method=CARD, payment_token=token, **more)


async def charges(shop: Any, order_id: object) -> list[Any]:
    """What the provider has done for an order, whatever key it was asked under."""
    found: list[Any] = await shop.rows("SELECT * FROM test_charges WHERE key LIKE $1", f"{order_id}%")
    return found


async def charge(shop: Any, order_id: object) -> Any:
    """The one charge of an order."""
    (found,) = await charges(shop, order_id)
    assert found["key"] == paying.key(UUID(str(order_id)), "authorise")
    return found


async def asked(shop: Any, order_id: object) -> dict[str, int]:
    """How often the provider was asked, by method."""
    sql = "SELECT told.* FROM test_charges c, jsonb_each_text(c.asked) AS told (key, value) WHERE c.key LIKE $1"
    return {row["key"]: int(row["value"]) for row in await shop.rows(sql, f"{order_id}%")}


async def imbalances(shop: Any, order_id: object) -> list[str]:
    """What is wrong with an order whose steps are over: its money at the provider, in the books, and its stock."""
    order = await shop.get(order_id)
    kept = await shop.rows("SELECT * FROM order_payments WHERE order_id = $1", UUID(str(order_id)))
    there = await charges(shop, order_id)
    found = []
    net = sum(row["captured"] - row["refunded"] for row in there)
    open_there = [row["state"] for row in there if row["state"] == "authorized"]
    if order.payment.provider != "cash":
        if net != sum((row["captured"] or 0) - row["refunded"] for row in kept):
            found.append(f"the provider holds {net}, which the books do not say")
        if open_there and (order.status, order.saga_state) != (QUEUED, NEEDS_ATTENTION):
            found.append("an authorisation is open")
    if len(there) > 1 or len(kept) > 1:
        found.append("charged more than once")
    paid = sum((row["captured"] or 0) - row["refunded"] for row in kept)
    if order.status == COMPLETED and paid != order.total.amount:
        found.append(f"completed, and {order.total.amount - paid} is due")
    if order.status == CANCELLED and (paid or net):
        found.append("cancelled, and money was kept")
    held, wanted = shop.inventory.held(str(order_id)), 0
    if order.status not in {COMPLETED, CANCELLED}:
        wanted = sum(line.quantity for line in order.lines if line.status != orders_pb2.LINE_STATUS_VOIDED)
    if held != wanted:
        found.append(f"{held} pieces are held for {wanted}")
    return found
