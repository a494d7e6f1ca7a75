"""A holder in a process of its own, for tests that kill and pause it: writes under a token, step by step.

Arguments: database URL, tenant, resource, token, milliseconds of silence granted (0: what the fence grants). It goes on
with every line that it reads, and says what it has done.
"""

import asyncio
import sys
from types import SimpleNamespace
from uuid import UUID

import sqlalchemy as sa

from chassis import errors, identity
from chassis.db import Database
from chassis.fencing import fenced


def _step(told: str) -> None:
    print(told, flush=True)  # noqa: T201 - read by the test
    sys.stdin.readline()


async def _main(url: str, tenant: str, resource: str, token: str, silence_ms: str) -> None:
    database = Database("notes", url)
    lease = SimpleNamespace(lock_name=resource, fencing_token=int(token))
    _step("holding")
    try:
        async with database.transaction(identity.service_principal("notes", UUID(tenant))) as session:
            await fenced(session, lease)
            if int(silence_ms):
                await session.execute(sa.text(f"SET LOCAL idle_in_transaction_session_timeout = {int(silence_ms)}"))
            await session.execute(sa.text("UPDATE notes SET text = text || :token || ' '"), {"token": token})
            _step("written")
        _step("committed")
    except errors.Error as failure:
        _step(failure.code)


asyncio.run(_main(*sys.argv[1:]))
