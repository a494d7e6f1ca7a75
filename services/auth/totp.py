"""One-time codes by time (RFC 6238), and recovery codes for when the authenticator is lost.

A code works once: the last step whose code was used is kept, and only a later one is taken, in one statement.
"""

import base64
import hashlib
import io
import re
import secrets
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import pyotp
import segno
from sqlalchemy.ext.asyncio import AsyncSession

from chassis import audit, clock, errors
from chassis.encryption import Vault
from services.auth import factor_store
from services.auth.factor_models import TotpFactor

ISSUER = "Switchyard"
# Steps of 30 s by which the clock of an authenticator may be wrong.
WINDOW = 1
CONFIRMED_WITHIN = timedelta(minutes=15)
RECOVERY_CODES = 10
# 80 bits, written as four groups of four letters and digits.
_RECOVERY_BYTES = 10
_GROUP = 4
_TOTP = re.compile(r"[0-9]{6}")


class Enrolment(NamedTuple):
    """What an authenticator app is told."""

    secret: str
    uri: str
    qr_svg: str


async def begin(session: AsyncSession, vault: Vault, user_id: UUID, email: str) -> Enrolment:
    """A new authenticator, which counts once it is confirmed. Raises `AlreadyExists` where there is a confirmed one."""
    row = await factor_store.totp(session, user_id)
    if row is not None and row.confirmed_at is not None:
        message = "the account has an authenticator"
        raise errors.AlreadyExists(message)
    secret = pyotp.random_base32()
    sealed = vault.seal(secret.encode(), _about(user_id))
    if row is None:
        session.add(TotpFactor(user_id=user_id, sealed=sealed, created_at=clock.now()))
    else:
        row.sealed, row.created_at = sealed, clock.now()
    await session.flush()
    uri = pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER)
    return Enrolment(secret, uri, _qr(uri))


async def confirm(session: AsyncSession, vault: Vault, user_id: UUID, code: str) -> list[str]:
    """Make the authenticator count, by its first code; the recovery codes. Raises `NotFound` or `Invalid`."""
    row = await factor_store.totp(session, user_id)
    if row is None or row.confirmed_at is not None or row.created_at < clock.now() - CONFIRMED_WITHIN:
        message = "no authenticator waits for its first code"
        raise errors.NotFound(message)
    step = _step_of(vault, user_id, row.sealed, _plain(code))
    if step is None:
        raise errors.Invalid(fields={"otp": ["is not the current code of the authenticator"]})
    row.confirmed_at, row.last_step = clock.now(), step
    return await new_recovery_codes(session, user_id)


async def new_recovery_codes(session: AsyncSession, user_id: UUID) -> list[str]:
    """Ten codes in the place of the ones before. Raises `NotFound` without an authenticator."""
    row = await factor_store.totp(session, user_id)
    if row is None or row.confirmed_at is None:
        message = "the account has no authenticator"
        raise errors.NotFound(message)
    codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
    await factor_store.replace_recovery_codes(session, user_id, [_digest(code) for code in codes])
    audit.changed(session, f"recovery_codes/{user_id}", after={"codes": RECOVERY_CODES})
    return codes


async def delete(session: AsyncSession, user_id: UUID) -> bool:
    """Give the authenticator and the recovery codes up; whether there was one that counted."""
    row = await factor_store.totp(session, user_id)
    audit.about(session, f"totp_factors/{user_id}")
    if row is None:
        return False
    counted = row.confirmed_at is not None
    await session.delete(row)
    await factor_store.replace_recovery_codes(session, user_id, [])
    return counted


async def use(session: AsyncSession, vault: Vault, user_id: UUID, seed: bytes, code: str) -> bool:
    """Use a code of the authenticator with this sealed seed, or a recovery code; whether it was good and unused."""
    if is_recovery_code(code):
        if used := await factor_store.spend_recovery_code(session, user_id, _digest(code), clock.now()):
            audit.changed(session, f"recovery_codes/{user_id}", after={"used": 1})
        return used
    step = _step_of(vault, user_id, seed, _plain(code))
    return step is not None and await factor_store.spend_step(session, user_id, step)


def is_recovery_code(code: str) -> bool:
    """Whether it is not the six digits of an authenticator."""
    return not _TOTP.fullmatch(_plain(code))


def _step_of(vault: Vault, user_id: UUID, seed: bytes, code: str) -> int | None:
    """The step whose code it is, among those that the clocks may be in."""
    authenticator = pyotp.TOTP(vault.open(seed, _about(user_id)).decode())
    try:
        return authenticator.verify_and_get_timecode(code, for_time=clock.now(), valid_window=WINDOW)
    except pyotp.OTPVerificationError:
        return None


def _recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode()
    return "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))


def _plain(code: str) -> str:
    """A code without the spaces and dashes that people type between its groups."""
    return re.sub(r"[\s-]", "", code).upper()


def _digest(code: str) -> bytes:
    return hashlib.sha256(_plain(code).encode()).digest()


def _qr(text: str) -> str:
    drawn = io.BytesIO()
    segno.make(text, error="m", micro=False).save(drawn, kind="svg", scale=4, xmldecl=False)
    return drawn.getvalue().decode()


def _about(user_id: UUID) -> str:
    return f"totp_factors/{user_id}"
