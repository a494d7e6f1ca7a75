"""Clients of a tenant: who may have one, with what, and what happens to its tokens when it changes."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from switchyard.auth.v1 import access_pb2, oauth_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.testing import Databases, Tenant
from services.auth import roles
from services.auth.tests.oauth_support import (
    CREDENTIALS,
    EXCHANGE,
    REDIRECT,
    Browser,
    Client,
    ask_token,
    exchange_code,
    register,
    tokens,
    verifier,
)
from services.auth.tests.support import NOWHERE, Auth, admin, outbox, own_role, superuser


def change(client_id: str, **wanted: Any) -> oauth_pb2.UpdateClientRequest:
    request = oauth_pb2.UpdateClientRequest(id=client_id, client=oauth_pb2.OauthClient(**wanted))
    request.update_mask.paths.extend(wanted)
    return request


def named(client_id: str) -> oauth_pb2.GetClientRequest:
    return oauth_pb2.GetClientRequest(id=client_id)


class TestCreateClient:
    async def test_the_secret_is_shown_once(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        client = await register(auth, tenant)

        read = await auth.stub(admin(tenant)).GetClient(named(client.id))
        listed = await auth.stub(admin(tenant)).ListClients(oauth_pb2.ListClientsRequest())

        assert client.secret.startswith("ocs_")
        assert not read.HasField("secret")
        assert [one.id for one in listed.clients] == [client.id]
        async with superuser(databases) as connection:
            kept = str(await connection.fetch("SELECT t::text FROM oauth_clients t"))
            told = str(await connection.fetch("SELECT t::text FROM outbox t"))
        assert client.secret not in kept + told

    async def test_a_public_one_has_none(self, auth: Auth, tenant: Tenant) -> None:
        assert not (await register(auth, tenant, confidential=False)).secret

    @pytest.mark.parametrize(
        ("wanted", "field"),
        [
            ({"redirect_uris": ["http://rota.example/"]}, "client.redirect_uris.0"),
            ({"redirect_uris": [REDIRECT, "https://rota.example/#x"]}, "client.redirect_uris.1"),
            ({"redirect_uris": []}, "client.redirect_uris"),
            ({"grant_types": ["refresh_token"]}, "client.grant_types"),
            ({"grant_types": [CREDENTIALS], "confidential": False, "role": "staff"}, "client.grant_types"),
            ({"grant_types": [EXCHANGE], "confidential": False}, "client.grant_types"),
            ({"grant_types": [CREDENTIALS]}, "client.role"),
            ({"role": "staff"}, "client.role"),
            ({"site_ids": [str(uuid7())]}, "client.site_ids"),
            ({"scopes": ["openid", "platform.tenants.read"]}, "client.scopes.1"),
            ({"scopes": ["registry.write"]}, "client.scopes.0"),
            ({"grant_types": [CREDENTIALS], "role": "no-such-role"}, "client.role"),
            ({"grant_types": [CREDENTIALS], "role": "staff", "site_ids": [NOWHERE]}, "client.site_ids.0"),
            ({"grant_types": [CREDENTIALS], "role": "operator"}, "client.role"),
        ],
    )
    async def test_what_no_client_can_be(self, auth: Auth, tenant: Tenant, wanted: dict[str, Any], field: str) -> None:
        with pytest.raises(errors.Invalid) as refusal:
            await register(auth, tenant, **wanted)

        assert field in refusal.value.fields

    @pytest.mark.parametrize("grant", ["password", "implicit", "urn:ietf:params:oauth:grant-type:device_code"])
    async def test_other_grants_do_not_exist(self, auth: Auth, tenant: Tenant, grant: str) -> None:
        with pytest.raises(errors.Invalid):
            await register(auth, tenant, grant_types=[grant])


class TestPower:
    """Nobody can give a client what they do not hold, nor take one that has more."""

    async def of(self, auth: Auth, tenant: Tenant, *held: str, sites: tuple[str, ...] = ()) -> Any:
        return auth.stub(tenant.user(permissions={"auth.clients.write", *held}, sites=sites))

    async def create(self, stub: Any, **wanted: Any) -> oauth_pb2.OauthClient:
        told: dict[str, Any] = {
            "name": "X",
            "confidential": True,
            "grant_types": [CREDENTIALS],
            "scopes": ["orders.read"],
        } | wanted
        made: oauth_pb2.OauthClient = await stub.CreateClient(
            oauth_pb2.CreateClientRequest(client=oauth_pb2.OauthClient(**told))
        )
        return made

    async def test_scopes(self, auth: Auth, tenant: Tenant) -> None:
        stub = await self.of(auth, tenant, "orders.read")

        for scope in ("orders.create", "orders.*", "*", "*.read"):
            with pytest.raises(errors.Denied):
                await self.create(stub, grant_types=["authorization_code"], redirect_uris=[REDIRECT], scopes=[scope])

    async def test_a_role(self, auth: Auth, tenant: Tenant) -> None:
        stub = await self.of(auth, tenant, *roles.permissions("staff"))

        assert (await self.create(stub, role="staff")).role == "staff"
        for role in ("manager", "admin", "auditor"):
            with pytest.raises(errors.Denied):
                await self.create(stub, role=role)

    async def test_sites(self, auth: Auth, tenant: Tenant) -> None:
        mine, theirs = str(uuid7()), str(uuid7())
        stub = await self.of(auth, tenant, *roles.permissions("staff"), sites=(mine,))

        assert (await self.create(stub, role="staff", site_ids=[mine])).site_ids == [mine]
        for sites in ([], [theirs], [mine, theirs]):
            with pytest.raises(errors.Denied):
                await self.create(stub, role="staff", site_ids=sites)
        with pytest.raises(errors.Denied):
            await self.create(stub, grant_types=["authorization_code"], redirect_uris=[REDIRECT])

    async def test_one_that_can_do_more_is_out_of_reach(self, auth: Auth, tenant: Tenant) -> None:
        mighty = await register(auth, tenant, grant_types=[CREDENTIALS], role="admin", scopes=["*"], redirect_uris=[])
        stub = await self.of(auth, tenant, *roles.permissions("staff"))

        for attempt in (
            stub.UpdateClient(change(mighty.id, name="Mine")),
            stub.RotateClientSecret(oauth_pb2.RotateClientSecretRequest(id=mighty.id)),
            stub.DeleteClient(oauth_pb2.DeleteClientRequest(id=mighty.id)),
        ):
            with pytest.raises(errors.Denied):
                await attempt

    async def test_nor_can_it_be_raised(self, auth: Auth, tenant: Tenant) -> None:
        stub = await self.of(auth, tenant, *roles.permissions("staff"))
        made = await self.create(stub, role="staff")

        for wanted in ({"role": "admin"}, {"scopes": ["*"]}):
            with pytest.raises(errors.Denied):
                await stub.UpdateClient(change(made.id, **wanted))

    async def test_another_tenants_is_not_there(self, auth: Auth, tenant: Tenant) -> None:
        theirs = await register(auth, Tenant())
        stub = auth.stub(admin(tenant))

        for attempt in (
            stub.GetClient(named(theirs.id)),
            stub.UpdateClient(change(theirs.id, name="Mine")),
            stub.RotateClientSecret(oauth_pb2.RotateClientSecretRequest(id=theirs.id)),
            stub.DeleteClient(oauth_pb2.DeleteClientRequest(id=theirs.id)),
        ):
            with pytest.raises(errors.NotFound):
                await attempt

    async def test_its_own_role_cannot_be_deleted_under_it(self, auth: Auth, tenant: Tenant) -> None:
        await own_role(auth, tenant, "picker", "orders.read")
        made = await register(auth, tenant, grant_types=[CREDENTIALS], role="picker", scopes=["*"], redirect_uris=[])
        given = (await ask_token(auth, made, grant_type=CREDENTIALS)).json

        with pytest.raises(errors.Conflict):
            await auth.stub(admin(tenant)).DeleteRole(access_pb2.DeleteRoleRequest(name="picker"))

        assert set((await auth.exchange(given["access_token"])).permissions) == {"orders.read"}


class TestUpdateClient:
    async def test_less_power_ends_what_people_gave(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        client, person = await register(auth, tenant), await auth.person(tenant)
        given = await tokens(auth, client, person)

        await auth.stub(admin(tenant)).UpdateClient(change(client.id, scopes=["openid"]))

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(given["access_token"])
        ended = await outbox(databases, tenant.id, "SessionRevoked")
        assert [event["data"]["reason"] for event in ended] == ["client_revoked"]

    async def test_another_name_ends_nothing(self, auth: Auth, tenant: Tenant) -> None:
        client, person = await register(auth, tenant), await auth.person(tenant)
        given = await tokens(auth, client, person)

        changed = await auth.stub(admin(tenant)).UpdateClient(change(client.id, name="Other"))

        assert (changed.name, changed.version) == ("Other", 2)
        assert (await auth.exchange(given["access_token"])).id == person.id

    async def test_another_redirect_uri_voids_waiting_codes(self, auth: Auth, tenant: Tenant) -> None:
        client, person = await register(auth, tenant), await auth.person(tenant)
        chosen, challenge = verifier()
        reply = await Browser(auth).allow(client.asking(challenge), person)

        await auth.stub(admin(tenant)).UpdateClient(change(client.id, redirect_uris=["https://new.example/"]))

        assert (await exchange_code(auth, client, reply.sent["code"], chosen)).json["error"] == "invalid_grant"

    async def test_a_stale_version_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        client = await register(auth, tenant)
        stub = auth.stub(admin(tenant), switchyard_expected_version="7")

        with pytest.raises(errors.StaleVersion):
            await stub.UpdateClient(change(client.id, name="Other"))

    async def test_nothing_changed_is_nothing_done(self, auth: Auth, tenant: Tenant) -> None:
        client = await register(auth, tenant)

        same = await auth.stub(admin(tenant)).UpdateClient(change(client.id, name="Rota planner"))

        assert same.version == 1


class TestRotateClientSecret:
    async def test_the_old_one_works_for_another_day(self, auth: Auth, tenant: Tenant) -> None:
        told = {"grant_types": [CREDENTIALS], "role": "staff", "redirect_uris": [], "scopes": ["orders.*"]}
        old = await register(auth, tenant, **told)
        made = await auth.stub(admin(tenant)).RotateClientSecret(oauth_pb2.RotateClientSecretRequest(id=old.id))
        new = Client(old.id, made.secret)

        now = [(await ask_token(auth, one, grant_type=CREDENTIALS)).status for one in (old, new)]
        with clock.shifted(timedelta(hours=25)):
            later = [(await ask_token(auth, one, grant_type=CREDENTIALS)).status for one in (old, new)]

        assert (now, later) == ([200, 200], [401, 200])

    async def test_a_public_one_has_none_to_rotate(self, auth: Auth, tenant: Tenant) -> None:
        public = await register(auth, tenant, confidential=False)

        with pytest.raises(errors.Conflict):
            await auth.stub(admin(tenant)).RotateClientSecret(oauth_pb2.RotateClientSecretRequest(id=public.id))


class TestDeleteClient:
    async def test_all_it_had_ends(self, auth: Auth, tenant: Tenant) -> None:
        client, person = await register(auth, tenant), await auth.person(tenant)
        given = await tokens(auth, client, person)

        await auth.stub(admin(tenant)).DeleteClient(oauth_pb2.DeleteClientRequest(id=client.id))

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(given["access_token"])
        again = await ask_token(auth, client, grant_type="refresh_token", refresh_token=given["refresh_token"])
        assert (again.status, again.json["error"]) == (401, "invalid_client")
        reply = await Browser(auth).get(client.asking("x" * 43))
        assert (reply.status, reply.location) == (400, "")

    async def test_what_it_is_given_at_that_moment_ends_as_well(self, auth: Auth, tenant: Tenant) -> None:
        client = await register(auth, tenant)
        people = [await auth.person(tenant) for _ in range(6)]
        codes = []
        for person in people:
            chosen, challenge = verifier()
            reply = await Browser(auth).allow(client.asking(challenge), person)
            codes.append((reply.sent["code"], chosen))

        deleting = auth.stub(admin(tenant)).DeleteClient(oauth_pb2.DeleteClientRequest(id=client.id))
        *replies, _ = await asyncio.gather(
            *(exchange_code(auth, client, code, chosen) for code, chosen in codes), deleting
        )

        for reply in replies:
            if reply.status == 200:
                with pytest.raises(errors.Unauthenticated):
                    await auth.exchange(reply.json["access_token"])
