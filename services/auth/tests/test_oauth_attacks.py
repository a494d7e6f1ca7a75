"""Attacks on the authorization server: each is refused, and stands in the trail of whom it was aimed at."""

import asyncio
import base64
from typing import Any

import pytest
from switchyard.auth.v1 import access_pb2, auth_pb2, factors_pb2, oauth_pb2, users_pb2

from chassis import errors
from chassis.testing import Databases, Tenant
from services.auth.tests.oauth_support import (
    CREDENTIALS,
    REDIRECT,
    Browser,
    Client,
    ask_token,
    call,
    exchange_code,
    forms,
    register,
    tokens,
    verifier,
)
from services.auth.tests.support import OPERATOR_EMAIL, PASSWORD, Auth, Person, admin, outbox


@pytest.fixture
async def client(auth: Auth, tenant: Tenant) -> Client:
    return await register(auth, tenant)


@pytest.fixture
async def person(auth: Auth, tenant: Tenant) -> Person:
    return await auth.person(tenant)


async def code_of(auth: Auth, client: Client, person: Person, **asked: str) -> tuple[str, str]:
    chosen, challenge = verifier()
    reply = await Browser(auth).allow(client.asking(challenge, **asked), person)
    return reply.sent["code"], chosen


async def failures(databases: Databases, tenant: Tenant, action: str = "auth.Token") -> list[tuple[str, str]]:
    trail = await outbox(databases, tenant.id, "aud")
    return [
        (one["error_code"], one["subject"]) for one in trail if (one["action"], one["outcome"]) == (action, "failure")
    ]


class TestCodeReplay:
    async def test_it_ends_what_the_code_gave(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person, databases: Databases
    ) -> None:
        code, chosen = await code_of(auth, client, person)
        given = (await exchange_code(auth, client, code, chosen)).json

        replayed = await exchange_code(auth, client, code, chosen)

        assert (replayed.status, replayed.json["error"]) == (400, "invalid_grant")
        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(given["access_token"])
        again = await ask_token(auth, client, grant_type="refresh_token", refresh_token=given["refresh_token"])
        assert again.json["error"] == "invalid_grant"
        assert ("INVALID_GRANT", f"client:{client.id}") in await failures(databases, tenant)
        ended = await outbox(databases, tenant.id, "SessionRevoked")
        assert [event["data"]["reason"] for event in ended] == ["reuse_detected"]

    async def test_of_many_at_once_none_is_left_with_a_session(
        self, auth: Auth, client: Client, person: Person
    ) -> None:
        code, chosen = await code_of(auth, client, person)

        replies = await asyncio.gather(*(exchange_code(auth, client, code, chosen) for _ in range(20)))

        given = [reply.json for reply in replies if reply.status == 200]
        assert len(given) == 1
        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(given[0]["access_token"])


class TestPkceDowngrade:
    @pytest.mark.parametrize(
        "asked",
        [
            {"code_challenge": "", "code_challenge_method": ""},
            {"code_challenge": ""},
            {"code_challenge_method": ""},
            {"code_challenge_method": "plain"},
            {"code_challenge_method": "s256"},
            {"code_challenge": "short"},
            {"code_challenge": "ü" * 43},
        ],
    )
    async def test_a_request_without_s256_is_refused(self, auth: Auth, client: Client, asked: dict[str, str]) -> None:
        reply = await Browser(auth).get(client.asking(verifier()[1], **asked))

        assert (reply.status, reply.sent["error"]) == (302, "invalid_request")

    async def test_the_verifier_must_be_the_one(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person, databases: Databases
    ) -> None:
        chosen, challenge = verifier()
        code = (await Browser(auth).allow(client.asking(challenge), person)).sent["code"]

        wrong = [await exchange_code(auth, client, code, each) for each in (verifier()[0], challenge, "", "x" * 200)]

        assert [reply.status for reply in wrong] == [400] * 4
        assert wrong[0].json["error"] == "invalid_grant"
        assert len(await failures(databases, tenant)) == 4
        assert (await exchange_code(auth, client, code, chosen)).status == 200


class TestRedirectTricks:
    @pytest.mark.parametrize(
        "uri",
        [
            "https://rota.example/callback/",
            "https://rota.example/callback/../../evil",
            "https://rota.example/callback?next=https://evil.example",
            "https://rota.example/callback#fragment",
            "https://rota.example/CALLBACK",
            "https://ROTA.example/callback",
            "https://rota.example.evil.example/callback",
            "https://evil.example/?https://rota.example/callback",
            "https://rota.example@evil.example/callback",
            "https://rota.example:password@evil.example/callback",
            "https://rota.example\\.evil.example/callback",
            'https://rota.example/callback"><script>',
            "javascript:alert(1)",
            "//evil.example",
            "http://rota.example/callback",
            "",
        ],
    )
    async def test_the_browser_is_sent_nowhere(
        self, auth: Auth, tenant: Tenant, client: Client, databases: Databases, uri: str
    ) -> None:
        reply = await Browser(auth).get(client.asking(verifier()[1], redirect_uri=uri))

        assert (reply.status, reply.location) == (400, "")
        assert "<script" not in reply.text
        assert "form-action 'self'" in reply.headers["content-security-policy"]
        assert "evil" not in str(reply.headers)
        assert await failures(databases, tenant, "auth.Authorize") == [("INVALID_REQUEST", f"client:{client.id}")]

    @pytest.mark.parametrize("asked", [{"response_type": "token"}, {"scope": "nonsense"}, {"prompt": "none"}])
    async def test_nor_by_an_error(self, auth: Auth, client: Client, asked: dict[str, str]) -> None:
        told = client.asking(verifier()[1], redirect_uri="https://evil.example/callback", **asked)

        assert (await Browser(auth).get(told)).location == ""

    @pytest.mark.parametrize("client_id", ["", "nonsense", "00000000-0000-7000-8000-000000000000", '"><script>'])
    async def test_nor_for_a_client_that_is_none(self, auth: Auth, client_id: str) -> None:
        reply = await Browser(auth).get(Client(client_id).asking(verifier()[1]))

        assert (reply.status, reply.location) == (400, "")

    async def test_the_code_is_bound_to_it(self, auth: Auth, tenant: Tenant, person: Person) -> None:
        two = await register(auth, tenant, redirect_uris=[REDIRECT, "https://rota.example/other"])
        code, chosen = await code_of(auth, two, person)

        for uri in ("https://rota.example/other", ""):
            reply = await exchange_code(auth, two, code, chosen, redirect_uri=uri)
            assert (reply.status, reply.json["error"]) == (400, "invalid_grant")


class TestMixUp:
    async def test_anothers_code(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person, databases: Databases
    ) -> None:
        code, chosen = await code_of(auth, client, person)
        other, foreign = await register(auth, tenant), await register(auth, Tenant())

        for thief in (other, foreign):
            reply = await exchange_code(auth, thief, code, chosen)
            assert (reply.status, reply.json["error"]) == (400, "invalid_grant")
        assert await failures(databases, tenant) == [("INVALID_GRANT", "")]
        assert (await exchange_code(auth, client, code, chosen)).status == 200

    async def test_a_form_for_one_client_does_not_allow_another(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person
    ) -> None:
        other = await register(auth, tenant)
        browser = Browser(auth)
        consent = await browser.sign_in(await browser.get(client.asking(verifier()[1])), person)

        for swapped in ({"client_id": other.id}, {"scope": "openid orders.*"}, {"state": "mine"}):
            reply = await browser.post(forms(consent.text)[0] | {"answer": "allow"} | swapped)
            assert (reply.status, reply.location) == (400, "")


class TestClientAuthentication:
    @pytest.mark.parametrize("secret", ["wrong", "", "ocs_", "\x00"])
    async def test_a_wrong_secret(
        self, auth: Auth, tenant: Tenant, client: Client, databases: Databases, secret: str
    ) -> None:
        thief = Client(client.id, secret)

        reply = await call(auth, "POST", "/oauth/token", {"grant_type": "refresh_token"}, thief.basic)

        assert reply.status in {400, 401}
        assert await failures(databases, tenant) if secret else True

    async def test_the_refusal_says_how(self, auth: Auth, client: Client) -> None:
        reply = await ask_token(auth, Client(client.id, "wrong"), grant_type="refresh_token", refresh_token="x")

        assert (reply.status, reply.json["error"]) == (401, "invalid_client")
        assert reply.headers["www-authenticate"].startswith("Basic")

    async def test_two_ways_at_once(self, auth: Auth, client: Client) -> None:
        told = {"grant_type": "refresh_token", "refresh_token": "x", "client_secret": client.secret}

        reply = await call(auth, "POST", "/oauth/token", told, client.basic)

        assert (reply.status, reply.json["error"]) == (400, "invalid_request")

    async def test_two_names_at_once(self, auth: Auth, tenant: Tenant, client: Client) -> None:
        other = await register(auth, tenant)
        told = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": other.id}

        reply = await call(auth, "POST", "/oauth/token", told, client.basic)

        assert (reply.status, reply.json["error"]) == (400, "invalid_request")

    async def test_a_confidential_client_without_its_secret(self, auth: Auth, client: Client, person: Person) -> None:
        code, chosen = await code_of(auth, client, person)

        reply = await exchange_code(auth, Client(client.id), code, chosen)

        assert (reply.status, reply.json["error"]) == (401, "invalid_client")

    async def test_a_secret_in_the_query_is_not_looked_at(self, auth: Auth, client: Client) -> None:
        told = {"grant_type": "refresh_token", "refresh_token": "x"}
        query = f"client_id={client.id}&client_secret={client.secret}"

        reply = await call(auth, "POST", "/oauth/token", told, query=query)

        assert reply.json["error"] == "invalid_client"

    @pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic /////w==", "Basic " + "QQ" * 5000, "Bearer x", ""])
    async def test_an_odd_header(self, auth: Auth, header: str) -> None:
        told = {"grant_type": CREDENTIALS}

        reply = await call(auth, "POST", "/oauth/token", told, {"authorization": header})

        assert (reply.status, reply.json["error"]) == (401, "invalid_client")


class TestWhatIsNotThere:
    async def test_the_password_grant(self, auth: Auth, client: Client, person: Person) -> None:
        told = {"grant_type": "password", "username": person.email, "password": PASSWORD}

        reply = await ask_token(auth, client, **told)

        assert (reply.status, reply.json["error"]) == (400, "unsupported_grant_type")

    @pytest.mark.parametrize("response_type", ["token", "id_token", "code token", "none"])
    async def test_the_implicit_one(self, auth: Auth, client: Client, response_type: str) -> None:
        reply = await Browser(auth).get(client.asking(verifier()[1], response_type=response_type))

        assert reply.sent["error"] == "unsupported_response_type"
        assert "#" not in reply.location


class TestDuplicates:
    @pytest.mark.parametrize("name", ["client_id", "redirect_uri", "scope", "state", "code_challenge", "nonce"])
    async def test_of_a_parameter_at_the_authorization_endpoint(self, auth: Auth, client: Client, name: str) -> None:
        asked = "&".join(f"{key}={value}" for key, value in client.asking(verifier()[1]).items())

        reply = await Browser(auth).get(f"{asked}&{name}=https://evil.example")

        assert (reply.status, reply.location) == (400, "")

    async def test_at_the_token_endpoint(self, auth: Auth, client: Client) -> None:
        told = "grant_type=refresh_token&grant_type=client_credentials&refresh_token=x"

        reply = await call(auth, "POST", "/oauth/token", told, client.basic)

        assert (reply.status, reply.json["error"]) == (400, "invalid_request")

    @pytest.mark.parametrize("body", ['{"grant_type": "client_credentials"}', "grant_type=%ff", "a=%00", "a=b&" * 100])
    async def test_what_is_no_form(self, auth: Auth, client: Client, body: str) -> None:
        kind = "application/json" if body.startswith("{") else "application/x-www-form-urlencoded"

        reply = await call(auth, "POST", "/oauth/token", body, client.basic | {"content-type": kind})

        assert (reply.status, reply.json["error"]) == (400, "invalid_request")


class TestCsrf:
    async def test_a_consent_from_elsewhere(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person, databases: Databases
    ) -> None:
        victim, attacker = Browser(auth), Browser(auth)
        await victim.sign_in(await victim.get(client.asking(verifier()[1])), person)
        mallory = await auth.person(tenant)
        asked = client.asking(verifier()[1])
        theirs = forms((await attacker.sign_in(await attacker.get(asked), mallory)).text)[0]

        for token in ("", "x", theirs["form"]):
            reply = await victim.post(theirs | {"form": token, "answer": "allow"})
            assert (reply.status, reply.location) == (400, "")
        found = await failures(databases, tenant, "auth.AnswerAuthorize")
        assert found == [("FORM_NOT_OURS", f"user:{person.id}")] * 3

    async def test_a_sign_in_from_elsewhere(self, auth: Auth, client: Client, person: Person) -> None:
        attacker = Browser(auth)
        form = forms((await attacker.get(client.asking(verifier()[1]))).text)[0]

        reply = await Browser(auth).post(form | {"email": person.email, "password": PASSWORD})

        assert reply.status == 400
        assert not any("session" in cookie for cookie in reply.cookies)

    async def test_a_cookie_that_we_did_not_make(self, auth: Auth, client: Client, person: Person) -> None:
        browser = Browser(auth)
        await browser.sign_in(await browser.get(client.asking(verifier()[1])), person)
        session, _, mac = browser.jar["switchyard-session"].partition(".")

        for forged in (session, f"{session}.", f"{session}.{'0' * len(mac)}", f".{mac}", "", "x.y", f"{mac}.{session}"):
            browser.jar["switchyard-session"] = forged
            page = await browser.get(client.asking(verifier()[1]))
            assert forms(page.text)[0]["step"] == "sign-in"

    async def test_a_session_that_was_planted_before_the_sign_in(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person
    ) -> None:
        attacker, victim = Browser(auth), Browser(auth)
        mallory = await auth.person(tenant)
        await attacker.sign_in(await attacker.get(client.asking(verifier()[1])), mallory)
        victim.jar = dict(attacker.jar)

        page = await victim.get(client.asking(verifier()[1], prompt="login"))
        await victim.sign_in(page, person)

        theirs = await attacker.get(client.asking(verifier()[1]))
        assert forms(theirs.text)[0]["step"] == "sign-in"
        assert person.email not in theirs.text


class TestOperator:
    async def test_the_platforms_powers_are_not_lent_to_a_tenants_program(self, auth: Auth, tenant: Tenant) -> None:
        client = await register(auth, tenant, scopes=["*", "openid"])
        browser = Browser(auth)
        page = await browser.get(client.asking(verifier()[1], scope="openid *"))

        reply = await browser.fill(page, email=OPERATOR_EMAIL, password=PASSWORD)

        assert reply.status == 403
        assert "cannot be used here" in reply.text


class TestAccount:
    async def test_a_program_cannot_lay_hands_on_the_persons_account(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant, role="admin")
        client = await register(auth, tenant, scopes=["openid", "*"])
        given = await tokens(auth, client, person, scope="openid *")
        stub = auth.stub(await auth.exchange(given["access_token"]))
        token = access_pb2.ApiToken(name="Mine", kind=access_pb2.TOKEN_KIND_PERSONAL)

        for attempt in (
            stub.ListSessions(auth_pb2.ListSessionsRequest()),
            stub.DeleteOtherSessions(auth_pb2.DeleteOtherSessionsRequest()),
            stub.StepUp(auth_pb2.StepUpRequest(password=PASSWORD)),
            stub.UpdateMe(users_pb2.UpdateMeRequest(user=users_pb2.User(name="X"), update_mask={"paths": ["name"]})),
            stub.CreateToken(access_pb2.CreateTokenRequest(token=token)),
            stub.BeginTotp(factors_pb2.BeginTotpRequest()),
            stub.BeginPasskey(factors_pb2.BeginPasskeyRequest()),
        ):
            with pytest.raises(errors.Denied):
                await attempt


class TestOtherTenant:
    async def test_a_client_acts_in_its_own_alone(self, auth: Auth, tenant: Tenant, client: Client) -> None:
        person, other = await auth.person(tenant), Tenant()
        user = users_pb2.User(email=person.email, name="Mira", role="admin", password=PASSWORD)
        await auth.stub(admin(other)).CreateUser(users_pb2.CreateUserRequest(user=user))
        await auth.accept(await auth.letter(person.email))
        given = await tokens(auth, client, person)

        assert (await auth.exchange(given["access_token"])).tenant_id == tenant.id
        with pytest.raises(errors.Denied):
            await auth.exchange(given["access_token"], other)


class TestRefreshTheft:
    async def test_from_another_client_it_changes_nothing(
        self, auth: Auth, tenant: Tenant, client: Client, person: Person
    ) -> None:
        given = await tokens(auth, client, person)
        for thief in (await register(auth, tenant), await register(auth, tenant, confidential=False)):
            reply = await ask_token(auth, thief, grant_type="refresh_token", refresh_token=given["refresh_token"])
            assert reply.json["error"] == "invalid_grant"

        assert (await auth.exchange(given["access_token"])).id == person.id


class TestLimits:
    @pytest.mark.parametrize("value", ["x" * 100_000, "\u202e" * 1000])
    async def test_long_and_odd_values_are_no_fault_of_ours(self, auth: Auth, client: Client, value: str) -> None:
        asked: dict[str, Any] = client.asking(verifier()[1], state=value, nonce=value, login_hint=value)

        assert (await Browser(auth).get(asked)).status in {200, 302, 400}

    async def test_an_id_that_is_no_uuid(self, auth: Auth) -> None:
        told = base64.b64encode(b"x:y").decode()

        reply = await call(
            auth, "POST", "/oauth/token", {"grant_type": CREDENTIALS}, {"authorization": f"Basic {told}"}
        )

        assert (reply.status, reply.json["error"]) == (401, "invalid_client")

    async def test_clients_are_read_by_those_who_may(self, auth: Auth, tenant: Tenant) -> None:
        with pytest.raises(errors.Denied):
            await auth.stub(tenant.user(permissions=())).ListClients(oauth_pb2.ListClientsRequest())
