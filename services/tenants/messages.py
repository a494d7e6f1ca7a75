"""Rows as messages."""

from collections.abc import Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any, TypeVar
from uuid import UUID

import orjson
from google.protobuf.struct_pb2 import Struct
from switchyard.tenants.v1 import settings_pb2, sites_pb2, tenants_pb2

from services.tenants.models import Changing, Site, Station, Tenant

LIMITS = ("sites_max", "stations_max", "users_max")

Dated = TypeVar("Dated", tenants_pb2.Tenant, sites_pb2.Site, sites_pb2.Station)


def tenant(row: Tenant) -> tenants_pb2.Tenant:
    """A tenant, as the platform's operators see it."""
    message = tenants_pb2.Tenant(
        id=str(row.id),
        name=row.name,
        slug=row.slug,
        currency=row.currency,
        status=row.status,  # type: ignore[arg-type] # the generated types know no number
        suspend_reason=row.suspend_reason,
        limits=limits(row),
    )
    return _dated(message, row)


def config(row: Tenant) -> tenants_pb2.TenantConfig:
    """How a tenant is set up, as its people and machines see it."""
    message = tenants_pb2.TenantConfig(
        tenant_id=str(row.id),
        branding=tenants_pb2.Branding(
            name=row.brand_name or row.name, primary_color=row.primary_color, logo_url=row.logo_url
        ),
        features=row.features,
        limits=limits(row),
        locale=row.locale,
        currency=row.currency,
        time_zone=row.time_zone,
        version=row.version,
    )
    message.updated_at.FromDatetime(row.updated_at)
    return message


def limits(row: Tenant) -> tenants_pb2.Limits:
    """How much a tenant may have."""
    return tenants_pb2.Limits(sites_max=row.sites_max, stations_max=row.stations_max, users_max=row.users_max)


def site(row: Site) -> sites_pb2.Site:
    """A site."""
    return _dated(sites_pb2.Site(id=str(row.id), name=row.name, time_zone=row.time_zone, address=row.address), row)


def station(row: Station) -> sites_pb2.Station:
    """A station."""
    message = sites_pb2.Station(
        id=str(row.id),
        site_id=str(row.site_id),
        name=row.name,
        kind=row.kind,  # type: ignore[arg-type] # the generated types know no number
    )
    return _dated(message, row)


def setting(key: str, station_id: UUID | None, value: dict[str, Any], version: int) -> settings_pb2.Setting:
    """A settings document that nobody has signed yet."""
    station = str(station_id) if station_id else ""
    return settings_pb2.Setting(key=key, station_id=station, value=struct(value), version=version)


def signed(message: Any, *, updated_at: datetime, updated_by: str) -> Any:
    """The message with when it was written, and by whom."""
    message.updated_at.FromDatetime(updated_at)
    message.updated_by = updated_by
    return message


def read(records: Sequence[Any], *, documents: Sequence[str] = ()) -> Any:
    """The first record of a hot read as a row, with JSON columns parsed; None without one."""
    if not records:
        return None
    row = SimpleNamespace(**records[0])
    for name in documents:
        setattr(row, name, orjson.loads(getattr(row, name)))
    return row


def struct(value: dict[str, Any]) -> Struct:
    """Free JSON."""
    message = Struct()
    message.update(value)
    return message


def _dated(message: Dated, row: Changing) -> Dated:
    message.version = row.version
    message.created_at.FromDatetime(row.created_at)
    message.updated_at.FromDatetime(row.updated_at)
    return message


def resolved(record: Any) -> sites_pb2.ResolvedSite:
    """What other services want to know of a site."""
    stations = map(str, record["station_ids"])
    return sites_pb2.ResolvedSite(
        id=str(record["id"]), name=record["name"], time_zone=record["time_zone"], station_ids=stations
    )
