"""Secrets at rest: sealed for one row, opened by every process while keys rotate, unreadable in a dump."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7

from chassis import clock, encryption, errors, identity, resealing
from chassis.db import Database
from chassis.encryption import Vault
from chassis.resealing import Sweep
from chassis.testing import Databases, Tenant

MASTER = "a master key of the tests"
SEED = b"a seed that nobody may read"
_TABLE = """
    CREATE TABLE letters (
        tenant_id uuid NOT NULL, id uuid NOT NULL, body bytea, opened integer NOT NULL DEFAULT 0,
        PRIMARY KEY (tenant_id, id)
    );
    ALTER TABLE letters OWNER TO switchyard_vault_owner;
    ALTER TABLE letters ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant_isolation ON letters
        USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
    GRANT SELECT, INSERT, UPDATE, DELETE ON letters TO switchyard_vault;
    GRANT SELECT (tenant_id, id, body), UPDATE (body) ON letters TO switchyard_vault_relay;
    CREATE POLICY reseal ON letters TO switchyard_vault_relay USING (true) WITH CHECK (true);
"""


class Base(DeclarativeBase):
    pass


class Letter(Base):
    __tablename__ = "letters"

    tenant_id: Mapped[Any] = mapped_column(sa.Uuid, primary_key=True)
    id: Mapped[Any] = mapped_column(sa.Uuid, primary_key=True, default=uuid7)
    body: Mapped[bytes | None] = mapped_column(info={"sensitive": True, "about": "letters/{tenant_id}/{id}"})
    opened: Mapped[int] = mapped_column(default=0)


@pytest_asyncio.fixture(loop_scope="session")
async def admin(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    """A superuser in a database whose keys and letters are this test's alone."""
    await databases.url("vault")
    connection = await asyncpg.connect(databases.admin("vault"))
    await connection.execute("DROP TABLE IF EXISTS letters; DELETE FROM encryption_keys")
    await connection.execute(_TABLE)
    yield connection
    await connection.close()


@dataclass
class Process:
    """What one process of the service would hold."""

    database: Database
    vault: Vault
    sweep: Sweep


Start = Callable[..., Awaitable[Process]]


@pytest_asyncio.fixture(loop_scope="session")
async def start(databases: Databases, admin: asyncpg.Connection) -> AsyncIterator[Start]:
    """Start a process with a master key."""
    opened = []

    async def started(master: str = MASTER, previous: str = "") -> Process:
        database = Database("vault", await databases.url("vault"))
        opened.append(database)
        vault = Vault(database, master=SecretStr(master), previous=SecretStr(previous))
        await vault.load()
        return Process(database, vault, Sweep(database, vault, Base))

    yield started
    for database in opened:
        await database.close()


async def rotated(process: Process, *, at_once: bool = False) -> int:
    async with process.database.transaction(identity.service_principal("vault", None)) as session:
        number = await process.vault.rotate(session, at_once=at_once)
    await process.vault.load()
    return number


async def write(process: Process, tenant: Tenant, count: int = 1) -> list[Letter]:
    letters = [Letter(tenant_id=tenant.id, id=uuid7()) for _ in range(count)]
    for letter in letters:
        letter.body = process.vault.seal(SEED, about(letter))
    async with process.database.transaction(identity.service_principal("vault", tenant.id)) as session:
        session.add_all(letters)
    return letters


def about(letter: Any) -> str:
    return f"letters/{letter.tenant_id}/{letter.id}"


async def by_generation(admin: asyncpg.Connection) -> dict[int, int]:
    """How many letters each generation has sealed."""
    rows = await admin.fetch("SELECT substr(body, 1, 4) AS generation, count(*) FROM letters GROUP BY 1 ORDER BY 1")
    return {int.from_bytes(row["generation"], "big"): row["count"] for row in rows}


async def sweep_as_a_process(url: str) -> None:
    """What a process does that is killed in the middle of it."""
    resealing.BATCH = 5
    database = Database("vault", url)
    vault = Vault(database, master=SecretStr(MASTER), previous=SecretStr(""))
    await vault.load()
    with clock.shifted(resealing.SETTLED):
        await Sweep(database, vault, Base).run()


_PROCESS = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
import test_encryption
asyncio.run(test_encryption.sweep_as_a_process(sys.argv[2]))
"""


class TestSealing:
    async def test_what_was_sealed_opens(self, start: Start) -> None:
        vault = (await start()).vault

        assert vault.open(vault.seal(SEED, "totp/1"), "totp/1") == SEED

    async def test_the_same_value_is_never_sealed_alike(self, start: Start) -> None:
        vault = (await start()).vault

        assert vault.seal(SEED, "totp/1") != vault.seal(SEED, "totp/1")

    async def test_it_opens_in_its_own_row_only(self, start: Start) -> None:
        vault = (await start()).vault

        with pytest.raises(encryption.Unreadable):
            vault.open(vault.seal(SEED, "totp/1"), "totp/2")

    @pytest.mark.parametrize("place", [0, 4, 10, -1])
    async def test_a_changed_byte_is_noticed(self, start: Start, place: int) -> None:
        vault = (await start()).vault
        sealed = bytearray(vault.seal(SEED, "totp/1"))
        sealed[place] ^= 1

        with pytest.raises((encryption.Unreadable, errors.Unavailable)):
            vault.open(bytes(sealed), "totp/1")

    @pytest.mark.parametrize("length", [0, 3, 4, 12])
    async def test_a_piece_of_a_value_opens_nothing(self, start: Start, length: int) -> None:
        vault = (await start()).vault

        with pytest.raises((encryption.Unreadable, errors.Unavailable)):
            vault.open(vault.seal(SEED, "totp/1")[:length], "totp/1")

    async def test_before_the_keys_are_there_it_asks_to_try_again(self, databases: Databases) -> None:
        database = Database("vault", await databases.url("vault"))
        vault = Vault(database, master=SecretStr(MASTER), previous=SecretStr(""))

        with pytest.raises(errors.Unavailable):
            vault.seal(SEED, "totp/1")

    async def test_a_process_that_could_not_look_for_keys_does_not_seal(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        vault = (await start()).vault
        sealed = vault.seal(SEED, "totp/1")
        monkeypatch.setattr(encryption, "STALE_S", 0.0)

        with pytest.raises(errors.Unavailable):
            vault.seal(SEED, "totp/1")
        assert vault.open(sealed, "totp/1") == SEED


class TestKeys:
    async def test_many_first_starts_make_one(self, start: Start, admin: asyncpg.Connection) -> None:
        first = await start()
        await admin.execute("DELETE FROM encryption_keys")
        processes = await asyncio.gather(*(start() for _ in range(8)))

        sealed = [process.vault.seal(SEED, "totp/1") for process in processes]

        assert [process.vault.open(value, "totp/1") for process in processes for value in sealed] == [SEED] * 64
        assert [each.number for each in processes[0].vault.generations] == [1]
        with pytest.raises(encryption.Unreadable):
            first.vault.open(sealed[0], "totp/1")

    async def test_processes_that_rotate_at_once_make_one(self, start: Start) -> None:
        processes = [await start() for _ in range(8)]

        numbers = await asyncio.gather(*(rotated(process) for process in processes))

        assert set(numbers) == {2}
        assert [each.number for each in (await start()).vault.generations] == [2, 1]

    async def test_a_new_one_is_published_before_it_seals(self, start: Start) -> None:
        one, other = await start(), await start()
        await rotated(one)
        at_first = one.vault.current.number
        await other.vault.load()

        with clock.shifted(encryption.PUBLISHED_BEFORE):
            sealed = one.vault.seal(SEED, "totp/1")

        assert (at_first, int.from_bytes(sealed[:4], "big")) == (1, 2)
        assert other.vault.open(sealed, "totp/1") == SEED

    async def test_the_ones_before_open_for_ever(self, start: Start) -> None:
        process = await start()
        sealed = process.vault.seal(SEED, "totp/1")
        for _ in range(3):
            await rotated(process, at_once=True)

        assert (await start()).vault.open(sealed, "totp/1") == SEED

    async def test_one_that_is_not_known_yet_is_looked_for(self, start: Start) -> None:
        one, other = await start(), await start()
        following = asyncio.create_task(other.vault.run())
        await rotated(one, at_once=True)
        sealed = one.vault.seal(SEED, "totp/1")

        try:
            async with asyncio.timeout(2):
                while True:
                    with contextlib.suppress(errors.Unavailable):
                        assert other.vault.open(sealed, "totp/1") == SEED
                        break
                    await asyncio.sleep(0.01)
        finally:
            following.cancel()

    async def test_nothing_of_a_row_is_the_key(self, start: Start, admin: asyncpg.Connection) -> None:
        process = await start()
        await write(process, Tenant())

        dump = [repr(tuple(row)) for row in await admin.fetch("SELECT * FROM encryption_keys, letters")]

        assert dump
        assert not any(SEED.decode() in row or MASTER in row for row in dump)


class TestMasterKey:
    async def test_another_one_opens_nothing(self, start: Start) -> None:
        await start()

        with pytest.raises(encryption.Unreadable):
            await start("a master key of somebody else")

    async def test_a_new_one_takes_over_with_the_one_before(self, start: Start) -> None:
        old = await start()
        sealed = old.vault.seal(SEED, "totp/1")
        await rotated(old, at_once=True)

        new = await start("a new master key", previous=MASTER)

        alone = await start("a new master key")
        assert [process.vault.open(sealed, "totp/1") for process in (new, alone, old)] == [SEED] * 3
        with pytest.raises(encryption.Unreadable):
            await start(MASTER)

    async def test_a_process_with_the_one_before_goes_on(self, start: Start) -> None:
        old = await start()
        new = await start("a new master key", previous=MASTER)
        await old.vault.load()

        assert new.vault.open(old.vault.seal(SEED, "totp/1"), "totp/1") == SEED

    async def test_a_key_of_another_generation_is_no_key(self, start: Start, admin: asyncpg.Connection) -> None:
        await rotated(await start(), at_once=True)
        await admin.execute("UPDATE encryption_keys SET sealed = (SELECT sealed FROM encryption_keys LIMIT 1)")

        with pytest.raises(encryption.Unreadable):
            await start()


class TestSweep:
    async def test_everything_moves_to_the_new_key_and_the_old_one_is_retired(
        self, start: Start, admin: asyncpg.Connection
    ) -> None:
        process = await start()
        letters = [letter for _ in range(3) for letter in await write(process, Tenant(), 50)]
        await rotated(process, at_once=True)

        with clock.shifted(resealing.SETTLED):
            await process.sweep.run()
        await process.vault.load()

        assert await by_generation(admin) == {2: 150}
        assert [each.retired_at is not None for each in process.vault.generations] == [False, True]
        rows = await admin.fetch("SELECT * FROM letters")
        assert {process.vault.open(row["body"], f"letters/{row['tenant_id']}/{row['id']}") for row in rows} == {SEED}
        assert {row["id"] for row in rows} == {letter.id for letter in letters}

    async def test_it_waits_until_calls_that_used_the_old_key_have_ended(
        self, start: Start, admin: asyncpg.Connection
    ) -> None:
        process = await start()
        await write(process, Tenant())
        await rotated(process, at_once=True)

        await process.sweep.run()

        assert await by_generation(admin) == {1: 1}

    async def test_interrupted_it_goes_on_where_it_was(
        self, start: Start, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(resealing, "BATCH", 10)
        process = await start()
        await write(process, Tenant(), 200)
        await rotated(process, at_once=True)
        with clock.shifted(resealing.SETTLED):
            sweeping = asyncio.create_task(process.sweep.run())
            while (await by_generation(admin)).get(2, 0) < 50:
                await asyncio.sleep(0)
            sweeping.cancel()
            await asyncio.wait({sweeping})
            interrupted = await by_generation(admin)

            await (await start()).sweep.run()

        assert 50 <= interrupted[2] < 200
        assert await by_generation(admin) == {2: 200}

    async def test_killed_it_has_lost_nothing(
        self, start: Start, admin: asyncpg.Connection, databases: Databases
    ) -> None:
        process = await start()
        await write(process, Tenant(), 1000)
        await rotated(process, at_once=True)
        told = [sys.executable, "-c", _PROCESS, str(Path(__file__).parent), await databases.url("vault")]
        sweeping = await asyncio.create_subprocess_exec(*told)
        while (await by_generation(admin)).get(2, 0) < 50:
            assert sweeping.returncode is None
            await asyncio.sleep(0)

        sweeping.kill()
        await sweeping.wait()
        killed = await by_generation(admin)
        with clock.shifted(resealing.SETTLED):
            await process.sweep.run()

        assert 50 <= killed[2] < 1000
        assert await by_generation(admin) == {2: 1000}
        rows = await admin.fetch("SELECT * FROM letters")
        assert {process.vault.open(row["body"], f"letters/{row['tenant_id']}/{row['id']}") for row in rows} == {SEED}

    async def test_writers_and_other_sweeps_lose_nothing(
        self, start: Start, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(resealing, "BATCH", 10)
        tenant = Tenant()
        one, other = await start(), await start()
        letters = await write(one, tenant, 100)
        await rotated(one, at_once=True)
        await other.vault.load()

        async def change(letter: Letter) -> None:
            async with other.database.transaction(identity.service_principal("vault", tenant.id)) as session:
                found = await session.get(Letter, (tenant.id, letter.id))
                assert found
                found.body = other.vault.seal(b"another seed", about(found))

        with clock.shifted(resealing.SETTLED):
            await asyncio.gather(one.sweep.run(), other.sweep.run(), *(change(letter) for letter in letters))
            await one.sweep.run()

        assert await by_generation(admin) == {2: 100}
        rows = await admin.fetch("SELECT * FROM letters")
        opened = {one.vault.open(row["body"], f"letters/{row['tenant_id']}/{row['id']}") for row in rows}
        assert opened == {b"another seed"}

    async def test_a_value_that_does_not_open_keeps_its_key_and_stops_no_other(
        self, start: Start, admin: asyncpg.Connection
    ) -> None:
        process = await start()
        letters = await write(process, Tenant(), 3)
        await admin.execute("UPDATE letters SET body = $1 WHERE id = $2", letters[0].body, letters[1].id)
        await rotated(process, at_once=True)

        with clock.shifted(resealing.SETTLED):
            await process.sweep.run()
        await process.vault.load()

        assert await by_generation(admin) == {1: 1, 2: 2}
        assert process.vault.generations[1].retired_at is None

    async def test_its_role_sees_ciphertexts_and_nothing_else(self, admin: asyncpg.Connection) -> None:
        await admin.execute("SET ROLE switchyard_vault_relay")
        await admin.fetch("SELECT tenant_id, id, body FROM letters")

        for statement in ("SELECT opened FROM letters", "DELETE FROM letters", "SELECT * FROM encryption_keys"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await admin.fetch(statement)

    async def test_keys_rotate_under_load_and_nothing_fails(self, start: Start, admin: asyncpg.Connection) -> None:
        processes = [await start() for _ in range(3)]
        tenant = Tenant()
        letters = await write(processes[0], tenant, 30)
        rotating = asyncio.Event()

        async def use(process: Process) -> int:
            uses = 0
            while not rotating.is_set():
                for letter in letters:
                    async with process.database.transaction(identity.service_principal("vault", tenant.id)) as session:
                        found = await session.get(Letter, (tenant.id, letter.id), with_for_update=True)
                        assert found
                        assert found.body
                        assert process.vault.open(found.body, about(found)) == SEED
                        found.body = process.vault.seal(SEED, about(found))
                    uses += 1
            return uses

        users = [asyncio.create_task(use(process)) for process in processes]
        for _ in range(3):
            await rotated(processes[1])
            for process in processes:
                await process.vault.load()
            with clock.shifted(encryption.PUBLISHED_BEFORE + resealing.SETTLED):
                await asyncio.gather(*(process.sweep.run() for process in processes))
            await admin.execute("UPDATE encryption_keys SET used_from = now() - interval '1 minute'")
            for process in processes:
                await process.vault.load()
        rotating.set()

        assert min(await asyncio.gather(*users)) > 0
        assert processes[0].vault.current.number == 4
