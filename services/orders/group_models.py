"""The tables of group orders."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.orders.models import Base


class GroupOrder(Base):
    """A group order. `due_at`: when it is locked by itself, or closed if nobody submits it."""

    __tablename__ = "group_orders"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    site_id: Mapped[UUID]
    site_name: Mapped[str]
    name: Mapped[str]
    # Whoever has it joins: it is for the invited, not for the trail.
    code: Mapped[str] = mapped_column(info={"sensitive": True})
    host_name: Mapped[str]
    created_by: Mapped[str]
    status: Mapped[str]
    deadline: Mapped[datetime]
    # How often it was submitted; each time is an order of its own.
    attempts: Mapped[int]
    order_id: Mapped[UUID | None]
    rejection: Mapped[str]
    rejection_message: Mapped[str]
    outcome: Mapped[str]
    participant_count: Mapped[int]
    line_count: Mapped[int]
    due_at: Mapped[datetime] = mapped_column(info={"untold": True})
    # What must be equal for two group orders with one id to be the same.
    fingerprint: Mapped[bytes] = mapped_column(info={"untold": True})
    version: Mapped[int] = mapped_column()
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    # Every change is `UPDATE ... WHERE version = <the one that was read>` and counts the version up.
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - declared so by SQLAlchemy


class GroupParticipant(Base):
    """Somebody who joined, and what they want."""

    __tablename__ = "group_participants"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    group_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    lines: Mapped[list[Any]] = mapped_column(JSONB)
    line_count: Mapped[int]
    token_digest: Mapped[bytes] = mapped_column(info={"untold": True})
    joined_at: Mapped[datetime]
