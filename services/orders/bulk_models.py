"""The tables of bulk orders."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.orders.models import Base


class BulkOrder(Base):
    """Many orders as one. `due_at`: when somebody looks after it next; ahead of now while somebody does."""

    __tablename__ = "bulk_orders"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    site_id: Mapped[UUID]
    name: Mapped[str]
    organisation: Mapped[str]
    event: Mapped[str]
    owner_id: Mapped[UUID | None]
    created_by: Mapped[str]
    wanted_at: Mapped[datetime | None]
    status: Mapped[str]
    order_count: Mapped[int]
    placed_percent: Mapped[int]
    ended_percent: Mapped[int]
    # Rounds in a row in which nothing could be placed.
    tries: Mapped[int] = mapped_column(info={"untold": True})
    due_at: Mapped[datetime] = mapped_column(info={"untold": True})
    # What must be equal for two bulk orders with one id to be the same.
    fingerprint: Mapped[bytes] = mapped_column(info={"untold": True})
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class BulkEntry(Base):
    """One order of a bulk order. `tried_at` is set before it is placed: what was tried may have become an order."""

    __tablename__ = "bulk_entries"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    bulk_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[UUID]
    customer_name: Mapped[str]
    notes: Mapped[str]
    lines: Mapped[list[Any]] = mapped_column(JSONB)
    state: Mapped[str]
    code: Mapped[str]
    message: Mapped[str]
    tried_at: Mapped[datetime | None]
