"""The queries of orders."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from chassis import db
from services.orders.models import Line, Order, OrderEvent, OrderNumber, Saga

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

STEP = db.Query(sa.select(Saga.step).where(Saga.order_id == sa.bindparam("order_id")).limit(sa.literal_column("1")))
_RESERVED: list[Any] = [Order.site_id, Line.id, Line.menu_item_id, Line.quantity]
RESERVED = db.Query(
    sa.select(*_RESERVED)
    .join(Line, (Line.tenant_id == Order.tenant_id) & (Line.order_id == Order.id))
    .where(Order.id == sa.bindparam("id"), Line.status != sa.literal_column("'voided'"))
    .order_by(Line.position)
    .limit(sa.literal_column("1000"))
)
REFUSAL = db.Query(
    sa.select(sa.cast(Order.refusal, sa.Text).label("refusal"))
    .where(Order.id == sa.bindparam("id"))
    .limit(sa.literal_column("1"))
)

# Statements are built once: put together anew, each costs SQLAlchemy four times as much as it costs when it is kept.

_tables: Any = (Order.__table__, Line.__table__, Saga.__table__, OrderEvent.__table__, OrderNumber.__table__)
_orders, _lines, _sagas, _events, _numbers = _tables
_TEXTS = postgresql.ARRAY(sa.Text)
# Not the column's name: SQLAlchemy keeps that for what is written.
_id: Any = sa.bindparam("of_order")
_INSERT_ORDER = postgresql.insert(_orders).on_conflict_do_nothing().returning(_orders.c.id)
_INSERT_LINES = sa.insert(_lines)
_INSERT_SAGA = sa.insert(_sagas)
_FIND = sa.select(Order).where(Order.id == _id)
_LOCK = _FIND.with_for_update()
_SAGA_OF = sa.select(Saga).where(Saga.order_id == _id)
_LINES_OF = sa.select(Line).where(Line.order_id == _id).order_by(Line.position)
_SHOWN_ONE = SHOWN.where(Order.id == _id)
_PRICE = (
    sa.update(_lines)
    .where(_lines.c.order_id == _id, _lines.c.id == sa.bindparam("line_id"))
    .values(name=sa.bindparam("priced_name"), unit_amount=sa.bindparam("priced"), currency=sa.bindparam("money"))
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
# A saga that was read before stays as it was read: what it said is still needed when it has been told what comes next.
_UPDATE_SAGA = sa.update(Saga).execution_options(synchronize_session=False)
_DUE = sa.text("SELECT tenant_id, order_id FROM due_sagas(:at, :most)")
_STUCK = sa.text("SELECT stuck_sagas()")


async def insert(session: AsyncSession, order: Mapping[str, object], lines: Sequence[Mapping[str, object]]) -> bool:
    """Insert a draft with its lines; false when there is an order with this id already."""
    if await session.scalar(_INSERT_ORDER, order) is None:
        return False
    await session.execute(_INSERT_LINES, list(lines))
    return True


async def insert_saga(session: AsyncSession, saga: Mapping[str, object]) -> None:
    """Insert an order's saga."""
    await session.execute(_INSERT_SAGA, saga)


async def find(session: AsyncSession, order_id: UUID) -> Order | None:
    """An order."""
    return await session.scalar(_FIND, {"of_order": order_id})


async def lock(session: AsyncSession, order_id: UUID) -> Order | None:
    """An order, held until the transaction ends."""
    return await session.scalar(_LOCK, {"of_order": order_id})


async def saga_of(session: AsyncSession, order_id: UUID) -> Saga:
    """An order's saga."""
    return (await session.scalars(_SAGA_OF, {"of_order": order_id})).one()


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


@cache
def _set(*columns: str) -> Any:
    named = {name: sa.bindparam(f"new_{name}", type_=_sagas.c[name].type) for name in columns}
    return _UPDATE_SAGA.where(Saga.order_id == _id).values(named)


async def set_step(session: AsyncSession, order_id: UUID, step: str, state: str, **more: object) -> None:
    """Say what the saga does next."""
    values = {"step": step, "state": state, "tries": 1, "error": "", **more}
    given = {f"new_{name}": value for name, value in values.items()}
    await session.execute(_set(*values), {"of_order": order_id, **given})


async def put_off(
    session: AsyncSession, order_id: UUID, *, step: str, state: str | None, due_at: datetime, error: str
) -> None:
    """Try a step later; nothing happens when the saga has gone on meanwhile."""
    values = {"due_at": due_at, "error": error} | ({"state": state} if state else {})
    pending = Saga.state.in_(("running", "compensating"))
    statement = _UPDATE_SAGA.where(Saga.order_id == order_id, Saga.step == step, pending).values(values)
    await session.execute(statement)


async def claim(session: AsyncSession, order_id: UUID, *, at: datetime, until: datetime) -> str | None:
    """Take a due saga for oneself until a time: who asked for its step, or nothing when another was faster."""
    statement = (
        _UPDATE_SAGA.where(Saga.order_id == order_id, Saga.state.in_(("running", "compensating")), Saga.due_at <= at)
        .values(due_at=until, tries=Saga.tries + 1)
        .returning(Saga.actor)
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def due(session: AsyncSession, *, at: datetime, most: int) -> Sequence[tuple[UUID, UUID]]:
    """Tenant and order of the sagas that are due, of all tenants, longest waiting first."""
    rows = await session.execute(_DUE, {"at": at, "most": most})
    return [(row.tenant_id, row.order_id) for row in rows]


async def stuck(session: AsyncSession) -> int:
    """How many sagas of all tenants need attention."""
    count: int = (await session.execute(_STUCK)).scalar_one()
    return count
