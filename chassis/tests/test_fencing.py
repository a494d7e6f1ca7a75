"""A stale holder's write fails in the database, in whatever order it comes and whoever dies meanwhile."""

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import permutations
from types import SimpleNamespace

import asyncpg
import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from chassis import errors, migrate
from chassis.db import Database
from chassis.fencing import SILENCE_MAX_S, fenced
from chassis.testing import Databases, Tenant

OLD, NEW = 41, 42
APPEND = sa.text("UPDATE notes SET text = text || :token || ' '")


@dataclass(frozen=True)
class Resource:
    """A note whose text is the tokens of those who wrote it, in the order of their commits."""

    database: Database
    url: str
    admin: asyncpg.Connection
    tenant: Tenant

    @asynccontextmanager
    async def writing(self, token: int) -> AsyncIterator[AsyncSession]:
        """A fenced transaction that writes."""
        async with self.database.transaction(self.tenant.service("notes")) as session:
            await fenced(session, _lease(token))
            await session.execute(APPEND, {"token": str(token)})
            yield session

    async def write(self, token: int) -> None:
        """One fenced write."""
        async with self.writing(token):
            pass

    async def written(self) -> list[int]:
        """The tokens of those who wrote."""
        text = await self.admin.fetchval("SELECT text FROM notes WHERE tenant_id = $1", self.tenant.id)
        return [int(token) for token in text.split()]

    async def waits(self) -> bool:
        """Whether somebody waits for another's transaction on the tokens."""
        found = await self.admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%fencing_tokens%'"
        )
        return bool(found)


@pytest_asyncio.fixture(loop_scope="session")
async def resource(databases: Databases, notes_table: None, tenant: Tenant) -> AsyncIterator[Resource]:
    """A note without writers."""
    async with AsyncExitStack() as stack:
        url = await databases.url("notes")
        database = Database("notes", url)
        stack.push_async_callback(database.close)
        admin = await asyncpg.connect(databases.admin("notes"))
        stack.push_async_callback(admin.close)
        await admin.execute("INSERT INTO notes (tenant_id, id, text) VALUES ($1, $2, '')", tenant.id, uuid7())
        yield Resource(database, url, admin, tenant)


def _lease(token: int, name: str = "the-note") -> SimpleNamespace:
    return SimpleNamespace(lock_name=name, fencing_token=token)


async def _until(ask: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await ask():
            await asyncio.sleep(0.005)


class Writer:
    """A fenced transaction that goes on step by step: it writes, then it commits."""

    def __init__(self, resource: Resource, token: int) -> None:
        self._resource = resource
        self._gates = [asyncio.Event(), asyncio.Event()]
        self._passed = 0
        self._step = 0
        self.task = asyncio.create_task(self._run(token))

    async def _run(self, token: int) -> None:
        await self._gates[0].wait()
        async with self._resource.writing(token):
            self._passed = 1
            await self._gates[1].wait()
        self._passed = 2

    async def go_on(self) -> None:
        """The next step, until it is done or waits for the other."""
        self._gates[self._step].set()
        self._step += 1
        step = self._step

        async def settled() -> bool:
            return self.task.done() or self._passed >= step or await self._resource.waits()

        await _until(settled)


class TestFenced:
    @pytest.mark.parametrize("schedule", sorted(set(permutations([OLD, OLD, NEW, NEW]))))
    async def test_writes_commit_in_the_order_of_their_tokens(
        self, resource: Resource, schedule: tuple[int, ...]
    ) -> None:
        writers = {token: Writer(resource, token) for token in (OLD, NEW)}

        for token in schedule:
            await writers[token].go_on()
        outcomes = await asyncio.gather(*(writers[token].task for token in (OLD, NEW)), return_exceptions=True)

        # Who fences first decides: before the new one, the old one is in order, and after it, refused.
        old_first = schedule[0] == OLD
        assert await resource.written() == ([OLD, NEW] if old_first else [NEW])
        assert [type(outcome) for outcome in outcomes] == [type(None) if old_first else errors.LeaseLost, type(None)]

    async def test_many_at_once_never_go_back(self, resource: Resource) -> None:
        tokens = list(range(1, 25)) * 2
        random.Random(5).shuffle(tokens)

        outcomes = await asyncio.gather(*(resource.write(token) for token in tokens), return_exceptions=True)

        written = await resource.written()
        assert written == sorted(written)
        assert written[-1] == 24
        assert sum(outcome is None for outcome in outcomes) == len(written)
        assert {type(outcome) for outcome in outcomes} <= {type(None), errors.LeaseLost}

    async def test_what_was_rolled_back_fences_nobody(self, resource: Resource) -> None:
        with pytest.raises(ZeroDivisionError):
            async with resource.writing(NEW):
                raise ZeroDivisionError

        await resource.write(OLD)

        assert await resource.written() == [OLD]

    async def test_the_same_token_writes_again(self, resource: Resource) -> None:
        await resource.write(NEW)
        await resource.write(NEW)

        assert await resource.written() == [NEW, NEW]

    async def test_tokens_are_as_long_as_revisions(self, resource: Resource) -> None:
        await resource.write(2**63 - 1)

        with pytest.raises(errors.LeaseLost):
            await resource.write(2**63 - 2)

    async def test_another_resource_is_not_concerned(self, resource: Resource) -> None:
        await resource.write(NEW)

        async with resource.database.transaction(resource.tenant.service("notes")) as session:
            await fenced(session, _lease(OLD), resource="another")
            await fenced(session, _lease(OLD, "a third"))

    async def test_another_tenant_is_not_concerned(self, resource: Resource) -> None:
        await resource.write(NEW)

        async with resource.database.transaction(Tenant().service("notes")) as session:
            await fenced(session, _lease(OLD))

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE fencing_tokens SET token = 1",
            "UPDATE fencing_tokens SET resource = 'x'",
            "DELETE FROM fencing_tokens",
        ],
    )
    async def test_no_statement_of_the_service_takes_a_token_back(self, resource: Resource, statement: str) -> None:
        await resource.write(NEW)

        with pytest.raises(sa.exc.DBAPIError, match=r"only grows|permission denied"):
            async with resource.database.transaction(resource.tenant.service("notes")) as session:
                await session.execute(sa.text(statement))

    async def test_silence_is_bounded(self, resource: Resource) -> None:
        async with resource.writing(NEW) as session:
            bound = await session.scalar(sa.text("SHOW idle_in_transaction_session_timeout"))

        assert bound == f"{SILENCE_MAX_S}s"
        assert await resource.admin.fetchval("SHOW idle_in_transaction_session_timeout") == "0"


class Holder:
    """A process that holds a lease and writes under it when it is told."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def begin(cls, resource: Resource, token: int, *, silence_ms: int = 0) -> "Holder":
        arguments = (resource.url, resource.tenant.id, "the-note", token, silence_ms)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "chassis.tests.fenced_writer", *map(str, arguments)),
            cwd=migrate.ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        holder = cls(process)
        assert await holder.told() == "holding"
        return holder

    async def told(self) -> str:
        """What it has done."""
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            return (await self.process.stdout.readline()).decode().strip()

    async def go_on(self) -> str:
        """Let it take its next step; what it has done then."""
        self.let_go_on()
        return await self.told()

    def let_go_on(self) -> None:
        """Let it take its next step."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")

    async def end(self) -> None:
        """Kill it."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


class TestProcesses:
    async def test_a_killed_holder_leaves_nothing_and_stands_in_nobodys_way(self, resource: Resource) -> None:
        holder = await Holder.begin(resource, OLD)
        assert await holder.go_on() == "written"
        waiting = asyncio.create_task(resource.write(NEW))
        await _until(resource.waits)

        await holder.end()
        await asyncio.wait_for(waiting, 20)

        assert await resource.written() == [NEW]

    async def test_a_paused_holders_late_write_is_refused(self, resource: Resource) -> None:
        holder = await Holder.begin(resource, OLD)
        try:
            holder.process.send_signal(signal.SIGSTOP)
            holder.let_go_on()
            await resource.write(NEW)

            holder.process.send_signal(signal.SIGCONT)

            assert await holder.told() == "LEASE_LOST"
            assert await resource.written() == [NEW]
        finally:
            await holder.end()

    async def test_a_holder_paused_between_write_and_commit_is_ended_by_the_database(self, resource: Resource) -> None:
        holder = await Holder.begin(resource, OLD, silence_ms=50)
        try:
            assert await holder.go_on() == "written"
            holder.process.send_signal(signal.SIGSTOP)
            await asyncio.wait_for(resource.write(NEW), 20)

            holder.let_go_on()
            holder.process.send_signal(signal.SIGCONT)

            assert await holder.told() == "UNAVAILABLE"
            assert await resource.written() == [NEW]
        finally:
            await holder.end()
