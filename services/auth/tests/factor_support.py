"""People who are signed in, and an authenticator in software that verifies its user."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pyotp
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from switchyard.auth.v1 import auth_pb2, factors_pb2
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from chassis import clock
from chassis.testing import Tenant
from services.auth.tests.support import PASSWORD, Auth, Person

ORIGIN = "http://localhost:8000"
UP, UV, AT = 0x01, 0x04, 0x40


async def signed_in(auth: Auth, person: Person, tenant: Tenant | None = None, **login: Any) -> Any:
    """The methods of auth as a person calls them in a session of their own."""
    request = auth_pb2.LoginRequest(email=person.email, password=login.pop("password", PASSWORD), **login)
    answer = await auth.stub().Login(request)
    return auth.stub(await auth.exchange(answer.access_token, tenant))


async def someone(auth: Auth, tenant: Tenant, **more: Any) -> tuple[Person, Any]:
    """A new person, and the methods as they call them."""
    person = await auth.person(tenant, **more)
    return person, await signed_in(auth, person)


class Totp:
    """An authenticator app that was enrolled, and its recovery codes."""

    def __init__(self, secret: str, codes: list[str]) -> None:
        self.app = pyotp.TOTP(secret)
        self.codes = codes

    def code(self, *, steps: int = 0) -> str:
        """The code of now, or of some steps later."""
        return self.app.at(clock.now(), counter_offset=steps)


async def with_totp(stub: Any) -> Totp:
    """Enrol an authenticator. Its next unused code is the one of the next step."""
    enrolment = await stub.BeginTotp(factors_pb2.BeginTotpRequest())
    code = pyotp.TOTP(enrolment.secret).at(clock.now(), counter_offset=-1)
    confirmed = await stub.ConfirmTotp(factors_pb2.ConfirmTotpRequest(otp=code))
    return Totp(enrolment.secret, list(confirmed.codes))


class Authenticator:
    """What `navigator.credentials` does, with one ES256 key for each account."""

    def __init__(self, origin: str = ORIGIN, rp_id: str = "localhost", *, flags: int = UP | UV) -> None:
        self.origin = origin
        self.rp_id = rp_id
        self.flags = flags
        self.counter = 0
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_bytes(32)
        self.user_handle = b""

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """A registration, as the browser tells it."""
        self.user_handle = base64url_to_bytes(options["user"]["id"])
        public = ES256.from_cryptography_key(self.key.public_key())  # type: ignore[no-untyped-call]
        made = AttestedCredentialData.create(b"\0" * 16, self.id, public)
        data = self._data(self.flags | AT, made)
        told = self._client_data("webauthn.create", options)
        response = {
            "clientDataJSON": bytes_to_base64url(told),
            "attestationObject": bytes_to_base64url(bytes(AttestationObject.create("none", data, {}))),
            "transports": ["internal"],
        }
        return self._credential(response)

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        """A signed answer, as the browser tells it."""
        self.counter += 1
        data, told = self._data(self.flags), self._client_data("webauthn.get", options)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(told)
        signature = self.key.sign(bytes(data) + digest.finalize(), ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": bytes_to_base64url(told),
            "authenticatorData": bytes_to_base64url(bytes(data)),
            "signature": bytes_to_base64url(signature),
            "userHandle": bytes_to_base64url(self.user_handle),
        }
        return self._credential(response)

    def _data(self, flags: int, made: AttestedCredentialData | bytes = b"") -> AuthenticatorData:
        digest = hashes.Hash(hashes.SHA256())
        digest.update(self.rp_id.encode())
        data: AuthenticatorData = AuthenticatorData.create(
            digest.finalize(), AuthenticatorData.FLAG(flags), self.counter, made
        )
        return data

    def _client_data(self, kind: str, options: dict[str, Any]) -> bytes:
        return bytes(CollectedClientData.create(kind, options["challenge"], self.origin))

    def _credential(self, response: dict[str, Any]) -> dict[str, Any]:
        made_id = bytes_to_base64url(self.id)
        return {"id": made_id, "rawId": made_id, "type": "public-key", "response": response}


def struct(content: Any) -> Struct:
    return json_format.ParseDict(content, Struct())


def plain(options: factors_pb2.PasskeyOptions) -> dict[str, Any]:
    return json_format.MessageToDict(options.options)


async def with_passkey(stub: Any, authenticator: Authenticator | None = None, name: str = "") -> Authenticator:
    """Register a passkey."""
    authenticator = authenticator or Authenticator()
    options = plain(await stub.BeginPasskey(factors_pb2.BeginPasskeyRequest()))
    request = factors_pb2.RegisterPasskeyRequest(credential=struct(authenticator.create(options)), name=name)
    await stub.RegisterPasskey(request)
    return authenticator


async def login_options(auth: Auth, email: str = "") -> dict[str, Any]:
    """What a browser is told that wants to sign in."""
    return plain(await auth.stub().BeginPasskeyLogin(factors_pb2.BeginPasskeyLoginRequest(email=email)))


async def passkey_login(auth: Auth, credential: dict[str, Any]) -> auth_pb2.LoginResponse:
    answer: auth_pb2.LoginResponse = await auth.stub().PasskeyLogin(
        factors_pb2.PasskeyLoginRequest(credential=struct(credential))
    )
    return answer


def handle(person: Person) -> bytes:
    return UUID(person.id).bytes


@asynccontextmanager
async def statements(auth: Auth) -> AsyncIterator[list[str]]:
    """What the process asks its database, but for its timers' questions."""
    asked: list[str] = []
    engine = auth.running.service.database._engine.sync_engine

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if not any(own in statement for own in ("take_password_request", "take_letter", "signing_keys", "outbox")):
            asked.append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
