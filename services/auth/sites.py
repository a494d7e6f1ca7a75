"""Whether sites exist, asked of tenants before a transaction begins."""

from collections.abc import Collection, Sequence
from typing import Any

from switchyard.tenants.v1 import sites_pb2

from chassis import errors


class Sites:
    """The open sites of the caller's tenant. `stub` is the one of tenants' `SitesService`."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    async def require(self, site_ids: Sequence[str], *, field: str) -> None:
        """Raise `Invalid` for those that the tenant does not have."""
        refuse(site_ids, await self.unknown(site_ids), field=field)

    async def require_one(self, site_id: str) -> None:
        """Raise `NotFound` unless the tenant has the site."""
        if await self.unknown([site_id]):
            raise errors.NotFound

    async def named(self, site_ids: Collection[str]) -> Sequence[Any]:
        """The open ones among these, or all of the tenant's, with their names."""
        found = await self._stub.ResolveSites(sites_pb2.ResolveSitesRequest(site_ids=site_ids))
        return sorted(found.sites, key=lambda site: site.name)

    async def unknown(self, site_ids: Collection[str]) -> Collection[str]:
        """Those that the tenant does not have."""
        if not site_ids:
            return ()
        found = await self._stub.ResolveSites(sites_pb2.ResolveSitesRequest(site_ids=site_ids))
        return {site.lower() for site in site_ids} - {site.id for site in found.sites}


def refuse(site_ids: Sequence[str], unknown: Collection[str], *, field: str) -> None:
    """Raise `Invalid` naming those of the sites that are unknown."""
    found = {f"{field}.{place}": ["is no site"] for place, site in enumerate(site_ids) if site.lower() in unknown}
    if found:
        raise errors.Invalid(fields=found)
