"""What the process's own database role can see: a transaction without the right tenant or person sees nothing."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from chassis.identity import PLATFORM
from chassis.testing import Databases, Tenant
from services.auth.tests.support import Auth, superuser
from services.auth.tests.test_tokens import create

TABLES = ("users", "memberships", "sessions", "refresh_tokens", "api_tokens", "signing_keys", "login_failures")


@pytest_asyncio.fixture(loop_scope="session")
async def connection(auth: Auth, databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the auth process makes it."""
    opened = await asyncpg.connect(await databases.url("auth"))
    yield opened
    await opened.close()


async def count(connection: asyncpg.Connection, table: str, *, tenant: object = "", user: str = "") -> int:
    async with connection.transaction():
        await connection.execute("SELECT set_config('app.tenant_id', $1, true)", str(tenant))
        await connection.execute("SELECT set_config('app.user_id', $1, true)", user)
        found: int = await connection.fetchval(f"SELECT count(*) FROM {table}")
    return found


class TestRowLevelSecurity:
    async def test_it_is_forced_on_every_table(self, auth: Auth, databases: Databases) -> None:
        async with superuser(databases) as connection:
            bare = await connection.fetch(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
                "AND NOT (relrowsecurity AND relforcerowsecurity) AND relname <> 'alembic_version'"
            )

        assert bare == []

    async def test_without_a_tenant_nothing_is_seen(
        self, auth: Auth, tenant: Tenant, connection: asyncpg.Connection
    ) -> None:
        await auth.sign_in(await auth.person(tenant))
        await create(auth, tenant)

        assert {table: await count(connection, table) for table in TABLES} == dict.fromkeys(TABLES, 0)

    async def test_a_tenant_sees_its_own_people(
        self, auth: Auth, tenant: Tenant, connection: asyncpg.Connection
    ) -> None:
        await auth.person(tenant)
        await auth.person(Tenant())

        assert await count(connection, "users", tenant=tenant.id) == 1
        assert await count(connection, "memberships", tenant=tenant.id) == 1

    async def test_the_platform_sees_no_people(
        self, auth: Auth, tenant: Tenant, connection: asyncpg.Connection
    ) -> None:
        await auth.sign_in(await auth.person(tenant))

        for table in ("users", "memberships", "sessions", "refresh_tokens", "api_tokens"):
            assert await count(connection, table, tenant=PLATFORM) == 0

    async def test_sessions_are_seen_by_their_person_alone(
        self, auth: Auth, tenant: Tenant, connection: asyncpg.Connection
    ) -> None:
        person, other = await auth.person(tenant), await auth.person(tenant)
        await auth.sign_in(person)

        assert await count(connection, "sessions", tenant=tenant.id, user=person.id) == 1
        assert await count(connection, "sessions", tenant=tenant.id, user=other.id) == 0

    @pytest.mark.parametrize(
        "statement",
        [
            "SELECT password_hash FROM users",
            "SELECT operator FROM users",
            "UPDATE users SET name = 'x'",
            "DELETE FROM sessions",
            "INSERT INTO users VALUES (gen_random_uuid(), 'a@b.example', 'x', 'x', true, now())",
        ],
    )
    async def test_the_process_has_no_right_to(self, connection: asyncpg.Connection, statement: str) -> None:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)

    async def test_the_relay_may_not_look_anybody_up(self, connection: asyncpg.Connection) -> None:
        await connection.execute("SET ROLE switchyard_auth_relay")

        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT * FROM find_account('operator@switchyard.example')")
