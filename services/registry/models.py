"""The tables of registry."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables of the service."""


class Instance(Base):
    """A registered instance, until it is gone."""

    __tablename__ = "instances"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    service: Mapped[str]
    epoch: Mapped[int]
    state: Mapped[int]
    contract_digest: Mapped[str]
    address: Mapped[str]
    # The instance as registered: a serialized `switchyard.registry.v1.Instance`.
    told: Mapped[bytes]
    registered_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class Contract(Base):
    """A contract by its digest; never changed."""

    __tablename__ = "contracts"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)
    descriptor_set: Mapped[bytes]


class HistoryEntry(Base):
    """One change of an instance's state."""

    __tablename__ = "history"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    service: Mapped[str]
    instance_id: Mapped[UUID]
    from_state: Mapped[int]
    to_state: Mapped[int]
    reason: Mapped[str]
    occurred_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
