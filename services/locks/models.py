"""The tables of locks."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables of the service."""


class Lock(Base):
    """A lock, held or not. `lease_id` names the last lease; it is over when `expires_at` is past or null."""

    __tablename__ = "locks"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column("name", primary_key=True)
    lease_id: Mapped[UUID] = mapped_column(info={"sensitive": True})
    holder: Mapped[str]
    token: Mapped[int]
    timeout_s: Mapped[int]
    acquired_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
