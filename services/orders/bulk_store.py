"""The queries of bulk orders."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from services.orders.bulk_models import BulkEntry, BulkOrder
from services.orders.models import Order

_OPEN = ("draft", "queued", "preparing", "ready")
_ENDED = ("completed", "cancelled")

_tables: Any = (BulkOrder.__table__, BulkEntry.__table__)
_bulks, _entries = _tables
# Not a column's name: SQLAlchemy keeps those for what is written.
_id: Any = sa.bindparam("of_bulk")
_INSERT = postgresql.insert(_bulks).on_conflict_do_nothing().returning(_bulks.c.id)
_INSERT_ENTRIES = sa.insert(_entries)
_FIND = sa.select(BulkOrder).where(BulkOrder.id == _id)
_LOCK = _FIND.with_for_update()
_DUE = sa.text("SELECT tenant_id, id FROM due_bulk_orders(:at, :most)")
_order: Any = sa.and_(Order.tenant_id == BulkEntry.tenant_id, Order.id == BulkEntry.order_id)
# Entries that are placed are counted by the state of their orders, all in one look.
_COUNTS = (
    sa.select(BulkEntry.state, Order.status, sa.func.count())
    .outerjoin(Order, _order & (BulkEntry.state == "placed"))
    .where(BulkEntry.bulk_id == _id)
    .group_by(BulkEntry.state, Order.status)
)
_FIRST_WAITING = (
    sa.select(BulkEntry.position, BulkEntry.order_id, BulkEntry.customer_name)
    .where(BulkEntry.bulk_id == _id, BulkEntry.state == "waiting")
    .order_by(BulkEntry.position)
    .limit(1)
)
_OLDEST_ORDER = (
    sa.select(BulkEntry.position, BulkEntry.order_id, BulkEntry.customer_name, Order.status, Order.updated_at)
    .join(Order, _order)
    .where(BulkEntry.bulk_id == _id, BulkEntry.state == "placed", Order.status.in_(_OPEN))
    .order_by(Order.updated_at, BulkEntry.position)
    .limit(1)
)
_REFUSED = (
    sa.select(BulkEntry.position, BulkEntry.order_id, BulkEntry.customer_name, BulkEntry.code, BulkEntry.message)
    .where(BulkEntry.bulk_id == _id, BulkEntry.state == "refused")
    .order_by(BulkEntry.position)
)
_untried = sa.or_(_entries.c.tried_at.is_(None), _entries.c.tried_at < sa.bindparam("since"))
_NEXT = (
    sa.select(_entries.c.position)
    .where(_entries.c.bulk_id == _id, _entries.c.state == "waiting", _untried)
    .order_by(_entries.c.position)
    .limit(sa.bindparam("most"))
)
_TAKE = (
    sa.update(_entries)
    .where(_entries.c.bulk_id == _id, _entries.c.state == "waiting", _entries.c.position.in_(_NEXT))
    .values(tried_at=sa.bindparam("now"))
    .returning(*_entries.c)
)
_END = (
    sa.update(_entries)
    .where(_entries.c.bulk_id == _id, _entries.c.position == sa.bindparam("of_position"), _entries.c.state == "waiting")
    .values(state=sa.bindparam("new_state"), code=sa.bindparam("new_code"), message=sa.bindparam("new_message"))
)
_WITHDRAW = (
    sa.update(_entries)
    .where(_entries.c.bulk_id == _id, _entries.c.state == "waiting", _entries.c.tried_at.is_(None))
    .values(state="withdrawn")
)
_CANCELLABLE = (
    sa.select(BulkEntry.order_id)
    .join(Order, _order)
    .where(BulkEntry.bulk_id == _id, BulkEntry.state == "placed", Order.status.in_(("draft", "queued")))
    .order_by(BulkEntry.position)
)
# One who looks after it at a time: until `until`, nobody else does.
_CLAIM = (
    sa.update(_bulks)
    .where(_bulks.c.id == _id, _bulks.c.due_at <= sa.bindparam("at"))
    .values(due_at=sa.bindparam("until"))
    .returning(*_bulks.c)
)
_PUT_OFF = (
    sa.update(_bulks).where(_bulks.c.id == _id).values(due_at=sa.bindparam("until"), tries=sa.bindparam("new_tries"))
)

# Not while it is being placed: what is ahead then may be somebody's claim, and they look anyway.
_HASTEN = (
    sa.update(_bulks)
    .where(_bulks.c.id == _id, _bulks.c.status == "placed", _bulks.c.due_at > sa.bindparam("until"))
    .values(due_at=sa.bindparam("until"))
)


async def insert(session: AsyncSession, bulk: Mapping[str, object], entries: Sequence[Mapping[str, object]]) -> bool:
    """Insert a bulk order with its entries; false when there is one with this id already."""
    if await session.scalar(_INSERT, bulk) is None:
        return False
    await session.execute(_INSERT_ENTRIES, list(entries))
    return True


async def find(session: AsyncSession, bulk_id: UUID) -> BulkOrder | None:
    """A bulk order."""
    return await session.scalar(_FIND, {"of_bulk": bulk_id})


async def lock(session: AsyncSession, bulk_id: UUID) -> BulkOrder | None:
    """A bulk order, held until the transaction ends."""
    return await session.scalar(_LOCK, {"of_bulk": bulk_id})


async def due(session: AsyncSession, *, at: datetime, most: int) -> list[tuple[UUID, UUID]]:
    """Tenant and id of the bulk orders that somebody is to look after, of all tenants, longest waiting first."""
    return [(row.tenant_id, row.id) for row in await session.execute(_DUE, {"at": at, "most": most})]


async def counts(session: AsyncSession, bulk_id: UUID) -> dict[str, int]:
    """How many entries there are in each state; the placed ones also by the states of their orders."""
    found: dict[str, int] = {}
    for state, status, count in await session.execute(_COUNTS, {"of_bulk": bulk_id}):
        found[state] = found.get(state, 0) + count
        if status is not None:
            found[status] = found.get(status, 0) + count
    return found


def ended(found: Mapping[str, int]) -> int:
    """How many entries need nothing any more."""
    return sum(found.get(state, 0) for state in ("refused", "withdrawn", *_ENDED))


async def first_waiting(session: AsyncSession, bulk_id: UUID) -> Any:
    """The first entry that is not placed yet."""
    return (await session.execute(_FIRST_WAITING, {"of_bulk": bulk_id})).first()


async def oldest_order(session: AsyncSession, bulk_id: UUID) -> Any:
    """The order that has been in its state for longest, of those that have not ended."""
    return (await session.execute(_OLDEST_ORDER, {"of_bulk": bulk_id})).first()


async def refused(session: AsyncSession, bulk_id: UUID) -> Sequence[Any]:
    """The entries that were refused, in order."""
    return (await session.execute(_REFUSED, {"of_bulk": bulk_id})).all()


async def take(session: AsyncSession, bulk_id: UUID, *, since: datetime, now: datetime, most: int) -> list[Any]:
    """Note that the next waiting entries are tried, of those that were not since a time."""
    told = {"of_bulk": bulk_id, "since": since, "now": now, "most": most}
    return sorted((await session.execute(_TAKE, told)).all(), key=lambda row: row.position)


async def end(session: AsyncSession, bulk_id: UUID, outcomes: Sequence[Mapping[str, object]]) -> None:
    """Keep what became of entries; what is known already stays."""
    await session.execute(_END, [{"of_bulk": bulk_id, **outcome} for outcome in outcomes])


async def withdraw(session: AsyncSession, bulk_id: UUID) -> None:
    """Let the entries that nobody has tried never be placed."""
    await session.execute(_WITHDRAW, {"of_bulk": bulk_id})


async def cancellable(session: AsyncSession, bulk_id: UUID) -> list[UUID]:
    """The orders that nobody has begun to make."""
    return list(await session.scalars(_CANCELLABLE, {"of_bulk": bulk_id}))


async def claim(session: AsyncSession, bulk_id: UUID, *, at: datetime, until: datetime) -> Any:
    """Take a due bulk order for oneself until a time; nothing when another was faster."""
    return (await session.execute(_CLAIM, {"of_bulk": bulk_id, "at": at, "until": until})).first()


async def hasten(session: AsyncSession, bulk_id: UUID, *, until: datetime) -> None:
    """Let somebody look after a bulk order whose orders are placed."""
    await session.execute(_HASTEN, {"of_bulk": bulk_id, "until": until})


async def put_off(session: AsyncSession, bulk_id: UUID, *, until: datetime, tries: int = 0) -> None:
    """Let nobody look after a bulk order before a time."""
    await session.execute(_PUT_OFF, {"of_bulk": bulk_id, "until": until, "new_tries": tries})
