"""The authorization server by its own protocol: code, refresh, client credentials, exchange, the end of tokens."""

import asyncio
import base64
import hashlib
from datetime import timedelta
from typing import Any

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from switchyard.auth.v1 import auth_pb2, events_pb2, oauth_pb2, users_pb2

from chassis import clock, errors
from chassis.testing import Databases, Tenant
from services.auth.tests.oauth_support import (
    ACCESS_TOKEN,
    CODE_GRANTS,
    CREDENTIALS,
    EXCHANGE,
    Browser,
    Client,
    Reply,
    ask_token,
    call,
    exchange_code,
    register,
    tokens,
    verifier,
)
from services.auth.tests.support import Auth, Person, admin, outbox, superuser

ISSUER = "http://127.0.0.1:8000"


def claims_of(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    found: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


async def refresh(auth: Auth, client: Client, token: str, **more: str) -> Reply:
    return await ask_token(auth, client, grant_type="refresh_token", refresh_token=token, **more)


async def program(auth: Auth, tenant: Tenant, **wanted: Any) -> Client:
    """A client that acts on its own account."""
    told = {"grant_types": [CREDENTIALS], "scopes": ["orders.*"], "role": "staff", "redirect_uris": []} | wanted
    return await register(auth, tenant, **told)


async def remove(auth: Auth, tenant: Tenant, person: Person) -> None:
    await auth.stub(admin(tenant)).DeleteUser(users_pb2.DeleteUserRequest(id=person.id))


async def suspend(auth: Auth, databases: Databases, tenant: Tenant) -> None:
    async with superuser(databases) as connection:
        await connection.execute(
            "INSERT INTO tenant_standing (tenant_id, status) VALUES ($1, 'suspended') "
            "ON CONFLICT (tenant_id) DO UPDATE SET status = 'suspended'",
            tenant.id,
        )


@pytest.fixture
async def client(auth: Auth, tenant: Tenant) -> Client:
    return await register(auth, tenant)


@pytest.fixture
async def person(auth: Auth, tenant: Tenant) -> Person:
    return await auth.person(tenant)


class TestCode:
    async def test_it_becomes_tokens(self, auth: Auth, tenant: Tenant, client: Client, person: Person) -> None:
        given = await tokens(auth, client, person)

        assert set(given) == {"access_token", "refresh_token", "id_token", "token_type", "expires_in", "scope"}
        principal = await auth.exchange(given["access_token"])
        assert (principal.id, principal.tenant_id, set(principal.permissions)) == (
            person.id,
            tenant.id,
            {"orders.read"},
        )

    async def test_the_answer_says_who_gave_it(self, auth: Auth, client: Client, person: Person) -> None:
        _, challenge = verifier()

        reply = await Browser(auth).allow(client.asking(challenge), person)

        assert (reply.status, reply.location.partition("?")[0]) == (302, client.redirect)
        assert (reply.sent["state"], reply.sent["iss"]) == ("s-1", ISSUER)

    async def test_the_access_token_is_one_of_rfc_9068(self, auth: Auth, client: Client, person: Person) -> None:
        given = await tokens(auth, client, person)

        claims = claims_of(given["access_token"])
        assert (claims["iss"], claims["aud"], claims["sub"]) == (ISSUER, "switchyard-api", person.id)
        assert (claims["client_id"], claims["scope"]) == (client.id, "openid email orders.read")
        assert {"exp", "iat", "jti", "sid", "auth_time"} <= set(claims)

    async def test_the_id_token_verifies_by_the_published_keys(
        self, auth: Auth, client: Client, person: Person
    ) -> None:
        given = await tokens(auth, client, person, scope="openid profile email")

        keys = KeySet.import_key_set(await auth.keys())  # type: ignore[arg-type]
        decoded = jwt.decode(given["id_token"], keys, algorithms=["RS256"])
        claims = decoded.claims
        assert (claims["iss"], claims["aud"], claims["sub"], claims["nonce"]) == (ISSUER, client.id, person.id, "n-1")
        assert (claims["name"], claims["email"]) == ("Mira Lindqvist", person.email)
        assert claims["auth_time"] <= claims["iat"] < claims["exp"]
        half = hashlib.sha256(given["access_token"].encode()).digest()[:16]
        assert claims["at_hash"] == base64.urlsafe_b64encode(half).decode().rstrip("=")

    async def test_without_openid_there_is_none(self, auth: Auth, client: Client, person: Person) -> None:
        given = await tokens(auth, client, person, scope="orders.read")

        assert "id_token" not in given

    async def test_a_public_client_proves_itself_by_pkce(self, auth: Auth, tenant: Tenant, person: Person) -> None:
        public = await register(auth, tenant, confidential=False)

        given = await tokens(auth, public, person)

        assert (await auth.exchange(given["access_token"])).id == person.id

    async def test_the_secret_may_stand_in_the_form(self, auth: Auth, client: Client, person: Person) -> None:
        chosen, challenge = verifier()
        reply = await Browser(auth).allow(client.asking(challenge), person)
        told = {
            "grant_type": "authorization_code",
            "code": reply.sent["code"],
            "redirect_uri": client.redirect,
            "code_verifier": chosen,
            "client_id": client.id,
            "client_secret": client.secret,
        }

        given = await call(auth, "POST", "/oauth/token", told)

        assert given.status == 200

    async def test_a_client_without_the_refresh_grant_gets_no_refresh_token(
        self, auth: Auth, tenant: Tenant, person: Person
    ) -> None:
        client = await register(auth, tenant, grant_types=["authorization_code"])

        assert "refresh_token" not in await tokens(auth, client, person)

    async def test_what_the_person_may_not_do_the_client_may_not(self, auth: Auth, tenant: Tenant) -> None:
        client = await register(auth, tenant, scopes=["*"])
        kiosk_like = await auth.person(tenant, role="staff")

        given = await tokens(auth, client, kiosk_like, scope="auth.users.write orders.read")

        assert set((await auth.exchange(given["access_token"])).permissions) == {"orders.read"}

    async def test_nobody_keeps_the_answer(self, auth: Auth, client: Client, person: Person) -> None:
        chosen, challenge = verifier()
        reply = await Browser(auth).allow(client.asking(challenge), person)

        given = await exchange_code(auth, client, reply.sent["code"], chosen)

        assert (given.headers["cache-control"], given.headers["pragma"]) == ("no-store", "no-cache")
        assert given.headers["content-type"] == "application/json"

    async def test_it_waits_a_minute(self, auth: Auth, client: Client, person: Person) -> None:
        chosen, challenge = verifier()
        reply = await Browser(auth).allow(client.asking(challenge), person)

        with clock.shifted(timedelta(seconds=61)):
            given = await exchange_code(auth, client, reply.sent["code"], chosen)

        assert (given.status, given.json["error"]) == (400, "invalid_grant")

    async def test_a_person_who_was_removed_meanwhile_gives_nothing(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person
    ) -> None:
        chosen, challenge = verifier()
        reply = await Browser(auth).allow(client.asking(challenge), person)
        await remove(auth, tenant, person)

        given = await exchange_code(auth, client, reply.sent["code"], chosen)

        assert (given.status, given.json["error"]) == (400, "invalid_grant")


class TestRefresh:
    async def test_it_gives_the_next_pair(self, auth: Auth, client: Client, person: Person) -> None:
        first = await tokens(auth, client, person)

        again = await refresh(auth, client, first["refresh_token"])

        assert again.status == 200
        assert again.json["refresh_token"] != first["refresh_token"]
        assert (await auth.exchange(again.json["access_token"])).id == person.id
        assert claims_of(again.json["id_token"])["sub"] == person.id
        assert "nonce" not in claims_of(again.json["id_token"])

    async def test_fifty_at_once_get_one_successor(self, auth: Auth, client: Client, person: Person) -> None:
        first = await tokens(auth, client, person)

        replies = await asyncio.gather(*(refresh(auth, client, first["refresh_token"]) for _ in range(50)))

        assert {reply.status for reply in replies} == {200}
        assert len({reply.json["refresh_token"] for reply in replies}) == 1

    async def test_a_theft_ends_the_session(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person, databases: Databases
    ) -> None:
        first = await tokens(auth, client, person)
        second = (await refresh(auth, client, first["refresh_token"])).json

        with clock.shifted(timedelta(seconds=11)):
            stolen = await refresh(auth, client, first["refresh_token"])
            after = await refresh(auth, client, second["refresh_token"])

        assert (stolen.status, stolen.json["error"]) == (400, "invalid_grant")
        assert after.json["error"] == "invalid_grant"
        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(second["access_token"])
        ended = await outbox(databases, tenant.id, "SessionRevoked")
        assert [event["data"]["reason"] for event in ended] == ["reuse_detected"]

    async def test_fewer_scopes_for_once(self, auth: Auth, client: Client, person: Person) -> None:
        first = await tokens(auth, client, person, scope="openid orders.read orders.create")

        narrow = (await refresh(auth, client, first["refresh_token"], scope="orders.read")).json
        wide = (await refresh(auth, client, narrow["refresh_token"])).json

        assert (narrow["scope"], wide["scope"]) == ("orders.read", "openid orders.read orders.create")
        assert set((await auth.exchange(narrow["access_token"])).permissions) == {"orders.read"}
        assert set((await auth.exchange(wide["access_token"])).permissions) == {"orders.read", "orders.create"}

    async def test_more_scopes_are_refused(self, auth: Auth, client: Client, person: Person) -> None:
        first = await tokens(auth, client, person)

        reply = await refresh(auth, client, first["refresh_token"], scope="orders.read orders.create")

        assert (reply.status, reply.json["error"]) == (400, "invalid_scope")

    async def test_another_client_cannot(self, auth: Auth, tenant: Tenant, client: Client, person: Person) -> None:
        first = await tokens(auth, client, person)

        reply = await refresh(auth, await register(auth, tenant), first["refresh_token"])

        assert (reply.status, reply.json["error"]) == (400, "invalid_grant")
        assert (await refresh(auth, client, first["refresh_token"])).status == 200

    async def test_the_suites_own_refresh_does_not_take_it(self, auth: Auth, client: Client, person: Person) -> None:
        first = await tokens(auth, client, person)
        request = auth_pb2.RefreshRequest(refresh_token=first["refresh_token"])

        with pytest.raises(errors.Unauthenticated):
            await auth.stub().Refresh(request)

    async def test_nor_does_this_one_take_the_suites_own(self, auth: Auth, client: Client, person: Person) -> None:
        own = (await auth.sign_in(person)).refresh_token

        reply = await refresh(auth, client, own)

        assert (reply.status, reply.json["error"]) == (400, "invalid_grant")

    async def test_a_removed_person_is_refused(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person
    ) -> None:
        first = await tokens(auth, client, person)
        await remove(auth, tenant, person)

        assert (await refresh(auth, client, first["refresh_token"])).json["error"] == "invalid_grant"

    async def test_a_suspended_tenant_is_refused(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person, databases: Databases
    ) -> None:
        first = await tokens(auth, client, person)
        await suspend(auth, databases, tenant)

        assert (await refresh(auth, client, first["refresh_token"])).json["error"] == "unauthorized_client"
        with pytest.raises(errors.Denied) as refusal:
            await auth.exchange(first["access_token"])
        assert refusal.value.code == "TENANT_SUSPENDED"


class TestClientCredentials:
    async def test_the_client_acts_as_itself(self, auth: Auth, tenant: Tenant) -> None:
        site = "00000000-0000-7000-8000-00000000000a"
        client = await program(auth, tenant, site_ids=[site], scopes=["orders.*"])

        given = (await ask_token(auth, client, grant_type=CREDENTIALS)).json

        assert set(given) == {"access_token", "token_type", "expires_in", "scope"}
        principal = await auth.exchange(given["access_token"])
        assert (principal.kind, principal.id, principal.roles) == ("client", client.id, ("staff",))
        assert (principal.tenant_id, set(principal.sites)) == (tenant.id, {site})
        assert set(principal.permissions) == {"orders.assign", "orders.create", "orders.read", "orders.update"}

    async def test_fewer_scopes(self, auth: Auth, tenant: Tenant) -> None:
        client = await program(auth, tenant)

        given = (await ask_token(auth, client, grant_type=CREDENTIALS, scope="orders.read")).json

        assert set((await auth.exchange(given["access_token"])).permissions) == {"orders.read"}

    async def test_other_scopes_are_refused(self, auth: Auth, tenant: Tenant) -> None:
        reply = await ask_token(auth, await program(auth, tenant), grant_type=CREDENTIALS, scope="inventory.items.read")

        assert (reply.status, reply.json["error"]) == (400, "invalid_scope")

    async def test_only_with_the_grant(self, auth: Auth, client: Client) -> None:
        reply = await ask_token(auth, client, grant_type=CREDENTIALS)

        assert (reply.status, reply.json["error"]) == (400, "unauthorized_client")

    async def test_in_another_tenant_it_is_nobody(self, auth: Auth, tenant: Tenant) -> None:
        given = (await ask_token(auth, await program(auth, tenant), grant_type=CREDENTIALS)).json

        with pytest.raises(errors.Denied):
            await auth.exchange(given["access_token"], Tenant())

    async def test_a_changed_client_needs_a_new_one(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        client = await program(auth, tenant)
        given = (await ask_token(auth, client, grant_type=CREDENTIALS)).json
        change = oauth_pb2.UpdateClientRequest(id=client.id, client=oauth_pb2.OauthClient(scopes=["orders.read"]))
        change.update_mask.paths.append("scopes")

        await auth.stub(admin(tenant)).UpdateClient(change)

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(given["access_token"])
        again = (await ask_token(auth, client, grant_type=CREDENTIALS)).json
        assert set((await auth.exchange(again["access_token"])).permissions) == {"orders.read"}
        told = await outbox(databases, tenant.id, events_pb2.ClientRevoked.DESCRIPTOR.name)
        assert [event["data"]["client_id"] for event in told] == [client.id]

    async def test_a_deleted_client_is_nobody(self, auth: Auth, tenant: Tenant) -> None:
        client = await program(auth, tenant)
        given = (await ask_token(auth, client, grant_type=CREDENTIALS)).json

        await auth.stub(admin(tenant)).DeleteClient(oauth_pb2.DeleteClientRequest(id=client.id))

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(given["access_token"])
        assert (await ask_token(auth, client, grant_type=CREDENTIALS)).json["error"] == "invalid_client"

    async def test_a_suspended_tenants_client_is_refused(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        client = await program(auth, tenant)
        given = (await ask_token(auth, client, grant_type=CREDENTIALS)).json
        await suspend(auth, databases, tenant)

        with pytest.raises(errors.Denied) as refusal:
            await auth.exchange(given["access_token"])

        assert refusal.value.code == "TENANT_SUSPENDED"
        assert (await ask_token(auth, client, grant_type=CREDENTIALS)).json["error"] == "unauthorized_client"


class TestTokenExchange:
    async def backend(self, auth: Auth, tenant: Tenant) -> Client:
        return await register(auth, tenant, grant_types=[EXCHANGE], scopes=["orders.read"], redirect_uris=[])

    async def exchange(self, auth: Auth, client: Client, subject: str, **more: str) -> Reply:
        told = {"grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": ACCESS_TOKEN} | more
        return await ask_token(auth, client, **told)

    async def test_it_gives_a_narrower_token_for_the_same_person(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person
    ) -> None:
        first = await tokens(auth, client, person, scope="openid orders.read orders.create")
        backend = await self.backend(auth, tenant)

        reply = await self.exchange(auth, backend, first["access_token"])

        assert reply.status == 200, reply.text
        given = reply.json
        assert (given["issued_token_type"], given["scope"]) == (ACCESS_TOKEN, "orders.read")
        assert "refresh_token" not in given
        claims = claims_of(given["access_token"])
        assert (claims["act"], claims["client_id"], claims["sub"]) == ({"sub": backend.id}, backend.id, person.id)
        assert claims["exp"] <= claims_of(first["access_token"])["exp"]
        assert set((await auth.exchange(given["access_token"])).permissions) == {"orders.read"}

    async def test_who_acted_before_is_named_as_well(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person
    ) -> None:
        first = await tokens(auth, client, person, scope="orders.read")
        one, two = await self.backend(auth, tenant), await self.backend(auth, tenant)

        second = (await self.exchange(auth, one, first["access_token"])).json
        third = (await self.exchange(auth, two, second["access_token"])).json

        assert claims_of(third["access_token"])["act"] == {"sub": two.id, "act": {"sub": one.id}}

    async def test_it_ends_with_what_it_came_of(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person
    ) -> None:
        first = await tokens(auth, client, person, scope="orders.read")
        backend = await self.backend(auth, tenant)
        given = (await self.exchange(auth, backend, first["access_token"])).json

        await call(auth, "POST", "/oauth/revoke", {"token": first["refresh_token"]}, client.basic)

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(given["access_token"])

    async def test_of_many_that_come_while_it_ends_none_is_left(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person
    ) -> None:
        first = await tokens(auth, client, person, scope="orders.read")
        backend = await self.backend(auth, tenant)

        exchanging = [self.exchange(auth, backend, first["access_token"]) for _ in range(12)]
        ending = call(auth, "POST", "/oauth/revoke", {"token": first["refresh_token"]}, client.basic)
        replies = await asyncio.gather(*exchanging[:6], ending, *exchanging[6:])

        for reply in replies:
            if "access_token" in reply.json:
                with pytest.raises(errors.Unauthenticated):
                    await auth.exchange(reply.json["access_token"])

    async def test_it_ends_with_its_client(self, auth: Auth, tenant: Tenant, client: Client, person: Person) -> None:
        first = await tokens(auth, client, person, scope="orders.read")
        backend = await self.backend(auth, tenant)
        given = (await self.exchange(auth, backend, first["access_token"])).json

        await auth.stub(admin(tenant)).DeleteClient(oauth_pb2.DeleteClientRequest(id=backend.id))

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(given["access_token"])
        assert (await auth.exchange(first["access_token"])).id == person.id

    async def test_more_than_the_subject_has_is_refused(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person
    ) -> None:
        first = await tokens(auth, client, person, scope="openid orders.create")

        reply = await self.exchange(auth, await self.backend(auth, tenant), first["access_token"], scope="orders.read")

        assert (reply.status, reply.json["error"]) == (400, "invalid_scope")

    async def test_a_token_that_was_not_given_to_a_client_of_the_tenant_is_refused(
        self, auth: Auth, tenant: Tenant, person: Person
    ) -> None:
        backend = await self.backend(auth, tenant)
        other = Tenant()
        theirs = await tokens(auth, await register(auth, other), await auth.person(other), scope="orders.read")
        own = (await ask_token(auth, await program(auth, tenant), grant_type=CREDENTIALS)).json

        for subject in (
            theirs["access_token"],
            own["access_token"],
            (await auth.sign_in(person)).access_token,
            "nonsense",
        ):
            reply = await self.exchange(auth, backend, subject)
            assert (reply.status, reply.json["error"]) == (400, "invalid_grant")

    async def test_a_removed_person_is_refused(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person
    ) -> None:
        first = await tokens(auth, client, person, scope="orders.read")
        await remove(auth, tenant, person)

        reply = await self.exchange(auth, await self.backend(auth, tenant), first["access_token"])

        assert reply.json["error"] == "invalid_grant"


class TestConfiguration:
    async def test_it_says_what_there_is(self, auth: Auth) -> None:
        told = await auth.stub().GetConfiguration(oauth_pb2.GetConfigurationRequest())

        assert (told.issuer, told.token_endpoint) == (ISSUER, f"{ISSUER}/oauth/token")
        assert (list(told.response_types_supported), list(told.code_challenge_methods_supported)) == (
            ["code"],
            ["S256"],
        )
        assert set(CODE_GRANTS) | {CREDENTIALS, EXCHANGE} == set(told.grant_types_supported)
