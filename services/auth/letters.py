"""Letters to people: written in the transaction that causes them, sent afterwards, deleted when sent.

A letter holds secrets (the token of a password reset), so all of it is sealed while it waits. A process that dies
between the sending and the deleting sends it once more, under the same Message-ID; more is not to be had of SMTP.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from chassis import clock, encryption
from chassis.encryption import Vault
from services.auth import factor_store

INVITATION = "invitation"
MEMBERSHIP_CONSENT = "membership_consent"
PASSWORD_RESET = "password_reset"  # noqa: S105 - a kind of letter
PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a kind of letter
FACTOR_CHANGED = "factor_changed"
KINDS = (INVITATION, MEMBERSHIP_CONSENT, PASSWORD_RESET, PASSWORD_CHANGED, FACTOR_CHANGED)

# Longer than sending takes at most: meanwhile no other process takes the letter.
LEASE = timedelta(minutes=2)
RETRY_FIRST = timedelta(seconds=5)
RETRY_MAX = timedelta(hours=1)
GIVEN_UP_AFTER = timedelta(days=1)

log = structlog.get_logger()


class Letter(NamedTuple):
    """A letter that is to be sent now. `told` are the words that its kind asks for."""

    id: UUID
    to: str
    kind: str
    name: str
    token: str
    told: Mapping[str, str]
    attempts: int
    written_at: datetime


class Letters:
    """Writes letters, and hands them out to be sent."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def write(
        self,
        session: AsyncSession,
        *,
        to: str,
        kind: str,
        name: str = "",
        token: str = "",
        told: Mapping[str, str] | None = None,
    ) -> None:
        """Write a letter of a kind to an e-mail address; it is sent once the transaction is committed."""
        assert kind in KINDS
        letter_id = uuid7()
        body = orjson.dumps({"to": to, "kind": kind, "name": name, "token": token, "told": dict(told or {})})
        sealed = self._vault.seal(body, _about(letter_id))
        await factor_store.add_letter(session, letter_id, sealed, clock.now())

    async def take(self, session: AsyncSession) -> Letter | None:
        """The letter that has waited longest, for the time of the lease this process's alone."""
        now = clock.now()
        row = await factor_store.take_letter(session, now, now + LEASE)
        if row is None:
            return None
        try:
            told: dict[str, Any] = orjson.loads(self._vault.open(row.sealed, _about(row.id)))
        except encryption.Unreadable:
            log.exception("letter_unreadable", letter=str(row.id))
            await factor_store.delete_letter(session, row.id)
            return None
        return Letter(id=row.id, attempts=row.attempts, written_at=row.created_at, **told)

    async def sent(self, session: AsyncSession, letter: Letter) -> None:
        """Forget a letter: it was sent, or never will be."""
        await factor_store.delete_letter(session, letter.id)

    async def failed(self, session: AsyncSession, letter: Letter) -> None:
        """Send a letter again later, each time after twice as long."""
        delay = min(RETRY_FIRST * 2 ** min(letter.attempts - 1, 20), RETRY_MAX)
        await factor_store.put_letter_off(session, letter.id, clock.now() + delay)


def _about(letter_id: UUID) -> str:
    return f"letters/{letter_id}"
