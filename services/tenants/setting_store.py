"""The queries of settings documents."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Query
from services.tenants.models import Setting, SettingVersion

# What screens and kiosks read as they open.
CURRENT = Query(
    sa.select(*Setting.__table__.columns)
    .where(Setting.name == sa.bindparam("name", type_=sa.Text))
    .limit(sa.literal_column("1"))
)


async def current(session: AsyncSession, tenant_id: UUID, name: str) -> Setting | None:
    """A document as it is now."""
    found: Setting | None = await session.get(Setting, (tenant_id, name))
    return found


async def lock(
    session: AsyncSession, tenant_id: UUID, name: str, *, key: str, station_id: UUID | None, now: datetime
) -> Setting:
    """A document, for writing: whoever else writes it waits. One that is new has version 0 and has to be written."""
    new = {"tenant_id": tenant_id, "name": name, "key": key, "station_id": station_id}
    blank = {"value": {}, "version": 0, "updated_at": now, "updated_by": ""}
    await session.execute(postgresql.insert(Setting).values(**new, **blank).on_conflict_do_nothing())
    select = sa.select(Setting).where(Setting.tenant_id == tenant_id, Setting.name == name)
    return (await session.scalars(select.with_for_update())).one()


async def keep(session: AsyncSession, row: Setting) -> None:
    """Note what a document now is in its history."""
    values = {"tenant_id": row.tenant_id, "name": row.name, "version": row.version, "value": row.value}
    await session.execute(
        sa.insert(SettingVersion).values(**values, updated_at=row.updated_at, updated_by=row.updated_by)
    )


async def version(session: AsyncSession, tenant_id: UUID, name: str, number: int) -> SettingVersion | None:
    """A document as it was in one version."""
    found: SettingVersion | None = await session.get(SettingVersion, (tenant_id, name, number))
    return found


def versions(tenant_id: UUID, name: str) -> "sa.Select[Any]":
    """The history of a document, without what stood in it. The version is the row's `id` in a list."""
    columns: list[Any] = [SettingVersion.version.label("id"), SettingVersion.updated_at, SettingVersion.updated_by]
    return sa.select(*columns).where(SettingVersion.tenant_id == tenant_id, SettingVersion.name == name)
