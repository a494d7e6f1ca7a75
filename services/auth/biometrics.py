"""Keys of devices: a till or tablet that knows a person by finger or face signs in for them.

A key is enrolled for a user by somebody who may do all that the user may, and it opens sessions in that tenant only: it
was that tenant's manager who vouched for it, and not the person.
"""

import base64
import binascii
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from chassis import audit, call, clock, errors
from services.auth import factor_store, power, store
from services.auth.factor_models import BiometricKey
from services.auth.models import Account
from services.auth.power import Given

# A session of a device's key asks for the password again when it has not been given for so long.
PASSWORD_EVERY = timedelta(days=30)
_ACTIVE = "active"
# Verified where no key is known, to take as long.
_NOBODYS = ed25519.Ed25519PrivateKey.generate().public_key()

PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey


class Shown(NamedTuple):
    """A key that has just signed, and when its user last signed in with the password."""

    tenant_id: UUID
    id: UUID
    user_id: UUID
    password_shown_at: datetime | None


async def register(
    session: AsyncSession, *, user_id: UUID, device_id: str, public_key: str, signature: str
) -> tuple[BiometricKey, Account]:
    """Enrol a device's key, in the place of the one that it had for the user; the key and the user's account.

    Raises `NotFound` for a user whom the caller does not see or who may not act, `Denied` for one who may do more than
    the caller, `Invalid` for a key that the device does not hold.
    """
    principal = call.current().principal
    await _require_power_over(session, user_id)
    encoded = _decoded(public_key, "public_key")
    text = f"switchyard-enrol:{principal.tenant}:{user_id}:{device_id}"
    if not _is_signed(_loaded(encoded), text, _decoded(signature, "signature")):
        raise errors.Invalid(fields={"signature": ["is not the key's over the enrolment text"]})
    row = {
        "tenant_id": principal.tenant,
        "id": uuid7(),
        "user_id": user_id,
        "device_id": device_id,
        "public_key": encoded,
        "created_at": clock.now(),
    }
    row["id"] = await factor_store.put_biometric_key(session, row)
    told = {"user_id": user_id, "device_id": device_id}
    audit.changed(session, f"biometric_keys/{row['id']}", after=told)
    account = await store.account(session, user_id)
    assert account is not None
    return BiometricKey(**row), account


async def recognise(
    session: AsyncSession, *, device_id: str, user_id: UUID | None, challenge: str, signature: str
) -> Shown | None:
    """The key that has signed; `None`: none of this device."""
    signed = _lenient(signature)
    found = await factor_store.find_biometric_keys(session, device_id, user_id)
    if not found:
        _is_signed(_NOBODYS, challenge, signed)
    signers = (row for row in found if _is_signed(_loaded(row.public_key), challenge, signed))
    row = next(signers, None)
    return Shown(row.tenant_id, row.id, row.user_id, row.password_shown_at) if row else None


def require_password_lately(shown: Shown) -> None:
    """Raise `Unauthenticated` unless the key's user has signed in with the password within 30 days."""
    if shown.password_shown_at is None or shown.password_shown_at < clock.now() - PASSWORD_EVERY:
        message = "sign in with the password first"
        raise errors.Unauthenticated(message, code="PASSWORD_LOGIN_REQUIRED")


async def _require_power_over(session: AsyncSession, user_id: UUID) -> None:
    principal = call.current().principal
    member = await store.membership(session, principal.tenant, user_id)
    sees = member is not None and (
        not principal.sites or not member.site_ids or any(principal.may_see_site(site) for site in member.site_ids)
    )
    if member is None or not sees or member.status != _ACTIVE or member.consented_at is None:
        message = "there is no such active user"
        raise errors.NotFound(message)
    given = Given(member.role, member.additional_roles, member.site_ids)
    await power.require_over(session, principal, given, about="user")


def _loaded(encoded: bytes) -> PublicKey:
    try:
        key = serialization.load_der_public_key(encoded)
    except (ValueError, UnsupportedAlgorithm) as failure:
        raise _not_a_key() from failure
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise _not_a_key()


def _is_signed(key: PublicKey, text: str, signature: bytes) -> bool:
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, text.encode())
        else:
            key.verify(signature, text.encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _decoded(given: str, field: str) -> bytes:
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError) as failure:
        raise errors.Invalid(fields={field: ["is not base64"]}) from failure


def _lenient(given: str) -> bytes:
    """What a signature says; of what is none, something that nobody has signed."""
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _not_a_key() -> errors.Invalid:
    return errors.Invalid(fields={"public_key": ["is not an Ed25519 or P-256 key (SubjectPublicKeyInfo)"]})
