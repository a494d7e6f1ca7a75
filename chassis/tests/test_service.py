"""A service's life, seen with the smallest one there is."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from chassis.embedded import free_ports
from chassis.embedded_programs import nats_binary
from chassis.testing import Databases, Serve, Tenant

REPOSITORY = Path(__file__).parents[2]


class TestServe:
    async def test_a_service_without_methods_becomes_ready(self, serve: Serve) -> None:
        running = await serve("tests", lambda _service: None)

        assert running.service.ready.is_set()

    async def test_tenants_differ(self, tenant: Tenant) -> None:
        other = Tenant()

        assert tenant.id != other.id


class TestOperations:
    async def test_tell_what_is_missing_from_the_beginning(self, databases: Databases) -> None:
        nats_port, ops_port = free_ports(2)
        environment = {
            **os.environ,
            "SWITCHYARD_DATABASE_URL": await databases.url("tests"),
            "SWITCHYARD_NATS_URL": f"nats://127.0.0.1:{nats_port}",
            "SWITCHYARD_OPS_PORT": str(ops_port),
        }
        async with _running(sys.executable, "-m", "services.tenants", env=environment) as service:
            without_nats = await _readyz(ops_port, "nats", is_there=False)
            # It has no JetStream, as if it had no quorum.
            async with _running(nats_binary(), "--addr", "127.0.0.1", "--port", nats_port):
                without_streams = await _readyz(ops_port, "nats", is_there=True)
            service.send_signal(signal.SIGTERM)
            code = await asyncio.wait_for(service.wait(), 20)

        assert without_nats == {"database": True, "nats": False, "streams": False, "keys": False}
        assert without_streams == {"database": True, "nats": True, "streams": False, "keys": False}
        assert code == 0


@asynccontextmanager
async def _running(*argv: Any, **how: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    program, *rest = map(str, argv)
    process = await asyncio.create_subprocess_exec(
        program, *rest, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **how
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _readyz(port: int, name: str, *, is_there: bool) -> dict[str, bool]:
    """What a process says, once one of its dependencies is there, or not."""
    async with asyncio.timeout(20), httpx.AsyncClient() as client:
        while True:
            try:
                answer = await client.get(f"http://127.0.0.1:{port}/readyz")
            except httpx.HTTPError:
                await asyncio.sleep(0.02)
                continue
            told: dict[str, bool] = answer.json()
            if told[name] is is_there:
                assert answer.status_code == 503
                return told
            await asyncio.sleep(0.02)
