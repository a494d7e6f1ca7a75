"""The queries of factors and letters; no rules. What is found before a person is known goes through functions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.factor_models import (
    BiometricKey,
    Challenge,
    Letter,
    Passkey,
    PasswordRequest,
    PasswordReset,
    RecoveryCode,
    TotpFactor,
)
from services.auth.models import Base

# Rows that the session has read are not looked at for what a statement changes.
_AS_IT_IS = {"synchronize_session": False}


# Every sign-in asks it; put together each time, it would cost more than the answer.
_HELD = sa.select(
    sa.exists().where(TotpFactor.user_id == sa.bindparam("of", type_=sa.Uuid), TotpFactor.confirmed_at.is_not(None)),
    sa.exists().where(Passkey.user_id == sa.bindparam("of", type_=sa.Uuid)),
)
_NOTE_PASSWORD_SHOWN = sa.text("SELECT note_password_shown(:id, :at)")


class Held(NamedTuple):
    """Which factors a person has besides the password."""

    totp: bool
    passkey: bool


# Letters.


async def add_letter(session: AsyncSession, letter_id: UUID, sealed: bytes, now: datetime) -> None:
    """Put a letter to those that wait."""
    values = {"id": letter_id, "sealed": sealed, "attempts": 0, "due_at": now, "created_at": now}
    await session.execute(sa.insert(_table(Letter)), values)


async def take_letter(session: AsyncSession, now: datetime, again_at: datetime) -> "sa.Row[Any] | None":
    """The letter that has been due longest; it is due again at a time."""
    statement = sa.text("SELECT * FROM take_letter(:now, :again_at)")
    found: sa.Row[Any] | None = (await session.execute(statement, {"now": now, "again_at": again_at})).one_or_none()
    return found


async def put_letter_off(session: AsyncSession, letter_id: UUID, until: datetime) -> None:
    """Let a letter wait until a time."""
    await session.execute(sa.text("SELECT put_letter_off(:id, :until)"), {"id": letter_id, "until": until})


async def delete_letter(session: AsyncSession, letter_id: UUID) -> None:
    """Delete a letter."""
    await session.execute(sa.text("SELECT delete_letter(:id)"), {"id": letter_id})


# Authenticators and recovery codes of the person the transaction has named.


async def totp(session: AsyncSession, user_id: UUID) -> TotpFactor | None:
    """The person's authenticator, confirmed or not, locked until the transaction ends."""
    statement = sa.select(TotpFactor).where(TotpFactor.user_id == user_id).with_for_update()
    return (await session.scalars(statement)).one_or_none()


async def held(session: AsyncSession, user_id: UUID) -> Held:
    """Which factors the person has besides the password."""
    return Held(*(await session.execute(_HELD, {"of": user_id})).one())


async def seed(session: AsyncSession, user_id: UUID) -> bytes | None:
    """The sealed seed of the confirmed authenticator."""
    confirmed = TotpFactor.user_id == user_id, TotpFactor.confirmed_at.is_not(None)
    found: bytes | None = await session.scalar(sa.select(TotpFactor.sealed).where(*confirmed))
    return found


async def spend_step(session: AsyncSession, user_id: UUID, step: int) -> bool:
    """Use the code of a step; whether it was this call that did, before any of a later step."""
    unused = sa.or_(TotpFactor.last_step.is_(None), TotpFactor.last_step < step)
    confirmed = TotpFactor.user_id == user_id, TotpFactor.confirmed_at.is_not(None)
    statement = sa.update(TotpFactor).where(*confirmed, unused).values(last_step=step).returning(TotpFactor.user_id)
    return (await session.execute(statement, execution_options=_AS_IT_IS)).first() is not None


async def spend_recovery_code(session: AsyncSession, user_id: UUID, digest: bytes, now: datetime) -> bool:
    """Use a recovery code; whether it was this call that did."""
    unused = RecoveryCode.user_id == user_id, RecoveryCode.hash == digest, RecoveryCode.used_at.is_(None)
    statement = sa.update(RecoveryCode).where(*unused).values(used_at=now).returning(RecoveryCode.user_id)
    return (await session.execute(statement, execution_options=_AS_IT_IS)).first() is not None


async def recovery_codes_left(session: AsyncSession, user_id: UUID) -> int:
    """How many codes can still be used."""
    unused = RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None)
    return await session.scalar(sa.select(sa.func.count()).where(*unused)) or 0


async def replace_recovery_codes(session: AsyncSession, user_id: UUID, digests: Sequence[bytes]) -> None:
    """Put codes in the place of those that there are."""
    own = RecoveryCode.user_id == user_id
    await session.execute(sa.delete(RecoveryCode).where(own), execution_options=_AS_IT_IS)
    if digests:
        rows = [{"user_id": user_id, "hash": digest} for digest in digests]
        await session.execute(sa.insert(_table(RecoveryCode)), rows)


# Passkeys.


async def passkeys(session: AsyncSession, user_id: UUID) -> Sequence[Passkey]:
    """The passkeys of the person the transaction has named, oldest first."""
    return (await session.scalars(sa.select(Passkey).where(Passkey.user_id == user_id).order_by(Passkey.id))).all()


async def passkey(session: AsyncSession, user_id: UUID, passkey_id: UUID) -> Passkey | None:
    """One of the person's passkeys."""
    own = Passkey.user_id == user_id, Passkey.id == passkey_id
    return (await session.scalars(sa.select(Passkey).where(*own))).one_or_none()


async def find_passkey(session: AsyncSession, credential_id: bytes) -> "sa.Row[Any] | None":
    """Whose passkey it is (id, user_id) and its public key."""
    statement = sa.text("SELECT * FROM find_passkey(:wanted)")
    found: sa.Row[Any] | None = (await session.execute(statement, {"wanted": credential_id})).one_or_none()
    return found


async def use_passkey(
    session: AsyncSession, passkey_id: UUID, *, sign_count: int, backed_up: bool, now: datetime
) -> bool:
    """Note a use, unless the counter did not go up: two copies of one key would do that. Zero: it has none."""
    counts_up = Passkey.sign_count < sign_count
    has_none = sa.and_(Passkey.sign_count == 0, sa.literal(sign_count) == 0)
    statement = (
        sa.update(Passkey)
        .where(Passkey.id == passkey_id, sa.or_(counts_up, has_none))
        .values(sign_count=sign_count, backed_up=backed_up, last_used_at=now)
        .returning(Passkey.id)
    )
    return (await session.execute(statement, execution_options=_AS_IT_IS)).first() is not None


# Keys of devices.


async def put_biometric_key(session: AsyncSession, values: dict[str, Any]) -> UUID:
    """Keep the key of a user's device, in the place of the one that it had; its id."""
    statement = postgresql.insert(BiometricKey).values(values)
    renewed = {name: values[name] for name in ("public_key", "created_at")} | {"last_used_at": None}
    statement = statement.on_conflict_do_update(constraint="biometric_keys_one", set_=renewed)
    kept: UUID = (await session.execute(statement.returning(BiometricKey.id))).scalar_one()
    return kept


async def find_biometric_keys(session: AsyncSession, device_id: str, user_id: UUID | None) -> "Sequence[sa.Row[Any]]":
    """The keys of a device, in any tenant, and when their users last showed their passwords."""
    statement = sa.text("SELECT * FROM find_biometric_keys(:device, :account)").bindparams(
        sa.bindparam("account", type_=sa.Uuid)
    )
    return (await session.execute(statement, {"device": device_id, "account": user_id})).all()


async def use_biometric_key(session: AsyncSession, key_id: UUID, now: datetime) -> None:
    """Note when a key of the transaction's tenant was used."""
    statement = sa.update(BiometricKey).where(BiometricKey.id == key_id).values(last_used_at=now)
    await session.execute(statement, execution_options=_AS_IT_IS)


# Challenges.


async def add_challenge(session: AsyncSession, digest: bytes, *, purpose: str, subject: str, until: datetime) -> None:
    """Keep a challenge's hash."""
    values = {"hash": digest, "purpose": purpose, "subject": subject, "expires_at": until}
    await session.execute(sa.insert(_table(Challenge)), values)


async def take_challenge(session: AsyncSession, digest: bytes, purpose: str) -> "sa.Row[Any] | None":
    """Take a challenge away: what it was about, and until when it is good. None: there is none, or it was taken."""
    statement = sa.text("SELECT * FROM take_challenge(:wanted, :meant)")
    found = await session.execute(statement, {"wanted": digest, "meant": purpose})
    taken: sa.Row[Any] | None = found.one_or_none()
    return taken


# Passwords.


async def set_password(session: AsyncSession, user_id: UUID, hashed: str) -> None:
    """Replace a person's password."""
    await session.execute(sa.text("SELECT set_password(:id, :hashed)"), {"id": user_id, "hashed": hashed})


async def note_password_shown(session: AsyncSession, user_id: UUID, now: datetime) -> None:
    """Note that a person has signed in with the password."""
    await session.execute(_NOTE_PASSWORD_SHOWN, {"id": user_id, "at": now})


async def add_password_request(session: AsyncSession, request_id: UUID, sealed: bytes, now: datetime) -> None:
    """Keep that somebody has forgotten a password."""
    values = {"id": request_id, "sealed": sealed, "created_at": now}
    await session.execute(sa.insert(_table(PasswordRequest)), values)


async def take_password_request(session: AsyncSession) -> "sa.Row[Any] | None":
    """Take the oldest request away."""
    found: sa.Row[Any] | None = (await session.execute(sa.text("SELECT * FROM take_password_request()"))).one_or_none()
    return found


async def add_password_reset(session: AsyncSession, digest: bytes, user_id: UUID, until: datetime) -> None:
    """Keep the hash of a letter's token."""
    values = {"hash": digest, "user_id": user_id, "expires_at": until}
    await session.execute(sa.insert(_table(PasswordReset)), values)


async def find_password_reset(session: AsyncSession, digest: bytes) -> "sa.Row[Any] | None":
    """Whose token it is (user_id, email, name) and until when it is good."""
    statement = sa.text("SELECT * FROM find_password_reset(:wanted)")
    found: sa.Row[Any] | None = (await session.execute(statement, {"wanted": digest})).one_or_none()
    return found


async def take_password_reset(session: AsyncSession, digest: bytes) -> UUID | None:
    """Take a token away, and all others of its account; whose it was."""
    taken: UUID | None = await session.scalar(sa.text("SELECT take_password_reset(:wanted)"), {"wanted": digest})
    return taken


async def void_password_resets(session: AsyncSession, user_id: UUID) -> None:
    """End all tokens of an account."""
    await session.execute(sa.text("SELECT void_password_resets(:id)"), {"id": user_id})


async def forget(session: AsyncSession, now: datetime) -> None:
    """Delete what has expired."""
    await session.execute(sa.text("SELECT forget_factors(:now)"), {"now": now})


def _table(model: type[Base]) -> Any:
    """For statements that run as they are, without the ORM's RETURNING, which what is posted has no right to."""
    return model.__table__
