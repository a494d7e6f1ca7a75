"""Stock promised to orders. An order has one reservation, whose id is the order's; its lines go their own ways.

A reservation's row is locked first, then the balances of all its items in the order of their ids: orders that share
items wait for each other and never in a circle, and whatever else would change a batch waits for its balance too.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import events_pb2, reservations_pb2

from chassis import audit, call, clock, errors, events
from services.inventory import ledger, placements, recipes, reservation_store
from services.inventory.placements import Source
from services.inventory.reservation_models import Line, Reservation
from services.inventory.reservation_picking import Shelf

ACTIVE = reservations_pb2.RESERVATION_STATE_ACTIVE
PARTIALLY_POSTED = reservations_pb2.RESERVATION_STATE_PARTIALLY_POSTED
POSTED = reservations_pb2.RESERVATION_STATE_POSTED
RELEASED = reservations_pb2.RESERVATION_STATE_RELEASED
EXPIRED = reservations_pb2.RESERVATION_STATE_EXPIRED
# A reservation in one of these states holds what its active lines need, and takes new ones.
HOLDING = (ACTIVE, PARTIALLY_POSTED)
_GIVEN_BACK = (RELEASED, EXPIRED)
_NAMES: Mapping[int, str] = {
    ACTIVE: "active",
    PARTIALLY_POSTED: "partially_posted",
    POSTED: "posted",
    RELEASED: "released",
    EXPIRED: "expired",
}
# The site of what is given back before anything was reserved.
_NOWHERE = UUID(int=0)


async def reserve(session: AsyncSession, request: reservations_pb2.ReserveRequest, *, life_s: float) -> Reservation:
    """Hold what an order's new lines need, all of it or nothing; what is known stays as it is.

    Raises `Invalid` for what is not on the menu, `Conflict` (`SOLD_OUT`, `INSUFFICIENT_STOCK`).
    """
    tenant = call.current().principal.tenant
    expires_at = clock.now() + timedelta(seconds=life_s)
    station_id = UUID(request.station_id) if request.HasField("station_id") else None
    row = Reservation(UUID(request.order_id), UUID(request.site_id), station_id, ACTIVE, expires_at)
    begun = await reservation_store.begin(session, tenant, row)
    if not begun:
        row = await _known(session, row.id)
        if request.renews:
            await _renew(session, row, request, until=expires_at)
        if row.state not in HOLDING:
            return row
    new = _new(request.lines, row.lines)
    if new:
        await _add(session, row, request, new)
        row.expires_at = expires_at
    if not begun and (new or station_id not in (None, row.station_id)):
        row.station_id = station_id or row.station_id
        await reservation_store.keep(session, tenant, row)
    return row


async def post(session: AsyncSession, order_id: str, line_ids: Collection[str] = ()) -> Reservation:
    """Consume what is held for all lines, or for some: a movement for each batch.

    Raises `NotFound`, `InvalidTransition` when given back, `Conflict` (`INSUFFICIENT_STOCK`).
    """
    row = await _known(session, UUID(order_id))
    if any(UUID(line_id) not in row.lines for line_id in line_ids):
        raise errors.NotFound
    lines = [row.lines[UUID(line_id)] for line_id in set(line_ids)]
    _refuse(_GIVEN_BACK, [line.state for line in lines] or [row.state], "posted")
    chosen = _held(lines or row.lines.values())
    if row.state in HOLDING and (chosen or not line_ids):
        await _sell(session, row, chosen)
        await _move_on(session, row, chosen, POSTED)
    return row


async def release(
    session: AsyncSession, order_id: str, line_ids: Collection[str] = (), *, life_s: float
) -> Reservation:
    """Give back what is held for all lines, or for some; what is unknown yet is closed. Raises `InvalidTransition`."""
    tenant = call.current().principal.tenant
    state, until = (ACTIVE, clock.now() + timedelta(seconds=life_s)) if line_ids else (RELEASED, clock.now())
    row = Reservation(UUID(order_id), _NOWHERE, None, state, until)
    if await reservation_store.begin(session, tenant, row):
        audit.changed(session, f"reservations/{row.id}", after={"state": _NAMES[state]})
    else:
        row = await _known(session, row.id)
    await _close(session, row, line_ids)
    lines = [row.lines[UUID(line_id)] for line_id in set(line_ids) if UUID(line_id) in row.lines]
    _refuse((POSTED,), [line.state for line in lines] if line_ids else [_of_all(row)], "released")
    chosen = _held(lines if line_ids else row.lines.values())
    if row.state in HOLDING and (chosen or not line_ids):
        await _give_back(session, row, chosen)
        await _move_on(session, row, chosen, RELEASED)
    elif row.state == EXPIRED and not line_ids:
        # Nothing is held; and it is not to be renewed any more.
        await _move_on(session, row, [line for line in row.lines.values() if line.state == EXPIRED], RELEASED)
    return row


async def expire(session: AsyncSession, order_id: UUID) -> None:
    """Give back what is held longer than was promised, unless it was posted or released meanwhile, and tell it."""
    row = await _known(session, order_id)
    if row.state not in HOLDING or row.expires_at > clock.now():
        return
    chosen = _held(row.lines.values())
    await _give_back(session, row, chosen)
    await _move_on(session, row, chosen, EXPIRED)
    told = events_pb2.ReservationExpired(
        order_id=str(row.id), site_id=str(row.site_id), line_ids=[str(line.id) for line in chosen]
    )
    events.publish(session, told, subject=f"reservations/{row.id}", audience=[f"site:{row.site_id}"])


async def site_of(session: AsyncSession, order_id: str) -> UUID:
    """The site whose stock an order holds, or held. Raises `NotFound`."""
    return (await _known(session, UUID(order_id))).site_id


async def _known(session: AsyncSession, order_id: UUID) -> Reservation:
    row = await reservation_store.reservation(session, call.current().principal.tenant, order_id)
    if row is None:
        raise errors.NotFound
    return row


def _new(
    told: Sequence[reservations_pb2.ReserveLine], known: Mapping[UUID, Line]
) -> dict[int, reservations_pb2.ReserveLine]:
    """What is not known yet, by its place in the request."""
    twice = [line_id for line_id, count in Counter(UUID(line.line_id) for line in told).items() if count > 1]
    if twice:
        places = [place for place, line in enumerate(told) if UUID(line.line_id) in twice]
        raise errors.Invalid(fields={f"lines.{place}.line_id": ["is there twice"] for place in places})
    return {place: line for place, line in enumerate(told) if UUID(line.line_id) not in known}


async def _add(
    session: AsyncSession,
    row: Reservation,
    request: reservations_pb2.ReserveRequest,
    new: Mapping[int, reservations_pb2.ReserveLine],
) -> None:
    tenant = call.current().principal.tenant
    if row.site_id == _NOWHERE:
        row.site_id = UUID(request.site_id)
    elif row.site_id != UUID(request.site_id):
        raise errors.Invalid(fields={"site_id": ["is not the site of the order's reservation"]})
    resolved = await _resolve(session, row.site_id, new)
    lines = [_priced(line) for line in resolved]
    needed = sum((line.needs for line in resolved), Counter[UUID]())
    shelf = await _shelf(session, row, needed)
    short = shelf.hold((line, told.needs) for line, told in zip(lines, resolved, strict=True))
    if short:
        raise ledger.insufficient(shelf.wanting(short, needed))
    row.lines.update({line.id: line for line in lines})
    await _keep_stock(session, row, shelf)
    await reservation_store.add_lines(session, tenant, row, lines)
    _tell_trail(session, row, lines, before="")


async def _renew(
    session: AsyncSession, row: Reservation, request: reservations_pb2.ReserveRequest, *, until: datetime
) -> None:
    """Hold lines anew that have lapsed, all of them or none; what they are called and cost stays as it was."""
    wanted = {place: told for place, told in enumerate(request.lines) if _lapsed(row, told)}
    if not wanted:
        return
    resolved = await _resolve(session, row.site_id, wanted)
    lines = [row.lines[UUID(told.line_id)] for told in resolved]
    for line in lines:
        # What they held was given back.
        line.picks.clear()
    needed = sum((told.needs for told in resolved), Counter[UUID]())
    shelf = await _shelf(session, row, needed)
    short = shelf.hold((line, told.needs) for line, told in zip(lines, resolved, strict=True))
    if short:
        raise ledger.insufficient(shelf.wanting(short, needed))
    await _keep_stock(session, row, shelf)
    row.expires_at = until
    await _move_on(session, row, lines, ACTIVE)
    await reservation_store.replace_picks(session, call.current().principal.tenant, row.id, lines)


def _lapsed(row: Reservation, told: reservations_pb2.ReserveLine) -> bool:
    line = row.lines.get(UUID(told.line_id))
    return line is not None and line.state == EXPIRED


async def _resolve(
    session: AsyncSession, site_id: UUID, new: Mapping[int, reservations_pb2.ReserveLine]
) -> list[recipes.Resolved]:
    try:
        return await recipes.resolve(session, site_id, list(new.values()))
    except (errors.Invalid, errors.Conflict) as failure:
        # Named after their places among the new ones; the caller counts all.
        places = list(new)
        failure.fields = {_placed(name, places): texts for name, texts in failure.fields.items()}
        raise


def _placed(name: str, places: Sequence[int]) -> str:
    head, _, rest = name.partition(".")
    place, _, tail = rest.partition(".")
    return f"lines.{places[int(place)]}.{tail}" if head == "lines" and place.isdigit() else name


def _priced(line: recipes.Resolved) -> Line:
    chosen = [
        {"option_id": str(each.option_id), "name": each.name, "quantity": each.quantity, "amount": each.amount}
        for each in line.modifiers
    ]
    told = (line.name, line.quantity, line.unit_amount, line.currency, chosen)
    return Line(UUID(line.line_id), ACTIVE, line.menu_item_id, *told)


async def _shelf(
    session: AsyncSession, row: Reservation, item_ids: Iterable[UUID], picked: Iterable[UUID] = ()
) -> Shelf:
    tenant = call.current().principal.tenant
    levels = await reservation_store.lock_levels(session, tenant, row.site_id, item_ids)
    lots = await reservation_store.lots(session, tenant, row.site_id, levels, picked=picked, sellable_at=clock.now())
    return Shelf(levels, lots)


async def _shelf_of(session: AsyncSession, row: Reservation, lines: Sequence[Line]) -> Shelf:
    picks = [pick for line in lines for pick in line.picks]
    item_ids = {pick.item_id for pick in picks}
    return await _shelf(session, row, item_ids, {pick.batch_id for pick in picks if pick.batch_id is not None})


async def _keep_stock(session: AsyncSession, row: Reservation, shelf: Shelf) -> None:
    """Tell what has become of the stock, and write it."""
    levels = [shelf.levels[item_id] for item_id in sorted(shelf.levels)]
    for level in levels:
        ledger.tell(session, cast("Any", level.item), cast("Any", level), order_id=str(row.id))
    tenant = call.current().principal.tenant
    await reservation_store.keep_stock(session, tenant, row.site_id, levels, shelf.touched)


async def _give_back(session: AsyncSession, row: Reservation, lines: Sequence[Line]) -> None:
    shelf = await _shelf_of(session, row, lines)
    for line in lines:
        shelf.give_back(line, line.picks)
    await _keep_stock(session, row, shelf)


async def _sell(session: AsyncSession, row: Reservation, lines: Sequence[Line]) -> None:
    tenant = call.current().principal.tenant
    shelf = await _shelf_of(session, row, lines)
    wanted: Counter[UUID] = Counter()
    for line in lines:
        wanted.update({pick.item_id: 0 for pick in line.picks})
        for pick in line.picks:
            wanted[pick.item_id] += pick.quantity
    changed, short = shelf.renew(lines)
    if short:
        raise ledger.insufficient(shelf.wanting(short, wanted))
    if changed:
        await reservation_store.replace_picks(session, tenant, row.id, changed)
    placed = await placements.of(session, cast("Any", shelf.placed(lines)))
    source = Source(row.station_id)
    sales = [sale for line in lines for sale in shelf.sell(line, placed, source)]
    await _keep_stock(session, row, shelf)
    await reservation_store.add_sales(session, tenant, row, sales, at=clock.now())
    for level in shelf.levels.values():
        stations = {sale.station_id for sale in sales if sale.item_id == level.item.id}
        await placements.tell(session, cast("Any", level.item), row.site_id, stations)


async def _close(session: AsyncSession, row: Reservation, line_ids: Collection[str]) -> None:
    """Note lines that are given back before they were reserved, so that they never are."""
    unknown = [Line(line_id, RELEASED) for line_id in sorted(set(map(UUID, line_ids)) - set(row.lines))]
    if unknown and row.state in HOLDING:
        row.lines.update({line.id: line for line in unknown})
        await reservation_store.add_lines(session, call.current().principal.tenant, row, unknown)
        _tell_trail(session, row, unknown, before="")


async def _move_on(session: AsyncSession, row: Reservation, lines: Sequence[Line], state: int) -> None:
    """Lines have reached their end, and with the last that was held the reservation has."""
    before = _NAMES[row.state]
    for line in lines:
        line.state = state
    posted = any(line.state == POSTED for line in row.lines.values())
    if _held(row.lines.values()):
        row.state = PARTIALLY_POSTED if posted else ACTIVE
    else:
        row.state = state if state == EXPIRED or not posted else POSTED
    tenant = call.current().principal.tenant
    await reservation_store.keep(session, tenant, row, lines)
    _tell_trail(session, row, lines, before=before)


def _held(lines: Iterable[Line]) -> list[Line]:
    return [line for line in lines if line.state == ACTIVE]


def _of_all(row: Reservation) -> int:
    """Posted if each line of a reservation is: one that gave some back was released as far as it could be."""
    given_back = any(line.state in _GIVEN_BACK for line in row.lines.values())
    return RELEASED if row.state == POSTED and given_back else row.state


def _refuse(ends: Collection[int], states: Iterable[int], wanted: str) -> None:
    for state in states:
        if state in ends:
            raise errors.InvalidTransition.between(_NAMES[state], wanted, [])


def _tell_trail(session: AsyncSession, row: Reservation, lines: Sequence[Line], *, before: str) -> None:
    after = {
        "state": _NAMES[row.state],
        "lines": {str(line.id): _NAMES[line.state] for line in lines},
        "picks": [
            {"line_id": line.id, "item_id": pick.item_id, "batch_id": pick.batch_id, "quantity": pick.quantity}
            for line in lines
            for pick in line.picks
        ],
    }
    audit.changed(session, f"reservations/{row.id}", before={"state": before} if before else {}, after=after)
    if row.site_id != _NOWHERE:
        audit.at(session, row.site_id)
