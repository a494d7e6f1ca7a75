"""How often sign-in may fail: a growing delay for each account and for each address, known or not.

An attempt is counted as failed before the password is looked at, in one statement that refuses while a delay runs: a
thousand attempts at once get no more tries than a thousand in a row. Success takes the count back.
"""

import hashlib
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from chassis import clock, errors
from services.auth import attempt_store

# From this failure on each next one doubles the delay, which starts with a second.
FREE_BY_ACCOUNT = 5
# Many people may sit behind one address.
FREE_BY_ADDRESS = 50
DELAY_MAX = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(days=1)


async def admit(session: AsyncSession, *, email: str, address: str) -> None:
    """Count an attempt. Raises `Exhausted` while the account or the address has to wait; then nothing is counted."""
    now = clock.now()
    for key, free in _keys(email, address).items():
        admitted = await attempt_store.count_attempt(
            session,
            key,
            now=now,
            forgotten=now - FORGOTTEN_AFTER,
            free=free,
            delay_max_s=DELAY_MAX.total_seconds(),
        )
        if not admitted:
            until = await attempt_store.blocked_until(session, key) or now
            message = "too many failed sign-ins"
            raise errors.Exhausted(message, retry_after_s=max((until - now).total_seconds(), 1.0))


async def succeeded(session: AsyncSession, *, email: str, address: str) -> None:
    """Take the count back: all of the account's, and this one of the address's, whose other failures remain."""
    for key, free in _keys(email, address).items():
        await attempt_store.forgive(session, key, all_of_them=free == FREE_BY_ACCOUNT)


async def taken_back(session: AsyncSession, *, email: str, address: str) -> None:
    """Uncount this one attempt, which was no failure and no success either; what failed before still counts."""
    for key in _keys(email, address):
        await attempt_store.take_back_attempt(session, key)


async def forget(session: AsyncSession) -> None:
    """Delete what no longer counts."""
    await attempt_store.forget_failures(session, clock.now() - FORGOTTEN_AFTER)


def _keys(email: str, address: str) -> dict[bytes, int]:
    # Accounts come before addresses, so that two attempts wait for each other in one order.
    keys = {_digest(f"account:{email}"): FREE_BY_ACCOUNT}
    if address:
        keys[_digest(f"address:{address}")] = FREE_BY_ADDRESS
    return keys


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
