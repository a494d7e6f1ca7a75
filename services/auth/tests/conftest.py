"""An auth process."""

import pytest_asyncio

from chassis.testing import Serve
from services.auth.__main__ import build
from services.auth.settings import AuthSettings
from services.auth.tests.support import CHEAP, Auth


@pytest_asyncio.fixture(loop_scope="session")
async def auth(serve: Serve) -> Auth:
    """An auth process."""
    return Auth(await serve("auth", build, settings=AuthSettings, **CHEAP))
