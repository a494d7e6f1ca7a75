"""The tables of tenants."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis import clock

CURRENCY_DEFAULT = "USD"
LOCALE_DEFAULT = "en-US"
TIME_ZONE_DEFAULT = "UTC"


class Base(DeclarativeBase):
    """All tables of the service."""


class Changing:
    """What a thing that people change has. `version` grows with each change, and guards it."""

    version: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), default=clock.now, onupdate=clock.now)


class Tenant(Changing, Base):
    """A customer company, its limits (None: none) and how it is set up. A reason stands there while it is suspended."""

    __tablename__ = "tenants"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    slug: Mapped[str]
    currency: Mapped[str]
    status: Mapped[int]
    suspend_reason: Mapped[str] = mapped_column(default="")
    sites_max: Mapped[int | None]
    stations_max: Mapped[int | None]
    users_max: Mapped[int | None]
    brand_name: Mapped[str] = mapped_column(default="")
    primary_color: Mapped[str] = mapped_column(default="")
    logo_url: Mapped[str] = mapped_column(default="")
    features: Mapped[dict[str, bool]] = mapped_column(JSONB, default=dict)
    locale: Mapped[str] = mapped_column(default=LOCALE_DEFAULT)
    time_zone: Mapped[str] = mapped_column(default=TIME_ZONE_DEFAULT)


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


class Setting(Base):
    """A settings document as it is now. `name` is its kind, with `/` and the station where it belongs to one."""

    __tablename__ = "settings"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str]
    station_id: Mapped[UUID | None]
    value: Mapped[dict[str, Any]] = mapped_column(JSONB)
    version: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    updated_by: Mapped[str]


class SettingVersion(Base):
    """A settings document as it was written once. Rows are only ever added."""

    __tablename__ = "setting_versions"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[dict[str, Any]] = mapped_column(JSONB)
    updated_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    updated_by: Mapped[str]
