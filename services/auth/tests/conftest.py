"""An auth process, and what it asks: a registry that knows all contracts, and tenants."""

from collections.abc import AsyncIterator

import pytest_asyncio

from chassis.testing import Databases, Serve
from services.auth.__main__ import build
from services.auth.settings import AuthSettings
from services.auth.tests import registry, support
from services.auth.tests.registry import Registry
from services.auth.tests.support import CHEAP, Auth


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def everything() -> AsyncIterator[Registry]:
    """A registry that knows the whole suite."""
    async with registry.serving() as running:
        for name, contract in registry.contracts().items():
            await running.put(name, contract)
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def tenants() -> AsyncIterator[str]:
    """The address of what auth asks for sites."""
    async with support.serving_tenants() as address:
        yield address


@pytest_asyncio.fixture(loop_scope="session")
async def auth(serve: Serve, everything: Registry, tenants: str, databases: Databases) -> Auth:
    """An auth process."""
    settings = {**CHEAP, "registry_address": everything.address}
    running = await serve("auth", build, addresses={"tenants": tenants}, settings=AuthSettings, **settings)
    return Auth(running, databases)


@pytest_asyncio.fixture(loop_scope="session")
async def another(serve: Serve, everything: Registry, tenants: str, databases: Databases) -> Auth:
    """Another process of auth, where a password costs as much as it does in production."""
    settings = {**CHEAP, "registry_address": everything.address, "argon2_memory_kib": 19456, "argon2_time_cost": 2}
    running = await serve("auth", build, addresses={"tenants": tenants}, settings=AuthSettings, **settings)
    return Auth(running, databases)
