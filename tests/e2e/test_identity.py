"""People and what they prove who they are with, through the gateway, with real clients."""

import asyncio
import email.message
import email.policy
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pyotp
import pytest_asyncio
from uuid_utils.compat import uuid7

from tests.e2e.conftest import System, created, eventually

PASSWORD = "tall ships in the harbour"
ANOTHER = "seven lanterns on the pier"
LOGIN = "/api/v1/auth/login"


class Person:
    """Somebody new in the first company, and a client that shows their token."""

    def __init__(self, system: System, user: dict[str, Any]) -> None:
        self.system = system
        self.id: str = user["id"]
        self.email: str = user["email"]
        self.client = httpx.AsyncClient(base_url=system.url, headers={"X-Tenant-ID": system.tenant()}, timeout=30)

    async def sign_in(self, password: str = PASSWORD, **more: Any) -> httpx.Response:
        answer = await self.client.post(LOGIN, json={"email": self.email, "password": password, **more})
        if answer.status_code == 200:
            self.client.headers["Authorization"] = f"Bearer {answer.json()['data']['access_token']}"
        return answer

    async def letter(self, kind: str) -> str:
        """The body of the latest letter to the person whose subject names a kind."""
        return await letter(self.system, self.email, kind)


async def letter(system: System, to: str, kind: str) -> str:
    """The body of the latest letter to an address whose subject speaks of something."""

    async def look() -> str | None:
        for path in sorted((system.run_dir / "mail").glob("*.eml"), reverse=True):
            read = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            assert isinstance(read, email.message.EmailMessage)
            if to in str(read["To"]) and kind in str(read["Subject"]).lower():
                return str(read.get_content())
        return None

    return str(await eventually(look))


def _token(text: str, prefix: str) -> str:
    found = re.search(rf"{prefix}_[A-Za-z0-9_-]{{20,}}", text)
    assert found is not None, text
    return found.group()


@pytest_asyncio.fixture(loop_scope="session")
async def person(system: System, admin: httpx.AsyncClient) -> AsyncIterator[Person]:
    """A new member of staff, signed in."""
    body = {"email": f"{uuid7()}@people.example", "name": "Rune Holm", "role": "staff", "password": PASSWORD}
    found = Person(system, await created(admin, "/api/v1/users", body))
    assert (await found.sign_in()).status_code == 200
    yield found
    await found.client.aclose()


class TestTotp:
    async def test_an_authenticator_is_asked_for_from_its_confirmation_on(self, person: Person) -> None:
        enrolment = (await person.client.post("/api/v1/auth/mfa/totp")).json()["data"]
        totp = pyotp.parse_uri(enrolment["otpauth_uri"])
        assert isinstance(totp, pyotp.TOTP)
        confirmed = await person.client.post("/api/v1/auth/mfa/totp/confirm", json={"otp": totp.now()})
        codes = confirmed.json()["data"]["codes"]

        without = await person.sign_in()
        recovered = await person.sign_in(otp=codes[0])
        again = await person.sign_in(otp=codes[0])

        assert enrolment["qr_svg"].lstrip().startswith(("<?xml", "<svg"))
        assert (without.status_code, without.json()["code"]) == (401, "MFA_REQUIRED")
        assert (len(codes), recovered.status_code, again.status_code) == (10, 200, 401)


class TestPassword:
    async def test_a_forgotten_one_is_reset_by_letter(self, person: Person) -> None:
        asked = await person.client.post("/api/v1/auth/password/forgot", json={"email": person.email})
        token = _token(await person.letter("password"), "pwr")
        body = {"token": token, "password": ANOTHER}

        reset, twice = [await person.client.post("/api/v1/auth/password/reset", json=body) for _ in range(2)]

        assert (asked.status_code, reset.status_code, twice.status_code) == (204, 204, 401)
        assert (await person.client.get("/api/v1/auth/me")).status_code == 401
        assert [(await person.sign_in(word)).status_code for word in (PASSWORD, ANOTHER)] == [401, 200]

    async def test_who_is_unknown_is_answered_alike(self, person: Person) -> None:
        known = await person.client.post("/api/v1/auth/password/forgot", json={"email": person.email})
        body = {"email": f"{uuid7()}@nobody.example"}
        unknown = await person.client.post("/api/v1/auth/password/forgot", json=body)

        assert (known.status_code, known.content) == (unknown.status_code, unknown.content)

    async def test_a_breached_one_is_not_taken(self, person: Person) -> None:
        body = {"current_password": PASSWORD, "new_password": "qwertyuiop123"}

        answer = await person.client.patch("/api/v1/users/me/password", json=body)

        assert (answer.status_code, list(answer.json()["details"])) == (422, ["new_password"])


class TestInvitation:
    async def test_somebody_new_joins_by_letter(self, system: System, admin: httpx.AsyncClient) -> None:
        to = f"{uuid7()}@people.example"
        await created(admin, "/api/v1/users/invitations", {"email": to, "role": "staff"})
        token = _token(await letter(system, to, "invit"), "inv")
        body = {"token": token, "name": "Nils Berg", "password": PASSWORD}

        async with httpx.AsyncClient(base_url=system.url, timeout=30) as client:
            answers = await asyncio.gather(
                *(client.post("/api/v1/auth/invitations/accept", json=body) for _ in range(5))
            )
            signed_in = await client.post(LOGIN, json={"email": to, "password": PASSWORD})

        assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]
        assert [one["tenant_id"] for one in signed_in.json()["data"]["tenants"]] == [system.tenant()]


class TestImpersonation:
    async def test_both_names_stand_in_the_trail(self, admin: httpx.AsyncClient, person: Person) -> None:
        me = (await admin.get("/api/v1/auth/me")).json()["data"]
        body = {"reason": "ticket 4711: their list is empty"}
        answer = await admin.post(f"/api/v1/users/{person.id}/impersonate", json=body)
        assert answer.status_code == 200, answer.text
        token = answer.json()["data"]["access_token"]
        headers = {"Authorization": f"Bearer {token}"}

        renamed = await person.client.patch("/api/v1/users/me", json={"name": "Rune H."}, headers=headers)

        assert renamed.status_code == 200, renamed.text
        request_id = renamed.headers["x-request-id"]
        sensitive = await person.client.post("/api/v1/auth/mfa/totp", headers=headers)

        async def trail() -> Any:
            found = await admin.post("/api/v1/audit/query", json={"request_id": request_id})
            return next(iter(found.json()["data"]), None)

        # What was on its way to a process that was killed comes again after half a minute.
        entry = await eventually(trail, 60)
        assert (entry["actor"], entry["subject"]) == (f"user:{me['id']}", f"user:{person.id}")
        assert (sensitive.status_code, sensitive.json()["code"]) == (403, "IMPERSONATION_FORBIDDEN")


class TestStepUp:
    async def test_an_old_factor_is_shown_again(self, system: System, person: Person) -> None:
        again = Person(system, {"id": person.id, "email": person.email})
        await again.sign_in()
        async with system.database("auth") as database:
            earlier = "UPDATE sessions SET authenticated_at = authenticated_at - interval '1 hour' WHERE user_id = $1"
            await database.execute(earlier, person.id)

        refused = await again.client.post("/api/v1/auth/mfa/totp")
        shown = await again.client.post("/api/v1/auth/step-up", json={"password": PASSWORD})
        answered = await again.client.post("/api/v1/auth/mfa/totp")

        await again.client.aclose()
        assert (refused.status_code, refused.json()["code"]) == (401, "STEP_UP_REQUIRED")
        assert "insufficient_user_authentication" in refused.headers["www-authenticate"]
        assert (shown.status_code, answered.status_code) == (200, 200)


class TestPersonalToken:
    async def test_it_can_do_what_its_scopes_say(self, person: Person, admin: httpx.AsyncClient) -> None:
        body = {"name": "Export", "kind": "personal", "scopes": ["auth.users.read"]}
        made = await created(admin, "/api/v1/tokens", body)
        headers = {"Authorization": f"Bearer {made['token']}"}

        may, may_not = [
            await person.client.get(path, headers=headers) for path in ("/api/v1/users", "/api/v1/inventory/items")
        ]

        assert (may.status_code, may_not.status_code) == (200, 403)

    async def test_it_works_from_its_networks_only(self, person: Person, admin: httpx.AsyncClient) -> None:
        body = {"name": "Office", "kind": "personal", "allowed_networks": ["203.0.113.0/24"]}
        made = await created(admin, "/api/v1/tokens", body)

        answer = await person.client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {made['token']}"})

        assert answer.status_code == 401


class TestSites:
    async def test_the_active_site_is_where_calls_go(self, admin: httpx.AsyncClient, system: System) -> None:
        body = {"email": f"{uuid7()}@people.example", "name": "Rune Holm", "role": "staff", "password": PASSWORD}
        mine = [one["id"] for one in system.demo["sites"] if one["tenant_id"] == system.tenant()][:2]
        found = Person(system, await created(admin, "/api/v1/users", {**body, "site_ids": mine}))
        await found.sign_in()

        listed = (await found.client.get("/api/v1/auth/sites")).json()["data"]
        set_to = await found.client.post("/api/v1/auth/site", json={"site_id": mine[0]})
        seen = (await found.client.get("/api/v1/sites")).json()["data"]

        await found.client.aclose()
        assert sorted(one["id"] for one in listed) == sorted(mine)
        assert set_to.json()["data"]["active_site_id"] == mine[0]
        assert [one["id"] for one in seen] == [mine[0]]
