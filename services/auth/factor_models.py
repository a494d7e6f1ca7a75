"""The tables of factors and letters, as far as auth's process may see them."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from services.auth.models import Base


class TotpFactor(Base):
    """A person's authenticator. It counts once it is confirmed; `last_step` is the last 30 s whose code was used."""

    __tablename__ = "totp_factors"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    sealed: Mapped[bytes] = mapped_column(info={"sensitive": True, "about": "totp_factors/{user_id}"})
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int | None] = mapped_column(sa.BigInteger)
    created_at: Mapped[datetime]


class RecoveryCode(Base):
    """A code for when the authenticator is lost, as its hash."""

    __tablename__ = "recovery_codes"
    __table_args__ = (sa.PrimaryKeyConstraint("user_id", "hash"),)

    user_id: Mapped[UUID]
    hash: Mapped[bytes] = mapped_column(info={"sensitive": True})
    used_at: Mapped[datetime | None]


class Passkey(Base):
    """A WebAuthn credential of a person's."""

    __tablename__ = "passkeys"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    credential_id: Mapped[bytes]
    public_key: Mapped[bytes]
    sign_count: Mapped[int] = mapped_column(sa.BigInteger)
    name: Mapped[str]
    transports: Mapped[list[str]] = mapped_column(postgresql.ARRAY(sa.Text))
    backed_up: Mapped[bool]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]


class BiometricKey(Base):
    """A device's key, with which it signs in one user of the tenant."""

    __tablename__ = "biometric_keys"
    __table_args__ = (sa.PrimaryKeyConstraint("tenant_id", "id"),)

    tenant_id: Mapped[UUID]
    id: Mapped[UUID]
    user_id: Mapped[UUID]
    device_id: Mapped[str]
    public_key: Mapped[bytes]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]


class Challenge(Base):
    """What is to be signed, as its hash. Whoever brings it back takes it away."""

    __tablename__ = "challenges"

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    purpose: Mapped[str]
    subject: Mapped[str]
    expires_at: Mapped[datetime]


class PasswordRequest(Base):
    """That somebody has forgotten a password; whose, if anybody's, is found out later."""

    __tablename__ = "password_requests"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    sealed: Mapped[bytes] = mapped_column(info={"sensitive": True, "about": "password_requests/{id}"})
    created_at: Mapped[datetime]


class PasswordReset(Base):
    """The token of a letter, as its hash."""

    __tablename__ = "password_resets"

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    expires_at: Mapped[datetime]


class Letter(Base):
    """A letter that has not been sent: whom it is for and what it says, sealed."""

    __tablename__ = "letters"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    sealed: Mapped[bytes] = mapped_column(info={"sensitive": True, "about": "letters/{id}"})
    attempts: Mapped[int]
    due_at: Mapped[datetime]
    created_at: Mapped[datetime]
