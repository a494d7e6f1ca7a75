"""Tenants: founded, changed, suspended and resumed by the platform's operators; set up by their own people."""

import asyncio

import pytest
from switchyard.tenants.v1 import tenants_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import errors, identity
from chassis.identity import Principal
from services.tenants.tests.support import Company, masked


def _outcomes(answers: list[object]) -> list[str]:
    return sorted(type(answer).__name__ for answer in answers)


class TestCreateTenant:
    async def test_an_operator_creates_and_finds(self, company: Company) -> None:
        slug = f"t-{uuid7()}"
        wanted = pb.Tenant(name="Northern", slug=slug, limits=pb.Limits(sites_max=3))

        created = await company.operator().CreateTenant(pb.CreateTenantRequest(tenant=wanted))

        found = await company.operator().GetTenant(pb.GetTenantRequest(id=created.id))
        assert found == created
        assert (found.slug, found.currency, found.status) == (slug, "USD", pb.TENANT_STATUS_ACTIVE)
        assert (found.limits.sites_max, found.limits.HasField("users_max")) == (3, False)

    async def test_a_slug_is_taken_once(self, company: Company) -> None:
        request = pb.CreateTenantRequest(tenant=pb.Tenant(name="Northern", slug=f"t-{uuid7()}"))
        stub = company.operator()

        answers = await asyncio.gather(*(stub.CreateTenant(request) for _ in range(10)), return_exceptions=True)

        assert _outcomes(answers) == ["AlreadyExists"] * 9 + ["Tenant"]

    async def test_money_that_nobody_pays_with_is_refused(self, company: Company) -> None:
        wanted = pb.Tenant(name="Northern", slug=f"t-{uuid7()}", currency="DEM")

        with pytest.raises(errors.Invalid) as invalid:
            await company.operator().CreateTenant(pb.CreateTenantRequest(tenant=wanted))

        assert list(invalid.value.fields) == ["tenant.currency"]

    async def test_it_is_the_tenants_own_event(self, company: Company) -> None:
        assert await company.events() == [("TenantCreated", "tenant")]

    async def test_the_platforms_trail_has_it(self, company: Company) -> None:
        trail = await company.trail(str(identity.PLATFORM), f"%tenants/{company.id}%")

        assert [entry["action"] for entry in trail] == ["tenants.CreateTenant"]

    async def test_an_administrator_is_no_operator(self, company: Company) -> None:
        administrator = company.user(permissions={"*"})

        for attempt in (
            administrator.ListTenants(pb.ListTenantsRequest()),
            administrator.GetTenant(pb.GetTenantRequest(id=company.id)),
            administrator.SuspendTenant(pb.SuspendTenantRequest(id=company.id, reason="x")),
            administrator.ResumeTenant(pb.ResumeTenantRequest(id=company.id)),
            administrator.UpdateTenant(
                masked(pb.UpdateTenantRequest(id=company.id, tenant=pb.Tenant(name="Mine")), "name")
            ),
        ):
            with pytest.raises(errors.Denied):
                await attempt


class TestListTenants:
    async def test_by_status_and_slug(self, company: Company, stranger: Company) -> None:
        stub = company.operator()
        slug = (await stub.GetTenant(pb.GetTenantRequest(id=company.id))).slug
        await stub.SuspendTenant(pb.SuspendTenantRequest(id=company.id, reason="unpaid"))

        suspended = await stub.ListTenants(pb.ListTenantsRequest(status=pb.TENANT_STATUS_SUSPENDED, page_size=100))
        active = await stub.ListTenants(pb.ListTenantsRequest(status=pb.TENANT_STATUS_ACTIVE, q=slug))
        latest = await stub.ListTenants(pb.ListTenantsRequest(order_by="-created_at", page_size=1))

        assert company.id in {one.id for one in suspended.tenants}
        assert list(active.tenants) == []
        assert [one.id for one in latest.tenants] == [stranger.id]


class TestUpdateTenant:
    async def test_only_what_is_named_changes(self, company: Company) -> None:
        told = pb.Tenant(name="New", currency="EUR", limits=pb.Limits(sites_max=5, users_max=7))
        request = masked(pb.UpdateTenantRequest(id=company.id, tenant=told), "name", "limits.sites_max")

        changed = await company.operator().UpdateTenant(request)

        assert (changed.name, changed.currency, changed.version) == ("New", "USD", 2)
        assert (changed.limits.sites_max, changed.limits.HasField("users_max")) == (5, False)
        assert (await company.events())[-1] == ("TenantUpdated", "tenant")

    async def test_limits_go_as_a_whole(self, company: Company) -> None:
        stub = company.operator()
        told = pb.Tenant(limits=pb.Limits(sites_max=5, users_max=7))
        await stub.UpdateTenant(masked(pb.UpdateTenantRequest(id=company.id, tenant=told), "limits"))

        cleared = await stub.UpdateTenant(masked(pb.UpdateTenantRequest(id=company.id), "limits"))

        assert (cleared.limits.HasField("sites_max"), cleared.limits.HasField("users_max")) == (False, False)

    async def test_a_stale_version_is_refused(self, company: Company) -> None:
        request = masked(pb.UpdateTenantRequest(id=company.id, tenant=pb.Tenant(name="New")), "name")
        stub = company.operator(switchyard_expected_version="1")
        await stub.UpdateTenant(request)

        with pytest.raises(errors.StaleVersion):
            await stub.UpdateTenant(request)

    async def test_nothing_said_of_what_changes_nothing(self, company: Company) -> None:
        request = masked(pb.UpdateTenantRequest(id=company.id, tenant=pb.Tenant(name="Northern Coffee")), "name")

        unchanged = await company.operator().UpdateTenant(request)

        assert (unchanged.version, len(await company.events())) == (1, 1)

    @pytest.mark.parametrize("path", ["slug", "status", "version", "id", "limits.nope", "name.x", "nope"])
    async def test_what_is_not_to_be_changed(self, company: Company, path: str) -> None:
        told = pb.Tenant(name="N", slug="taken-over", status=pb.TENANT_STATUS_SUSPENDED)

        with pytest.raises(errors.Invalid):
            await company.operator().UpdateTenant(masked(pb.UpdateTenantRequest(id=company.id, tenant=told), path))

    async def test_nobody_is_not_found(self, company: Company) -> None:
        with pytest.raises(errors.NotFound):
            await company.operator().GetTenant(pb.GetTenantRequest(id=str(uuid7())))


class TestSuspendTenant:
    async def test_there_and_back(self, company: Company) -> None:
        stub = company.operator()

        suspended = await stub.SuspendTenant(pb.SuspendTenantRequest(id=company.id, reason="unpaid"))
        resumed = await stub.ResumeTenant(pb.ResumeTenantRequest(id=company.id))

        assert (suspended.status, suspended.suspend_reason) == (pb.TENANT_STATUS_SUSPENDED, "unpaid")
        assert (resumed.status, resumed.suspend_reason, resumed.version) == (pb.TENANT_STATUS_ACTIVE, "", 3)
        assert [name for name, _ in await company.events()] == ["TenantCreated", "TenantSuspended", "TenantResumed"]

    async def test_what_is_suspended_is_not_suspended_again(self, company: Company) -> None:
        stub = company.operator()
        await stub.SuspendTenant(pb.SuspendTenantRequest(id=company.id, reason="unpaid"))

        with pytest.raises(errors.InvalidTransition) as refused:
            await stub.SuspendTenant(pb.SuspendTenantRequest(id=company.id, reason="again"))

        assert refused.value.metadata["allowed_transitions"] == "active"

    async def test_what_is_active_is_not_resumed(self, company: Company) -> None:
        with pytest.raises(errors.InvalidTransition) as refused:
            await company.operator().ResumeTenant(pb.ResumeTenantRequest(id=company.id))

        assert refused.value.metadata["allowed_transitions"] == "suspended"

    async def test_a_reason_is_asked_for(self, company: Company) -> None:
        with pytest.raises(errors.Invalid):
            await company.operator().SuspendTenant(pb.SuspendTenantRequest(id=company.id))

    async def test_of_many_at_once_one_suspends(self, company: Company) -> None:
        stub, request = company.operator(), pb.SuspendTenantRequest(id=company.id, reason="unpaid")

        answers = await asyncio.gather(*(stub.SuspendTenant(request) for _ in range(10)), return_exceptions=True)

        assert _outcomes(answers) == ["InvalidTransition"] * 9 + ["Tenant"]

    async def test_each_move_of_a_race_is_told_in_its_order(self, company: Company) -> None:
        stub = company.operator()
        suspends = [stub.SuspendTenant(pb.SuspendTenantRequest(id=company.id, reason="unpaid")) for _ in range(10)]
        resumes = [stub.ResumeTenant(pb.ResumeTenantRequest(id=company.id)) for _ in range(10)]

        answers = await asyncio.gather(*suspends, *resumes, return_exceptions=True)

        moved = sorted((one for one in answers if isinstance(one, pb.Tenant)), key=lambda one: one.version)
        told = [name for name, _ in await company.events()][1:]
        turns = [pb.TENANT_STATUS_SUSPENDED, pb.TENANT_STATUS_ACTIVE] * 10
        assert [one.version for one in moved] == list(range(2, 2 + len(moved)))
        assert [one.status for one in moved] == turns[: len(moved)]
        assert told == ["TenantSuspended", "TenantResumed"] * (len(moved) // 2) + ["TenantSuspended"] * (len(moved) % 2)


def _configure(config: pb.TenantConfig, *paths: str) -> pb.UpdateTenantConfigRequest:
    request: pb.UpdateTenantConfigRequest = masked(pb.UpdateTenantConfigRequest(config=config), *paths)
    return request


class TestTenantConfig:
    async def test_is_there_from_the_start(self, company: Company) -> None:
        config = await company.user().GetTenantConfig(pb.GetTenantConfigRequest())

        assert (config.branding.name, config.locale, config.currency) == ("Northern Coffee", "en-US", "USD")
        assert (config.tenant_id, config.time_zone, config.version) == (company.id, "UTC", 1)

    @pytest.mark.parametrize("kind", ["user", "kiosk", "pos", "client"])
    async def test_whoever_is_signed_in_reads_it(self, company: Company, kind: str) -> None:
        nobody_special = Principal(kind, str(uuid7()), company.tenant.id)

        config = await company.by(nobody_special).GetTenantConfig(pb.GetTenantConfigRequest())

        assert config.tenant_id == company.id

    async def test_a_tenant_that_is_not_there_has_none(self, company: Company) -> None:
        lost = Principal("user", str(uuid7()), uuid7())

        with pytest.raises(errors.NotFound):
            await company.by(lost).GetTenantConfig(pb.GetTenantConfigRequest())

    async def test_only_what_is_named_changes(self, company: Company) -> None:
        branding = pb.Branding(name="Northern", primary_color="#1f6f54", logo_url="https://north.example/logo.svg")
        told = pb.TenantConfig(
            branding=branding, features={"kiosk": True}, locale="sv-se", time_zone="Europe/Stockholm", currency="SEK"
        )
        paths = ("branding.primary_color", "features", "locale", "time_zone")

        changed = await company.user().UpdateTenantConfig(_configure(told, *paths))

        assert (changed.branding.name, changed.branding.primary_color) == ("Northern Coffee", "#1f6f54")
        assert (changed.features, changed.locale) == ({"kiosk": True}, "sv-SE")
        assert (changed.time_zone, changed.currency, changed.version) == ("Europe/Stockholm", "USD", 2)
        assert (await company.events())[-1] == ("TenantUpdated", "tenant")

    async def test_the_operators_see_its_new_version(self, company: Company) -> None:
        await company.user().UpdateTenantConfig(_configure(pb.TenantConfig(currency="SEK"), "currency"))

        tenant = await company.operator().GetTenant(pb.GetTenantRequest(id=company.id))

        assert (tenant.currency, tenant.version) == ("SEK", 2)

    async def test_another_company_stays_as_it_was(self, company: Company, stranger: Company) -> None:
        await company.user().UpdateTenantConfig(_configure(pb.TenantConfig(currency="SEK"), "currency"))

        assert (await stranger.user().GetTenantConfig(pb.GetTenantConfigRequest())).currency == "USD"
        assert len(await stranger.events()) == 1

    @pytest.mark.parametrize(
        ("path", "config"),
        [
            ("time_zone", pb.TenantConfig(time_zone="Mars/Olympus")),
            ("currency", pb.TenantConfig(currency="ABC")),
            ("currency", pb.TenantConfig(currency="usd")),
            ("locale", pb.TenantConfig(locale="xx-YY")),
            ("locale", pb.TenantConfig(locale="sv_SE")),
            ("branding.primary_color", pb.TenantConfig(branding=pb.Branding(primary_color="green"))),
            ("branding.logo_url", pb.TenantConfig(branding=pb.Branding(logo_url="javascript:alert(1)"))),
            ("branding.nope", pb.TenantConfig()),
            ("features", pb.TenantConfig(features={"Not a name": True})),
            ("limits", pb.TenantConfig(limits=pb.Limits(sites_max=1000))),
            ("limits.sites_max", pb.TenantConfig(limits=pb.Limits(sites_max=1000))),
            ("version", pb.TenantConfig(version=9)),
        ],
    )
    async def test_what_is_not_so(self, company: Company, path: str, config: pb.TenantConfig) -> None:
        with pytest.raises(errors.Invalid) as invalid:
            await company.user().UpdateTenantConfig(_configure(config, path))

        assert all(field.startswith("config.") for field in invalid.value.fields)

    async def test_a_stale_version_is_refused(self, company: Company) -> None:
        stub = company.user(switchyard_expected_version="1")
        await stub.UpdateTenantConfig(_configure(pb.TenantConfig(currency="SEK"), "currency"))

        with pytest.raises(errors.StaleVersion):
            await stub.UpdateTenantConfig(_configure(pb.TenantConfig(currency="NOK"), "currency"))

    async def test_nobody_limited_to_sites_sets_up_the_whole(self, company: Company) -> None:
        with pytest.raises(errors.Denied):
            await company.user(sites=[str(uuid7())]).UpdateTenantConfig(
                _configure(pb.TenantConfig(currency="SEK"), "currency")
            )

    async def test_it_takes_the_permission(self, company: Company) -> None:
        with pytest.raises(errors.Denied):
            await company.user(permissions={"*.read"}).UpdateTenantConfig(
                _configure(pb.TenantConfig(currency="SEK"), "currency")
            )

    async def test_the_trail_has_before_and_after(self, company: Company) -> None:
        await company.user().UpdateTenantConfig(_configure(pb.TenantConfig(currency="SEK"), "currency"))

        (entry,) = await company.trail(company.id, "%UpdateTenantConfig%")

        changes = entry["changes"][f"tenants/{company.id}"]
        assert (changes["before"]["currency"], changes["after"]["currency"]) == ("USD", "SEK")
