"""The tables of what is promised."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.inventory.models import Base, moment


class Reservation(Base):
    """Stock promised to an order. `lines` are as priced when it was made."""

    __tablename__ = "reservations"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column("order_id", primary_key=True)
    site_id: Mapped[UUID]
    state: Mapped[int]
    lines: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    expires_at: Mapped[datetime] = moment()


class Pick(Base):
    """A quantity of one batch held for an order."""

    __tablename__ = "reservation_picks"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    batch_id: Mapped[UUID] = mapped_column(primary_key=True)
    item_id: Mapped[UUID]
    quantity: Mapped[int]
    reason: Mapped[str]
