"""Stations' stock: counted one station or many at a time, and used up by what is made there."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import inventory_pb2, stock_pb2

from chassis import audit, call, clock, errors, idempotency
from services.inventory import (
    counts,
    ledger,
    ledger_store,
    menu_store,
    messages,
    placements,
    reservations,
    stock_store,
    store,
)
from services.inventory.counts import Count
from services.inventory.models import Balance, Item, Movement
from services.inventory.placements import Source

APPLIED = stock_pb2.SYNC_STATUS_APPLIED
UNCHANGED = stock_pb2.SYNC_STATUS_UNCHANGED
STALE = stock_pb2.SYNC_STATUS_STALE
REJECTED = stock_pb2.SYNC_STATUS_REJECTED


async def count(session: AsyncSession, site_id: UUID, request: stock_pb2.SetStationStockRequest) -> None:
    """Write what was counted at a station: all of it, or nothing. Raises `Invalid`, `Conflict`."""
    station_id, ids = UUID(request.station_id), [UUID(line.item_id) for line in request.items]
    items, balances = await _open(session, site_id, ids, "items")
    shelves = await counts.shelves(session, site_id, ids)
    stale: dict[str, list[str]] = {}
    for place, line in enumerate(request.items):
        told = Count(line.quantity, _believed(line), station_id, reason=line.reason)
        item, field = items[ids[place]], f"items.{place}.change_from_quantity"
        try:
            rows = await counts.apply(session, item, balances[item.id], told, field=field, shelf=shelves[item.id])
        except errors.Conflict as failure:
            if failure.code != counts.STALE:
                raise
            stale |= failure.fields
            continue
        await ledger.tell_all(session, item, balances[item.id], rows)
    if stale:
        message = "quantities have changed since they were read: count again"
        raise errors.Conflict(message, code=counts.STALE, fields=stale)


async def sync(
    session: AsyncSession, rows: Sequence[stock_pb2.SyncRow], sites: Mapping[UUID, UUID]
) -> list[stock_pb2.SyncResult]:
    """Write counts of many stations, each for itself. `sites`: the site that each known station is in."""
    results = [stock_pb2.SyncResult(station_id=row.station_id, item_id=row.item_id, status=REJECTED) for row in rows]
    by_site: dict[UUID, list[int]] = {}
    for place in _first_ones(rows, results):
        site_id = sites.get(UUID(rows[place].station_id))
        if site_id is not None:
            by_site.setdefault(site_id, []).append(place)
    # In the order in which everybody takes locks.
    for site_id, places in sorted(by_site.items()):
        await _sync_site(session, site_id, [(rows[place], results[place]) for place in places])
    return results


async def deplete(session: AsyncSession, site_id: UUID, request: stock_pb2.DepleteRequest) -> stock_pb2.Depletion:
    """Use up what was made at a station, once for each id.

    Raises `NotFound`, `Invalid`, `InvalidTransition`, `Conflict` (`INSUFFICIENT_STOCK`), `AlreadyExists`.
    """
    tenant, depletion_id = call.current().principal.tenant, UUID(request.id)
    fingerprint = idempotency.fingerprint(request)
    key = {"tenant_id": tenant, "id": depletion_id, "fingerprint": fingerprint}
    if not await stock_store.claim(session, {**key, "answer": b"", "recorded_at": clock.now()}):
        return await _answered(session, depletion_id, fingerprint)
    rows = await (_post if request.HasField("order_id") else _use)(session, site_id, request)
    answer = stock_pb2.Depletion(
        id=request.id,
        station_id=request.station_id,
        site_id=str(site_id),
        order_id=request.order_id if request.HasField("order_id") else None,
        movements=[messages.movement(row) for row in rows],
    )
    await stock_store.keep_answer(session, depletion_id, answer.SerializeToString())
    audit.about(session, f"depletions/{request.id}")
    audit.at(session, site_id)
    return answer


async def _open(
    session: AsyncSession, site_id: UUID, ids: Sequence[UUID], field: str
) -> tuple[dict[UUID, Item], dict[UUID, Balance]]:
    """Items that nobody retires meanwhile, and their balances, locked. Raises `Invalid`."""
    kept = await store.keep_items(session, ids)
    twice = {each for each, times in Counter(ids).items() if times > 1}
    wrong = {each: "is not an item" for each in ids if each not in kept} | dict.fromkeys(twice, "stands here twice")
    if wrong:
        named = {f"{field}.{place}.item_id": [wrong[each]] for place, each in enumerate(ids) if each in wrong}
        raise errors.Invalid(fields=named)
    tenant = call.current().principal.tenant
    balances = await store.lock_balances(session, tenant=tenant, site_id=site_id, item_ids=ids)
    return await store.items_by_id(session, ids), balances


def _believed(line: stock_pb2.StationCount | stock_pb2.SyncRow) -> int | None:
    return line.change_from_quantity if line.HasField("change_from_quantity") else None


def _first_ones(rows: Sequence[stock_pb2.SyncRow], results: Sequence[stock_pb2.SyncResult]) -> list[int]:
    """The places of the rows that name a station and an item for the first time; the others are told so."""
    seen: set[tuple[str, str]] = set()
    first = []
    for place, row in enumerate(rows):
        key = (row.station_id.lower(), row.item_id.lower())
        results[place].code = "DUPLICATE" if key in seen else "NOT_FOUND"
        first += [place] if key not in seen else []
        seen.add(key)
    return first


async def _sync_site(
    session: AsyncSession, site_id: UUID, pairs: Sequence[tuple[stock_pb2.SyncRow, stock_pb2.SyncResult]]
) -> None:
    kept = await store.keep_items(session, {UUID(row.item_id) for row, _ in pairs})
    items = await store.items_by_id(session, kept)
    tenant = call.current().principal.tenant
    balances = await store.lock_balances(session, tenant=tenant, site_id=site_id, item_ids=kept)
    shelves = await counts.shelves(session, site_id, kept)
    written: dict[UUID, list[Movement]] = {}
    for row, result in pairs:
        item_id = UUID(row.item_id)
        if item_id in kept:
            told = Count(row.quantity, _believed(row), UUID(row.station_id), reason="sync")
            try:
                rows = await counts.apply(session, items[item_id], balances[item_id], told, shelf=shelves[item_id])
                result.status, result.code = (APPLIED if rows else UNCHANGED), ""
                written.setdefault(item_id, []).extend(rows)
            except errors.Conflict as failure:
                is_stale = failure.code == counts.STALE
                result.status, result.code = (STALE, "") if is_stale else (REJECTED, failure.code)
            result.on_hand = shelves[item_id].there(UUID(row.station_id))
    for item_id, moved in sorted(written.items()):
        await ledger.tell_all(session, items[item_id], balances[item_id], moved)


async def _answered(session: AsyncSession, depletion_id: UUID, fingerprint: bytes) -> stock_pb2.Depletion:
    known = await stock_store.depletion(session, depletion_id)
    if known is None or known.fingerprint != fingerprint:
        message = "something else was used up under this id"
        raise errors.AlreadyExists(message)
    return stock_pb2.Depletion.FromString(known.answer)


async def _post(session: AsyncSession, site_id: UUID, request: stock_pb2.DepleteRequest) -> Iterable[Movement]:
    """Post what a completed order held."""
    if await reservations.site_of(session, request.order_id) != site_id:
        raise errors.NotFound
    before = {row.id for row in await ledger_store.of_order(session, UUID(request.order_id))}
    held = await reservations.post(session, request.order_id)
    return [row for row in await ledger_store.of_order(session, held.id) if row.id not in before]


async def _use(session: AsyncSession, site_id: UUID, request: stock_pb2.DepleteRequest) -> Iterable[Movement]:
    needs = await _needs(session, request)
    items, balances = await _open(session, site_id, sorted(needs), "items")
    found = await store.in_picking_order(session, item_ids=needs, site_id=site_id, sellable_at=clock.now())
    placed = await placements.of(session, [batch for batches in found.values() for batch in batches])
    source = Source(UUID(request.station_id))
    picked = {each: ledger.pick(found[each], placed, needs[each], source) for each in sorted(needs)}
    short = {each: missing for each, (_, missing) in picked.items() if missing}
    if short:
        raise ledger.insufficient({items[each].sku: (needs[each], needs[each] - short[each]) for each in short})
    rows: list[Movement] = []
    for each, (takings, _) in picked.items():
        kind = inventory_pb2.MOVEMENT_TYPE_DEDUCT
        moved = ledger.take_out(session, balances[each], takings, kind=kind, reason=request.reason or "used")
        rows += moved
        await ledger.tell_all(session, items[each], balances[each], moved)
    return rows


async def _needs(session: AsyncSession, request: stock_pb2.DepleteRequest) -> Counter[UUID]:
    """How much of each item something takes. Raises `Invalid` for what is not on the menu or not an item."""
    made = await menu_store.menu_by_id(session, [UUID(each.menu_item_id) for each in request.menu_items])
    wrong = {
        f"menu_items.{place}.menu_item_id": ["is not on the menu"]
        for place, each in enumerate(request.menu_items)
        if UUID(each.menu_item_id) not in made
    }
    kept = await store.keep_items(session, [UUID(each.item_id) for each in request.items])
    wrong |= {
        f"items.{place}.item_id": ["is not an item"]
        for place, each in enumerate(request.items)
        if UUID(each.item_id) not in kept
    }
    if wrong:
        raise errors.Invalid(fields=wrong)
    needs: Counter[UUID] = Counter()
    for sold in request.menu_items:
        for part in made[UUID(sold.menu_item_id)].recipe:
            needs[UUID(part["item_id"])] += part["quantity"] * sold.quantity
    for used in request.items:
        needs[UUID(used.item_id)] += used.quantity
    return needs
