"""The pages of the authorization endpoint, as a browser without scripts sees them."""

from datetime import timedelta

import pyotp
import pytest
from switchyard.auth.v1 import auth_pb2, factors_pb2, factors_pb2_grpc, oauth_pb2

from chassis import clock, errors
from chassis.testing import Databases, Serve, Tenant
from services.auth.__main__ import build
from services.auth.settings import AuthSettings
from services.auth.tests.oauth_support import Browser, Client, Reply, forms, register, tokens, verifier
from services.auth.tests.support import CHEAP, Auth, Person, outbox
from services.auth.tests.test_oauth import suspend


def asking(client: Client, **more: str) -> dict[str, str]:
    return client.asking(verifier()[1], **more)


def is_sign_in(page: Reply) -> bool:
    return page.status == 200 and "password" in forms(page.text)[0]


def is_consent(page: Reply) -> bool:
    return page.status == 200 and forms(page.text)[0]["step"] == "consent"


@pytest.fixture
async def client(auth: Auth, tenant: Tenant) -> Client:
    return await register(auth, tenant)


@pytest.fixture
async def person(auth: Auth, tenant: Tenant) -> Person:
    return await auth.person(tenant)


@pytest.fixture
def browser(auth: Auth) -> Browser:
    return Browser(auth)


class TestSignIn:
    async def test_it_leads_to_consent(self, browser: Browser, client: Client, person: Person) -> None:
        page = await browser.get(asking(client))

        consent = await browser.sign_in(page, person)

        assert is_sign_in(page)
        assert is_consent(consent)
        assert person.email in consent.text
        assert "See your e-mail address" in consent.text
        assert "https://rota.example" in consent.text

    async def test_a_hint_fills_in_the_address(self, browser: Browser, client: Client) -> None:
        page = await browser.get(asking(client, login_hint="mira@north.example"))

        assert forms(page.text)[0]["email"] == "mira@north.example"

    async def test_wrong_password_and_no_account_look_the_same(
        self, auth: Auth, client: Client, person: Person
    ) -> None:
        pages = []
        for email in (person.email, "nobody@north.example"):
            browser = Browser(auth)
            reply = await browser.fill(await browser.get(asking(client)), email=email, password="wrong")
            form = forms(reply.text)[0]
            text = reply.text.replace(email, "").replace(form["form"], "").replace(form["code_challenge"], "")
            pages.append((reply.status, text))

        assert pages[0] == pages[1]
        assert pages[0][0] == 401

    async def test_a_failure_is_in_the_trail(
        self, browser: Browser, client: Client, person: Person, tenant: Tenant, databases: Databases
    ) -> None:
        await browser.sign_in(await browser.get(asking(client)), person, "wrong")

        trail = [one for one in await outbox(databases, tenant.id, "aud") if one["action"] == "auth.AnswerAuthorize"]
        assert [(one["outcome"], one["subject"]) for one in trail] == [("failure", f"user:{person.id}")]

    async def test_the_sixth_failure_has_to_wait(self, browser: Browser, client: Client, person: Person) -> None:
        for _ in range(5):
            await browser.sign_in(await browser.get(asking(client)), person, "wrong")

        reply = await browser.sign_in(await browser.get(asking(client)), person)

        assert reply.status == 429
        assert "Too many attempts" in reply.text

    async def test_it_is_a_session_of_the_persons(
        self, auth: Auth, browser: Browser, client: Client, person: Person
    ) -> None:
        await browser.sign_in(await browser.get(asking(client)), person)

        assert is_consent(await browser.get(asking(client)))

    async def test_a_new_one_has_a_new_cookie_and_ends_the_old(
        self, browser: Browser, client: Client, person: Person, tenant: Tenant, databases: Databases
    ) -> None:
        await browser.sign_in(await browser.get(asking(client)), person)
        first = dict(browser.jar)

        await browser.sign_in(await browser.get(asking(client, prompt="login")), person)

        assert set(first) == set(browser.jar) == {"switchyard-session", "switchyard-form"}
        assert not set(first.values()) & set(browser.jar.values())
        browser.jar = first
        assert is_sign_in(await browser.get(asking(client)))

    async def test_somebody_of_another_tenant_is_told_so(self, auth: Auth, browser: Browser, client: Client) -> None:
        stranger = await auth.person(Tenant())

        reply = await browser.sign_in(await browser.get(asking(client)), stranger)

        assert reply.status == 403
        assert "cannot be used here" in reply.text

    async def test_another_account_can_be_chosen(self, browser: Browser, client: Client, person: Person) -> None:
        consent = await browser.sign_in(await browser.get(asking(client)), person)

        page = await browser.fill(consent, 1)

        assert is_sign_in(page)


class TestCode:
    async def enrol(self, auth: Auth, person: Person) -> pyotp.TOTP:
        principal = await auth.exchange((await auth.sign_in(person)).access_token)
        stub = factors_pb2_grpc.FactorsServiceStub(auth.running.channel(principal))
        enrolled = await stub.BeginTotp(factors_pb2.BeginTotpRequest())
        totp = pyotp.TOTP(enrolled.secret)
        await stub.ConfirmTotp(factors_pb2.ConfirmTotpRequest(otp=totp.at(clock.now())))
        return totp

    async def test_who_has_an_authenticator_is_asked(
        self, auth: Auth, browser: Browser, client: Client, person: Person
    ) -> None:
        totp = await self.enrol(auth, person)
        page = await browser.sign_in(await browser.get(asking(client)), person)

        with clock.shifted(timedelta(seconds=30)):
            wrong = await browser.fill(page, otp="000000")
            reply = await browser.fill(page, otp=totp.at(clock.now()))

        assert (page.status, forms(page.text)[0]["step"]) == (200, "code")
        assert (wrong.status, forms(wrong.text)[0]["step"]) == (401, "code")
        assert is_consent(reply)

    async def test_the_ticket_is_of_this_browser_and_of_now(
        self, auth: Auth, browser: Browser, client: Client, person: Person
    ) -> None:
        totp = await self.enrol(auth, person)
        page = await browser.sign_in(await browser.get(asking(client)), person)
        other = Browser(auth)
        theirs = await other.get(asking(client))
        stolen = forms(theirs.text)[0] | {"step": "code", "ticket": forms(page.text)[0]["ticket"]}

        with clock.shifted(timedelta(seconds=30)):
            elsewhere = await other.post(stolen | {"otp": totp.at(clock.now())})
        with clock.shifted(timedelta(minutes=6)):
            late = await browser.fill(page, otp=totp.at(clock.now()))

        assert (elsewhere.status, late.status) == (401, 401)
        assert "too long" in elsewhere.text
        assert "too long" in late.text


class TestPost:
    async def test_a_request_may_come_by_post(self, browser: Browser, client: Client, person: Person) -> None:
        page = await browser.post(asking(client))

        assert is_sign_in(page)
        assert is_consent(await browser.sign_in(page, person))


class TestConsent:
    async def test_it_says_for_how_long(self, auth: Auth, client: Client, person: Person, tenant: Tenant) -> None:
        brief = await register(auth, tenant, grant_types=["authorization_code"])
        told = []
        for asked in (asking(client), asking(client, scope="offline_access"), asking(brief)):
            browser = Browser(auth)
            told.append((await browser.sign_in(await browser.get(asked), person)).text)

        assert "not been used for 8 hours, and for 30 days at most" in told[0]
        assert "not been used for 24 hours" in told[1]
        assert "This lasts for 15 minutes" in told[2]

    async def test_it_is_remembered(self, browser: Browser, client: Client, person: Person) -> None:
        await browser.allow(asking(client), person)

        reply = await browser.get(asking(client))

        assert (reply.status, "code" in reply.sent) == (302, True)

    async def test_more_than_was_allowed_is_asked_again(self, browser: Browser, client: Client, person: Person) -> None:
        await browser.allow(asking(client), person)

        assert is_consent(await browser.get(asking(client, scope="openid orders.create")))

    async def test_it_is_taken_back_with_the_session(
        self, auth: Auth, browser: Browser, client: Client, person: Person
    ) -> None:
        given = await tokens(auth, client, person)
        await browser.sign_in(await browser.get(asking(client)), person)
        own = auth.stub(await auth.exchange((await auth.sign_in(person)).access_token))
        listed = (await own.ListSessions(auth_pb2.ListSessionsRequest())).sessions

        (theirs,) = (one for one in listed if one.client_id == client.id)
        await own.DeleteSession(auth_pb2.DeleteSessionRequest(id=theirs.id))

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(given["access_token"])
        assert is_consent(await browser.get(asking(client)))

    async def test_a_trusted_client_does_not_ask(
        self, auth: Auth, browser: Browser, tenant: Tenant, person: Person
    ) -> None:
        trusted = await register(auth, tenant, trusted=True)

        reply = await browser.sign_in(await browser.get(asking(trusted)), person)

        assert (reply.status, "code" in reply.sent) == (302, True)

    async def test_one_on_the_loopback_without_a_secret_always_asks(
        self, auth: Auth, browser: Browser, tenant: Tenant, person: Person
    ) -> None:
        native = await register(
            auth, tenant, confidential=False, trusted=True, redirect_uris=["http://127.0.0.1/callback"]
        )
        asked = asking(native, redirect_uri="http://127.0.0.1:40123/callback")

        consent = await browser.sign_in(await browser.get(asked), person)
        reply = await browser.fill(consent, answer="allow")

        assert is_consent(consent)
        assert reply.location.startswith("http://127.0.0.1:40123/callback?")
        assert is_consent(await browser.get(asked))

    async def test_a_no_goes_back_to_the_client(self, browser: Browser, client: Client, person: Person) -> None:
        consent = await browser.sign_in(await browser.get(asking(client)), person)

        reply = await browser.fill(consent, answer="deny")

        assert (reply.sent["error"], reply.sent["state"], "code" in reply.sent) == ("access_denied", "s-1", False)
        assert "iss" in reply.sent


class TestPrompt:
    async def test_none_without_a_sign_in(self, browser: Browser, client: Client) -> None:
        reply = await browser.get(asking(client, prompt="none"))

        assert (reply.status, reply.sent["error"], reply.sent["state"]) == (302, "login_required", "s-1")

    async def test_none_without_consent(self, browser: Browser, client: Client, person: Person) -> None:
        await browser.sign_in(await browser.get(asking(client)), person)

        assert (await browser.get(asking(client, prompt="none"))).sent["error"] == "consent_required"

    async def test_none_with_both(self, browser: Browser, client: Client, person: Person) -> None:
        await browser.allow(asking(client), person)

        assert "code" in (await browser.get(asking(client, prompt="none"))).sent

    async def test_none_with_anything_else_is_invalid(self, browser: Browser, client: Client) -> None:
        assert (await browser.get(asking(client, prompt="none login"))).sent["error"] == "invalid_request"

    async def test_login_asks_although_somebody_is_signed_in(
        self, browser: Browser, client: Client, person: Person
    ) -> None:
        await browser.allow(asking(client), person)

        page = await browser.get(asking(client, prompt="login"))
        reply = await browser.sign_in(page, person)

        assert is_sign_in(page)
        assert "code" in reply.sent

    async def test_consent_asks_although_it_was_given(self, browser: Browser, client: Client, person: Person) -> None:
        await browser.allow(asking(client), person)

        assert is_consent(await browser.get(asking(client, prompt="consent")))

    async def test_login_and_consent_ask_once_each(self, browser: Browser, client: Client, person: Person) -> None:
        page = await browser.get(asking(client, prompt="login consent"))

        consent = await browser.sign_in(page, person)

        assert is_consent(consent)
        assert "code" in (await browser.fill(consent, answer="allow")).sent

    async def test_a_sign_in_older_than_max_age_is_done_again(
        self, browser: Browser, client: Client, person: Person
    ) -> None:
        await browser.allow(asking(client), person)

        with clock.shifted(timedelta(seconds=61)):
            assert is_sign_in(await browser.get(asking(client, max_age="60")))
            assert "code" in (await browser.get(asking(client, max_age="120"))).sent

    @pytest.mark.parametrize("age", ["-1", "soon", "9" * 40, "\u0661"])
    async def test_an_odd_max_age_is_invalid(self, browser: Browser, client: Client, age: str) -> None:
        assert (await browser.get(asking(client, max_age=age))).sent["error"] == "invalid_request"


class TestErrors:
    @pytest.mark.parametrize(
        ("asked", "error"),
        [
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"response_type": "code id_token"}, "unsupported_response_type"),
            ({"response_type": ""}, "unsupported_response_type"),
            ({"response_type": '"\\'}, "unsupported_response_type"),
            ({"scope": "inventory.items.read"}, "invalid_scope"),
            ({"scope": "platform.tenants.write"}, "invalid_scope"),
            ({"request": "e30.e30."}, "request_not_supported"),
            ({"request_uri": "https://evil.example/r"}, "request_uri_not_supported"),
            ({"response_mode": "fragment"}, "invalid_request"),
            ({"scope": "orders.<b>"}, "invalid_scope"),
            ({"scope": "orders.\u202e"}, "invalid_scope"),
            ({"scope": " ".join(f"orders.{'a' * number}" for number in range(1, 102))}, "invalid_scope"),
            ({"nonce": "n" * 1025}, "invalid_request"),
            ({"prompt": "dance"}, "invalid_request"),
        ],
    )
    async def test_what_is_wrong_goes_back_to_the_client(
        self, browser: Browser, client: Client, asked: dict[str, str], error: str
    ) -> None:
        reply = await browser.get(asking(client, **asked))

        assert (reply.status, reply.location.partition("?")[0]) == (302, client.redirect)
        assert (reply.sent["error"], reply.sent["state"]) == (error, "s-1")
        assert reply.sent["iss"]

    async def test_a_suspended_tenant_lets_nobody_in(
        self, auth: Auth, browser: Browser, tenant: Tenant, client: Client, databases: Databases
    ) -> None:
        await suspend(auth, databases, tenant)

        assert (await browser.get(asking(client))).sent["error"] == "access_denied"


class TestHeaders:
    async def test_nobody_frames_keeps_or_scripts_it(self, browser: Browser, client: Client) -> None:
        page = await browser.get(asking(client))

        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "form-action 'self' https://rota.example" in policy
        assert "unsafe" not in policy
        assert "<script" not in page.text
        assert (page.headers["x-frame-options"], page.headers["cache-control"]) == ("DENY", "no-store")
        assert page.headers["referrer-policy"] == "no-referrer"

    async def test_cookies_are_out_of_reach(self, browser: Browser, client: Client, person: Person) -> None:
        page = await browser.get(asking(client))

        signed_in = await browser.sign_in(page, person)

        for cookie in (*page.cookies, *signed_in.cookies):
            assert "; Path=/; HttpOnly; SameSite=Lax" in cookie

    async def test_behind_tls_no_other_host_can_set_them(self, serve: Serve, auth: Auth, client: Client) -> None:
        settings = CHEAP | {"public_url": "https://id.example/"}
        secure = Auth(await serve("auth", build, settings=AuthSettings, **settings))

        page = await Browser(secure).get(asking(client))

        assert [cookie.partition("=")[0] for cookie in page.cookies] == ["__Host-switchyard-form"]
        assert page.cookies[0].endswith("; Path=/; HttpOnly; SameSite=Lax; Secure")
        told = await secure.stub().GetConfiguration(oauth_pb2.GetConfigurationRequest())
        assert (told.issuer, told.jwks_uri) == ("https://id.example", "https://id.example/.well-known/jwks.json")

    async def test_names_are_escaped(self, auth: Auth, browser: Browser, tenant: Tenant) -> None:
        odd = await register(auth, tenant, name='<script>alert("x")</script>')

        page = await browser.get(asking(odd, state='"><script>', login_hint='"><img src=x>'))

        assert "<script" not in page.text
        assert "<img" not in page.text
