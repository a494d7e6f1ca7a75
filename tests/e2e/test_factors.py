"""Passkeys and devices' keys through the gateway; the passkey with python-fido2's client as it is."""

import base64
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from fido2.webauthn import PublicKeyCredentialCreationOptions, PublicKeyCredentialRequestOptions
from uuid_utils.compat import uuid7

from tests.e2e import authenticator
from tests.e2e.conftest import System, created

PASSWORD = "tall ships in the harbour"
PASSKEYS = "/api/v1/auth/passkeys"


async def data(client: httpx.AsyncClient, path: str, body: Any = None) -> Any:
    """What a POST answers with."""
    answer = await client.post(path, json=body)
    assert answer.is_success, answer.text
    return answer.json()["data"]


@pytest_asyncio.fixture(loop_scope="session")
async def person(system: System, admin: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a new member of staff, signed in."""
    body = {"email": f"{uuid7()}@people.example", "name": "Rune Holm", "role": "staff", "password": PASSWORD}
    user = await created(admin, "/api/v1/users", body)
    async with httpx.AsyncClient(base_url=system.url, timeout=30) as client:
        signed_in = await data(client, "/api/v1/auth/login", {"email": user["email"], "password": PASSWORD})
        client.headers["Authorization"] = f"Bearer {signed_in['access_token']}"
        yield client


class TestPasskey:
    async def test_a_real_client_registers_one_and_signs_in(self, system: System, person: httpx.AsyncClient) -> None:
        browser = authenticator.client(f"http://localhost:{urlsplit(system.url).port}")
        told = (await data(person, f"{PASSKEYS}/register/options"))["options"]
        made = browser.make_credential(PublicKeyCredentialCreationOptions.from_dict(told))

        registered = await data(person, f"{PASSKEYS}/register/verify", {"credential": dict(made), "name": "Key ring"})
        listed = (await person.get(PASSKEYS)).json()["data"]
        async with httpx.AsyncClient(base_url=system.url, timeout=30) as client:
            asked = (await data(client, f"{PASSKEYS}/login/options", {}))["options"]
            shown = browser.get_assertion(PublicKeyCredentialRequestOptions.from_dict(asked)).get_response(0)
            signed_in = await data(client, f"{PASSKEYS}/login/verify", {"credential": dict(shown)})
            again = await client.post(f"{PASSKEYS}/login/verify", json={"credential": dict(shown)})

        me = (await person.get("/api/v1/auth/me")).json()["data"]
        assert [one["name"] for one in listed] == [registered["name"]] == ["Key ring"]
        assert signed_in["user"]["id"] == me["id"]
        assert again.status_code == 401


class TestBiometric:
    async def test_a_till_signs_its_user_in(
        self, system: System, admin: httpx.AsyncClient, person: httpx.AsyncClient
    ) -> None:
        me = (await person.get("/api/v1/auth/me")).json()["data"]
        key, device = ed25519.Ed25519PrivateKey.generate(), f"till-{uuid7()}"
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        text = f"switchyard-enrol:{system.tenant()}:{me['id']}:{device}"
        enrolment = {"user_id": me["id"], "device_id": device, "public_key": base64.b64encode(public).decode()}
        await created(admin, "/api/v1/auth/biometric/register", {**enrolment, "signature": self.signed(key, text)})

        async with httpx.AsyncClient(base_url=system.url, timeout=30) as client:
            challenge = (await data(client, "/api/v1/auth/biometric/challenge", {"device_id": device}))["challenge"]
            answer = {"device_id": device, "challenge": challenge, "signature": self.signed(key, challenge)}
            signed_in = await data(client, "/api/v1/auth/biometric/login", answer)
            again = await client.post("/api/v1/auth/biometric/login", json=answer)

        assert signed_in["user"]["id"] == me["id"]
        assert again.status_code == 401

    def signed(self, key: ed25519.Ed25519PrivateKey, text: str) -> str:
        return base64.b64encode(key.sign(text.encode())).decode()
