"""Challenges: what is to be signed, good once and for a short time, in whichever process it comes back to."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from chassis import audit, clock
from services.auth import factor_store

PASSKEY_REGISTER = "passkey-register"
PASSKEY_LOGIN = "passkey-login"
BIOMETRIC = "biometric"
LIVES = {
    PASSKEY_REGISTER: timedelta(minutes=5),
    PASSKEY_LOGIN: timedelta(minutes=5),
    BIOMETRIC: timedelta(minutes=2),
}
_BYTES = 32


class Issued(NamedTuple):
    """A challenge, as its characters, and until when it is good."""

    text: str
    expires_at: datetime

    @property
    def octets(self) -> bytes:
        """What is signed."""
        return self.text.encode()


async def issue(session: AsyncSession, purpose: str, *, subject: str = "") -> Issued:
    """A new challenge for a purpose and a subject, which only they can bring back."""
    issued = Issued(secrets.token_urlsafe(_BYTES), clock.now() + LIVES[purpose])
    digest = _digest(issued.octets)
    audit.about(session, f"challenges/{purpose}")
    await factor_store.add_challenge(session, digest, purpose=purpose, subject=subject, until=issued.expires_at)
    return issued


async def take(session: AsyncSession, challenge: bytes, purpose: str, *, subject: str = "") -> bool:
    """Take a challenge back; whether it was ours, for this, unused and in time."""
    taken = await factor_store.take_challenge(session, _digest(challenge), purpose)
    return taken is not None and taken.subject == subject and taken.expires_at > clock.now()


def _digest(challenge: bytes) -> bytes:
    return hashlib.sha256(challenge).digest()
