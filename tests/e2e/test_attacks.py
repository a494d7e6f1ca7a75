"""What somebody tries who means harm: each is refused, and stands in a trail."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from uuid_utils.compat import uuid7

from tests.e2e.conftest import ELSEWHERE, System, eventually

ME = "/api/v1/auth/me"
LOGIN = "/api/v1/auth/login"


@pytest_asyncio.fixture(loop_scope="session")
async def nobody(system: System) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without a credential."""
    async with httpx.AsyncClient(base_url=system.url, timeout=30, headers=ELSEWHERE) as client:
        yield client


class Forge:
    """A real access token, taken apart, and what is publicly known to put together another."""

    def __init__(self, token: str, jwks: dict[str, Any]) -> None:
        head, body, self.signature = token.split(".")
        self.header, self.claims = _decoded(head), _decoded(body)
        self.public = next(key for key in jwks["keys"] if key["kid"] == self.header["kid"])
        self.own = Ed25519PrivateKey.generate()

    def token(self, sign: Callable[[bytes], bytes], header: dict[str, Any], claims: dict[str, Any]) -> str:
        """A token of changed header and claims."""
        content = f"{_encoded({**self.header, **header})}.{_encoded({**self.claims, **claims})}"
        return f"{content}.{_b64(sign(content.encode()))}"

    def own_jwk(self) -> dict[str, str]:
        raw = self.own.public_key().public_bytes_raw()
        return {"kty": "OKP", "crv": "Ed25519", "x": _b64(raw), "kid": self.header["kid"]}

    def all(self) -> dict[str, str]:
        """Every forgery by what it is."""
        x = base64.urlsafe_b64decode(self.public["x"] + "=")
        key = Ed25519PublicKey.from_public_bytes(x)
        pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        secrets = {"raw": x, "PEM": pem, "JWK": json.dumps(self.public).encode(), "nothing": b""}
        forged = {f"alg {alg}": self.token(lambda _: b"", {"alg": alg}, {}) for alg in ("none", "None", "nOnE", "")}
        forged["alg none, real signature"] = self.token(lambda _: _raw(self.signature), {"alg": "none"}, {})
        forged |= {
            f"HS256 with the public key ({name})": self.token(_hmac(secret), {"alg": "HS256"}, {})
            for name, secret in secrets.items()
        }
        kids = (
            "../../../../dev/null",
            "/dev/null",
            "' OR '1'='1",
            "a' UNION SELECT 'x",
            "http://127.0.0.1/x",
            "",
            "\0",
        )
        forged |= {f"kid {kid!r}": self.token(self.own.sign, {"kid": kid}, {}) for kid in kids}
        forged["key of one's own"] = self.token(self.own.sign, {}, {})
        forged["jwk in the header"] = self.token(self.own.sign, {"jwk": self.own_jwk()}, {})
        forged["jku in the header"] = self.token(self.own.sign, {"jku": "http://127.0.0.1:1/jwks.json"}, {})
        forged["x5u in the header"] = self.token(self.own.sign, {"x5u": "http://127.0.0.1:1/x.pem"}, {})
        forged["crit"] = self.token(lambda _: _raw(self.signature), {"crit": ["exp"]}, {})
        stranger = {"sub": str(uuid7())}
        forged["another subject"] = self.token(lambda _: _raw(self.signature), {}, stranger)
        forged["another session"] = self.token(lambda _: _raw(self.signature), {}, {"sid": str(uuid7())})
        forged["no signature"] = self.token(lambda _: b"", {}, {})
        forged["cut"] = self.token(lambda _: _raw(self.signature)[:-1], {}, {})
        return forged


class TestForgedTokens:
    async def test_none_is_taken(self, system: System, nobody: httpx.AsyncClient) -> None:
        forge = Forge(await system.login("manager"), (await nobody.get("/.well-known/jwks.json")).json())
        taken = {}
        for name, token in forge.all().items():
            headers = {"Authorization": f"Bearer {token}", "X-Tenant-ID": system.tenant()}
            answer = await nobody.get(ME, headers=headers)
            if (answer.status_code, answer.json()["code"]) != (401, "UNAUTHENTICATED"):
                taken[name] = answer.text

        assert taken == {}

    async def test_one_stands_in_the_platforms_trail(self, system: System, nobody: httpx.AsyncClient) -> None:
        forge = Forge(await system.login("manager"), (await nobody.get("/.well-known/jwks.json")).json())
        token = forge.token(forge.own.sign, {}, {"jti": str(uuid7())})

        answer = await nobody.get(ME, headers={"Authorization": f"Bearer {token}", "X-Tenant-ID": system.tenant()})

        found = await _in_platforms_trail(system, answer.json()["request_id"])
        assert (found["action"], found["outcome"], found["error_code"]) == (
            "auth.ExchangeToken",
            "failure",
            "UNAUTHENTICATED",
        )
        assert found["address"] == ELSEWHERE["X-Forwarded-For"]


class TestTokensOfAnotherKind:
    async def test_a_refresh_token_is_no_access_token(self, system: System, nobody: httpx.AsyncClient) -> None:
        signed_in = await system.sign_in(nobody, "staff")

        answer = await nobody.get(ME, headers={"Authorization": f"Bearer {signed_in['refresh_token']}"})

        assert answer.status_code == 401

    async def test_an_access_token_is_no_refresh_token(self, system: System, nobody: httpx.AsyncClient) -> None:
        token = await system.login("staff")

        answer = await nobody.post("/api/v1/auth/refresh", json={"refresh_token": token})

        # No refresh token is that long.
        assert answer.status_code == 422


class TestRefreshTheft:
    async def test_a_stolen_token_that_is_used_late_ends_the_session(
        self, system: System, nobody: httpx.AsyncClient
    ) -> None:
        signed_in = await system.sign_in(nobody, "staff")
        stolen = signed_in["refresh_token"]
        renewed = await _refresh(nobody, stolen)
        async with system.database("auth") as database:
            # As if more than the ten seconds of a racing retry had gone by.
            digest = hashlib.sha256(stolen.encode()).digest()
            earlier = "UPDATE refresh_tokens SET spent_at = spent_at - interval '11 s' WHERE hash = $1"
            await database.execute(earlier, digest)

        late = await nobody.post("/api/v1/auth/refresh", json={"refresh_token": stolen})

        after = await nobody.post("/api/v1/auth/refresh", json={"refresh_token": renewed["refresh_token"]})
        assert (late.status_code, after.status_code) == (401, 401)

    async def test_fifty_at_once_get_one_successor(self, system: System, nobody: httpx.AsyncClient) -> None:
        token = (await system.sign_in(nobody, "staff"))["refresh_token"]

        answers = await asyncio.gather(*(_refresh(nobody, token) for _ in range(50)))

        (successor,) = {answer["refresh_token"] for answer in answers}
        assert (await _refresh(nobody, successor))["access_token"]


class TestBruteForce:
    async def test_it_is_slowed_down_and_told(self, system: System, nobody: httpx.AsyncClient) -> None:
        email = f"{uuid7()}@nobody.example"
        # From where nobody else fails.
        headers = {"X-Forwarded-For": "203.0.113.9"}
        codes = [
            (await nobody.post(LOGIN, json={"email": email, "password": f"word {number}"}, headers=headers)).status_code
            for number in range(12)
        ]

        assert codes[0] == 401
        assert codes[-1] == 429

    async def test_the_answer_does_not_tell_who_exists(self, system: System, nobody: httpx.AsyncClient) -> None:
        known = system.demo["users"][-1]["email"]

        answers = [
            (await nobody.post(LOGIN, json={"email": email, "password": "a wrong password"})).json()
            for email in (known, f"{uuid7()}@nobody.example")
        ]

        told = [{name: one[name] for name in ("status", "code", "message", "details", "title")} for one in answers]
        assert told[0] == told[1]


class TestMassAssignment:
    @pytest.mark.parametrize(
        "more",
        [
            {"role": "admin"},
            {"additional_roles": ["admin"]},
            {"site_ids": []},
            {"status": "active"},
            {"tenant_id": "x"},
        ],
    )
    async def test_nobody_raises_themselves(self, system: System, more: dict[str, Any]) -> None:
        async with await system.acting("staff") as staff:
            answer = await staff.patch("/api/v1/users/me", json={"name": "Somebody Else", **more})
            me = (await staff.get(ME)).json()["data"]

        assert answer.status_code in {403, 422}
        assert (me["roles"], me["user"]["name"] == "Somebody Else") == (["staff"], False)


async def _refresh(client: httpx.AsyncClient, token: str) -> dict[str, Any]:
    answer = await client.post("/api/v1/auth/refresh", json={"refresh_token": token})
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


async def _in_platforms_trail(system: System, request_id: str) -> dict[str, Any]:
    async with await system.acting("operator") as operator:

        async def ask() -> Any:
            answer = await operator.post("/api/v1/audit/query", json={"request_id": request_id})
            assert answer.status_code == 200, answer.text
            return next(iter(answer.json()["data"]), None)

        found: dict[str, Any] = await eventually(ask, 60)
    return found


def _hmac(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda content: hmac.new(secret, content, hashlib.sha256).digest()


def _decoded(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_raw(part))
    return found


def _encoded(part: dict[str, Any]) -> str:
    return _b64(json.dumps(part).encode())


def _raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
