"""tenants through a real server."""

import asyncio
from typing import Any

import pytest
from switchyard.tenants.v1 import sites_pb2, sites_pb2_grpc, tenants_pb2_grpc
from switchyard.tenants.v1 import tenants_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.identity import Principal
from chassis.testing import Serve, Tenant
from services.tenants.__main__ import build

OPERATOR = Principal(
    "user", str(uuid7()), None, permissions=frozenset({"platform.tenants.read", "platform.tenants.write"})
)


async def _stub(serve: Serve, principal: Principal, **told: str) -> Any:
    return tenants_pb2_grpc.TenantsServiceStub((await serve("tenants", build)).channel(principal, **told))


async def _sites(serve: Serve, principal: Principal, **told: str) -> Any:
    return sites_pb2_grpc.SitesServiceStub((await serve("tenants", build)).channel(principal, **told))


def _site(**values: Any) -> sites_pb2.CreateSiteRequest:
    return sites_pb2.CreateSiteRequest(site=sites_pb2.Site(**({"name": "Harbour Street"} | values)))


class TestTenants:
    async def test_an_operator_creates_and_finds(self, serve: Serve) -> None:
        stub = await _stub(serve, OPERATOR)
        slug = f"t-{uuid7()}"

        created = await stub.CreateTenant(pb.CreateTenantRequest(tenant=pb.Tenant(name="Northern", slug=slug)))

        assert (await stub.GetTenant(pb.GetTenantRequest(id=created.id))).slug == slug
        assert created.currency == "USD"

    async def test_a_slug_is_taken_once(self, serve: Serve) -> None:
        stub = await _stub(serve, OPERATOR)
        request = pb.CreateTenantRequest(tenant=pb.Tenant(name="Northern", slug=f"t-{uuid7()}"))

        answers = await asyncio.gather(*(stub.CreateTenant(request) for _ in range(10)), return_exceptions=True)

        assert sorted(type(answer).__name__ for answer in answers) == ["AlreadyExists"] * 9 + ["Tenant"]

    async def test_an_administrator_is_no_operator(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant.user(permissions={"*"}))

        with pytest.raises(errors.Denied):
            await stub.ListTenants(pb.ListTenantsRequest())


class TestSites:
    async def test_anothers_site_is_not_found(self, serve: Serve, tenant: Tenant) -> None:
        site = await (await _sites(serve, tenant.user())).CreateSite(_site())
        stranger = await _sites(serve, Tenant().user())

        for attempt in (
            stranger.GetSite(sites_pb2.GetSiteRequest(id=site.id)),
            stranger.DeleteSite(sites_pb2.DeleteSiteRequest(id=site.id)),
            stranger.ListStations(sites_pb2.ListStationsRequest(site_id=site.id)),
        ):
            with pytest.raises(errors.NotFound):
                await attempt

    async def test_a_name_is_taken_once_and_free_again_when_closed(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _sites(serve, tenant.user())
        first = await stub.CreateSite(_site())
        with pytest.raises(errors.AlreadyExists):
            await stub.CreateSite(_site(name="HARBOUR street"))
        await stub.DeleteSite(sites_pb2.DeleteSiteRequest(id=first.id))

        again = await stub.CreateSite(_site())

        assert [site.id for site in (await stub.ListSites(sites_pb2.ListSitesRequest())).sites] == [again.id]

    async def test_an_unknown_time_zone_is_refused(self, serve: Serve, tenant: Tenant) -> None:
        with pytest.raises(errors.Invalid) as invalid:
            await (await _sites(serve, tenant.user())).CreateSite(_site(time_zone="Mars/Olympus"))

        assert list(invalid.value.fields) == ["time_zone"]

    async def test_who_is_limited_to_a_site_sees_no_other(self, serve: Serve, tenant: Tenant) -> None:
        everywhere = await _sites(serve, tenant.user())
        own, other = await everywhere.CreateSite(_site(name="A")), await everywhere.CreateSite(_site(name="B"))
        limited = await _sites(serve, tenant.user(sites=[own.id]))

        listed = await limited.ListSites(sites_pb2.ListSitesRequest())

        assert [site.id for site in listed.sites] == [own.id]
        with pytest.raises(errors.NotFound):
            await limited.GetSite(sites_pb2.GetSiteRequest(id=other.id))

    async def test_only_what_is_named_changes(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _sites(serve, tenant.user(), switchyard_expected_version="1")
        site = await stub.CreateSite(_site(address="Pier 1", time_zone="Europe/Stockholm"))
        request = sites_pb2.UpdateSiteRequest(id=site.id, site=sites_pb2.Site(name="New", address="ignored"))
        request.update_mask.paths.append("name")

        changed = await stub.UpdateSite(request)

        assert (changed.name, changed.address, changed.version) == ("New", "Pier 1", 2)
        with pytest.raises(errors.StaleVersion):
            await stub.UpdateSite(request)

    async def test_what_changes_nothing_keeps_its_version(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _sites(serve, tenant.user())
        site = await stub.CreateSite(_site())
        request = sites_pb2.UpdateSiteRequest(id=site.id, site=sites_pb2.Site(name=site.name))
        request.update_mask.paths.append("name")

        assert (await stub.UpdateSite(request)).version == 1


class TestStations:
    async def test_a_station_stands_in_its_site(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _sites(serve, tenant.user())
        site = await stub.CreateSite(_site())
        station = sites_pb2.Station(name="Bar 1", kind=sites_pb2.STATION_KIND_BAR)

        created = await stub.CreateStation(sites_pb2.CreateStationRequest(site_id=site.id, station=station))

        listed = await stub.ListStations(sites_pb2.ListStationsRequest(site_id=site.id))
        assert [(one.id, one.site_id, one.kind) for one in listed.stations] == [
            (created.id, site.id, sites_pb2.STATION_KIND_BAR)
        ]

    async def test_a_removed_station_is_not_found(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _sites(serve, tenant.user())
        site = await stub.CreateSite(_site())
        station = sites_pb2.Station(name="Bar 1", kind=sites_pb2.STATION_KIND_BAR)
        created = await stub.CreateStation(sites_pb2.CreateStationRequest(site_id=site.id, station=station))

        await stub.DeleteStation(sites_pb2.DeleteStationRequest(id=created.id))

        with pytest.raises(errors.NotFound):
            await stub.GetStation(sites_pb2.GetStationRequest(id=created.id))
