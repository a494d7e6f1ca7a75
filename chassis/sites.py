"""The sites of a tenant, for services that keep things of theirs: asked of tenants once a minute at most.

Ask before a transaction begins. A site that has been closed is taken for open a minute longer; one that is new is found
at once.
"""

import time
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from switchyard.tenants.v1 import sites_pb2

from chassis import call, errors

FRESH_S: Final = 60.0
# Sites that are remembered; when there are more, all are forgotten.
KNOWN_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Site:
    """A site and the stations in it."""

    id: UUID
    name: str
    time_zone: ZoneInfo
    stations: frozenset[UUID]


class Sites:
    """The open sites of the callers' tenants. `stub` is the one of tenants' `SitesService`."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub
        self._known: dict[tuple[UUID, UUID], tuple[float, Site]] = {}

    async def get(self, site_id: UUID | str) -> Site:
        """One site. Raises `NotFound` when the tenant does not have it, or the caller may not see it."""
        wanted = site_id if isinstance(site_id, UUID) else UUID(site_id)
        principal = call.current().principal
        if not principal.may_see_site(wanted):
            raise errors.NotFound
        asked_at, site = self._known.get((principal.tenant, wanted), (0.0, None))
        if site is None or time.monotonic() - asked_at > FRESH_S:
            site = await self._ask(principal.tenant, wanted, site)
        return site

    async def with_station(self, station_id: UUID | str) -> Site:
        """The site that a station is in. Raises `NotFound` as `get` does."""
        wanted = station_id if isinstance(station_id, UUID) else UUID(station_id)
        tenant = call.current().principal.tenant
        for (of_tenant, site_id), (_, site) in tuple(self._known.items()):
            if of_tenant == tenant and wanted in site.stations:
                # What is known may be old: a station that is gone is looked for once more.
                found = await self.get(site_id)
                if wanted in found.stations:
                    return found
        for told in await self._resolve([]):
            site = self._keep(tenant, told)
            if wanted in site.stations:
                return await self.get(site.id)
        raise errors.NotFound

    async def all(self) -> list[Site]:
        """Every open site of the tenant, for whoever has something to tell at all of them."""
        tenant = call.current().principal.tenant
        return [self._keep(tenant, found) for found in await self._resolve([])]

    async def _ask(self, tenant: UUID, wanted: UUID, known: Site | None) -> Site:
        try:
            found = await self._resolve([str(wanted)])
        except errors.Unavailable:
            if known is not None:
                return known
            raise
        if not found:
            self._known.pop((tenant, wanted), None)
            raise errors.NotFound
        return self._keep(tenant, found[0])

    async def _resolve(self, site_ids: list[str]) -> Any:
        return (await self._stub.ResolveSites(sites_pb2.ResolveSitesRequest(site_ids=site_ids))).sites

    def _keep(self, tenant: UUID, found: Any) -> Site:
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        stations = frozenset(map(UUID, found.station_ids))
        site = Site(UUID(found.id), found.name, ZoneInfo(found.time_zone or "UTC"), stations)
        self._known[tenant, site.id] = (time.monotonic(), site)
        return site
