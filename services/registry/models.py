"""The tables of registry."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables of the service."""


class Contract(Base):
    """A contract by its digest; never changed."""

    __tablename__ = "contracts"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)
    descriptor_set: Mapped[bytes]


class HistoryEntry(Base):
    """One change of an instance."""

    __tablename__ = "history"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    service: Mapped[str]
    instance_id: Mapped[UUID]
    from_state: Mapped[int]
    to_state: Mapped[int]
    reason: Mapped[str]
    occurred_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    health_score: Mapped[int]
    # The revision of the bucket that the change was.
    revision: Mapped[int] = mapped_column(sa.BigInteger)
    # The whole instance after the change: a serialized `switchyard.registry.v1.Instance`.
    instance: Mapped[bytes]
