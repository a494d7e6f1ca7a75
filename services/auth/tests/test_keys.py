"""Signing keys: one first key however many processes start, overlap when they rotate, nothing readable at rest."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from cryptography.exceptions import InvalidTag

from chassis import clock, identity
from chassis.testing import Databases
from services.auth import keys
from services.auth.tests.support import MASTER_KEY, Auth, superuser


async def loaded(auth: Auth, master: str = MASTER_KEY) -> keys.Keyring:
    keyring = keys.Keyring(master)
    async with auth.running.service.database.transaction(identity.service_principal("auth", None)) as session:
        await keyring.load(session)
    return keyring


async def generations(connection: asyncpg.Connection) -> list[int]:
    return [row["generation"] for row in await connection.fetch("SELECT generation FROM signing_keys ORDER BY 1")]


class TestKeyring:
    async def test_many_first_starts_make_one_key(self, auth: Auth, databases: Databases) -> None:
        async with superuser(databases) as connection:
            kept = await connection.fetch("DELETE FROM signing_keys RETURNING *")

            keyrings = await asyncio.gather(*(loaded(auth) for _ in range(10)))

            assert await generations(connection) == [1]
            assert len({keyring.signing.kid for keyring in keyrings}) == 1
            await connection.execute("DELETE FROM signing_keys")
            await connection.executemany(
                "INSERT INTO signing_keys VALUES ($1, $2, $3, $4, $5)", [tuple(row) for row in kept]
            )

    async def test_a_new_key_is_published_before_it_signs(self, auth: Auth, databases: Databases) -> None:
        before = (await loaded(auth)).signing.kid

        with clock.shifted(keys.ROTATED_AFTER + timedelta(days=1)):
            rotated = await loaded(auth)

            assert len(rotated.public.keys) == 2
            assert rotated.signing.kid == before
            with clock.shifted(keys.PUBLISHED_BEFORE):
                assert rotated.signing.kid != before
        async with superuser(databases) as connection:
            await connection.execute("DELETE FROM signing_keys WHERE created_at > now() + interval '1 day'")

    async def test_another_master_key_opens_nothing(self, auth: Auth) -> None:
        with pytest.raises(InvalidTag):
            await loaded(auth, "a master key of somebody else")
