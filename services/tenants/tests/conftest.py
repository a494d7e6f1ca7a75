"""A company."""

import pytest_asyncio

from chassis.testing import Databases, Serve
from services.tenants.__main__ import build
from services.tenants.tests.support import Company


@pytest_asyncio.fixture(loop_scope="session")
async def company(serve: Serve, databases: Databases) -> Company:
    """A company without limits, which no other test knows."""
    return await Company.founded(await serve("tenants", build), databases)


@pytest_asyncio.fixture(loop_scope="session")
async def stranger(company: Company) -> Company:
    """Another company."""
    return await Company.founded(company.running, company.databases)
