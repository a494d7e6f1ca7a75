"""The tables of the menu."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chassis import clock
from services.inventory.models import Base, moment


class MenuItem(Base):
    """What is sold. `recipe` is a list of `{item_id, quantity}`."""

    __tablename__ = "menu_items"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    category: Mapped[str]
    price_amount: Mapped[int]
    price_currency: Mapped[str]
    recipe: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    sold_out: Mapped[bool]
    version: Mapped[int]
    created_at: Mapped[datetime] = moment(default=clock.now)
    updated_at: Mapped[datetime] = moment(default=clock.now, onupdate=clock.now)
    deleted_at: Mapped[datetime | None] = moment()
