"""What the process's own database role can see of factors, letters and what they ask for."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from chassis.identity import PLATFORM
from chassis.testing import Databases, Tenant
from services.auth.tests.factor_support import someone, with_passkey, with_totp
from services.auth.tests.support import Auth

OWN = ("totp_factors", "recovery_codes", "passkeys")
POSTED = ("challenges", "password_requests", "password_resets", "letters")


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


class TestOwn:
    async def test_factors_are_seen_by_their_person_alone(
        self, auth: Auth, tenant: Tenant, connection: asyncpg.Connection
    ) -> None:
        person, stub = await someone(auth, tenant)
        other = await auth.person(tenant)
        await with_passkey(stub)
        await with_totp(stub)

        seen = {
            user: [await count(connection, table, tenant=tenant.id, user=user) for table in OWN]
            for user in (person.id, other.id, "")
        }

        assert seen == {person.id: [1, 10, 1], other.id: [0, 0, 0], "": [0, 0, 0]}
        assert [await count(connection, table, tenant=PLATFORM) for table in OWN] == [0, 0, 0]

    async def test_nobody_writes_for_another(self, auth: Auth, tenant: Tenant, connection: asyncpg.Connection) -> None:
        person, other = await auth.person(tenant), await auth.person(tenant)

        await connection.execute("SELECT set_config('app.user_id', $1, false)", person.id)

        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("INSERT INTO totp_factors VALUES ($1, '', now(), 0, now())", other.id)


class TestPosted:
    @pytest.mark.parametrize("table", POSTED)
    @pytest.mark.parametrize("statement", ["SELECT * FROM {}", "DELETE FROM {}", "TRUNCATE {}"])
    async def test_it_is_reached_by_functions_alone(
        self, connection: asyncpg.Connection, table: str, statement: str
    ) -> None:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement.format(table))
