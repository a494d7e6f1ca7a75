"""What an auth process does on its own account: keys, the first operator, the last use of tokens, forgetting."""

import asyncio
from uuid import UUID, uuid4

import structlog

from chassis import clock, errors, identity
from chassis.db import Database
from services.auth import (
    attempts,
    factor_store,
    invitations,
    oauth_granting,
    passwords,
    sessions,
    store,
    tokens,
    users,
)
from services.auth.keys import Keyring
from services.auth.settings import AuthSettings
from services.auth.store import Found

OPERATOR_NAME = "Platform operator"
RETRY_S = 0.25
# The last use is told to the minute, so a quarter of one is soon enough.
USES_EVERY_S = 15.0
FORGET_EVERY_S = 3600.0

log = structlog.get_logger()


class Work:
    """The process's own work. Each piece opens its transaction, as an RPC does."""

    def __init__(
        self,
        database: Database,
        *,
        settings: AuthSettings,
        keyring: Keyring,
        hasher: passwords.Hasher,
        uses: tokens.Uses,
    ) -> None:
        self._database = database
        self._settings = settings
        self._keyring = keyring
        self._hasher = hasher
        self._uses = uses

    async def start(self) -> None:
        """Load the keys and open the first operator's account, as soon as the database is there."""
        await self._keyring.wait()
        while True:
            try:
                await self.load_keys()
                await self.open_operator()
            except errors.Error as failure:
                log.info("start_waits", error=repr(failure))
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def load_keys(self) -> None:
        """Take over keys that other processes have made, and make the next one when it is time."""
        async with self._database.transaction(_auth()) as session:
            await self._keyring.load(session)

    async def open_operator(self) -> None:
        """Open the operator's account that the settings name, unless it is there. Never makes a known person one."""
        email = users.normalised(self._settings.bootstrap_operator_email)
        password = self._settings.bootstrap_operator_password.get_secret_value()
        if not email or not password:
            return
        async with self._database.transaction(_auth()) as session:
            if await store.find_account(session, email) is None:
                hashed = await self._hasher.hash(password)
                await store.open_account(session, Found(uuid4(), email, OPERATOR_NAME, hashed, operator=True))
            found = await store.find_account(session, email)
        if found is None or not found.operator:
            log.error("bootstrap_operator_is_an_ordinary_account", email=email)

    async def write_uses(self) -> None:
        """Write down when tokens and sessions were last used, and from where."""
        if used_sessions := self._uses.drain_sessions():
            async with self._database.transaction(_auth()) as session:
                await store.note_session_uses(session, used_sessions)
        for tenant_id, used in self._uses.drain().items():
            async with self._database.transaction(_auth(tenant_id)) as session:
                await store.note_uses(session, used)

    async def forget(self) -> None:
        """Delete what has served its time."""
        async with self._database.transaction(_auth()) as session:
            await attempts.forget(session)
            await sessions.forget(session)
            await invitations.forget(session)
            await factor_store.forget(session, clock.now())
            await oauth_granting.forget(session)


def _auth(tenant_id: UUID | None = None) -> identity.Principal:
    return identity.service_principal("auth", tenant_id)
