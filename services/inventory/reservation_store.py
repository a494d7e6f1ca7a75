"""The queries of what is promised.

Every order passes here twice, so its statements are written out and run on the driver's connection, in the session's
transaction: a tenth of what they cost through the ORM, and many rows in one round trip.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import inventory_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import db, errors
from services.inventory.reservation_models import Level, Line, Lot, Pick, Reservation, Sale, Stocked

_BEGIN = (
    "INSERT INTO reservations (tenant_id, order_id, site_id, station_id, state, expires_at) "
    "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING 1"
)
_LOCK = (
    "SELECT order_id AS id, site_id, station_id, state, expires_at FROM reservations "
    "WHERE tenant_id = $1 AND order_id = $2 FOR UPDATE"
)
_LINES = (
    "SELECT l.line_id, l.state, l.menu_item_id, l.name, l.quantity, l.amount, l.currency, l.modifiers, "
    "p.item_id, p.batch_id, p.quantity AS picked, p.reason "
    "FROM reservation_lines l LEFT JOIN reservation_picks p USING (tenant_id, order_id, line_id) "
    "WHERE l.tenant_id = $1 AND l.order_id = $2 ORDER BY l.place, l.line_id, p.item_id, p.batch_id"
)
# What becomes of a reservation and of its lines at once: it may end only without lines that are held.
_KEEP = (
    "WITH lines AS ("
    "UPDATE reservation_lines l SET state = told.state FROM unnest($7::uuid[], $8::int[]) AS told (line_id, state) "
    "WHERE l.tenant_id = $1 AND l.order_id = $2 AND l.line_id = told.line_id"
    ") UPDATE reservations SET site_id = $3, station_id = $4, state = $5, expires_at = $6 "
    "WHERE tenant_id = $1 AND order_id = $2"
)
_ADD_PICKS = (
    "INSERT INTO reservation_picks (tenant_id, order_id, line_id, item_id, batch_id, quantity, reason) "
    "SELECT $1, $2, told.* FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::bigint[], $7::text[]) AS told"
)
_ADD_LINES = (
    f"WITH picks AS ({_ADD_PICKS}) "  # noqa: S608 - of fixed parts
    "INSERT INTO reservation_lines "
    "(tenant_id, order_id, line_id, place, state, menu_item_id, name, quantity, amount, currency, modifiers) "
    "SELECT $1, $2, told.* FROM unnest($8::uuid[], $9::int[], $10::int[], $11::uuid[], $12::text[], $13::bigint[], "
    "$14::bigint[], $15::text[], $16::jsonb[]) AS told"
)
_FORGET_PICKS = "DELETE FROM reservation_picks WHERE tenant_id = $1 AND order_id = $2 AND line_id = ANY($3::uuid[])"
_LEVELS = (
    "SELECT b.item_id, b.site_id, b.on_hand, b.reserved, b.backordered, b.held_back, b.is_low, b.allow_backorder, "
    "b.version, i.sku, i.low_stock_threshold "
    "FROM lock_balances($2, $3::uuid[]) b JOIN items i ON i.tenant_id = $1 AND i.id = b.item_id"
)
_LOTS = (
    "SELECT id, item_id, on_hand, reserved, placed, expires_at, version, "
    "status = $5 AND expires_at > $6 AS sellable, status <> $5 OR told_days = 0 AS held_back "
    "FROM batches WHERE tenant_id = $1 AND site_id = $2 AND item_id = ANY($3::uuid[]) "
    "AND (on_hand > reserved AND status = $5 AND expires_at > $6 OR id = ANY($4::uuid[])) "
    "ORDER BY item_id, expires_at, received_at, id"
)
# Each row over the version that was read, and a batch that may be sold only while it may: without the lock somebody
# fails, and nothing is sold twice or after its recall.
_KEEP_STOCK = (
    "WITH lots AS ("
    "UPDATE batches b SET on_hand = told.on_hand, reserved = told.reserved, version = b.version + 1 "
    "FROM unnest($4::uuid[], $5::bigint[], $6::bigint[], $7::bool[], $8::bigint[]) "
    "AS told (id, on_hand, reserved, sellable, version) "
    "WHERE b.tenant_id = $1 AND b.id = told.id AND b.version = told.version AND (b.status = $3 OR NOT told.sellable) "
    "RETURNING 1"
    "), levels AS ("
    "UPDATE balances b SET on_hand = told.on_hand, reserved = told.reserved, backordered = told.backordered, "
    "is_low = told.is_low, version = b.version + 1 "
    "FROM unnest($9::uuid[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bool[], $14::bigint[]) "
    "AS told (item_id, on_hand, reserved, backordered, is_low, version) "
    "WHERE b.tenant_id = $1 AND b.site_id = $2 AND b.item_id = told.item_id AND b.version = told.version RETURNING 1"
    ") SELECT (SELECT count(*) FROM lots) + (SELECT count(*) FROM levels)"
)

_ADD_SALES = (
    "INSERT INTO movements (tenant_id, id, item_id, site_id, batch_id, type, quantity, balance_after, reason, "
    "order_id, line_id, station_id, recorded_at) "
    "SELECT $1, told.id, told.item_id, $3, told.batch_id, $4, told.quantity, told.balance_after, 'order', $2, "
    "told.line_id, told.station_id, $5 "
    "FROM unnest($6::uuid[], $7::uuid[], $8::uuid[], $9::bigint[], $10::bigint[], $11::uuid[], $12::uuid[]) "
    "AS told (id, item_id, batch_id, quantity, balance_after, line_id, station_id)"
)


async def begin(session: AsyncSession, tenant: UUID, row: Reservation) -> bool:
    """Claim an order's reservation; whether nobody has."""
    told = (tenant, row.id, row.site_id, row.station_id, row.state, row.expires_at)
    return await db.driver(session).fetchval(_BEGIN, *told) is not None


async def reservation(session: AsyncSession, tenant: UUID, order_id: UUID) -> Reservation | None:
    """An order's reservation, locked, with its lines and picks."""
    connection = db.driver(session)
    found = await connection.fetchrow(_LOCK, tenant, order_id)
    if found is None:
        return None
    row = Reservation(**found)
    # In a statement of its own: one that waits for a lock sees other rows as they were before.
    for told in await connection.fetch(_LINES, tenant, order_id):
        line_id, state, menu_item_id, name, quantity, amount, currency, modifiers, *picked = told
        line = row.lines.get(line_id)
        if line is None:
            line = Line(line_id, state, menu_item_id, name, quantity, amount, currency, modifiers)
            row.lines[line_id] = line
        if picked[0] is not None:
            line.picks.append(Pick(*picked))
    return row


async def keep(session: AsyncSession, tenant: UUID, row: Reservation, lines: Sequence[Line] = ()) -> None:
    """Write what has become of a reservation, and of some of its lines."""
    told = (row.site_id, row.station_id, row.state, row.expires_at)
    of_lines = [(line.id, line.state) for line in lines]
    await db.driver(session).execute(_KEEP, tenant, row.id, *told, *_columns(of_lines, 2))


async def add_lines(session: AsyncSession, tenant: UUID, row: Reservation, lines: Sequence[Line]) -> None:
    """Add lines at the end of a reservation, which has them already, and what is held for them."""
    told = [
        (
            line.id,
            place,
            line.state,
            line.menu_item_id,
            line.name,
            line.quantity,
            line.amount,
            line.currency,
            orjson.dumps(line.modifiers).decode(),
        )
        for place, line in enumerate(lines, len(row.lines) - len(lines))
    ]
    await db.driver(session).execute(_ADD_LINES, tenant, row.id, *_picks(lines), *_columns(told, 9))


async def replace_picks(session: AsyncSession, tenant: UUID, order_id: UUID, lines: Sequence[Line]) -> None:
    """Write what is held for lines anew."""
    connection = db.driver(session)
    await connection.execute(_FORGET_PICKS, tenant, order_id, [line.id for line in lines])
    await connection.execute(_ADD_PICKS, tenant, order_id, *_picks(lines))


def _picks(lines: Sequence[Line]) -> list[list[object]]:
    told = [(line.id, pick.item_id, pick.batch_id, pick.quantity, pick.reason) for line in lines for pick in line.picks]
    return _columns(told, 5)


async def lock_levels(
    session: AsyncSession, tenant: UUID, site_id: UUID, item_ids: Iterable[UUID]
) -> dict[UUID, Level]:
    """The balances of items at a site, made where they are missing, locked in the order of the items' ids."""
    rows = await db.driver(session).fetch(_LEVELS, tenant, site_id, list(item_ids))
    return {
        row["item_id"]: Level(
            Stocked(row["item_id"], row["sku"], row["low_stock_threshold"]),
            row["site_id"],
            row["on_hand"],
            row["reserved"],
            row["backordered"],
            row["held_back"],
            row["is_low"],
            row["allow_backorder"],
            row["version"],
        )
        for row in rows
    }


async def lots(
    session: AsyncSession,
    tenant: UUID,
    site_id: UUID,
    item_ids: Iterable[UUID],
    *,
    picked: Iterable[UUID] = (),
    sellable_at: datetime,
) -> dict[UUID, list[Lot]]:
    """By item, the batches of locked balances from which may be sold, first expiry first; the `picked` ones too."""
    found: dict[UUID, list[Lot]] = {item_id: [] for item_id in item_ids}
    told = (tenant, site_id, list(found), list(picked), pb.BATCH_STATUS_AVAILABLE, sellable_at)
    for row in await db.driver(session).fetch(_LOTS, *told):
        found[row["item_id"]].append(Lot(**row))
    return found


async def keep_stock(
    session: AsyncSession, tenant: UUID, site_id: UUID, levels: Iterable[Level], lots: Iterable[Lot]
) -> None:
    """Write what has become of batches and of their balances."""
    of_lots = [(lot.id, lot.on_hand, lot.reserved, lot.sellable, lot.version) for lot in lots]
    of_levels = [
        (level.item.id, level.on_hand, level.reserved, level.backordered, level.is_low, level.version)
        for level in levels
    ]
    told = (tenant, site_id, pb.BATCH_STATUS_AVAILABLE, *_columns(of_lots, 5), *_columns(of_levels, 6))
    if await db.driver(session).fetchval(_KEEP_STOCK, *told) != len(of_lots) + len(of_levels):
        message = "the stock was changed at the same time; try again"
        raise errors.Conflict(message, code="CONTENTION", retry_after_s=0.1)


async def add_sales(
    session: AsyncSession, tenant: UUID, row: Reservation, sales: Sequence[Sale], *, at: datetime
) -> None:
    """Write the movements of what an order's lines have sold."""
    told = [
        (uuid7(), sale.item_id, sale.batch_id, -sale.quantity, sale.balance_after, sale.line_id, sale.station_id)
        for sale in sales
    ]
    if told:
        kind = pb.MOVEMENT_TYPE_SALE
        await db.driver(session).execute(_ADD_SALES, tenant, row.id, row.site_id, kind, at, *_columns(told, 7))


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    """Rows as an array for each column."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


async def lapsed(session: AsyncSession, *, at: datetime, most: int) -> "Sequence[sa.Row[UUID, UUID]]":
    """Tenant and order of reservations of any tenant whose time is over."""
    statement = sa.text("SELECT tenant_id, order_id FROM lapsed_reservations(:at, :most)")
    return (await session.execute(statement, {"at": at, "most": most})).all()
