"""The queries of orders."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from chassis import db
from services.orders.models import Line, Order, OrderEvent, OrderNumber
from services.orders.saga_models import Saga

QUEUE_LENGTH_MAX = 500
QUEUED_STATES = ("queued", "preparing", "ready")

# Lines travel inside their order's row as one JSON text: one round trip, whichever way the row is read.
_LINES = (
    sa.select(
        sa.cast(
            sa.func.jsonb_agg(
                postgresql.aggregate_order_by(
                    sa.func.jsonb_build_object(
                        *(sa.literal_column("'id'"), Line.id),
                        *(sa.literal_column("'menu_item_id'"), Line.menu_item_id),
                        *(sa.literal_column("'quantity'"), Line.quantity),
                        *(sa.literal_column("'notes'"), Line.notes),
                        *(sa.literal_column("'name'"), Line.name),
                        *(sa.literal_column("'status'"), Line.status),
                        *(sa.literal_column("'amount'"), Line.unit_amount),
                        *(sa.literal_column("'currency'"), Line.currency),
                        *(sa.literal_column("'modifiers'"), Line.modifiers),
                        *(sa.literal_column("'remake_of'"), Line.remake_of),
                        *(sa.literal_column("'reason'"), Line.reason),
                    ),
                    Line.position,
                )
            ),
            sa.Text,
        )
    )
    .where(Line.tenant_id == Order.tenant_id, Line.order_id == Order.id)
    .scalar_subquery()
    .label("lines")
)
SHOWN = sa.select(
    *(column for column in Order.__table__.columns if column.name not in {"refusal", "fingerprint", "posted"}),
    Saga.state.label("saga_state"),
    Saga.error.label("saga_error"),
    _LINES,
).join(Saga, (Saga.tenant_id == Order.tenant_id) & (Saga.order_id == Order.id))

ONE = db.Query(SHOWN.where(Order.id == sa.bindparam("id")).limit(sa.literal_column("1")))
_station: Any = sa.bindparam("station_id", None, type_=sa.Uuid)
_states: Any = sa.bindparam("states", type_=postgresql.ARRAY(sa.Text))
QUEUE = db.Query(
    SHOWN.where(
        Order.site_id == sa.bindparam("site_id"),
        # The states of the index, and those that are asked for.
        Order.status.in_([sa.literal_column(f"'{state}'") for state in QUEUED_STATES]),
        Order.status == sa.func.any(_states),
        _station.is_(None) | (Order.station_id == _station),
    )
    .order_by(Order.placed_at, Order.id)
    .limit(sa.literal_column(str(QUEUE_LENGTH_MAX)))
)

# Statements are built once: put together anew, each costs SQLAlchemy four times as much as it costs when it is kept.

_tables: Any = (Order.__table__, Line.__table__, OrderEvent.__table__, OrderNumber.__table__)
_orders, _lines, _events, _numbers = _tables
_TEXTS = postgresql.ARRAY(sa.Text)
# Not the column's name: SQLAlchemy keeps that for what is written.
_id: Any = sa.bindparam("of_order")
_INSERT_ORDER = postgresql.insert(_orders).on_conflict_do_nothing().returning(_orders.c.id)
_INSERT_LINES = sa.insert(_lines)
_FIND = sa.select(Order).where(Order.id == _id)
_LOCK = _FIND.with_for_update()
_LINES_OF = sa.select(Line).where(Line.order_id == _id).order_by(Line.position)
_SHOWN_ONE = SHOWN.where(Order.id == _id)
_PRICE = (
    sa.update(_lines)
    .where(_lines.c.order_id == _id, _lines.c.id == sa.bindparam("line_id"))
    .values(
        name=sa.bindparam("priced_name"),
        unit_amount=sa.bindparam("priced"),
        currency=sa.bindparam("money"),
        modifiers=sa.bindparam("chosen", type_=postgresql.JSONB),
    )
)
_MOVE_LINES = (
    sa.update(_lines)
    .where(_lines.c.order_id == _id, _lines.c.status == sa.func.any(sa.bindparam("left", type_=_TEXTS)))
    .values(status=sa.bindparam("moved"))
)
_ANY_SERVED = sa.select(sa.literal(1)).where(_lines.c.order_id == _id, _lines.c.status == "served").limit(1)
_again: Any = _lines.alias("again")
_made_anew = (
    sa.select(sa.func.coalesce(sa.func.sum(_again.c.quantity), 0))
    .where(_again.c.order_id == _lines.c.order_id, _again.c.remake_of == _lines.c.id, _again.c.status != "voided")
    .scalar_subquery()
)
_ANY_OUTSTANDING = (
    sa.select(sa.literal(1))
    .where(_lines.c.order_id == _id, _lines.c.status.in_(("pending", "preparing")), _lines.c.quantity > _made_anew)
    .limit(1)
)
_NEXT_NUMBER = (
    postgresql.insert(_numbers)
    .on_conflict_do_update(index_elements=["tenant_id", "site_id", "day"], set_={"last": _numbers.c.last + 1})
    .returning(_numbers.c.last)
)
_told = sa.select(sa.func.coalesce(sa.func.max(_events.c.sequence), 0) + 1).where(_events.c.order_id == _id)
_ADD_EVENT = sa.insert(_events).values(sequence=_told.scalar_subquery())


async def insert(session: AsyncSession, order: Mapping[str, object], lines: Sequence[Mapping[str, object]]) -> bool:
    """Insert a draft with its lines; false when there is an order with this id already."""
    if await session.scalar(_INSERT_ORDER, order) is None:
        return False
    await session.execute(_INSERT_LINES, list(lines))
    return True


async def insert_lines(session: AsyncSession, lines: Sequence[Mapping[str, object]]) -> None:
    """Add lines to an order that is held by this transaction."""
    await session.execute(_INSERT_LINES, list(lines))


async def find(session: AsyncSession, order_id: UUID) -> Order | None:
    """An order."""
    return await session.scalar(_FIND, {"of_order": order_id})


async def lock(session: AsyncSession, order_id: UUID) -> Order | None:
    """An order, held until the transaction ends."""
    return await session.scalar(_LOCK, {"of_order": order_id})


async def shown(session: AsyncSession, order_id: UUID) -> sa.RowMapping:
    """An order as it is shown, within the transaction that changes it."""
    await session.flush()
    return (await session.execute(_SHOWN_ONE, {"of_order": order_id})).mappings().one()


async def price(session: AsyncSession, order_id: UUID, prices: Iterable[Mapping[str, object]]) -> None:
    """Keep what the lines were called and cost."""
    await session.execute(_PRICE, [{**row, "of_order": order_id} for row in prices])


async def move_lines(session: AsyncSession, order_id: UUID, status: str, left: Sequence[str]) -> None:
    """Let the lines that are in the states `left` follow their order."""
    await session.execute(_MOVE_LINES, {"of_order": order_id, "moved": status, "left": list(left)})


async def any_served(session: AsyncSession, order_id: UUID) -> bool:
    """Whether a line of an order has been handed out."""
    return await session.scalar(_ANY_SERVED, {"of_order": order_id}) is not None


async def any_outstanding(session: AsyncSession, order_id: UUID) -> bool:
    """Whether a line of an order is still to be made; what is made anew in full counts no longer."""
    return await session.scalar(_ANY_OUTSTANDING, {"of_order": order_id}) is not None


async def lines_of(session: AsyncSession, order_id: UUID) -> list[Line]:
    """The lines of an order that is held by this transaction, in their order."""
    return list(await session.scalars(_LINES_OF, {"of_order": order_id}, execution_options={"populate_existing": True}))


async def next_number(session: AsyncSession, tenant_id: UUID, site_id: UUID, day: date) -> int:
    """The site's next number of the day; the counter is held until the transaction ends, so that no number is lost."""
    row = {"tenant_id": tenant_id, "site_id": site_id, "day": day, "last": 1}
    return (await session.execute(_NEXT_NUMBER, row)).scalar_one()  # type: ignore[no-any-return]


async def add_event(session: AsyncSession, order_id: UUID, entry: Mapping[str, object]) -> None:
    """Append to the timeline of an order that is held by this transaction."""
    await session.execute(_ADD_EVENT, {"of_order": order_id, "order_id": order_id, **entry})
