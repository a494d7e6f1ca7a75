"""The queries of factors and letters; no rules. What is found before a person is known goes through functions."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.factor_models import Letter

# Letters.


async def add_letter(session: AsyncSession, letter_id: UUID, sealed: bytes, now: datetime) -> None:
    """Put a letter to those that wait."""
    values = {"id": letter_id, "sealed": sealed, "attempts": 0, "due_at": now, "created_at": now}
    await session.execute(sa.insert(Letter.__table__), values)  # type: ignore[arg-type] # a Table


async def take_letter(session: AsyncSession, now: datetime, again_at: datetime) -> "sa.Row[Any] | None":
    """The letter that has been due longest; it is due again at a time."""
    statement = sa.text("SELECT * FROM take_letter(:now, :again_at)")
    found: sa.Row[Any] | None = (await session.execute(statement, {"now": now, "again_at": again_at})).one_or_none()
    return found


async def put_letter_off(session: AsyncSession, letter_id: UUID, until: datetime) -> None:
    """Let a letter wait until a time."""
    await session.execute(sa.text("SELECT put_letter_off(:id, :until)"), {"id": letter_id, "until": until})


async def delete_letter(session: AsyncSession, letter_id: UUID) -> None:
    """Delete a letter."""
    await session.execute(sa.text("SELECT delete_letter(:id)"), {"id": letter_id})
