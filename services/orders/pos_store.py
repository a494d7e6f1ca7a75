"""The queries of the point of sale; no rules but those that one guarded statement can keep."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from services.orders.pos_models import Forward, PosConnection

# What a POS has said of an order stays said.
ANSWERED = ("confirmed", "rejected")

_tables: Any = (PosConnection.__table__, Forward.__table__)
_connections, _forwards = _tables
# Not the columns' names: SQLAlchemy keeps those for what is written.
_site: Any = sa.bindparam("of_site")
_order: Any = sa.bindparam("of_order")
_kind: Any = sa.bindparam("of_kind")
_ENABLED = sa.select(sa.literal(1)).where(_connections.c.site_id == _site, _connections.c.enabled)
_CONNECTION = sa.select(PosConnection).where(PosConnection.site_id == _site)
_LOCK_CONNECTION = _CONNECTION.with_for_update()
_INSERT_CONNECTION = postgresql.insert(_connections).on_conflict_do_nothing().returning(sa.literal(1))
_INSERT = postgresql.insert(_forwards).on_conflict_do_nothing().returning(sa.literal(1))
_FORWARD = sa.select(Forward).where(Forward.order_id == _order, Forward.kind == _kind).with_for_update()
_ONE = (_forwards.c.order_id == _order, _forwards.c.kind == _kind)
_DUE = sa.text("SELECT tenant_id, order_id, kind FROM due_forwards(:at, :each, :most)")
_FAILED = sa.text("SELECT failed_forwards()")


class Due(NamedTuple):
    """Something that is to be sent."""

    tenant_id: UUID
    order_id: UUID
    kind: str


async def connection(session: AsyncSession, site_id: UUID) -> PosConnection | None:
    """A site's connection."""
    return await session.scalar(_CONNECTION, {"of_site": site_id})


async def lock_connection(session: AsyncSession, site_id: UUID) -> PosConnection | None:
    """A site's connection, held until the transaction ends."""
    return await session.scalar(_LOCK_CONNECTION, {"of_site": site_id})


async def insert_connection(session: AsyncSession, row: Mapping[str, object]) -> bool:
    """Insert a site's connection; false when it has one."""
    return await session.scalar(_INSERT_CONNECTION, row) is not None


async def enabled(session: AsyncSession, site_id: UUID) -> bool:
    """Whether a site's orders are sent."""
    return await session.scalar(_ENABLED, {"of_site": site_id}) is not None


async def insert(session: AsyncSession, row: Mapping[str, object]) -> bool:
    """Insert something to be sent; false when it is there already."""
    return await session.scalar(_INSERT, row) is not None


async def forward(session: AsyncSession, order_id: UUID, kind: str) -> Forward | None:
    """What a POS is to be told, held until the transaction ends."""
    return await session.scalar(_FORWARD, {"of_order": order_id, "of_kind": kind})


async def due(session: AsyncSession, *, at: datetime, each: int, most: int) -> Sequence[Due]:
    """What is due, of all tenants, longest waiting first; of each tenant only so much."""
    return [Due(*row) for row in await session.execute(_DUE, {"at": at, "each": each, "most": most})]


async def failed(session: AsyncSession) -> int:
    """How many messages of all tenants have failed for good."""
    count: int = (await session.execute(_FAILED)).scalar_one()
    return count


async def claim(session: AsyncSession, one: Due, *, at: datetime, until: datetime) -> int | None:
    """Take a due message for oneself until a time: the number of this try, or nothing when another was faster."""
    statement = (
        sa.update(_forwards)
        .where(*_ONE, _forwards.c.state == "pending", _forwards.c.due_at <= at)
        .values(due_at=until, tries=_forwards.c.tries + 1)
        .returning(_forwards.c.tries)
    )
    tries: int | None = await session.scalar(statement, _key(one.order_id, one.kind))
    return tries


async def put_off(session: AsyncSession, one: Due, *, claimed: datetime, due_at: datetime, error: str) -> None:
    """Try a message later; nothing happens when it has gone on meanwhile, or is somebody else's by now."""
    statement = (
        sa.update(_forwards)
        .where(*_ONE, _forwards.c.state == "pending", _forwards.c.due_at == claimed)
        .values(due_at=due_at, error=error)
    )
    await session.execute(statement, _key(one.order_id, one.kind))


async def settle(session: AsyncSession, one: Due, *, state: str, at: datetime, error: str = "") -> bool:
    """Say what came of sending; false when the POS was faster, or the order was cancelled meanwhile."""
    statement = (
        sa.update(_forwards)
        .where(*_ONE, _forwards.c.state == "pending")
        .values(state=state, error=error, updated_at=at)
        .returning(sa.literal(1))
    )
    return await session.scalar(statement, _key(one.order_id, one.kind)) is not None


async def answer(session: AsyncSession, order_id: UUID, verdict: str, *, at: datetime) -> bool:
    """Keep what the POS says of an order; false when it has said something, or is not to be told of it."""
    statement = (
        sa.update(_forwards)
        .where(*_ONE, _forwards.c.state.not_in(ANSWERED))
        .values(state=verdict, error="", updated_at=at)
        .returning(sa.literal(1))
    )
    return await session.scalar(statement, _key(order_id, "placed")) is not None


async def again(session: AsyncSession, order_id: UUID, kind: str, *, at: datetime) -> bool:
    """Let a message be sent once more, at once; false when it has been answered, or was never to be sent."""
    statement = (
        sa.update(_forwards)
        .where(*_ONE, _forwards.c.state.not_in(ANSWERED))
        # That it was tried before is not forgotten: a cancellation is told to whoever may know of the order.
        .values(state="pending", tries=sa.func.least(_forwards.c.tries, 1), due_at=at, error="", updated_at=at)
        .returning(sa.literal(1))
    )
    return await session.scalar(statement, _key(order_id, kind)) is not None


async def hasten(session: AsyncSession, order_id: UUID, *, at: datetime) -> None:
    """Let a cancellation go that has waited for the order's own message to come back."""
    statement = sa.update(_forwards).where(*_ONE, _forwards.c.state == "pending", _forwards.c.tries == 0)
    await session.execute(statement.values(due_at=at), _key(order_id, "cancelled"))


def _key(order_id: UUID, kind: str) -> dict[str, object]:
    return {"of_order": order_id, "of_kind": kind}
