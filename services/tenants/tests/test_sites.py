"""Sites and stations: within the tenant's limits, within the caller's sites, and gone for good when they are closed."""

import asyncio
from typing import Any

import pytest
from switchyard.tenants.v1 import sites_pb2 as pb
from switchyard.tenants.v1 import tenants_pb2
from uuid_utils.compat import uuid7

from chassis import errors
from services.tenants.tests.support import BAR, Company, Stubs, for_station, masked


def _names(answers: list[Any]) -> list[str]:
    return sorted(type(answer).__name__ for answer in answers)


async def _listed(stub: Stubs, **more: Any) -> list[str]:
    return [site.name for site in (await stub.ListSites(pb.ListSitesRequest(**more))).sites]


async def _limit(company: Company, **limits: int) -> None:
    told = tenants_pb2.Tenant(limits=tenants_pb2.Limits(**limits))
    request = tenants_pb2.UpdateTenantRequest(id=company.id, tenant=told)
    await company.operator().UpdateTenant(masked(request, *(f"limits.{name}" for name in limits)))


class TestCreateSite:
    async def test_in_the_tenants_time_zone_unless_told(self, company: Company) -> None:
        config = tenants_pb2.TenantConfig(time_zone="Europe/Stockholm")
        await company.user().UpdateTenantConfig(
            masked(tenants_pb2.UpdateTenantConfigRequest(config=config), "time_zone")
        )

        usual, own = await company.site("A"), await company.site("B", time_zone="America/New_York")

        assert (usual.time_zone, own.time_zone) == ("Europe/Stockholm", "America/New_York")

    async def test_an_unknown_time_zone_is_refused(self, company: Company) -> None:
        with pytest.raises(errors.Invalid) as invalid:
            await company.site(time_zone="Mars/Olympus")

        assert list(invalid.value.fields) == ["site.time_zone"]

    async def test_a_name_is_taken_once_and_free_again_when_closed(self, company: Company) -> None:
        first = await company.site()
        with pytest.raises(errors.AlreadyExists):
            await company.site("HARBOUR street")
        await company.user().DeleteSite(pb.DeleteSiteRequest(id=first.id))

        again = await company.site()

        assert [site.id for site in (await company.user().ListSites(pb.ListSitesRequest())).sites] == [again.id]

    async def test_who_is_limited_to_sites_opens_none(self, company: Company) -> None:
        site = await company.site()

        with pytest.raises(errors.Denied):
            await company.user(sites=[site.id]).CreateSite(pb.CreateSiteRequest(site=pb.Site(name="Mine")))

    async def test_only_those_of_the_site_hear_of_it(self, company: Company) -> None:
        site = await company.site()

        assert (await company.events())[-1] == ("SiteCreated", f"site:{site.id}")

    async def test_in_a_tenant_that_is_not_there(self, company: Company) -> None:
        lost = Company(company.running, company.databases, type(company.tenant)())

        with pytest.raises(errors.NotFound):
            await lost.site()


class TestLimits:
    async def test_of_many_at_once_as_many_as_may(self, company: Company) -> None:
        await _limit(company, sites_max=3)

        answers = await asyncio.gather(*(company.site(f"Site {at}") for at in range(12)), return_exceptions=True)

        refused = [answer for answer in answers if isinstance(answer, errors.Conflict)]
        assert _names(answers) == ["Conflict"] * 9 + ["Site"] * 3
        assert {(one.code, one.metadata["max"]) for one in refused} == {("LIMIT_EXCEEDED", "3")}
        assert len(await _listed(company.user())) == 3

    async def test_stations_count_in_all_sites(self, company: Company) -> None:
        sites = [await company.site("A"), await company.site("B")]
        await _limit(company, stations_max=4)

        tries = [company.station(sites[at % 2].id, f"Bar {at}") for at in range(12)]
        answers = await asyncio.gather(*tries, return_exceptions=True)

        assert _names(answers) == ["Conflict"] * 8 + ["Station"] * 4

    async def test_a_closed_site_gives_its_place_back_and_its_stations(self, company: Company) -> None:
        site = await company.site("A")
        await company.station(site.id)
        await _limit(company, sites_max=1, stations_max=1)
        with pytest.raises(errors.Conflict):
            await company.site("B")
        await company.user().DeleteSite(pb.DeleteSiteRequest(id=site.id))

        new = await company.site("B")

        assert (await company.station(new.id)).site_id == new.id

    async def test_a_limit_below_what_there_is_takes_nothing_away(self, company: Company) -> None:
        await company.site("A")
        await company.site("B")

        await _limit(company, sites_max=1)

        assert await _listed(company.user()) == ["A", "B"]
        with pytest.raises(errors.Conflict):
            await company.site("C")


class TestListSites:
    async def test_filters(self, company: Company) -> None:
        await company.site("Harbour", time_zone="Europe/Stockholm", address="Pier 1")
        await company.site("Station", time_zone="Europe/Oslo", address="Track 9")
        stub = company.user()

        assert await _listed(stub, q="harb") == ["Harbour"]
        assert await _listed(stub, q="track") == ["Station"]
        assert await _listed(stub, q="%") == []
        assert await _listed(stub, time_zone="Europe/Oslo") == ["Station"]
        assert await _listed(stub, order_by="-name") == ["Station", "Harbour"]

    async def test_page_by_page(self, company: Company) -> None:
        for name in "ABC":
            await company.site(name)
        stub = company.user()

        first = await stub.ListSites(pb.ListSitesRequest(page_size=2))
        second = await stub.ListSites(pb.ListSitesRequest(page_size=2, cursor=first.next_cursor))

        assert [site.name for site in (*first.sites, *second.sites)] == ["A", "B", "C"]
        assert second.next_cursor == ""

    async def test_a_cursor_of_another_company_is_refused(self, company: Company, stranger: Company) -> None:
        for name in "AB":
            await company.site(name)
        cursor = (await company.user().ListSites(pb.ListSitesRequest(page_size=1))).next_cursor

        with pytest.raises(errors.Invalid):
            await stranger.user().ListSites(pb.ListSitesRequest(page_size=1, cursor=cursor))

    async def test_who_is_limited_to_a_site_sees_no_other(self, company: Company) -> None:
        own, other = await company.site("A"), await company.site("B")
        limited = company.user(sites=[own.id])

        assert await _listed(limited) == ["A"]
        with pytest.raises(errors.NotFound):
            await limited.GetSite(pb.GetSiteRequest(id=other.id))


class TestUpdateSite:
    async def test_only_what_is_named_changes(self, company: Company) -> None:
        site = await company.site(address="Pier 1")
        request = masked(pb.UpdateSiteRequest(id=site.id, site=pb.Site(name="New", address="ignored")), "name")

        changed = await company.user().UpdateSite(request)

        assert (changed.name, changed.address, changed.version) == ("New", "Pier 1", 2)
        assert (await company.events())[-1] == ("SiteUpdated", f"site:{site.id}")

    async def test_a_stale_version_is_refused(self, company: Company) -> None:
        site = await company.site()
        request = masked(pb.UpdateSiteRequest(id=site.id, site=pb.Site(name="New")), "name")
        stub = company.user(switchyard_expected_version="1")
        await stub.UpdateSite(request)

        for attempt in (stub.UpdateSite(request), stub.DeleteSite(pb.DeleteSiteRequest(id=site.id))):
            with pytest.raises(errors.StaleVersion):
                await attempt

    async def test_of_many_with_one_version_one_changes(self, company: Company) -> None:
        site = await company.site()
        stub = company.user(switchyard_expected_version="1")
        requests = [
            masked(pb.UpdateSiteRequest(id=site.id, site=pb.Site(name=f"Name {at}")), "name") for at in range(10)
        ]

        answers = await asyncio.gather(*map(stub.UpdateSite, requests), return_exceptions=True)

        assert _names(answers) == ["Site"] + ["StaleVersion"] * 9

    async def test_what_changes_nothing_keeps_its_version(self, company: Company) -> None:
        site = await company.site()

        request = masked(pb.UpdateSiteRequest(id=site.id, site=pb.Site(name=site.name)), "name", "time_zone")

        assert (await company.user().UpdateSite(request)).version == 1
        assert (await company.events())[-1][0] == "SiteCreated"

    @pytest.mark.parametrize("path", ["id", "version", "tenant_id", "name.x", "deleted_at"])
    async def test_what_is_not_to_be_changed(self, company: Company, path: str) -> None:
        site = await company.site()

        with pytest.raises(errors.Invalid):
            await company.user().UpdateSite(masked(pb.UpdateSiteRequest(id=site.id, site=pb.Site(name="N")), path))


class TestDeleteSite:
    async def test_is_not_found_then_and_closing_again_is_no_error(self, company: Company) -> None:
        site = await company.site()
        stub, request = company.user(), pb.DeleteSiteRequest(id=site.id)
        await stub.DeleteSite(request)

        await stub.DeleteSite(request)

        for attempt in (
            stub.GetSite(pb.GetSiteRequest(id=site.id)),
            stub.UpdateSite(masked(pb.UpdateSiteRequest(id=site.id, site=pb.Site(name="N")), "name")),
            stub.ListStations(pb.ListStationsRequest(site_id=site.id)),
        ):
            with pytest.raises(errors.NotFound):
                await attempt

    async def test_many_at_once_close_it_once(self, company: Company) -> None:
        site = await company.site()
        stub = company.user()

        await asyncio.gather(*(stub.DeleteSite(pb.DeleteSiteRequest(id=site.id)) for _ in range(10)))

        assert [name for name, _ in await company.events()].count("SiteDeleted") == 1
        assert len(await company.trail(company.id, "%tenants.DeleteSite%")) == 1

    async def test_its_stations_are_gone_with_it(self, company: Company) -> None:
        site = await company.site()
        station = await company.station(site.id)

        await company.user().DeleteSite(pb.DeleteSiteRequest(id=site.id))

        with pytest.raises(errors.NotFound):
            await company.user().GetStation(pb.GetStationRequest(id=station.id))

    async def test_nothing_is_built_in_a_site_that_closes(self, company: Company) -> None:
        site = await company.site()
        builds = [company.station(site.id, f"Bar {at}") for at in range(5)]

        await asyncio.gather(
            *builds, company.user().DeleteSite(pb.DeleteSiteRequest(id=site.id)), return_exceptions=True
        )

        told = [name for name, _ in await company.events()]
        assert "StationCreated" not in told[told.index("SiteDeleted") :]


class TestAnothersThings:
    async def test_are_not_found_by_any_method(self, company: Company, stranger: Company) -> None:
        site = await company.site()
        station = await company.station(site.id)

        for limited in (stranger.user(), company.user(sites=[str(uuid7())])):
            for attempt in (
                limited.GetSite(pb.GetSiteRequest(id=site.id)),
                limited.UpdateSite(masked(pb.UpdateSiteRequest(id=site.id, site=pb.Site(name="N")), "name")),
                limited.DeleteSite(pb.DeleteSiteRequest(id=site.id)),
                limited.ListStations(pb.ListStationsRequest(site_id=site.id)),
                limited.CreateStation(pb.CreateStationRequest(site_id=site.id, station=pb.Station(name="X", kind=BAR))),
                limited.GetStation(pb.GetStationRequest(id=station.id)),
                limited.UpdateStation(
                    masked(pb.UpdateStationRequest(id=station.id, station=pb.Station(name="N")), "name")
                ),
                limited.DeleteStation(pb.DeleteStationRequest(id=station.id)),
                limited.PutStationSetting(for_station(station.id, {})),
            ):
                with pytest.raises(errors.NotFound):
                    await attempt


class TestStations:
    async def test_filters(self, company: Company) -> None:
        site = await company.site()
        await company.station(site.id, "Bar 1")
        await company.station(site.id, "Till", kind=pb.STATION_KIND_TILL)

        tills = pb.ListStationsRequest(site_id=site.id, kind=pb.STATION_KIND_TILL)
        named = pb.ListStationsRequest(site_id=site.id, q="bar")

        for request, expected in ((tills, "Till"), (named, "Bar 1")):
            listed = await company.user().ListStations(request)
            assert [one.name for one in listed.stations] == [expected]

    async def test_a_name_is_taken_once_in_a_site(self, company: Company) -> None:
        one, other = await company.site("A"), await company.site("B")
        await company.station(one.id)
        await company.station(other.id)

        with pytest.raises(errors.AlreadyExists):
            await company.station(one.id, "BAR 1")

    async def test_changes_and_goes(self, company: Company) -> None:
        site = await company.site()
        station = await company.station(site.id)
        stub = company.user()
        told = pb.Station(name="Bar 2", kind=pb.STATION_KIND_KITCHEN)

        changed = await stub.UpdateStation(masked(pb.UpdateStationRequest(id=station.id, station=told), "name", "kind"))
        for _ in range(2):
            await stub.DeleteStation(pb.DeleteStationRequest(id=station.id))

        audience = f"site:{site.id},station:{station.id}"
        assert (changed.name, changed.kind, changed.version) == ("Bar 2", pb.STATION_KIND_KITCHEN, 2)
        assert (await company.events())[2:] == [
            ("StationCreated", audience),
            ("StationUpdated", audience),
            ("StationDeleted", audience),
        ]
        with pytest.raises(errors.NotFound):
            await stub.GetStation(pb.GetStationRequest(id=station.id))


class TestResolveSites:
    async def test_by_id_without_what_is_closed_or_unknown(self, company: Company, stranger: Company) -> None:
        open_one, closed, other = await company.site("A"), await company.site("B"), await stranger.site("C")
        await company.user().DeleteSite(pb.DeleteSiteRequest(id=closed.id))
        ids = [open_one.id, closed.id, other.id, str(uuid7())]

        answer = await company.by(company.tenant.service("auth")).ResolveSites(pb.ResolveSitesRequest(site_ids=ids))

        assert [(one.id, one.name, one.time_zone) for one in answer.sites] == [(open_one.id, "A", "UTC")]

    async def test_with_the_stations_that_there_are(self, company: Company) -> None:
        site = await company.site("A")
        kept, removed = await company.station(site.id, "Bar"), await company.station(site.id, "Till")
        await company.user().DeleteStation(pb.DeleteStationRequest(id=removed.id))

        answer = await company.by(company.tenant.service("auth")).ResolveSites(pb.ResolveSitesRequest())

        assert list(answer.sites[0].station_ids) == [kept.id]

    async def test_all_unless_named(self, company: Company) -> None:
        for name in "BA":
            await company.site(name)

        answer = await company.by(company.tenant.service("auth")).ResolveSites(pb.ResolveSitesRequest())

        assert [one.name for one in answer.sites] == ["A", "B"]

    async def test_is_for_services_alone(self, company: Company) -> None:
        with pytest.raises(errors.Denied):
            await company.user().ResolveSites(pb.ResolveSitesRequest())
