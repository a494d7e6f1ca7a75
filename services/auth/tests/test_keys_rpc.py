"""An operator looks at the platform's keys and rotates them while everything runs."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from switchyard.auth.v1 import keys_pb2

from chassis import errors, identity
from chassis.identity import Principal
from chassis.testing import Databases, Tenant
from services.auth import roles
from services.auth.tests.support import Auth, admin, outbox, superuser

IN_USE, PUBLISHED = keys_pb2.KEY_STATE_IN_USE, keys_pb2.KEY_STATE_PUBLISHED


@pytest.fixture
def operator() -> Principal:
    """Somebody who works for the platform, in no tenant."""
    somebody = Tenant().user(permissions=roles.OPERATOR_PERMISSIONS, roles=(roles.OPERATOR,))
    return replace(somebody, tenant_id=None)


@pytest_asyncio.fixture(loop_scope="session")
async def database(databases: Databases, auth: Auth) -> AsyncIterator[asyncpg.Connection]:
    """A superuser; no rotation is under way, before and after."""
    async with superuser(databases) as connection:
        await settle(connection)
        yield connection
        await settle(connection)


async def settle(connection: asyncpg.Connection) -> None:
    for table in ("signing_keys", "encryption_keys"):
        await connection.execute(f"UPDATE {table} SET used_from = created_at")


async def states(auth: Auth, operator: Principal, alg: str) -> list[int]:
    answer = await auth.stub(operator).ListKeys(keys_pb2.ListKeysRequest())
    return [key.state for key in answer.keys if key.alg == alg]


async def rotate(auth: Auth, operator: Principal, **asked: bool) -> Any:
    return await auth.stub(operator).RotateKeys(keys_pb2.RotateKeysRequest(**asked))


class TestListKeys:
    async def test_each_kind_has_one_in_use(
        self, auth: Auth, operator: Principal, database: asyncpg.Connection
    ) -> None:
        answer = await auth.stub(operator).ListKeys(keys_pb2.ListKeysRequest())

        used = [key.alg for key in answer.keys if key.state == IN_USE]
        assert sorted(used) == ["AES256_GCM_SIV", "Ed25519", "HS256", "RS256"]

    async def test_published_keys_are_named_as_in_the_key_set(
        self, auth: Auth, operator: Principal, database: asyncpg.Connection
    ) -> None:
        answer = await auth.stub(operator).ListKeys(keys_pb2.ListKeysRequest())

        named = {key.kid for key in answer.keys} - {""}
        assert named >= {key["kid"] for key in (await auth.keys())["keys"]}

    async def test_an_admin_of_a_tenant_is_denied(self, auth: Auth, tenant: Tenant) -> None:
        with pytest.raises(errors.Denied):
            await auth.stub(admin(tenant)).ListKeys(keys_pb2.ListKeysRequest())


class TestRotateKeys:
    async def test_both_kinds_unless_one_is_named(
        self, auth: Auth, operator: Principal, database: asyncpg.Connection
    ) -> None:
        answer = await rotate(auth, operator)

        assert sorted(key.alg for key in answer.keys if key.state == PUBLISHED) == [
            "AES256_GCM_SIV",
            "Ed25519",
            "RS256",
        ]

    @pytest.mark.parametrize(
        ("asked", "rotated"), [("signing", ["Ed25519", "RS256"]), ("encryption", ["AES256_GCM_SIV"])]
    )
    async def test_only_the_one_that_is_named(
        self, auth: Auth, operator: Principal, database: asyncpg.Connection, asked: str, rotated: list[str]
    ) -> None:
        answer = await rotate(auth, operator, **{asked: True})

        assert sorted(key.alg for key in answer.keys if key.state == PUBLISHED) == rotated

    async def test_many_at_once_are_one_rotation(
        self, auth: Auth, operator: Principal, database: asyncpg.Connection
    ) -> None:
        before = len((await auth.stub(operator).ListKeys(keys_pb2.ListKeysRequest())).keys)

        await asyncio.gather(*(rotate(auth, operator) for _ in range(10)))

        assert len((await auth.stub(operator).ListKeys(keys_pb2.ListKeysRequest())).keys) == before + 3

    async def test_at_once_only_the_new_signing_keys_are_left(
        self, auth: Auth, operator: Principal, database: asyncpg.Connection
    ) -> None:
        await rotate(auth, operator, signing=True, at_once=True)

        for alg in ("Ed25519", "RS256", "HS256"):
            assert await states(auth, operator, alg) == [IN_USE]

    async def test_it_stands_in_the_trail(
        self, auth: Auth, operator: Principal, database: asyncpg.Connection, databases: Databases
    ) -> None:
        await rotate(auth, operator, encryption=True)

        last = (await outbox(databases, identity.PLATFORM, "aud"))[-1]
        assert (last["action"], last["actor"]) == ("auth.RotateKeys", operator.name)
        change = last["changes"]["keys"]
        assert len(change["after"]["AES256_GCM_SIV"]) == len(change["before"]["AES256_GCM_SIV"]) + 1

    async def test_an_admin_of_a_tenant_is_denied(self, auth: Auth, tenant: Tenant) -> None:
        with pytest.raises(errors.Denied):
            await rotate(auth, admin(tenant))
