"""API tokens: shown once, kept as a hash, revoked at once."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from switchyard.auth.v1 import access_pb2, auth_pb2, users_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.testing import Databases, Tenant
from services.auth import keys, passwords, roles, tokens, work
from services.auth.settings import AuthSettings
from services.auth.tests.support import CHEAP, NOWHERE, Auth, admin, outbox, superuser, vault


async def create(auth: Auth, tenant: Tenant, **more: Any) -> access_pb2.ApiToken:
    fields = {"name": "Kiosk", "kind": access_pb2.TOKEN_KIND_CATALOG, "site_id": str(uuid7()), **more}
    request = access_pb2.CreateTokenRequest(token=access_pb2.ApiToken(**fields))
    created: access_pb2.ApiToken = await auth.stub(admin(tenant)).CreateToken(request)
    return created


def process_work(auth: Auth, uses: tokens.Uses) -> work.Work:
    return work.Work(
        auth.running.service.database,
        settings=AuthSettings(database_url=SecretStr(""), **CHEAP),
        keyring=keys.Keyring(vault(auth)),
        hasher=passwords.Hasher(memory_kib=64, time_cost=1),
        uses=uses,
    )


class TestCreateToken:
    async def test_a_catalog_token_is_a_kiosk_of_the_site(self, auth: Auth, tenant: Tenant) -> None:
        created = await create(auth, tenant)

        principal = await auth.exchange(created.token)

        assert created.token.startswith("cat_")
        assert created.catalog_id == created.site_id
        assert (principal.kind, principal.id, principal.tenant_id) == ("kiosk", created.id, tenant.id)
        assert (principal.sites, principal.permissions) == (frozenset({created.site_id}), roles.permissions("kiosk"))

    async def test_a_store_token_is_a_pos_system(self, auth: Auth, tenant: Tenant) -> None:
        created = await create(auth, tenant, kind=access_pb2.TOKEN_KIND_STORE)

        principal = await auth.exchange(created.token)

        assert created.token.startswith("sto_")
        assert (principal.kind, principal.permissions) == ("pos", roles.permissions("pos"))

    async def test_gives_nothing_that_its_maker_lacks(self, auth: Auth, tenant: Tenant) -> None:
        site = str(uuid7())
        wanted = access_pb2.ApiToken(name="Kiosk", kind=access_pb2.TOKEN_KIND_CATALOG, site_id=site)
        maker = tenant.user(permissions=["auth.tokens.write", "inventory.catalog.read"])

        with pytest.raises(errors.Denied):
            await auth.stub(maker).CreateToken(access_pb2.CreateTokenRequest(token=wanted))
        wanted.scopes.append("inventory.*")
        assert (await auth.stub(maker).CreateToken(access_pb2.CreateTokenRequest(token=wanted))).token

    async def test_the_secret_is_not_kept(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        created = await create(auth, tenant)

        async with superuser(databases) as connection:
            kept = await connection.fetchval("SELECT t::text FROM api_tokens t WHERE id = $1", created.id)
            sent = await connection.fetchval("SELECT string_agg(envelope, '') FROM outbox")
        assert created.token not in kept + sent
        assert created.token.encode().hex() not in kept

    async def test_nor_with_an_idempotency_key(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        token = access_pb2.ApiToken(name="Kiosk", kind=access_pb2.TOKEN_KIND_CATALOG, site_id=str(uuid7()))
        stub = auth.stub(admin(tenant), switchyard_idempotency_key="once")

        created = await stub.CreateToken(access_pb2.CreateTokenRequest(token=token))

        async with superuser(databases) as connection:
            kept = await connection.fetchval("SELECT answer FROM idempotency_keys WHERE tenant_id = $1", tenant.id)
        assert created.token.encode() not in kept

    async def test_an_end_in_the_past_is_invalid(self, auth: Auth, tenant: Tenant) -> None:
        with pytest.raises(errors.Invalid):
            await create(auth, tenant, expires_at=clock.now() - timedelta(seconds=1))

    async def test_a_site_that_is_not_the_callers_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        token = access_pb2.ApiToken(name="Kiosk", kind=access_pb2.TOKEN_KIND_CATALOG, site_id=str(uuid7()))
        stub = auth.stub(admin(tenant, sites=(str(uuid7()),)))

        with pytest.raises(errors.NotFound):
            await stub.CreateToken(access_pb2.CreateTokenRequest(token=token))

    async def test_a_site_that_the_tenant_does_not_have_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        for kind in (access_pb2.TOKEN_KIND_CATALOG, access_pb2.TOKEN_KIND_PERSONAL):
            with pytest.raises(errors.NotFound):
                await create(auth, tenant, kind=kind, site_id=NOWHERE)


class TestExchange:
    async def test_an_expired_one_is_told_so(self, auth: Auth, tenant: Tenant) -> None:
        created = await create(auth, tenant, expires_at=clock.now() + timedelta(minutes=1))

        with clock.shifted(timedelta(minutes=2)), pytest.raises(errors.Unauthenticated) as refusal:
            await auth.exchange(created.token)

        assert refusal.value.code == "TOKEN_EXPIRED"

    async def test_another_tenant_is_denied(self, auth: Auth, tenant: Tenant) -> None:
        created = await create(auth, tenant)

        with pytest.raises(errors.Denied):
            await auth.exchange(created.token, Tenant())

    async def test_another_site_is_denied(self, auth: Auth, tenant: Tenant) -> None:
        created = await create(auth, tenant)

        with pytest.raises(errors.Denied):
            await auth.exchange(created.token, site=str(uuid7()))

    async def test_the_last_use_is_told_to_the_minute(self, auth: Auth, tenant: Tenant) -> None:
        created = await create(auth, tenant)
        uses = tokens.Uses()
        uses.note(await auth.exchange(created.token), UUID(created.id))

        await process_work(auth, uses).write_uses()

        (listed,) = (await auth.stub(admin(tenant)).ListTokens(access_pb2.ListTokensRequest())).tokens
        assert listed.last_used_at.seconds % 60 == 0
        assert clock.now().timestamp() - listed.last_used_at.seconds < 120


class TestListTokens:
    async def test_no_secret_is_shown_again(self, auth: Auth, tenant: Tenant) -> None:
        await create(auth, tenant)

        (listed,) = (await auth.stub(admin(tenant)).ListTokens(access_pb2.ListTokensRequest())).tokens

        assert not listed.HasField("token")

    async def test_another_tenants_are_not_shown(self, auth: Auth, tenant: Tenant) -> None:
        await create(auth, tenant)

        assert not (await auth.stub(admin(Tenant())).ListTokens(access_pb2.ListTokensRequest())).tokens

    async def test_filters(self, auth: Auth, tenant: Tenant) -> None:
        kiosk, store = await create(auth, tenant), await create(auth, tenant, kind=access_pb2.TOKEN_KIND_STORE)
        stub = auth.stub(admin(tenant))

        by_kind = await stub.ListTokens(access_pb2.ListTokensRequest(kind=access_pb2.TOKEN_KIND_STORE))
        by_site = await stub.ListTokens(access_pb2.ListTokensRequest(site_id=kiosk.site_id))

        assert [token.id for token in by_kind.tokens] == [store.id]
        assert [token.id for token in by_site.tokens] == [kiosk.id]


class TestDeleteToken:
    async def test_it_stops_at_once_and_the_gateways_are_told(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        created = await create(auth, tenant)

        await auth.stub(admin(tenant)).DeleteToken(access_pb2.DeleteTokenRequest(id=created.id))

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(created.token)
        (event,) = await outbox(databases, tenant.id, "TokenRevoked")
        assert event["data"] == {"token_id": created.id, "site_id": created.site_id}

    async def test_another_tenants_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        created = await create(auth, tenant)

        with pytest.raises(errors.NotFound):
            await auth.stub(admin(Tenant())).DeleteToken(access_pb2.DeleteTokenRequest(id=created.id))


class TestPersonalToken:
    @staticmethod
    async def of(auth: Auth, tenant: Tenant, role: str = "manager", **fields: Any) -> tuple[str, Any]:
        """A member of the tenant, and a token of theirs, made with a permission of an admin's."""
        person = await auth.person(tenant, role=role)
        signed_in = await auth.exchange((await auth.sign_in(person)).access_token, tenant)
        maker = replace(signed_in, permissions=signed_in.permissions | {"auth.tokens.write"})
        wanted = access_pb2.ApiToken(name="Export", kind=access_pb2.TOKEN_KIND_PERSONAL, **fields)
        return person.id, await auth.stub(maker).CreateToken(access_pb2.CreateTokenRequest(token=wanted))

    async def test_acts_as_the_person(self, auth: Auth, tenant: Tenant) -> None:
        person, created = await self.of(auth, tenant)

        principal = await auth.exchange(created.token)

        assert created.token.startswith("pat_")
        assert (principal.kind, principal.id, principal.roles) == ("user", person, ("manager",))
        assert (principal.permissions, principal.authenticated_at) == (roles.permissions("manager"), 0)

    async def test_can_do_no_more_than_its_scopes(self, auth: Auth, tenant: Tenant) -> None:
        _, created = await self.of(auth, tenant, scopes=["orders.*"])

        principal = await auth.exchange(created.token)

        held = roles.permissions("manager")
        assert principal.permissions == {permission for permission in held if permission.startswith("orders.")}

    async def test_ends_with_the_membership(self, auth: Auth, tenant: Tenant) -> None:
        person, created = await self.of(auth, tenant)
        await auth.stub(admin(tenant)).DeleteUser(users_pb2.DeleteUserRequest(id=person))

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(created.token)

    async def test_is_seen_by_its_person_alone(self, auth: Auth, tenant: Tenant) -> None:
        await self.of(auth, tenant)

        listed = await auth.stub(admin(tenant)).ListTokens(access_pb2.ListTokensRequest())

        assert list(listed.tokens) == []

    async def test_says_which_networks_it_may_be_shown_from(self, auth: Auth, tenant: Tenant) -> None:
        _, created = await self.of(auth, tenant, allowed_networks=["203.0.113.0/24"])

        issued = await auth.stub().ExchangeToken(auth_pb2.ExchangeTokenRequest(credential=created.token))

        assert list(issued.allowed_networks) == ["203.0.113.0/24"]
