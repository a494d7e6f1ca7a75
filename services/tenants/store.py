"""The queries of tenants."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.identity import Principal
from services.tenants.models import Site, Station, Tenant


def tenants(q: str) -> "sa.Select[Any]":
    """Tenants whose name has `q` in it."""
    select = sa.select(Tenant)
    return select.where(Tenant.name.icontains(q, autoescape=True)) if q else select


def sites(principal: Principal, q: str = "") -> "sa.Select[Any]":
    """Open sites that the principal may see, whose name has `q` in it."""
    select = sa.select(Site).where(Site.deleted_at.is_(None))
    if principal.sites:
        select = select.where(Site.id.in_([UUID(site) for site in principal.sites]))
    return select.where(Site.name.icontains(q, autoescape=True)) if q else select


def stations(principal: Principal, site_id: str | UUID | None = None) -> "sa.Select[Any]":
    """Stations that the principal may see, of one site or of all."""
    select = sa.select(Station).where(Station.deleted_at.is_(None))
    if principal.sites:
        select = select.where(Station.site_id.in_([UUID(site) for site in principal.sites]))
    # A station is closed with its site.
    select = select.where(Station.site_id.in_(sa.select(Site.id).where(Site.deleted_at.is_(None))))
    return select.where(Station.site_id == UUID(str(site_id))) if site_id else select


async def tenant(session: AsyncSession, tenant_id: str, *, lock: bool) -> Tenant | None:
    """One tenant."""
    select = sa.select(Tenant).where(Tenant.id == UUID(tenant_id))
    found: Tenant | None = await session.scalar(select.with_for_update() if lock else select)
    return found


async def site(session: AsyncSession, principal: Principal, site_id: str, *, lock: bool) -> Site | None:
    """One open site that the principal may see."""
    select = sites(principal).where(Site.id == UUID(site_id))
    found: Site | None = await session.scalar(select.with_for_update() if lock else select)
    return found


async def station(session: AsyncSession, principal: Principal, station_id: str, *, lock: bool) -> Station | None:
    """One station that the principal may see."""
    select = stations(principal).where(Station.id == UUID(station_id))
    found: Station | None = await session.scalar(select.with_for_update() if lock else select)
    return found
