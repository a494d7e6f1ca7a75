"""Sites and stations: opened within the tenant's limits, changed, and closed for good."""

from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.tenants.v1 import events_pb2
from switchyard.tenants.v1 import sites_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import call, clock, errors, events
from services.tenants import checks, messages, store, tenants
from services.tenants.models import Site, Station

LIMIT_EXCEEDED = "LIMIT_EXCEEDED"

Row = TypeVar("Row", Site, Station)


async def create(session: AsyncSession, told: pb.Site) -> Site:
    """Open a site. Raises `AlreadyExists` for its name, `Invalid`, `Denied`, `Conflict` (`LIMIT_EXCEEDED`)."""
    principal = call.current().principal
    checks.whole_tenant(principal)
    # The lock on the tenant's row makes those who open sites count one after the other.
    tenant = await tenants.own(session, lock=True)
    _within("sites_max", tenant.sites_max, await store.count_sites(session))
    zone = checks.time_zone(told.time_zone or tenant.time_zone, "site.time_zone")
    row = Site(tenant_id=principal.tenant, id=uuid7(), name=told.name, time_zone=zone, address=told.address, version=1)
    session.add(row)
    await session.flush()
    _tell_of_site(session, row, events_pb2.SiteCreated(site=messages.site(row)))
    return row


async def get(session: AsyncSession, site_id: str, *, lock: bool = False) -> Site:
    """One open site. Raises `NotFound`."""
    return _found(await store.site(session, call.current().principal, site_id, lock=lock))


async def change(session: AsyncSession, site_id: str, told: pb.Site, paths: Sequence[str]) -> Site:
    """Change a site's named fields. Raises `NotFound`, `StaleVersion`, `AlreadyExists`, `Invalid`."""
    row = await get(session, site_id, lock=True)
    call.current().require_version(row.version)
    _set(row, told, [path for path in paths if path != "time_zone"], "site")
    if "time_zone" in paths:
        zone = told.time_zone or (await tenants.own(session)).time_zone
        row.time_zone = checks.time_zone(zone, "site.time_zone")
    if session.is_modified(row):
        row.version += 1
        await session.flush()
        _tell_of_site(session, row, events_pb2.SiteUpdated(site=messages.site(row)))
    return row


async def close(session: AsyncSession, site_id: str) -> None:
    """Close a site, if it is not closed already. Raises `NotFound`, `StaleVersion`."""
    row = _found(await store.site(session, call.current().principal, site_id, lock=True, closed=True))
    if _goes(row):
        _tell_of_site(session, row, events_pb2.SiteDeleted(site_id=site_id))


async def create_station(session: AsyncSession, site_id: str, told: pb.Station) -> Station:
    """Create a station in a site. Raises as `create`, and `NotFound` for the site."""
    tenant = await tenants.own(session, lock=True)
    # While somebody closes the site, nobody builds in it.
    site = await get(session, site_id, lock=True)
    _within("stations_max", tenant.stations_max, await store.count_stations(session))
    row = Station(tenant_id=site.tenant_id, id=uuid7(), site_id=site.id, name=told.name, kind=told.kind, version=1)
    session.add(row)
    await session.flush()
    _tell_of_station(session, row, events_pb2.StationCreated(station=messages.station(row)))
    return row


async def get_station(session: AsyncSession, station_id: str, *, lock: bool = False) -> Station:
    """One station. Raises `NotFound`."""
    return _found(await store.station(session, call.current().principal, station_id, lock=lock))


async def change_station(session: AsyncSession, station_id: str, told: pb.Station, paths: Sequence[str]) -> Station:
    """Change a station's named fields. Raises `NotFound`, `StaleVersion`, `AlreadyExists`."""
    row = await get_station(session, station_id, lock=True)
    call.current().require_version(row.version)
    _set(row, told, paths, "station")
    if session.is_modified(row):
        row.version += 1
        await session.flush()
        _tell_of_station(session, row, events_pb2.StationUpdated(station=messages.station(row)))
    return row


async def close_station(session: AsyncSession, station_id: str) -> None:
    """Remove a station, if it is not gone already. Raises `NotFound`, `StaleVersion`."""
    row = _found(await store.station(session, call.current().principal, station_id, lock=True, closed=True))
    if _goes(row):
        gone = events_pb2.StationDeleted(station_id=station_id, site_id=str(row.site_id))
        _tell_of_station(session, row, gone)


def _found(row: Row | None) -> Row:
    if row is None:
        raise errors.NotFound
    return row


def _goes(row: Site | Station) -> bool:
    """Take a thing out of use; whether it still was in use."""
    if row.deleted_at is not None:
        return False
    call.current().require_version(row.version)
    row.deleted_at = clock.now()
    row.version += 1
    return True


def _set(row: Site | Station, told: pb.Site | pb.Station, paths: Sequence[str], of: str) -> None:
    for path in paths:
        if "." in path:
            raise errors.Invalid(fields={f"{of}.{path}": ["is not a field"]})
        setattr(row, path, getattr(told, path))


def _within(name: str, limit: int | None, there_are: int) -> None:
    if limit is not None and there_are >= limit:
        message = f"the tenant may have {limit} of them and has {there_are}"
        raise errors.Conflict(message, code=LIMIT_EXCEEDED, metadata={"limit": name, "max": str(limit)})


def _tell_of_site(
    session: AsyncSession, row: Site, event: events_pb2.SiteCreated | events_pb2.SiteUpdated | events_pb2.SiteDeleted
) -> None:
    """Whoever may not see the site does not hear of it."""
    events.publish(session, event, subject=f"sites/{row.id}", audience=[f"site:{row.id}"])


def _tell_of_station(
    session: AsyncSession,
    row: Station,
    event: events_pb2.StationCreated | events_pb2.StationUpdated | events_pb2.StationDeleted,
) -> None:
    audience = [f"site:{row.site_id}", f"station:{row.id}"]
    events.publish(session, event, subject=f"stations/{row.id}", audience=audience)
