"""Other people's OAuth and OpenID Connect clients, as they are, against the running suite.

The person's browser is played by httpx and an HTML parser: it follows redirects, keeps cookies and fills in forms.
"""

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
import pytest_asyncio
from authlib.integrations import requests_client
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import KeySet
from oauthlib.oauth2 import BackendApplicationClient, InvalidGrantError
from requests_oauthlib import OAuth2Session

from tests.e2e.conftest import Socket, System, created
from tests.e2e.test_sessions import _end_of

REDIRECT = "https://rota.example/callback"
SCOPE = "openid profile email offline_access orders.read"

T = TypeVar("T")


async def aside(work: Callable[[], T]) -> T:
    """Clients wait where the tests' loop does not."""
    return await asyncio.to_thread(work)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "form":
            self.forms.append({})
        elif tag == "input" and self.forms:
            self.forms[-1][str(told.get("name"))] = str(told.get("value") or "")


class Person:
    """Somebody at a browser."""

    def __init__(self, system: System, role: str) -> None:
        tenant = system.tenant()
        self.known = next(u for u in system.demo["users"] if (u["role"], u["tenant_id"]) == (role, tenant))
        self.url = system.url

    def visit(self, url: str) -> str:
        """From the client's link to where the client is told; signs in and allows whatever is asked."""
        with httpx.Client(base_url=self.url, timeout=30) as browser:
            return self._through(browser, url)

    def _through(self, browser: httpx.Client, url: str) -> str:
        reply = browser.get(url)
        while reply.status_code == 200:
            parser = _Forms()
            parser.feed(reply.text)
            form = parser.forms[0]
            mine = {"email": self.known["email"], "password": self.known["password"], "answer": "allow"}
            wanted = {"sign-in": ("email", "password"), "consent": ("answer",)}[form["step"]]
            reply = browser.post("/oauth/authorize", data=form | {name: mine[name] for name in wanted})
        assert reply.status_code == 302, reply.text
        return reply.headers["location"]


@dataclass
class Registered:
    """A client, and what discovery tells it."""

    id: str
    secret: str
    found: dict[str, Any]


async def register(system: System, **wanted: Any) -> Registered:
    told = {
        "name": "Rota planner",
        "confidential": True,
        "redirect_uris": [REDIRECT],
        "grant_types": ["authorization_code", "refresh_token"],
        "scopes": SCOPE.split(),
    } | wanted
    async with httpx.AsyncClient(base_url=system.url, timeout=30) as client:
        session = await system.sign_in(client, "admin")
        found = (await client.get("/.well-known/openid-configuration")).json()
    async with system.client(session["access_token"], system.tenant()) as admin:
        made = await created(admin, "/api/v1/oauth/clients", told)
    return Registered(made["id"], made.get("secret", ""), found)


@pytest_asyncio.fixture(loop_scope="session")
async def rota(system: System) -> Registered:
    return await register(system)


@pytest.fixture(autouse=True)
def _over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    # The suite listens on the loopback interface here, without TLS.
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("OAUTHLIB_RELAX_TOKEN_SCOPE", "1")
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")


class TestDiscovery:
    async def test_both_places_tell_the_same_of_this_address(self, system: System, rota: Registered) -> None:
        async with httpx.AsyncClient(base_url=system.url) as client:
            other = (await client.get("/.well-known/oauth-authorization-server")).json()

        assert other == rota.found
        assert rota.found["issuer"] == system.url
        assert rota.found["code_challenge_methods_supported"] == ["S256"]
        assert rota.found["request_uri_parameter_supported"] is False
        assert "password" not in rota.found["grant_types_supported"]


class TestAuthlib:
    async def test_sign_in_refresh_userinfo_introspection_revocation(self, system: System, rota: Registered) -> None:
        person = Person(system, "manager")
        told = await aside(lambda: self.story(rota, person))

        claims = told["claims"]
        assert (claims["iss"], claims["aud"], claims["email"]) == (system.url, rota.id, person.known["email"])
        assert claims["nonce"] == told["nonce"]
        assert told["userinfo"]["sub"] == claims["sub"]
        assert told["refreshed"]["refresh_token"] != told["first"]["refresh_token"]
        assert (told["before"]["active"], told["before"]["client_id"]) == (True, rota.id)
        assert told["after"] == {"active": False}
        assert told["dead"] == 401

    def story(self, rota: Registered, person: Person) -> dict[str, Any]:
        found, nonce = rota.found, secrets.token_urlsafe(16)
        with requests_client.OAuth2Session(
            rota.id, rota.secret, redirect_uri=REDIRECT, scope=SCOPE, code_challenge_method="S256"
        ) as client:
            verifier = secrets.token_urlsafe(48)
            url, state = client.create_authorization_url(
                found["authorization_endpoint"], code_verifier=verifier, nonce=nonce
            )
            back = person.visit(url)
            assert dict(parse_qsl(urlsplit(back).query))["iss"] == found["issuer"]
            first = dict(
                client.fetch_token(
                    found["token_endpoint"], authorization_response=back, state=state, code_verifier=verifier
                )
            )
            keys = KeySet.import_key_set(httpx.get(found["jwks_uri"]).json())
            claims = jwt.decode(first["id_token"], keys, algorithms=["RS256"]).claims
            userinfo = client.get(found["userinfo_endpoint"]).json()
            refreshed = dict(client.refresh_token(found["token_endpoint"]))
            asked = {"url": found["introspection_endpoint"], "token": refreshed["access_token"]}
            before = client.introspect_token(**asked).json()
            client.revoke_token(found["revocation_endpoint"], token=refreshed["refresh_token"])
            after = client.introspect_token(**asked).json()
            dead = client.get(found["userinfo_endpoint"]).status_code
        return {
            "nonce": nonce,
            "first": first,
            "claims": claims,
            "userinfo": userinfo,
            "refreshed": refreshed,
            "before": before,
            "after": after,
            "dead": dead,
        }


class TestRequestsOauthlib:
    async def test_sign_in_with_pkce_refresh_and_a_call(self, system: System, rota: Registered) -> None:
        person = Person(system, "staff")

        told = await aside(lambda: self.story(system, rota, person))

        assert told["userinfo"]["email"] == person.known["email"]
        assert told["orders"] == 200
        assert told["items"] == 403

    def story(self, system: System, rota: Registered, person: Person) -> dict[str, Any]:
        found = rota.found
        with OAuth2Session(rota.id, redirect_uri=REDIRECT, scope=SCOPE.split(), pkce="S256") as session:
            url, _ = session.authorization_url(found["authorization_endpoint"])
            session.fetch_token(
                found["token_endpoint"], authorization_response=person.visit(url), client_secret=rota.secret
            )
            session.refresh_token(found["token_endpoint"], auth=(rota.id, rota.secret))
            return {
                "userinfo": session.get(found["userinfo_endpoint"]).json(),
                "orders": session.get(f"{system.url}/api/v1/orders?page_size=1").status_code,
                "items": session.get(f"{system.url}/api/v1/inventory/items").status_code,
            }

    async def test_a_program_on_its_own_account(self, system: System) -> None:
        told = {"grant_types": ["client_credentials"], "role": "staff", "scopes": ["orders.*"], "redirect_uris": []}
        backend = await register(system, **told)

        statuses = await aside(lambda: self.alone(system, backend))

        assert statuses == [200, 403]

    def alone(self, system: System, backend: Registered) -> list[int]:
        with OAuth2Session(client=BackendApplicationClient(backend.id)) as session:
            session.fetch_token(backend.found["token_endpoint"], client_id=backend.id, client_secret=backend.secret)
            paths = ("/api/v1/orders?page_size=1", "/api/v1/inventory/items")
            return [session.get(system.url + path).status_code for path in paths]

    async def test_a_code_that_is_shown_twice_ends_what_it_gave(self, system: System, rota: Registered) -> None:
        person = Person(system, "staff")

        assert await aside(lambda: self.replay(rota, person)) == 401

    def replay(self, rota: Registered, person: Person) -> int:
        found = rota.found
        with OAuth2Session(rota.id, redirect_uri=REDIRECT, scope=SCOPE.split(), pkce="S256") as session:
            url, _ = session.authorization_url(found["authorization_endpoint"])
            told = {"authorization_response": person.visit(url), "client_secret": rota.secret}
            session.fetch_token(found["token_endpoint"], **told)
            with pytest.raises(InvalidGrantError):
                session.fetch_token(found["token_endpoint"], **told)
            return session.get(found["userinfo_endpoint"]).status_code


class TestEnd:
    async def test_a_deleted_client_is_gone_within_a_second(self, system: System) -> None:
        rota = await register(system)
        token = await aside(lambda: self.token(rota, Person(system, "manager")))
        async with system.client(token) as user:
            assert (await user.get("/api/v1/orders?page_size=1")).status_code == 200
            socket = await Socket.open(system, token)
            async with httpx.AsyncClient(base_url=system.url, timeout=30) as client:
                admin_token = (await system.sign_in(client, "admin"))["access_token"]
            async with system.client(admin_token, system.tenant()) as admin:
                assert (await admin.delete(f"/api/v1/oauth/clients/{rota.id}")).status_code == 204
            async with asyncio.timeout(1):
                while (await user.get("/api/v1/orders?page_size=1")).status_code != 401:
                    await asyncio.sleep(0.01)
                assert await _end_of(socket) == 4401

    async def test_a_program_that_may_less_is_asked_again_within_a_second(self, system: System) -> None:
        told = {"grant_types": ["client_credentials"], "role": "staff", "scopes": ["orders.*"], "redirect_uris": []}
        backend = await register(system, **told)
        async with httpx.AsyncClient(base_url=system.url, timeout=30) as client:
            admin_token = (await system.sign_in(client, "admin"))["access_token"]
            token = await self.own_token(client, backend)
            async with system.client(token) as program, system.client(admin_token, system.tenant()) as admin:
                assert (await program.get("/api/v1/orders?page_size=1")).status_code == 200
                change = {"scopes": ["inventory.items.read"]}
                assert (await admin.patch(f"/api/v1/oauth/clients/{backend.id}", json=change)).status_code == 200
                async with asyncio.timeout(1):
                    while (await program.get("/api/v1/orders?page_size=1")).status_code != 401:
                        await asyncio.sleep(0.01)
            async with system.client(await self.own_token(client, backend)) as program:
                assert (await program.get("/api/v1/orders?page_size=1")).status_code == 403
                assert (await program.get("/api/v1/inventory/items")).status_code == 200

    def token(self, rota: Registered, person: Person) -> str:
        verifier = secrets.token_urlsafe(48)
        asked = {
            "response_type": "code",
            "client_id": rota.id,
            "redirect_uri": REDIRECT,
            "scope": "orders.read",
            "code_challenge": create_s256_code_challenge(verifier),
            "code_challenge_method": "S256",
        }
        back = person.visit(str(httpx.URL("/oauth/authorize", params=asked)))
        told = {
            "grant_type": "authorization_code",
            "code": dict(parse_qsl(urlsplit(back).query))["code"],
            "redirect_uri": REDIRECT,
            "code_verifier": verifier,
        }
        reply = httpx.post(rota.found["token_endpoint"], data=told, auth=(rota.id, rota.secret))
        return str(json.loads(reply.text)["access_token"])

    async def own_token(self, client: httpx.AsyncClient, backend: Registered) -> str:
        asked = {"grant_type": "client_credentials"}
        reply = await client.post("/oauth/token", data=asked, auth=(backend.id, backend.secret))
        return str(reply.json()["access_token"])
