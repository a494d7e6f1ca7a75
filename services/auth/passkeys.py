"""Passkeys (WebAuthn): registered for an account, used to sign in. The person is always verified by the device.

A passkey is bound to the host of the suite's public URL. An IP address cannot be bound to, so where the URL has one
(on one's own machine) it is `localhost`, and pages from there are taken too.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

import webauthn
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7
from webauthn.helpers import (
    base64url_to_bytes,
    encode_cbor,
    exceptions,
    options_to_json_dict,
    parse_client_data_json,
)
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from chassis import audit, clock, db, errors
from services.auth import challenges, factor_store, store
from services.auth.factor_models import Passkey
from services.auth.models import Account
from services.auth.settings import AuthSettings

NAME = "Switchyard"
TIMEOUT_MS = 300_000
PASSKEYS_MAX = 20
# What the library raises for what is not WebAuthn at all, besides its own.
_MALFORMED = (exceptions.WebAuthnException, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError)
# Lengths of ids that authenticators make, for ids that none has made.
_DECOY_LENGTHS = (16, 20, 32, 32)
_TRANSPORTS = frozenset(transport.value for transport in AuthenticatorTransport)

Credential = Mapping[str, Any]


def _nobodys() -> bytes:
    """A public key (ES256) whose private one is not kept, as authenticators write it (COSE)."""
    point = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    return encode_cbor({1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")})


# What is unknown is verified against it, to take as long.
_NOBODYS = _nobodys()


@dataclass(frozen=True)
class Party:
    """Whom passkeys are for: the host they are bound to, and the origins of the pages that may use them."""

    id: str
    origins: Sequence[str]

    @classmethod
    def of(cls, settings: AuthSettings) -> "Party":
        """The party of the public URL."""
        url = urlsplit(settings.public_url)
        host, port = url.hostname or "localhost", f":{url.port}" if url.port else ""
        further = [origin.strip() for origin in settings.webauthn_origins.split(",") if origin.strip()]
        origins = [f"{url.scheme}://{url.netloc}", *further]
        if _is_ip_address(host):
            host = "localhost"
            origins.append(f"{url.scheme}://localhost{port}")
        return cls(host, tuple(dict.fromkeys(origins)))


class Shown(NamedTuple):
    """A passkey that has just signed, and what it said of itself."""

    passkey_id: UUID
    user_id: UUID
    sign_count: int
    backed_up: bool


async def begin_registration(session: AsyncSession, party: Party, account: Account) -> dict[str, Any]:
    """Options for `navigator.credentials.create`. Raises `Conflict` for who has too many."""
    known = await factor_store.passkeys(session, account.id)
    if len(known) >= PASSKEYS_MAX:
        message = f"an account has at most {PASSKEYS_MAX} passkeys"
        raise errors.Conflict(message)
    challenge = await challenges.issue(session, challenges.PASSKEY_REGISTER, subject=str(account.id))
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=NAME,
        user_id=account.id.bytes,
        user_name=account.email,
        user_display_name=account.name,
        challenge=challenge.octets,
        timeout=TIMEOUT_MS,
        exclude_credentials=[_descriptor(row.credential_id, row.transports) for row in known],
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
    )
    return options_to_json_dict(options)


async def register(session: AsyncSession, party: Party, user_id: UUID, credential: Credential, name: str) -> Passkey:
    """Keep the passkey that the browser made. Raises `Invalid` for what is none, `AlreadyExists` for a known one."""
    challenge = _challenge_of(credential)
    if not await challenges.take(session, challenge, challenges.PASSKEY_REGISTER, subject=str(user_id)):
        raise _not_valid("the challenge is unknown, used, or older than five minutes")
    try:
        made = webauthn.verify_registration_response(
            credential=dict(credential),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            require_user_verification=True,
        )
    except _MALFORMED as failure:
        raise _not_valid(_told(failure)) from failure
    row = Passkey(
        id=uuid7(),
        user_id=user_id,
        credential_id=made.credential_id,
        public_key=made.credential_public_key,
        sign_count=made.sign_count,
        name=name or "Passkey",
        transports=_transports(credential),
        backed_up=made.credential_backed_up,
        created_at=clock.now(),
    )
    session.add(row)
    try:
        await session.flush()
    except IntegrityError as failure:
        if db.violated(failure) != "passkeys_credential_id_key":
            raise
        message = "the passkey is registered"
        raise errors.AlreadyExists(message) from failure
    return row


async def delete(session: AsyncSession, user_id: UUID, passkey_id: UUID) -> None:
    """Remove one of the person's passkeys. Raises `NotFound` for any other."""
    row = await factor_store.passkey(session, user_id, passkey_id)
    if row is None:
        raise errors.NotFound
    await session.delete(row)


async def begin_login(session: AsyncSession, party: Party, email: str, decoy_secret: bytes) -> dict[str, Any]:
    """Options for `navigator.credentials.get`, as long and as many steps for every address.

    An address without passkeys is given an id that no authenticator knows, always the same one. Without an address the
    browser lets the person choose among the passkeys it has.
    """
    challenge = await challenges.issue(session, challenges.PASSKEY_LOGIN)
    allowed = await _allowed(session, email, decoy_secret) if email else []
    options = webauthn.generate_authentication_options(
        rp_id=party.id,
        challenge=challenge.octets,
        timeout=TIMEOUT_MS,
        allow_credentials=allowed,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json_dict(options)


async def take_challenge(session: AsyncSession, credential: Credential) -> bool:
    """Take the challenge of an answer back; whether it was one for signing in, unused and in time."""
    return await challenges.take(session, _challenge_of(credential), challenges.PASSKEY_LOGIN)


async def verify(session: AsyncSession, party: Party, credential: Credential) -> Shown | None:
    """The passkey that has signed the challenge, which was taken back before; `None`: none of ours has."""
    found = await factor_store.find_passkey(session, credential_id(credential))
    try:
        used = webauthn.verify_authentication_response(
            credential=dict(credential),
            expected_challenge=_challenge_of(credential),
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            credential_public_key=found.public_key if found else _NOBODYS,
            # The counter is looked at in the statement that writes it.
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except _MALFORMED:
        return None
    if found is None or not _is_users(credential, found.user_id):
        return None
    return Shown(found.id, found.user_id, used.new_sign_count, used.credential_backed_up)


async def use(session: AsyncSession, shown: Shown) -> None:
    """Note the use of a passkey. Raises `Unauthenticated` when its counter says that there is a copy of it."""
    await store.act_as(session, shown.user_id)
    count, now = shown.sign_count, clock.now()
    if not await factor_store.use_passkey(
        session, shown.passkey_id, sign_count=count, backed_up=shown.backed_up, now=now
    ):
        message = "the passkey's counter did not go up: there may be a copy of it"
        raise errors.Unauthenticated(message, code="PASSKEY_SUSPECTED")
    audit.about(session, f"passkeys/{shown.passkey_id}")


def credential_id(credential: Credential) -> bytes:
    """The id of the passkey that answers; empty for what is none."""
    try:
        return base64url_to_bytes(str(credential.get("id", "")))
    except ValueError:
        return b""


def _challenge_of(credential: Credential) -> bytes:
    """The challenge that the browser says it was given; it counts only when it is one of ours."""
    try:
        return parse_client_data_json(base64url_to_bytes(credential["response"]["clientDataJSON"])).challenge
    except _MALFORMED:
        return b""


async def _allowed(session: AsyncSession, email: str, decoy_secret: bytes) -> list[PublicKeyCredentialDescriptor]:
    found = await store.find_account(session, email)
    await store.act_as(session, found.id if found else UUID(int=0))
    known = await factor_store.passkeys(session, found.id if found else UUID(int=0))
    decoy = _descriptor(_decoy(email, decoy_secret), ["hybrid", "internal"])
    return [_descriptor(row.credential_id, row.transports) for row in known] or [decoy]


def _decoy(email: str, secret: bytes) -> bytes:
    made = hmac.new(secret, email.encode(), hashlib.sha512).digest()
    return made[: _DECOY_LENGTHS[made[-1] % len(_DECOY_LENGTHS)]]


def _descriptor(made_id: bytes, transports: Sequence[str]) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(
        id=made_id, transports=[AuthenticatorTransport(transport) for transport in transports]
    )


def _transports(credential: Credential) -> list[str]:
    response = credential.get("response")
    told = response.get("transports") if isinstance(response, Mapping) else None
    return sorted(_TRANSPORTS.intersection(map(str, told))) if isinstance(told, list) else []


def _is_users(credential: Credential, user_id: UUID) -> bool:
    """Whether the answer names the same account as the passkey does, if it names one."""
    handle = credential["response"].get("userHandle")
    return not handle or handle == _base64url(user_id.bytes)


def _base64url(value: bytes) -> str:
    return webauthn.helpers.bytes_to_base64url(value)


def _is_ip_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _not_valid(message: str) -> errors.Invalid:
    return errors.Invalid(fields={"credential": [message]})


def _told(failure: Exception) -> str:
    return str(failure) if isinstance(failure, exceptions.WebAuthnException) else "is not a credential"
