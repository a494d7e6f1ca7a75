"""The queries of sagas."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from chassis import db
from services.orders.models import Line, Order
from services.orders.saga_models import Saga

STEP = db.Query(sa.select(Saga.step).where(Saga.order_id == sa.bindparam("order_id")).limit(sa.literal_column("1")))
_RESERVED: list[Any] = [Order.site_id, Order.station_id, Line.id, Line.menu_item_id, Line.quantity]
RESERVED = db.Query(
    sa.select(*_RESERVED, sa.cast(Line.modifiers, sa.Text).label("modifiers"))
    .join(Line, (Line.tenant_id == Order.tenant_id) & (Line.order_id == Order.id))
    .where(Order.id == sa.bindparam("id"), Line.status != sa.literal_column("'voided'"))
    .order_by(Line.position)
    .limit(sa.literal_column("1000"))
)
VOIDED = db.Query(
    sa.select(Line.id)
    .where(Line.order_id == sa.bindparam("id"), Line.status == sa.literal_column("'voided'"))
    .limit(sa.literal_column("1000"))
)
REFUSAL = db.Query(
    sa.select(sa.cast(Order.refusal, sa.Text).label("refusal"))
    .where(Order.id == sa.bindparam("id"))
    .limit(sa.literal_column("1"))
)

# Statements are built once: put together anew, each costs SQLAlchemy four times as much as it costs when it is kept.

_sagas: Any = Saga.__table__
# Not the column's name: SQLAlchemy keeps that for what is written.
_id: Any = sa.bindparam("of_order")
_INSERT_SAGA = sa.insert(_sagas)
_SAGA_OF = sa.select(Saga).where(Saga.order_id == _id)
# A saga that was read before stays as it was read: what it said is still needed when it has been told what comes next.
_UPDATE_SAGA = sa.update(Saga).execution_options(synchronize_session=False)
_DUE = sa.text("SELECT tenant_id, order_id FROM due_sagas(:at, :most)")
_STUCK = sa.text("SELECT stuck_sagas()")
# Where a transaction remembers that it has told a saga what comes next.
_TOLD = "saga_told"


async def insert_saga(session: AsyncSession, saga: Mapping[str, object]) -> None:
    """Insert an order's saga."""
    await session.execute(_INSERT_SAGA, saga)


async def saga_of(session: AsyncSession, order_id: UUID) -> Saga:
    """An order's saga."""
    return (await session.scalars(_SAGA_OF, {"of_order": order_id})).one()


@cache
def _set(*columns: str) -> Any:
    named = {name: sa.bindparam(f"new_{name}", type_=_sagas.c[name].type) for name in columns}
    return _UPDATE_SAGA.where(Saga.order_id == _id).values(named)


async def set_step(session: AsyncSession, order_id: UUID, step: str, state: str, **more: object) -> None:
    """Say what the saga does next."""
    values = {"step": step, "state": state, "tries": 1, "error": "", **more}
    given = {f"new_{name}": value for name, value in values.items()}
    await session.execute(_set(*values), {"of_order": order_id, **given})
    session.info[_TOLD] = True


def told(session: AsyncSession) -> bool:
    """Whether this transaction has told a saga what comes next: then its outcome is its caller's business."""
    return _TOLD in session.info


async def put_off(
    session: AsyncSession, order_id: UUID, *, step: str, state: str | None, due_at: datetime, error: str
) -> None:
    """Try a step later; nothing happens when the saga has gone on meanwhile."""
    values = {"due_at": due_at, "error": error} | ({"state": state} if state else {})
    pending = Saga.state.in_(("running", "compensating"))
    statement = _UPDATE_SAGA.where(Saga.order_id == order_id, Saga.step == step, pending).values(values)
    await session.execute(statement)


async def claim(session: AsyncSession, order_id: UUID, *, at: datetime, until: datetime) -> tuple[str, str] | None:
    """Take a due saga for oneself until a time: who asked for its step, and in whose name; none if it is another's."""
    statement = (
        _UPDATE_SAGA.where(Saga.order_id == order_id, Saga.state.in_(("running", "compensating")), Saga.due_at <= at)
        .values(due_at=until, tries=Saga.tries + 1)
        .returning(Saga.actor, Saga.subject)
    )
    found = (await session.execute(statement)).one_or_none()
    return None if found is None else (found.actor, found.subject)


async def due(session: AsyncSession, *, at: datetime, most: int) -> Sequence[tuple[UUID, UUID]]:
    """Tenant and order of the sagas that are due, of all tenants, longest waiting first."""
    rows = await session.execute(_DUE, {"at": at, "most": most})
    return [(row.tenant_id, row.order_id) for row in rows]


async def stuck(session: AsyncSession) -> int:
    """How many sagas of all tenants need attention."""
    count: int = (await session.execute(_STUCK)).scalar_one()
    return count
