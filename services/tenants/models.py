"""The tables of tenants."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis import clock


class Base(DeclarativeBase):
    """All tables of the service."""


class Changing:
    """What a thing that people change has. `version` grows with each change, and guards it."""

    version: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), default=clock.now, onupdate=clock.now)


class Tenant(Changing, Base):
    """A customer company."""

    __tablename__ = "tenants"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    slug: Mapped[str]
    currency: Mapped[str]


class Site(Changing, Base):
    """One of a tenant's places. A closed one is kept for the history."""

    __tablename__ = "sites"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    time_zone: Mapped[str]
    address: Mapped[str]
    deleted_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))


class Station(Changing, Base):
    """A work point in a site. A removed one is kept for the history."""

    __tablename__ = "stations"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    site_id: Mapped[UUID]
    name: Mapped[str]
    kind: Mapped[int]
    deleted_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
