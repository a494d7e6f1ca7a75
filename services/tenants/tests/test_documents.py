"""Settings documents: kept to their schema, with every version in a history without gaps, whoever writes at once."""

import asyncio
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from switchyard.tenants.v1 import settings_pb2 as pb
from switchyard.tenants.v1 import sites_pb2
from uuid_utils.compat import uuid7

from chassis import errors
from services.tenants import documents, kinds
from services.tenants.tests.support import Company, document, for_station, plain

MILK = {"Whole": "#ffffff", "Oat": "#d8c3a5"}
FAIR = {
    "enabled": True,
    "name": "Harbour fair",
    "starts_at": "2026-12-01T09:00:00Z",
    "ends_at": "2026-12-03T18:00:00+01:00",
    "menu_item_ids": [str(uuid7())],
    "opening_hours": [{"opens": "09:00", "closes": "24:00"}],
    "banner": {"text": "Welcome", "background": "#1f6f54"},
}


async def _history(company: Company, key: str) -> list[int]:
    listed = await company.user().ListSettingVersions(pb.ListSettingVersionsRequest(key=key, page_size=100))
    return [one.version for one in listed.versions]


def _checked(key: str, value: dict[str, Any]) -> dict[str, Any]:
    told = Struct()
    told.update(value)
    return documents.checked(kinds.KINDS[key], told)


class TestKinds:
    @pytest.mark.parametrize("kind", kinds.KINDS.values(), ids=lambda kind: kind.key)
    def test_a_default_keeps_its_own_schema(self, kind: kinds.Kind) -> None:
        assert _checked(kind.key, kind.default) == kind.default

    async def test_are_listed_with_their_schemas(self, company: Company) -> None:
        listed = (await company.user().ListSettingKinds(pb.ListSettingKindsRequest())).kinds

        assert {kind.key: kind.per_station for kind in listed} == {
            "event": False,
            "milk-colors": False,
            "opening-hours": False,
            "queue-display": False,
            "receipt": False,
            "station": True,
        }
        assert all(kind.schema["$schema"].endswith("2020-12/schema") for kind in listed)

    def test_a_whole_fair(self) -> None:
        assert _checked("event", FAIR) == FAIR

    def test_a_week_of_hours(self) -> None:
        day = [{"opens": "07:30", "closes": "02:00"}]
        hours = {"week": {"monday": day}, "exceptions": [{"date": "2026-12-24", "note": "Closed"}]}

        assert _checked("opening-hours", hours) == hours

    @pytest.mark.parametrize(
        ("key", "value", "path"),
        [
            ("milk-colors", {"Oat": "beige"}, "value.Oat"),
            ("milk-colors", {"": "#ffffff"}, "value"),
            ("milk-colors", {str(at): "#ffffff" for at in range(101)}, "value"),
            ("event", {}, "value.enabled"),
            ("event", {"enabled": 1}, "value.enabled"),
            ("event", {"enabled": True, "name": "Fair", "starts_at": "2026-12-01T09:00:00Z"}, "value.ends_at"),
            ("event", {**FAIR, "ends_at": "2026-12-01T09:00:00Z"}, "value.ends_at"),
            ("event", {**FAIR, "ends_at": "2026-12-01T10:00:00+02:00"}, "value.ends_at"),
            ("event", {**FAIR, "ends_at": "2026-13-01T10:00:00Z"}, "value.ends_at"),
            ("event", {**FAIR, "ends_at": "2026-12-31T23:59:60Z"}, "value.ends_at"),
            (
                "event",
                {**FAIR, "opening_hours": [{"opens": "25:00", "closes": "26:00"}]},
                "value.opening_hours.0.opens",
            ),
            ("event", {**FAIR, "menu_item_ids": ["espresso"]}, "value.menu_item_ids.0"),
            ("event", {**FAIR, "banner": {"text": "x", "image_url": "javascript:alert(1)"}}, "value.banner.image_url"),
            ("event", {**FAIR, "tenant_id": str(uuid7())}, "value.tenant_id"),
            ("receipt", {"copies": 1.5}, "value.copies"),
            ("receipt", {"copies": True}, "value.copies"),
            ("receipt", {"paper_width_mm": 79}, "value.paper_width_mm"),
            ("receipt", {"footer": "bad \0 text"}, "value.footer"),
            ("receipt", {"footer": None}, "value.footer"),
            ("receipt", {"copies": float("nan")}, "value.copies"),
            ("receipt", {"copies": 1e300}, "value.copies"),
            ("queue-display", {"theme": {"accent": "#12345"}}, "value.theme.accent"),
            ("opening-hours", {"sites": {"harbour": {}}}, "value.sites"),
            ("milk-colors", {"Oat": "x" * documents.BYTES_MAX}, "value"),
        ],
    )
    def test_what_breaks_the_schema_says_where(self, key: str, value: dict[str, Any], path: str) -> None:
        with pytest.raises(errors.Invalid) as invalid:
            _checked(key, value)

        assert path in invalid.value.fields


class TestGetSetting:
    async def test_what_nobody_has_written_is_the_default(self, company: Company) -> None:
        found = await company.user().GetSetting(pb.GetSettingRequest(key="event"))

        assert (plain(found), found.version, found.HasField("updated_at")) == ({"enabled": False}, 0, False)

    @pytest.mark.parametrize("key", ["nope", "station", "event/../milk-colors", ""])
    async def test_a_kind_that_is_not_there(self, company: Company, key: str) -> None:
        for attempt in (
            company.user().GetSetting(pb.GetSettingRequest(key=key)),
            company.user().PutSetting(document(key, {})),
            company.user().ListSettingVersions(pb.ListSettingVersionsRequest(key=key)),
        ):
            with pytest.raises(errors.NotFound):
                await attempt

    async def test_anothers_is_ones_own_default(self, company: Company, stranger: Company) -> None:
        await company.put("milk-colors", MILK)

        assert (await stranger.user().GetSetting(pb.GetSettingRequest(key="milk-colors"))).version == 0
        with pytest.raises(errors.NotFound):
            await stranger.user().GetSettingVersion(pb.GetSettingVersionRequest(key="milk-colors", version=1))

    async def test_it_takes_the_permission(self, company: Company) -> None:
        with pytest.raises(errors.Denied):
            await company.user(permissions=()).GetSetting(pb.GetSettingRequest(key="event"))


class TestPutSetting:
    async def test_is_read_back(self, company: Company) -> None:
        written = await company.put("milk-colors", MILK)

        found = await company.user().GetSetting(pb.GetSettingRequest(key="milk-colors"))
        assert found == written
        assert (plain(found), found.version, found.updated_by.split(":")[0]) == (MILK, 1, "user")
        assert (await company.events())[-1] == ("SettingsChanged", "tenant")

    async def test_the_same_again_changes_nothing_and_says_nothing(self, company: Company) -> None:
        first = await company.put("milk-colors", MILK)

        again = await company.put("milk-colors", dict(reversed(MILK.items())))

        assert again == first
        assert [name for name, _ in await company.events()].count("SettingsChanged") == 1
        assert len(await company.trail(company.id, "%tenants.PutSetting%")) == 1

    async def test_true_is_not_one(self) -> None:
        assert not documents._same({"a": True}, {"a": 1})

    async def test_the_default_that_is_written_is_a_version(self, company: Company) -> None:
        assert (await company.put("event", {"enabled": False})).version == 1

    async def test_a_stale_version_is_refused(self, company: Company) -> None:
        await company.put("milk-colors", MILK, switchyard_expected_version="0")

        with pytest.raises(errors.StaleVersion):
            await company.put("milk-colors", {}, switchyard_expected_version="0")

    async def test_a_bad_document_changes_nothing(self, company: Company) -> None:
        await company.put("milk-colors", MILK)

        with pytest.raises(errors.Invalid) as invalid:
            await company.put("milk-colors", {"Oat": "beige", "Soy": 1})

        assert set(invalid.value.fields) == {"value.Oat", "value.Soy"}
        assert await _history(company, "milk-colors") == [1]

    async def test_a_thousand_mistakes_are_still_an_answer(self, company: Company) -> None:
        names = {f"{'Ω' * 40}{at}": "beige" for at in range(500)}

        with pytest.raises(errors.Invalid) as invalid:
            await company.put("milk-colors", names)

        assert 0 < len(invalid.value.fields) <= documents.MISTAKES_MAX

    async def test_nobody_limited_to_sites_writes_for_the_whole(self, company: Company) -> None:
        site = await company.site()

        with pytest.raises(errors.Denied):
            await company.user(sites=[site.id]).PutSetting(document("milk-colors", MILK))

    async def test_it_takes_the_permission(self, company: Company) -> None:
        with pytest.raises(errors.Denied):
            await company.user(permissions={"tenants.settings.read"}).PutSetting(document("milk-colors", MILK))

    async def test_many_writers_leave_one_history(self, company: Company) -> None:
        writes = [company.put("milk-colors", {"Oat": f"#0000{at:02x}"}) for at in range(20)]

        written = await asyncio.gather(*writes)

        found = await company.user().GetSetting(pb.GetSettingRequest(key="milk-colors"))
        last = max(written, key=lambda one: one.version)
        assert sorted(one.version for one in written) == list(range(1, 21))
        assert await _history(company, "milk-colors") == list(range(20, 0, -1))
        assert (found.version, plain(found)) == (20, plain(last))

    async def test_of_many_with_one_version_one_writes(self, company: Company) -> None:
        await company.put("milk-colors", MILK)
        writes = [
            company.put("milk-colors", {"Oat": f"#0000{at:02x}"}, switchyard_expected_version="1") for at in range(10)
        ]

        answers = await asyncio.gather(*writes, return_exceptions=True)

        assert sorted(type(one).__name__ for one in answers) == ["Setting"] + ["StaleVersion"] * 9
        assert await _history(company, "milk-colors") == [2, 1]


class TestHistory:
    async def test_an_old_version_is_read_as_it_was(self, company: Company) -> None:
        await company.put("milk-colors", MILK)
        await company.put("milk-colors", {})

        old = await company.user().GetSettingVersion(pb.GetSettingVersionRequest(key="milk-colors", version=1))

        assert (plain(old), old.version) == (MILK, 1)

    async def test_page_by_page(self, company: Company) -> None:
        for at in range(3):
            await company.put("milk-colors", {"Oat": f"#00000{at}"})
        stub = company.user()

        first = await stub.ListSettingVersions(pb.ListSettingVersionsRequest(key="milk-colors", page_size=2))
        request = pb.ListSettingVersionsRequest(key="milk-colors", page_size=2, cursor=first.next_cursor)
        second = await stub.ListSettingVersions(request)

        assert [one.version for one in (*first.versions, *second.versions)] == [3, 2, 1]
        assert all(one.updated_by.startswith("user:") for one in first.versions)

    async def test_a_cursor_of_another_kind_is_refused(self, company: Company) -> None:
        for at in range(2):
            await company.put("milk-colors", {"Oat": f"#00000{at}"})
        stub = company.user()
        first = await stub.ListSettingVersions(pb.ListSettingVersionsRequest(key="milk-colors", page_size=1))

        with pytest.raises(errors.Invalid):
            await stub.ListSettingVersions(pb.ListSettingVersionsRequest(key="event", cursor=first.next_cursor))

    async def test_the_trail_has_before_and_after(self, company: Company) -> None:
        await company.put("milk-colors", MILK)
        await company.put("milk-colors", {})

        _, entry = await company.trail(company.id, "%tenants.PutSetting%")

        changes = entry["changes"]["settings/milk-colors"]
        assert (changes["before"]["value"], changes["after"]["value"]) == (MILK, {})


class TestStationSettings:
    async def test_belong_to_one_station(self, company: Company) -> None:
        site = await company.site()
        bar, till = await company.station(site.id, "Bar"), await company.station(site.id, "Till")
        stub = company.user(sites=[site.id])

        written = await stub.PutStationSetting(for_station(bar.id, {"display_name": "By the door"}))

        other = await stub.GetStationSetting(pb.GetStationSettingRequest(station_id=till.id))
        found = await stub.GetStationSetting(pb.GetStationSettingRequest(station_id=bar.id))
        assert found == written
        assert (found.key, found.station_id, found.version) == ("station", bar.id, 1)
        assert (plain(other), other.version) == ({"accepts_orders": True}, 0)
        assert (await company.events())[-1] == ("SettingsChanged", f"site:{site.id},station:{bar.id}")

    async def test_have_a_history(self, company: Company) -> None:
        station = await company.station((await company.site()).id)
        stub = company.user()
        for color in ("#000000", "#ffffff"):
            await stub.PutStationSetting(for_station(station.id, {"color": color}))

        listed = await stub.ListStationSettingVersions(pb.ListStationSettingVersionsRequest(station_id=station.id))
        old = await stub.GetStationSettingVersion(pb.GetStationSettingVersionRequest(station_id=station.id, version=1))

        assert [one.version for one in listed.versions] == [2, 1]
        assert plain(old) == {"color": "#000000"}

    async def test_are_not_found_by_others(self, company: Company, stranger: Company) -> None:
        station = await company.station((await company.site()).id)
        elsewhere = await company.site("Elsewhere")
        await company.user().PutStationSetting(for_station(station.id, {"sound": True}))

        for stub in (stranger.user(), company.user(sites=[elsewhere.id])):
            for attempt in (
                stub.GetStationSetting(pb.GetStationSettingRequest(station_id=station.id)),
                stub.PutStationSetting(for_station(station.id, {"sound": False})),
                stub.ListStationSettingVersions(pb.ListStationSettingVersionsRequest(station_id=station.id)),
                stub.GetStationSettingVersion(pb.GetStationSettingVersionRequest(station_id=station.id, version=1)),
            ):
                with pytest.raises(errors.NotFound):
                    await attempt

    async def test_go_with_their_station(self, company: Company) -> None:
        station = await company.station((await company.site()).id)
        stub = company.user()
        await stub.PutStationSetting(for_station(station.id, {"sound": True}))
        await stub.DeleteStation(sites_pb2.DeleteStationRequest(id=station.id))

        for attempt in (
            stub.GetStationSetting(pb.GetStationSettingRequest(station_id=station.id)),
            stub.PutStationSetting(for_station(station.id, {"sound": False})),
        ):
            with pytest.raises(errors.NotFound):
                await attempt

    async def test_are_not_written_while_their_station_goes(self, company: Company) -> None:
        station = await company.station((await company.site()).id)
        stub = company.user()
        writes = [stub.PutStationSetting(for_station(station.id, {"orders_at_once_max": at + 1})) for at in range(5)]

        await asyncio.gather(
            *writes, stub.DeleteStation(sites_pb2.DeleteStationRequest(id=station.id)), return_exceptions=True
        )

        told = [name for name, _ in await company.events()]
        assert "SettingsChanged" not in told[told.index("StationDeleted") :]
