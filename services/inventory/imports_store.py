"""The queries of imports."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from services.inventory.imports_models import Import, ImportChunk, RowError
from services.inventory.models import Item

OPEN = ("queued", "running")
_DUE = sa.text("SELECT tenant_id, id FROM due_imports(:at, :most)")
_chunks: Any = ImportChunk.__table__
_errors: Any = RowError.__table__


async def due(session: AsyncSession, *, at: datetime, most: int) -> Sequence[tuple[UUID, UUID]]:
    """Tenant and id of the imports that wait for work, of all tenants, longest waiting first."""
    rows = await session.execute(_DUE, {"at": at, "most": most})
    return [(row.tenant_id, row.id) for row in rows]


async def claim(session: AsyncSession, import_id: UUID, *, at: datetime, until: datetime) -> Import | None:
    """Take a due import for oneself until a time, or nothing when another was faster."""
    statement = (
        sa.update(Import)
        .where(Import.id == import_id, Import.state.in_(OPEN), Import.due_at <= at)
        .values(state="running", lease=Import.lease + 1, due_at=until)
        .returning(Import)
    )
    return (await session.scalars(statement)).one_or_none()


async def job(session: AsyncSession, import_id: UUID, *, lock: bool = False) -> Import | None:
    """One import."""
    select = sa.select(Import).where(Import.id == import_id).execution_options(populate_existing=True)
    found: Import | None = await session.scalar(select.with_for_update() if lock else select)
    return found


def jobs() -> "sa.Select[Any]":
    """All imports."""
    return sa.select(Import)


async def add_chunk(session: AsyncSession, chunk: dict[str, object]) -> bool:
    """Keep a chunk; false when there is one in its place."""
    statement = postgresql.insert(_chunks).values(**chunk).on_conflict_do_nothing().returning(_chunks.c.number)
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def chunk_digest(session: AsyncSession, import_id: UUID, number: int) -> bytes:
    """What the chunk in a place is."""
    select = sa.select(ImportChunk.digest).where(ImportChunk.import_id == import_id, ImportChunk.number == number)
    return bytes((await session.execute(select)).scalar_one())


async def text(session: AsyncSession, import_id: UUID) -> str:
    """The whole file."""
    select = sa.select(ImportChunk.csv).where(ImportChunk.import_id == import_id).order_by(ImportChunk.number)
    return "".join(await session.scalars(select))


async def forget_text(session: AsyncSession, import_id: UUID) -> None:
    """Let go of the file."""
    await session.execute(sa.update(_chunks).where(_chunks.c.import_id == import_id).values(csv=""))


async def report(session: AsyncSession, rows: Sequence[dict[str, object]]) -> None:
    """Keep why rows were not imported."""
    if rows:
        await session.execute(sa.insert(_errors), rows)


def errors(import_id: UUID) -> "sa.Select[Any]":
    """The error report of an import. Pages are ordered by a column named `id`."""
    columns: list[Any] = [RowError.position.label("id"), RowError.row, RowError.sku, RowError.field]
    return sa.select(*columns, RowError.reason).where(RowError.import_id == import_id)


async def items_by_sku(session: AsyncSession, skus: Iterable[str]) -> dict[str, Item]:
    """The items of some SKUs by their SKU in lower case, locked in the order of their ids."""
    wanted = {sku.lower() for sku in skus}
    select = (
        sa.select(Item)
        .where(sa.func.lower(Item.sku).in_(wanted), Item.deleted_at.is_(None))
        .order_by(Item.id)
        .with_for_update()
    )
    return {row.sku.lower(): row for row in await session.scalars(select)}
