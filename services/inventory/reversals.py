"""Reversals: what was recorded by mistake is taken back by counter-movements, once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from chassis import call, errors
from services.inventory import inventory, ledger, ledger_store, placements, store, transfers
from services.inventory.models import Balance, Batch, Item, Movement, Placement


async def reverse(session: AsyncSession, movement_id: str, reason: str) -> list[Movement]:
    """Reverse a movement and what was recorded as one with it.

    Raises `NotFound`, `Conflict` (`IS_A_REVERSAL`, `ALREADY_REVERSED`, `INSUFFICIENT_STOCK`).
    """
    rows = await _entry(session, UUID(movement_id))
    item = await inventory.get(session, str(rows[0].item_id), keep=True)
    balances = await transfers.lock(session, item.id, {row.site_id for row in rows})
    if await ledger_store.reversed_among(session, [row.id for row in rows]):
        message = "the movement has been reversed"
        raise errors.Conflict(message, code="ALREADY_REVERSED")
    batches = await store.batches_by_id(session, {row.batch_id for row in rows})
    places = [await placements.at(session, batches[row.batch_id], row.station_id) for row in rows]
    # Nothing is asked of the database from here until all is checked: it would be told the half of it.
    told: dict[str, Any] = {"reason": reason, "entry_id": uuid7() if len(rows) > 1 else None}
    undone = [_undo(session, balances, batches, row, at, told) for row, at in zip(rows, places, strict=True)]
    for row in undone if len(balances) > 1 else ():
        # What arrived from another site has not.
        batches[row.batch_id].quantity += min(row.quantity, 0)
    _check(item, undone, batches, [at for at in places if at is not None])
    for site_id, balance in sorted(balances.items()):
        await ledger.tell_all(session, item, balance, [row for row in undone if row.site_id == site_id])
    # The row that reverses the one that was named comes first.
    return sorted(undone, key=lambda row: str(row.reversal_of) != movement_id)


async def _entry(session: AsyncSession, movement_id: UUID) -> Sequence[Movement]:
    rows = await ledger_store.entry(session, movement_id)
    principal = call.current().principal
    if not rows or not all(principal.may_see_site(row.site_id) for row in rows):
        raise errors.NotFound
    if rows[0].reversal_of is not None:
        message = "a reversal is not reversed: what was right is recorded anew"
        raise errors.Conflict(message, code="IS_A_REVERSAL")
    return rows


def _undo(
    session: AsyncSession,
    balances: Mapping[UUID, Balance],
    batches: Mapping[UUID, Batch],
    row: Movement,
    at: Placement | None,
    told: Mapping[str, Any],
) -> Movement:
    kept: dict[str, Any] = {"reversal_of": row.id, "to_site_id": row.to_site_id, "to_station_id": row.to_station_id}
    balance, batch = balances[row.site_id], batches[row.batch_id]
    return ledger.move(session, balance, batch, -row.quantity, kind=row.type, at=at, **told, **kept)


def _check(item: Item, undone: Iterable[Movement], batches: Mapping[UUID, Batch], places: Iterable[Placement]) -> None:
    """Refuse what would take more than is there, or what is promised. Raises `Conflict`."""
    short = any(batch.on_hand < max(batch.reserved, batch.placed) for batch in batches.values())
    if short or any(at.on_hand < 0 for at in places):
        wanted = sum(-row.quantity for row in undone if row.quantity < 0)
        message = f"what came in of {item.sku} has been used, promised or moved since"
        raise errors.Conflict(message, code="INSUFFICIENT_STOCK", fields={item.sku: [f"{wanted} wanted back"]})
