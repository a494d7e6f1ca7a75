"""The tables of the menu."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chassis import clock
from services.inventory.models import Base, moment


class MenuItem(Base):
    """What is sold. `recipe` is a list of `{item_id, quantity}`; `modifier_groups` is described in `modifiers.py`."""

    __tablename__ = "menu_items"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    category: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    image_url: Mapped[str] = mapped_column(default="")
    position: Mapped[int] = mapped_column(default=0)
    price_amount: Mapped[int]
    price_currency: Mapped[str]
    recipe: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    modifier_groups: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list)
    tags: Mapped[list[str]] = mapped_column(JSONB, default=list)
    allergens: Mapped[list[str]] = mapped_column(JSONB, default=list)
    sold_out: Mapped[bool]
    version: Mapped[int]
    created_at: Mapped[datetime] = moment(default=clock.now)
    updated_at: Mapped[datetime] = moment(default=clock.now, onupdate=clock.now)
    deleted_at: Mapped[datetime | None] = moment()


class MenuItemSite(Base):
    """How a site sells a menu item, where it does not as the menu says."""

    __tablename__ = "menu_item_sites"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    menu_item_id: Mapped[UUID] = mapped_column(primary_key=True)
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    available: Mapped[bool]
    sold_out: Mapped[bool]
    # In the menu item's currency; none: what the menu says.
    price_amount: Mapped[int | None]
    version: Mapped[int]
    updated_at: Mapped[datetime] = moment(default=clock.now, onupdate=clock.now)


class MenuItemStock(Base):
    """What was last announced: whether the stock of a site allows no piece of a menu item."""

    __tablename__ = "menu_item_stock"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    menu_item_id: Mapped[UUID] = mapped_column(primary_key=True)
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    sold_out: Mapped[bool]
    changed_at: Mapped[datetime] = moment()
