"""The heart of tenants: companies, sites and stations, and what may be changed of them."""

import zoneinfo
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.tenants.v1 import sites_pb2 as sites_pb
from switchyard.tenants.v1 import tenants_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import call, clock, errors
from services.tenants import store
from services.tenants.models import Site, Station, Tenant

CURRENCY_DEFAULT = "USD"
TIME_ZONE_DEFAULT = "UTC"

Row = TypeVar("Row", Tenant, Site, Station)


async def create_tenant(session: AsyncSession, told: pb.Tenant) -> Tenant:
    """Create a tenant. Raises `AlreadyExists` when the slug is taken."""
    row = Tenant(id=uuid7(), name=told.name, slug=told.slug, currency=told.currency or CURRENCY_DEFAULT, version=1)
    return await _added(session, row)


async def get_tenant(session: AsyncSession, tenant_id: str, *, lock: bool = False) -> Tenant:
    """One tenant. Raises `NotFound`."""
    return _found(await store.tenant(session, tenant_id, lock=lock))


async def create_site(session: AsyncSession, told: sites_pb.Site) -> Site:
    """Create a site. Raises `AlreadyExists` when the name is taken, `Invalid` for an unknown time zone."""
    principal = call.current().principal
    if principal.sites:
        message = "whoever is limited to some sites cannot open another"
        raise errors.Denied(message)
    zone = told.time_zone or TIME_ZONE_DEFAULT
    _check_time_zone(zone)
    row = Site(tenant_id=principal.tenant, id=uuid7(), name=told.name, time_zone=zone, address=told.address, version=1)
    return await _added(session, row)


async def get_site(session: AsyncSession, site_id: str, *, lock: bool = False) -> Site:
    """One site. Raises `NotFound`."""
    return _found(await store.site(session, call.current().principal, site_id, lock=lock))


async def create_station(session: AsyncSession, site_id: str, told: sites_pb.Station) -> Station:
    """Create a station in a site. Raises `NotFound` for the site, `AlreadyExists` when the name is taken."""
    site = await get_site(session, site_id, lock=True)
    row = Station(tenant_id=site.tenant_id, id=uuid7(), site_id=site.id, name=told.name, kind=told.kind, version=1)
    return await _added(session, row)


async def get_station(session: AsyncSession, station_id: str, *, lock: bool = False) -> Station:
    """One station. Raises `NotFound`."""
    return _found(await store.station(session, call.current().principal, station_id, lock=lock))


async def change(session: AsyncSession, row: Any, told: Any, paths: Sequence[str]) -> None:
    """Change the named fields of a locked row. Raises `StaleVersion`, `AlreadyExists`, `Invalid`."""
    call.current().require_version(row.version)
    for name in paths:
        value = getattr(told, name)
        if name == "time_zone":
            value = value or TIME_ZONE_DEFAULT
            _check_time_zone(value)
        elif name == "currency":
            value = value or CURRENCY_DEFAULT
        setattr(row, name, value)
    if session.is_modified(row):
        row.version += 1
    await session.flush()


def close(row: Site | Station) -> None:
    """Take a site or station out of use."""
    call.current().require_version(row.version)
    row.deleted_at = clock.now()
    row.version += 1


@cache
def _time_zones() -> set[str]:
    # Read from the disk: ten milliseconds.
    return zoneinfo.available_timezones()


def _check_time_zone(name: str) -> None:
    if name not in _time_zones():
        raise errors.Invalid(fields={"time_zone": [f"{name} is not an IANA time zone"]})


async def _added(session: AsyncSession, row: Row) -> Row:
    session.add(row)
    await session.flush()
    return row


def _found(row: Row | None) -> Row:
    if row is None:
        raise errors.NotFound
    return row
