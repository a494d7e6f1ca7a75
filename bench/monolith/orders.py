"""Placing an order: stock, order, outbox and audit in one transaction."""

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from fastapi import HTTPException
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from bench.monolith.deps import Principal
from bench.monolith.models import AuditEvent, Batch, Line, MenuItem, Order, OrderEvent, OrderNumber, Outbox, Pick
from bench.monolith.schemas import LineOut, Money, OrderIn, OrderOut


async def place(session: AsyncSession, caller: Principal, wish: OrderIn) -> OrderOut:
    """Place an order, or answer with the one that was placed under this id."""
    order_id = wish.id or uuid7()
    if wish.id and (known := await session.get(Order, (caller.tenant_id, wish.id))):
        return shown(known)
    menu = await _menu(session, {line.menu_item_id for line in wish.lines})
    await _reserve(session, caller.tenant_id, order_id, wish, menu)
    now = datetime.now(UTC)
    lines = [
        Line(
            tenant_id=caller.tenant_id,
            id=uuid7(),
            menu_item_id=line.menu_item_id,
            quantity=line.quantity,
            notes=line.notes,
            name=menu[line.menu_item_id].name,
            unit_amount=menu[line.menu_item_id].amount,
            currency=menu[line.menu_item_id].currency,
            status="pending",
        )
        for line in wish.lines
    ]
    order = Order(
        tenant_id=caller.tenant_id,
        id=order_id,
        site_id=wish.site_id,
        day=now.date(),
        number=await _number(session, caller.tenant_id, wish.site_id, now),
        status="queued",
        channel="mobile",
        payment_method=wish.payment_method,
        customer_name=wish.customer_name,
        notes=wish.notes,
        placed_by=f"user:{caller.id}",
        amount=sum(line.quantity * line.unit_amount for line in lines),
        currency=lines[0].currency,
        version=1,
        placed_at=now,
        updated_at=now,
        lines=lines,
    )
    session.add(order)
    await _tell(session, caller, order, now)
    return shown(order)


async def _menu(session: AsyncSession, ids: set[UUID]) -> dict[UUID, MenuItem]:
    found = {each.id: each for each in await session.scalars(sa.select(MenuItem).where(MenuItem.id.in_(ids)))}
    if missing := ids - found.keys():
        raise HTTPException(422, detail={"menu_item_id": [str(each) for each in missing]})
    return found


async def _reserve(
    session: AsyncSession, tenant_id: UUID, order_id: UUID, wish: OrderIn, menu: dict[UUID, MenuItem]
) -> None:
    """Hold stock of all that the recipes need, first expiry first, rows locked in one order."""
    needed: dict[UUID, int] = defaultdict(int)
    for line in wish.lines:
        for part in menu[line.menu_item_id].recipe:
            needed[part.item_id] += part.quantity * line.quantity
    batches = await session.scalars(
        sa.select(Batch)
        .where(
            Batch.item_id.in_(needed),
            Batch.site_id == wish.site_id,
            Batch.on_hand > Batch.reserved,
            sa.or_(Batch.expires_at.is_(None), Batch.expires_at > sa.func.now()),
        )
        .order_by(Batch.item_id, Batch.expires_at, Batch.id)
        .with_for_update()
    )
    for batch in batches:
        taken = min(needed[batch.item_id], batch.on_hand - batch.reserved)
        if taken:
            needed[batch.item_id] -= taken
            batch.reserved += taken
            pick = {"item_id": batch.item_id, "batch_id": batch.id, "quantity": taken}
            session.add(Pick(tenant_id=tenant_id, order_id=order_id, **pick))
    if any(needed.values()):
        raise HTTPException(409, detail="INSUFFICIENT_STOCK")


async def _number(session: AsyncSession, tenant_id: UUID, site_id: UUID, now: datetime) -> int:
    counter = postgresql.insert(OrderNumber).values(tenant_id=tenant_id, site_id=site_id, day=now.date(), last=1)
    counter = counter.on_conflict_do_update(
        index_elements=["tenant_id", "site_id", "day"], set_={"last": OrderNumber.last + 1}
    )
    number: int = (await session.execute(counter.returning(OrderNumber.last))).scalar_one()
    return number


async def _tell(session: AsyncSession, caller: Principal, order: Order, now: datetime) -> None:
    actor = f"user:{caller.id}"
    body: dict[str, Any] = {"order": shown(order).model_dump(mode="json")}
    subject = f"orders/{order.id}"
    session.add_all(
        [
            OrderEvent(
                tenant_id=order.tenant_id, order_id=order.id, sequence=1, type="queued", actor=actor, occurred_at=now
            ),
            Outbox(tenant_id=order.tenant_id, type="OrderPlaced", subject=subject, body=body),
            AuditEvent(
                tenant_id=order.tenant_id,
                actor=actor,
                action="orders.PlaceOrder",
                resource=subject,
                changes=body,
                occurred_at=now,
            ),
        ]
    )
    await session.flush()


def shown(order: Order) -> OrderOut:
    """An order as it goes over the wire."""
    return OrderOut(
        id=order.id,
        site_id=order.site_id,
        number=order.number,
        status=order.status,
        channel=order.channel,
        lines=[
            LineOut(
                id=line.id,
                menu_item_id=line.menu_item_id,
                quantity=line.quantity,
                notes=line.notes,
                name=line.name,
                unit_price=Money(amount=line.unit_amount, currency=line.currency),
                status=line.status,
            )
            for line in order.lines
        ],
        total=Money(amount=order.amount, currency=order.currency),
        payment_method=order.payment_method,
        customer_name=order.customer_name,
        notes=order.notes,
        placed_by=order.placed_by,
        version=order.version,
        placed_at=order.placed_at,
        updated_at=order.updated_at,
    )
