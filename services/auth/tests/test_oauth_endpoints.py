"""What is asked about tokens, and their end: revocation, introspection, userinfo."""

import pytest

from chassis import errors
from chassis.testing import Databases, Tenant
from services.auth.tests.oauth_support import CREDENTIALS, Client, ask_token, call, register, tokens
from services.auth.tests.support import Auth, Person, outbox
from services.auth.tests.test_oauth import ISSUER, program, refresh


@pytest.fixture
async def client(auth: Auth, tenant: Tenant) -> Client:
    return await register(auth, tenant)


@pytest.fixture
async def person(auth: Auth, tenant: Tenant) -> Person:
    return await auth.person(tenant)


class TestRevoke:
    @pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
    async def test_either_token_ends_the_session(
        self, auth: Auth, client: Client, person: Person, kind: str, databases: Databases, tenant: Tenant
    ) -> None:
        given = await tokens(auth, client, person)

        reply = await call(auth, "POST", "/oauth/revoke", {"token": given[kind], "token_type_hint": kind}, client.basic)

        assert reply.status == 200
        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(given["access_token"])
        assert (await refresh(auth, client, given["refresh_token"])).json["error"] == "invalid_grant"
        assert len(await outbox(databases, tenant.id, "SessionRevoked")) == 1

    async def test_an_unknown_token_is_no_error(self, auth: Auth, client: Client) -> None:
        reply = await call(auth, "POST", "/oauth/revoke", {"token": "rt_nothing"}, client.basic)

        assert reply.status == 200

    async def test_a_hint_of_another_kind_is_passed_over(self, auth: Auth, client: Client) -> None:
        told = {"token": "x", "token_type_hint": "saml"}

        assert (await call(auth, "POST", "/oauth/revoke", told, client.basic)).status == 200

    async def test_another_client_cannot(self, auth: Auth, tenant: Tenant, client: Client, person: Person) -> None:
        given = await tokens(auth, client, person)
        other = await register(auth, tenant)

        reply = await call(auth, "POST", "/oauth/revoke", {"token": given["refresh_token"]}, other.basic)

        assert reply.status == 400
        assert (await auth.exchange(given["access_token"])).id == person.id

    async def test_a_public_client_names_itself(self, auth: Auth, tenant: Tenant, person: Person) -> None:
        public = await register(auth, tenant, confidential=False)
        given = await tokens(auth, public, person)

        told = {"token": given["refresh_token"], "client_id": public.id}
        await call(auth, "POST", "/oauth/revoke", told)

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(given["access_token"])


class TestIntrospect:
    async def test_a_live_token_is_told(self, auth: Auth, tenant: Tenant, client: Client, person: Person) -> None:
        given = await tokens(auth, client, person)
        asking = await program(auth, tenant)

        told = (await call(auth, "POST", "/oauth/introspect", {"token": given["access_token"]}, asking.basic)).json

        assert (told["active"], told["sub"], told["client_id"]) == (True, person.id, client.id)
        assert (told["scope"], told["username"]) == ("openid email orders.read", person.email)
        assert (told["iss"], told["tenant_id"], told["token_type"]) == (ISSUER, str(tenant.id), "Bearer")

    async def test_a_refresh_token_is_told_until_it_is_spent(self, auth: Auth, client: Client, person: Person) -> None:
        given = await tokens(auth, client, person)
        asked = {"token": given["refresh_token"], "token_type_hint": "refresh_token"}
        before = (await call(auth, "POST", "/oauth/introspect", asked, client.basic)).json

        await refresh(auth, client, given["refresh_token"])

        assert (before["active"], before["sub"]) == (True, person.id)
        assert (await call(auth, "POST", "/oauth/introspect", asked, client.basic)).json == {"active": False}

    async def test_a_clients_own_token_is_told(self, auth: Auth, tenant: Tenant) -> None:
        client = await program(auth, tenant)
        given = (await ask_token(auth, client, grant_type=CREDENTIALS)).json

        told = (await call(auth, "POST", "/oauth/introspect", {"token": given["access_token"]}, client.basic)).json

        assert (told["active"], told["sub"]) == (True, client.id)

    async def test_anothers_ended_or_odd_one_is_not_active(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person
    ) -> None:
        other = Tenant()
        theirs = await tokens(auth, await register(auth, other), await auth.person(other))
        ended = await tokens(auth, client, person)
        await call(auth, "POST", "/oauth/revoke", {"token": ended["access_token"]}, client.basic)
        first_party = (await auth.sign_in(person)).access_token

        for token in (theirs["access_token"], theirs["refresh_token"], ended["access_token"], first_party, "odd"):
            reply = await call(auth, "POST", "/oauth/introspect", {"token": token}, client.basic)
            assert (reply.status, reply.json) == (200, {"active": False})

    async def test_a_public_client_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        public = await register(auth, tenant, confidential=False)

        reply = await call(auth, "POST", "/oauth/introspect", {"token": "x", "client_id": public.id})

        assert (reply.status, reply.json["error"]) == (401, "invalid_client")


class TestUserinfo:
    async def test_it_tells_what_the_scopes_let(self, auth: Auth, tenant: Tenant, person: Person) -> None:
        client = await register(auth, tenant)
        all_of_it = await tokens(auth, client, person, scope="openid profile email")
        little = await tokens(auth, client, person, scope="openid")

        told = [
            (await call(auth, method, "/oauth/userinfo", "", {"authorization": f"Bearer {given['access_token']}"})).json
            for method, given in (("GET", all_of_it), ("POST", little))
        ]

        assert told[1] == {"sub": person.id}
        assert told[0] | {"email_verified": None} == {
            "sub": person.id,
            "name": "Mira Lindqvist",
            "tenant_id": str(tenant.id),
            "roles": ["staff"],
            "email": person.email,
            "email_verified": None,
        }

    async def test_without_a_token_it_says_how(self, auth: Auth) -> None:
        reply = await call(auth, "GET", "/oauth/userinfo")

        assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")

    async def test_a_bad_one_is_invalid(self, auth: Auth) -> None:
        reply = await call(auth, "GET", "/oauth/userinfo", "", {"authorization": "Bearer nonsense"})

        assert reply.status == 401
        assert 'error="invalid_token"' in reply.headers["www-authenticate"]

    async def test_without_openid_it_is_too_little(self, auth: Auth, client: Client, person: Person) -> None:
        given = await tokens(auth, client, person, scope="orders.read")

        headers = {"authorization": f"Bearer {given['access_token']}"}
        reply = await call(auth, "GET", "/oauth/userinfo", "", headers)

        assert reply.status == 403
        assert 'error="insufficient_scope"' in reply.headers["www-authenticate"]
