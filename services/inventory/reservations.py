"""Stock promised to orders. An order has one reservation, whose id is the order's."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import inventory_pb2 as pb
from switchyard.inventory.v1 import reservations_pb2

from chassis import audit, call, clock, errors
from services.inventory import ledger, recipes, reservation_store, store
from services.inventory.models import Balance, Batch, Item
from services.inventory.reservation_models import Pick, Reservation

ACTIVE = reservations_pb2.RESERVATION_STATE_ACTIVE
POSTED = reservations_pb2.RESERVATION_STATE_POSTED
RELEASED = reservations_pb2.RESERVATION_STATE_RELEASED
EXPIRED = reservations_pb2.RESERVATION_STATE_EXPIRED
_NOWHERE = UUID(int=0)

# A reservation and what it holds.
Held = tuple[Reservation, Sequence[Pick]]


async def reserve(session: AsyncSession, request: reservations_pb2.ReserveRequest, *, life_s: float) -> Held:
    """Hold what an order needs, all of it or nothing; asked again, the reservation as it is.

    Raises `Invalid` for what is not on the menu, `Conflict` (`SOLD_OUT`, `INSUFFICIENT_STOCK`).
    """
    expires_at = clock.now() + timedelta(seconds=life_s)
    if not await _begin(session, request.order_id, request.site_id, state=ACTIVE, expires_at=expires_at):
        return await _known(session, request.order_id)
    lines = await recipes.resolve(session, UUID(request.site_id), request.lines)
    needed = sum((line.needs for line in lines), Counter[UUID]())
    tenant = call.current().principal.tenant
    balances = await store.lock_balances(session, tenant=tenant, site_id=UUID(request.site_id), item_ids=needed)
    items = await store.items_by_id(session, needed)
    for item_id, takings in (await _enough(session, UUID(request.site_id), items, needed)).items():
        for taking in takings:
            _hold(session, request.order_id, balances[item_id], taking.batch, taking.quantity, taking.reason)
        ledger.tell(session, items[item_id], balances[item_id], order_id=request.order_id)
    row = await reservation_store.reservation(session, request.order_id)
    assert row is not None
    row.lines = [_priced(line) for line in lines]
    await session.flush()
    return row, await reservation_store.picks(session, row.id)


async def post(session: AsyncSession, order_id: str) -> Held:
    """Consume what is held: a movement for each batch. Raises `NotFound`, `InvalidTransition` when given back."""
    row, picks = await _known(session, order_id)
    if row.state == POSTED:
        return row, picks
    _require_active(row, "posted")
    balances = await _lock(session, row, picks)
    items = await store.items_by_id(session, balances)
    await _give_back(session, balances, picks)
    for item_id, takings in (await _still_sellable(session, row.site_id, items, picks)).items():
        for taking in takings:
            _sell(session, row.id, balances[item_id], taking)
        ledger.tell(session, items[item_id], balances[item_id], order_id=order_id)
    row.state = POSTED
    await session.flush()
    return row, await reservation_store.picks(session, row.id)


async def release(session: AsyncSession, order_id: str, *, state: int = RELEASED) -> Held:
    """Give back what is held; before the reservation, close the order's id. Raises `InvalidTransition` when posted."""
    if await _begin(session, order_id, str(_NOWHERE), state=state, expires_at=clock.now()):
        return await _known(session, order_id)
    row, picks = await _known(session, order_id)
    if row.state in (RELEASED, EXPIRED):
        return row, picks
    _require_active(row, "released")
    balances = await _lock(session, row, picks)
    await _give_back(session, balances, picks)
    for item in (await store.items_by_id(session, balances)).values():
        ledger.tell(session, item, balances[item.id], order_id=order_id)
    row.state = state
    await session.flush()
    return row, picks


async def _begin(session: AsyncSession, order_id: str, site_id: str, **values: Any) -> bool:
    tenant = call.current().principal.tenant
    row = {"tenant_id": tenant, "order_id": UUID(order_id), "site_id": UUID(site_id), "lines": [], **values}
    begun = await reservation_store.begin_reservation(session, row)
    if begun:
        audit.changed(session, f"reservations/{row['order_id']}", after={"state": values["state"]})
    return begun


async def _known(session: AsyncSession, order_id: str) -> Held:
    row = await reservation_store.reservation(session, order_id)
    if row is None:
        raise errors.NotFound
    return row, await reservation_store.picks(session, row.id)


async def _lock(session: AsyncSession, row: Reservation, picks: Sequence[Pick]) -> dict[UUID, Balance]:
    item_ids = [pick.item_id for pick in picks]
    return await store.lock_balances(session, tenant=row.tenant_id, site_id=row.site_id, item_ids=item_ids)


def _hold(session: AsyncSession, order_id: str, balance: Balance, batch: Batch, quantity: int, reason: str) -> None:
    batch.reserved += quantity
    balance.reserved += quantity
    session.add(_pick(UUID(order_id), batch, quantity, reason))


def _pick(order_id: UUID, batch: Batch, quantity: int, reason: str) -> Pick:
    return Pick(
        tenant_id=batch.tenant_id,
        order_id=order_id,
        batch_id=batch.id,
        item_id=batch.item_id,
        quantity=quantity,
        reason=reason,
    )


def _sell(session: AsyncSession, order_id: UUID, balance: Balance, taking: ledger.Taking) -> None:
    kind = pb.MOVEMENT_TYPE_SALE
    ledger.move(session, balance, taking.batch, -taking.quantity, kind=kind, reason="order", order_id=order_id)


async def _give_back(session: AsyncSession, balances: dict[UUID, Balance], picks: Sequence[Pick]) -> None:
    batches = await store.batches_by_id(session, [pick.batch_id for pick in picks])
    for pick in picks:
        batches[pick.batch_id].reserved -= pick.quantity
        balances[pick.item_id].reserved -= pick.quantity


async def _enough(
    session: AsyncSession, site_id: UUID, items: dict[UUID, Item], needed: Counter[UUID]
) -> dict[UUID, list[ledger.Taking]]:
    """Where what is needed comes from, by item. Raises `Conflict` that names all that is missing."""
    batches = await store.in_picking_order(session, item_ids=needed, site_id=site_id, sellable_at=clock.now())
    found, short = {}, {}
    for item_id, quantity in sorted(needed.items()):
        found[item_id], missing = ledger.pick(batches[item_id], quantity)
        if missing:
            short[items[item_id].sku] = (quantity, quantity - missing)
    if short:
        raise ledger.insufficient(short)
    return found


async def _still_sellable(
    session: AsyncSession, site_id: UUID, items: dict[UUID, Item], picks: Sequence[Pick]
) -> dict[UUID, list[ledger.Taking]]:
    """What the picks come to, by item: a batch that may not be sold any more is replaced, in the picks too.

    The picks have been given back. Raises `Conflict` when there is nothing to replace one with.
    """
    sellable = await store.in_picking_order(session, item_ids=items, site_id=site_id, sellable_at=clock.now())
    found, short = {}, {}
    for item_id in sorted(items):
        of_item = [pick for pick in picks if pick.item_id == item_id]
        found[item_id], missing = _anew(sellable[item_id], {pick.batch_id: pick.quantity for pick in of_item})
        if missing:
            wanted = sum(pick.quantity for pick in of_item)
            short[items[item_id].sku] = (wanted, wanted - missing)
        else:
            await _rewrite(session, of_item, found[item_id])
    if short:
        raise ledger.insufficient(short)
    return found


def _anew(sellable: Sequence[Batch], picked: dict[UUID, int]) -> tuple[list[ledger.Taking], int]:
    """What was picked of batches that may be sold stays; the rest comes from whatever has more."""
    quantities = Counter({batch.id: picked[batch.id] for batch in sellable if batch.id in picked})
    missing = sum(picked.values()) - quantities.total()
    for batch in sellable:
        more = min(missing, batch.on_hand - batch.reserved - quantities[batch.id])
        if more > 0:
            quantities[batch.id] += more
            missing -= more
    takings = [ledger.Taking(batch, quantities[batch.id], ledger.why(batch)) for batch in sellable]
    return [taking for taking in takings if taking.quantity], missing


async def _rewrite(session: AsyncSession, picks: Sequence[Pick], takings: Sequence[ledger.Taking]) -> None:
    """Let the picks say what is taken."""
    known = {pick.batch_id: pick for pick in picks}
    for taking in takings:
        pick = known.pop(taking.batch.id, None)
        if pick is not None:
            pick.quantity = taking.quantity
        else:
            session.add(_pick(picks[0].order_id, taking.batch, taking.quantity, taking.reason))
    for pick in known.values():
        await session.delete(pick)


def _require_active(row: Reservation, wanted: str) -> None:
    if row.state != ACTIVE:
        names: dict[int, str] = {POSTED: "posted", RELEASED: "released", EXPIRED: "expired"}
        raise errors.InvalidTransition.between(names.get(row.state, "unknown"), wanted, [])


def _priced(line: recipes.Resolved) -> dict[str, Any]:
    return {
        "line_id": line.line_id,
        "menu_item_id": str(line.menu_item_id),
        "name": line.name,
        "quantity": line.quantity,
        "amount": line.unit_amount,
        "currency": line.currency,
    }
