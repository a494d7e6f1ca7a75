"""Forgotten and changed passwords.

Who has forgotten one is answered at once and alike. Whether there is such an account is found out afterwards, away
from the call, and only a letter tells.
"""

import secrets
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from chassis import audit, clock, encryption, errors
from chassis.encryption import Vault
from services.auth import factor_store, letters, passwords, sessions, store
from services.auth.letters import Letters
from services.auth.models import Account

PREFIX = "pwr_"
LIFE = timedelta(minutes=30)

log = structlog.get_logger()


class Reset(NamedTuple):
    """Whose password a token may replace."""

    user_id: UUID
    email: str
    name: str


async def request(session: AsyncSession, vault: Vault, email: str) -> None:
    """Note that somebody has forgotten the password of an address."""
    request_id = uuid7()
    sealed = vault.seal(email.encode(), _about(request_id))
    await factor_store.add_password_request(session, request_id, sealed, clock.now())
    audit.about(session, f"password_requests/{request_id}")


async def answer_one(session: AsyncSession, vault: Vault, by: Letters) -> bool:
    """Write the letter of the oldest request if the address has an account; whether there was a request."""
    row = await factor_store.take_password_request(session)
    if row is None:
        return False
    try:
        email = vault.open(row.sealed, _about(row.id)).decode()
    except encryption.Unreadable:
        log.exception("password_request_unreadable", request=str(row.id))
        return True
    found = await store.find_account(session, email)
    if found is not None and row.created_at > clock.now() - LIFE:
        token = PREFIX + secrets.token_urlsafe(32)
        await factor_store.add_password_reset(session, sessions.digest(token), found.id, clock.now() + LIFE)
        await by.write(session, to=found.email, kind=letters.PASSWORD_RESET, name=found.name, token=token)
    return True


async def find(session: AsyncSession, token: str) -> Reset:
    """Whose token it is. Raises `Unauthenticated` for none, with the code `TOKEN_EXPIRED` for an old one."""
    row = await factor_store.find_password_reset(session, sessions.digest(token))
    if row is None:
        raise _refused()
    if row.expires_at <= clock.now():
        raise sessions.expired()
    return Reset(row.user_id, row.email, row.name)


async def reset(session: AsyncSession, by: Letters, token: str, hashed: str) -> None:
    """Set the password by a token, which is used up. Ends all sessions. Raises `Unauthenticated` if it was used."""
    user_id = await factor_store.take_password_reset(session, sessions.digest(token))
    if user_id is None:
        raise _refused()
    await store.act_as(session, user_id)
    account = await store.account(session, user_id)
    assert account is not None
    await _set(session, by, account, hashed)
    await sessions.end(session, user_id, reason="password_changed")


async def change(session: AsyncSession, by: Letters, account: Account, hashed: str, *, keep: UUID) -> None:
    """Set the password of a person who has shown the one before. Ends all their sessions but one."""
    await factor_store.void_password_resets(session, account.id)
    await _set(session, by, account, hashed)
    await sessions.end(session, account.id, reason="password_changed", but=keep)


def require_strong(password: str, *, own: tuple[str, ...], field: str) -> None:
    """Raise `Invalid` for a password that cannot be used."""
    if found := passwords.weaknesses(password, own=own):
        raise errors.Invalid(fields={field: found})


async def _set(session: AsyncSession, by: Letters, account: Account, hashed: str) -> None:
    await factor_store.set_password(session, account.id, hashed)
    audit.changed(session, f"users/{account.id}", before={"password": "***"}, after={"password": "***"})
    told = {"at": f"{clock.now():%Y-%m-%d %H:%M} UTC"}
    await by.write(session, to=account.email, kind=letters.PASSWORD_CHANGED, name=account.name, told=told)


def _refused() -> errors.Unauthenticated:
    return errors.Unauthenticated("the token is not valid, or was used")


def _about(request_id: UUID) -> str:
    return f"password_requests/{request_id}"
