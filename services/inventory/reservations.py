"""Stock promised to orders. An order has one reservation, whose id is the order's."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import inventory_pb2 as pb

from chassis import audit, call, clock, errors
from services.inventory import ledger, store
from services.inventory.models import Balance, Batch, MenuItem, Pick, Reservation

ACTIVE = pb.RESERVATION_STATE_ACTIVE
POSTED = pb.RESERVATION_STATE_POSTED
RELEASED = pb.RESERVATION_STATE_RELEASED
EXPIRED = pb.RESERVATION_STATE_EXPIRED
_NOWHERE = UUID(int=0)

# A reservation and what it holds.
Held = tuple[Reservation, Sequence[Pick]]


async def reserve(session: AsyncSession, request: pb.ReserveRequest, *, life_s: float) -> Held:
    """Hold what an order needs, all of it or nothing; asked again, the reservation as it is.

    Raises `Invalid` for what is not on the menu, `Conflict` (`SOLD_OUT`, `INSUFFICIENT_STOCK`).
    """
    expires_at = clock.now() + timedelta(seconds=life_s)
    if not await _begin(session, request.order_id, request.site_id, state=ACTIVE, expires_at=expires_at):
        return await _known(session, request.order_id)
    menu = await store.menu_by_id(session, [UUID(line.menu_item_id) for line in request.lines])
    _check_menu(request.lines, menu)
    needed: Counter[UUID] = Counter()
    for line in request.lines:
        for part in menu[UUID(line.menu_item_id)].recipe:
            needed[UUID(part["item_id"])] += part["quantity"] * line.quantity
    tenant = call.current().principal.tenant
    balances = await store.lock_balances(session, tenant=tenant, site_id=UUID(request.site_id), item_ids=needed)
    items = await store.items_by_id(session, needed)
    for item_id, quantity in sorted(needed.items()):
        balance = balances[item_id]
        for taking in await ledger.take(session, balance, quantity, sku=items[item_id].sku):
            _hold(session, request.order_id, balance, taking.batch, taking.quantity, taking.reason)
        await ledger.told_of(session, items[item_id], balance, order_id=request.order_id)
    row = await store.reservation(session, request.order_id)
    assert row is not None
    row.lines = [_priced(line, menu[UUID(line.menu_item_id)]) for line in request.lines]
    await session.flush()
    return row, await store.picks(session, row.id)


async def post(session: AsyncSession, order_id: str) -> Held:
    """Consume what is held: a movement for each batch. Raises `NotFound`, `InvalidTransition` when given back."""
    row, picks = await _known(session, order_id)
    if row.state == POSTED:
        return row, picks
    _require_active(row, "posted")
    balances = await _lock(session, row, picks)
    items = await store.items_by_id(session, balances)
    for pick in picks:
        balance = balances[pick.item_id]
        _give_back(balance, (await store.batches_by_id(session, [pick.batch_id]))[pick.batch_id], pick.quantity)
    # What was sellable when it was promised may not be any more: it is picked anew from what is.
    await session.flush()
    for item_id, quantity in sorted(_quantities(picks).items()):
        for taking in await _still_sellable(session, balances[item_id], picks, quantity):
            ledger.move(
                session,
                balances[item_id],
                taking.batch,
                -taking.quantity,
                kind=pb.MOVEMENT_TYPE_SALE,
                reason="order",
                order_id=row.id,
            )
        await ledger.told_of(session, items[item_id], balances[item_id], order_id=order_id)
    row.state = POSTED
    await session.flush()
    return row, picks


async def release(session: AsyncSession, order_id: str, *, state: int = RELEASED) -> Held:
    """Give back what is held; before the reservation, close the order's id. Raises `InvalidTransition` when posted."""
    if await _begin(session, order_id, str(_NOWHERE), state=state, expires_at=clock.now()):
        return await _known(session, order_id)
    row, picks = await _known(session, order_id)
    if row.state in (RELEASED, EXPIRED):
        return row, picks
    _require_active(row, "released")
    balances = await _lock(session, row, picks)
    batches = await store.batches_by_id(session, [pick.batch_id for pick in picks])
    for pick in picks:
        _give_back(balances[pick.item_id], batches[pick.batch_id], pick.quantity)
    for item in (await store.items_by_id(session, balances)).values():
        await ledger.told_of(session, item, balances[item.id], order_id=order_id)
    row.state = state
    await session.flush()
    return row, picks


async def _begin(session: AsyncSession, order_id: str, site_id: str, **values: Any) -> bool:
    tenant = call.current().principal.tenant
    row = {"tenant_id": tenant, "order_id": UUID(order_id), "site_id": UUID(site_id), "lines": [], **values}
    begun = await store.begin_reservation(session, row)
    if begun:
        audit.changed(session, f"reservations/{row['order_id']}", after={"state": values["state"]})
    return begun


async def _known(session: AsyncSession, order_id: str) -> Held:
    row = await store.reservation(session, order_id)
    if row is None:
        raise errors.NotFound
    return row, await store.picks(session, row.id)


async def _lock(session: AsyncSession, row: Reservation, picks: Sequence[Pick]) -> dict[UUID, Balance]:
    item_ids = [pick.item_id for pick in picks]
    return await store.lock_balances(session, tenant=row.tenant_id, site_id=row.site_id, item_ids=item_ids)


def _hold(session: AsyncSession, order_id: str, balance: Balance, batch: Batch, quantity: int, reason: str) -> None:
    batch.reserved += quantity
    balance.reserved += quantity
    session.add(
        Pick(
            tenant_id=balance.tenant_id,
            order_id=UUID(order_id),
            batch_id=batch.id,
            item_id=balance.item_id,
            quantity=quantity,
            reason=reason,
        )
    )


def _give_back(balance: Balance, batch: Batch, quantity: int) -> None:
    batch.reserved -= quantity
    balance.reserved -= quantity


async def _still_sellable(
    session: AsyncSession, balance: Balance, picks: Sequence[Pick], quantity: int
) -> list[ledger.Taking]:
    """The picked batches that may still be sold, and others for those that may not."""
    sellable = await store.sellable(session, item_id=balance.item_id, site_id=balance.site_id, at=clock.now())
    picked = {pick.batch_id: pick.quantity for pick in picks if pick.item_id == balance.item_id}
    takings = [ledger.Taking(batch, picked[batch.id], "picked") for batch in sellable if batch.id in picked]
    missing = quantity - sum(taking.quantity for taking in takings)
    for batch in sellable:
        taken = min(missing, batch.on_hand - batch.reserved) if batch.id not in picked else 0
        if taken > 0:
            takings.append(ledger.Taking(batch, taken, "picked anew"))
            missing -= taken
    if missing:
        raise ledger.insufficient(str(balance.item_id), wanted=quantity, available=quantity - missing)
    return takings


def _quantities(picks: Sequence[Pick]) -> Counter[UUID]:
    found: Counter[UUID] = Counter()
    for pick in picks:
        found[pick.item_id] += pick.quantity
    return found


def _require_active(row: Reservation, wanted: str) -> None:
    if row.state != ACTIVE:
        names: dict[int, str] = {POSTED: "posted", RELEASED: "released", EXPIRED: "expired"}
        raise errors.InvalidTransition.between(names.get(row.state, "unknown"), wanted, [])


def _check_menu(lines: Sequence[pb.ReserveLine], menu: dict[UUID, MenuItem]) -> None:
    unknown = {
        f"lines.{place}.menu_item_id": ["is not on the menu"]
        for place, line in enumerate(lines)
        if UUID(line.menu_item_id) not in menu
    }
    if unknown:
        raise errors.Invalid(fields=unknown)
    sold_out = {
        f"lines.{place}.menu_item_id": [f"{menu[UUID(line.menu_item_id)].name} is sold out"]
        for place, line in enumerate(lines)
        if menu[UUID(line.menu_item_id)].sold_out
    }
    if sold_out:
        message = "something ordered is sold out"
        raise errors.Conflict(message, code="SOLD_OUT", fields=sold_out)


def _priced(line: pb.ReserveLine, sold: MenuItem) -> dict[str, Any]:
    return {
        "line_id": line.line_id,
        "menu_item_id": line.menu_item_id,
        "name": sold.name,
        "quantity": line.quantity,
        "amount": sold.price_amount,
        "currency": sold.price_currency,
    }
