"""The queries of audit."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from chassis import db
from services.audit.models import Entry, Head

SHOWN: list[Any] = [Entry.event, Entry.hash, Entry.occurred_at, Entry.id]
ONE = db.Query(sa.select(*SHOWN).where(Entry.id == sa.bindparam("id")).limit(sa.literal_column("1")))

# The numbers between one that a service gave and the next that arrived; all begin at 1.
_GAPS = sa.text("""
    SELECT service, before + 1 AS first, service_sequence - 1 AS last FROM (
        SELECT service, service_sequence,
               lag(service_sequence, 1, 0::bigint) OVER (PARTITION BY service ORDER BY service_sequence) AS before
        FROM entries WHERE service_sequence > 0 AND position <= :head
    ) numbered WHERE service_sequence > before + 1 ORDER BY service, service_sequence LIMIT :most
""")

# Built once: put together anew, each costs SQLAlchemy four times as much.
_entries: Any = Entry.__table__
_FIRST = postgresql.insert(Head).on_conflict_do_nothing()
_LOCK_HEAD = sa.select(Head).with_for_update()
_KNOWN = sa.select(Entry.id).where(Entry.id.in_(sa.bindparam("ids", type_=sa.Uuid, expanding=True)))
_APPEND = sa.insert(_entries)
_MOVE = (
    sa.update(Head)
    .where(Head.position == sa.bindparam("after"))
    .values(position=sa.bindparam("to_position"), hash=sa.bindparam("to_hash"))
    .returning(Head.position)
    .execution_options(synchronize_session=False)
)


async def lock_head(session: AsyncSession, tenant_id: UUID, origin: bytes) -> Head:
    """The head of a tenant's chain, held until the transaction ends; `origin` is what the first entry follows."""
    first = {"tenant_id": tenant_id, "position": 0, "hash": origin}
    await session.execute(_FIRST, first)
    return (await session.scalars(_LOCK_HEAD)).one()


async def head(session: AsyncSession) -> Head | None:
    """The head of the tenant's chain."""
    return await session.scalar(sa.select(Head))


async def known(session: AsyncSession, ids: Iterable[UUID]) -> set[UUID]:
    """Which of these events are in the chain."""
    return set(await session.scalars(_KNOWN, {"ids": list(ids)}))


async def append(session: AsyncSession, entries: Sequence[Mapping[str, object]], *, after: int) -> None:
    """Append entries and move the head from `after` to the last of them."""
    await session.execute(_APPEND, list(entries))
    last = entries[-1]
    moved = {"after": after, "to_position": last["position"], "to_hash": last["hash"]}
    (await session.execute(_MOVE, moved)).one()


async def chunk(session: AsyncSession, *, after: int, until: int, size: int) -> Sequence[sa.RowMapping]:
    """The entries behind a position, in order, as they stand in the table."""
    beyond = sa.select(Entry.__table__).where(Entry.position > after, Entry.position <= until)
    return (await session.execute(beyond.order_by(Entry.position).limit(size))).mappings().all()


async def orphans(session: AsyncSession, *, most: int) -> list[int]:
    """Positions of entries in a chain that has no head; one statement, for a chain may begin at this very moment."""
    headless = sa.select(Entry.position).where(~sa.exists().where(Head.tenant_id == Entry.tenant_id))
    return list(await session.scalars(headless.order_by(Entry.position).limit(most)))


async def gaps(session: AsyncSession, *, head: int, most: int) -> Sequence[tuple[str, int, int]]:
    """Runs of numbers that never arrived, as service, first and last."""
    rows = await session.execute(_GAPS, {"head": head, "most": most})
    return [(row.service, row.first, row.last) for row in rows]


async def arrived(session: AsyncSession, numbers: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
    """Which of these services' numbers are in the chain by now."""
    named = sa.tuple_(Entry.service, Entry.service_sequence)
    rows = await session.execute(sa.select(Entry.service, Entry.service_sequence).where(named.in_(numbers)))
    return {(row.service, row.service_sequence) for row in rows}
