"""The queries of tenants, their sites and stations."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Query
from chassis.identity import Principal
from services.tenants.models import Site, Station, Tenant

# More than any chain has; the answer is still one message.
RESOLVED_MAX = 10_000

_ONE: sa.ColumnElement[int] = sa.literal_column("1")
_ID = sa.bindparam("id", type_=sa.Uuid)
# What every screen reads as it opens.
TENANT = Query(sa.select(*Tenant.__table__.columns).where(Tenant.id == _ID).limit(_ONE))
SITE = Query(sa.select(*Site.__table__.columns).where(Site.deleted_at.is_(None), Site.id == _ID).limit(_ONE))

_stations = sa.select(Station.id).where(
    Station.tenant_id == Site.tenant_id, Station.site_id == Site.id, Station.deleted_at.is_(None)
)
_RESOLVED: list[Any] = [
    Site.id,
    Site.name,
    Site.time_zone,
    sa.func.array(_stations.scalar_subquery()).label("station_ids"),
]
_OPEN = sa.select(*_RESOLVED).where(Site.deleted_at.is_(None)).order_by(Site.name, Site.id)
_LIMIT: sa.ColumnElement[int] = sa.literal_column(str(RESOLVED_MAX))
# Other services ask for these at every sign-in: see `chassis.db.Query`.
OPEN_SITES = Query(_OPEN.limit(_LIMIT))
OPEN_SITES_BY_ID = Query(_OPEN.where(Site.id == sa.func.any(sa.bindparam("ids", type_=ARRAY(sa.Uuid)))).limit(_LIMIT))


def tenants(q: str, status: int | None) -> "sa.Select[Any]":
    """Tenants whose name or slug has `q` in it."""
    select = sa.select(Tenant)
    if status is not None:
        select = select.where(Tenant.status == status)
    if not q:
        return select
    return select.where(Tenant.name.icontains(q, autoescape=True) | Tenant.slug.icontains(q, autoescape=True))


def sites(principal: Principal, *, q: str = "", time_zone: str = "", closed: bool = False) -> "sa.Select[Any]":
    """Sites that the principal may see, whose name or address has `q` in it; closed ones only where they are asked for.

    The tenant is named besides row-level security: its index is what is read.
    """
    select = sa.select(Site).where(Site.tenant_id == principal.tenant)
    if not closed:
        select = select.where(Site.deleted_at.is_(None))
    if principal.sites:
        select = select.where(Site.id.in_([UUID(site) for site in principal.sites]))
    if time_zone:
        select = select.where(Site.time_zone == time_zone)
    if not q:
        return select
    return select.where(Site.name.icontains(q, autoescape=True) | Site.address.icontains(q, autoescape=True))


def stations(principal: Principal, *, closed: bool = False) -> "sa.Select[Any]":
    """Stations that the principal may see; those that are gone, or whose site is, only where they are asked for."""
    select = sa.select(Station).where(Station.tenant_id == principal.tenant)
    if not closed:
        # A station is closed with its site.
        open_sites = sa.select(Site.id).where(Site.tenant_id == principal.tenant, Site.deleted_at.is_(None))
        select = select.where(Station.deleted_at.is_(None), Station.site_id.in_(open_sites))
    if principal.sites:
        select = select.where(Station.site_id.in_([UUID(site) for site in principal.sites]))
    return select


def stations_of(principal: Principal, site_id: UUID, *, q: str, kind: int | None) -> "sa.Select[Any]":
    """Stations of one site, whose name has `q` in it."""
    select = stations(principal).where(Station.site_id == site_id)
    if kind is not None:
        select = select.where(Station.kind == kind)
    return select.where(Station.name.icontains(q, autoescape=True)) if q else select


async def tenant(session: AsyncSession, tenant_id: UUID, *, lock: bool = False) -> Tenant | None:
    """One tenant."""
    select = sa.select(Tenant).where(Tenant.id == tenant_id)
    found: Tenant | None = await session.scalar(select.with_for_update() if lock else select)
    return found


async def site(
    session: AsyncSession, principal: Principal, site_id: str, *, lock: bool = False, closed: bool = False
) -> Site | None:
    """One site that the principal may see."""
    select = sites(principal, closed=closed).where(Site.id == UUID(site_id))
    found: Site | None = await session.scalar(select.with_for_update() if lock else select)
    return found


async def station(
    session: AsyncSession, principal: Principal, station_id: str, *, lock: bool = False, closed: bool = False
) -> Station | None:
    """One station that the principal may see."""
    select = stations(principal, closed=closed).where(Station.id == UUID(station_id))
    found: Station | None = await session.scalar(select.with_for_update(of=Station) if lock else select)
    return found


async def count_sites(session: AsyncSession) -> int:
    """How many sites of the tenant are open."""
    return await session.scalar(sa.select(sa.func.count()).select_from(Site).where(Site.deleted_at.is_(None))) or 0


async def count_stations(session: AsyncSession) -> int:
    """How many stations stand in open sites of the tenant."""
    places = sa.join(Station, Site, (Site.tenant_id == Station.tenant_id) & (Site.id == Station.site_id))
    select = sa.select(sa.func.count()).select_from(places)
    return await session.scalar(select.where(Station.deleted_at.is_(None), Site.deleted_at.is_(None))) or 0
