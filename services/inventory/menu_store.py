"""The queries of the menu."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.inventory.menu_models import MenuItem

_ids = sa.bindparam("rows", type_=sa.Uuid, expanding=True)
_MENU = sa.select(MenuItem).where(MenuItem.deleted_at.is_(None))


_MENU_BY_ID = _MENU.where(MenuItem.id.in_(_ids))


async def is_on_a_menu(session: AsyncSession, item_id: UUID) -> bool:
    """Whether something that is sold is made of it."""
    recipe = MenuItem.recipe.contains([{"item_id": str(item_id)}])
    return bool(await session.scalar(sa.select(sa.exists().where(recipe, MenuItem.deleted_at.is_(None)))))


def menu(category: str = "") -> "sa.Select[Any]":
    """What is on the menu."""
    return _MENU.where(MenuItem.category == category) if category else _MENU


async def menu_item(session: AsyncSession, menu_item_id: str, *, lock: bool = False) -> MenuItem | None:
    """One thing that is sold."""
    select = menu().where(MenuItem.id == UUID(menu_item_id))
    found: MenuItem | None = await session.scalar(select.with_for_update() if lock else select)
    return found


async def menu_by_id(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, MenuItem]:
    """Things that are sold, by their ids."""
    return {row.id: row for row in await session.scalars(_MENU_BY_ID, {"rows": list(set(ids))})}
