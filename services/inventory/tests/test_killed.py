"""The oversell attack on two processes of the operating system, one of which is killed in the middle."""

import asyncio
import itertools
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc.aio
from google.protobuf import json_format
from switchyard.auth.v1 import auth_pb2, auth_pb2_grpc
from switchyard.inventory.v1 import reservations_pb2 as held

from chassis import errors, migrate
from chassis.embedded import EmbeddedServers
from chassis.processes import Child, spawn
from chassis.testing import ActingChannel, Credentials, Databases, Serve, Tenant
from services.inventory.tests.shop import Shop, at_once, balanced, post
from services.inventory.tests.support import Stub

UNITS, CLIENTS = 60, 120
START_DEADLINE_S = 30.0


class Auth(auth_pb2_grpc.AuthServiceServicer):
    """The keys with which the tests' passes are signed, where a process asks for them."""

    async def GetJwks(self, request: auth_pb2.GetJwksRequest, context: Any) -> auth_pb2.Jwks:
        keys = await Credentials("auth").keys()
        return json_format.ParseDict(dict(keys), auth_pb2.Jwks(), ignore_unknown_fields=True)


class Process:
    """One `python -m services.inventory`."""

    def __init__(self) -> None:
        self.address = ""
        self.ready = asyncio.Event()
        self.lines: list[str] = []
        self.child: Child | None = None

    @classmethod
    @asynccontextmanager
    async def start(cls, env: dict[str, str]) -> AsyncIterator["Process"]:
        process = cls()
        argv = [sys.executable, "-m", "services.inventory"]
        process.child = await spawn(argv, on_line=process._read, death_signal=signal.SIGKILL, env=env, cwd=migrate.ROOT)
        try:
            yield process
        finally:
            await process.child.stop()

    def _read(self, line: str) -> None:
        self.lines.append(line)
        told = json.loads(line) if line.startswith("{") else {}
        self.address = told.get("address", self.address) if told.get("event") == "serving" else self.address
        if told.get("event") == "ready":
            self.ready.set()

    def kill(self) -> None:
        assert self.child is not None
        os.kill(self.child.pid, signal.SIGKILL)


@asynccontextmanager
async def two_processes(servers: EmbeddedServers, databases: Databases) -> AsyncIterator[list[Process]]:
    """Two processes over the tests' database, ready."""
    auth = grpc.aio.server()
    auth_pb2_grpc.add_AuthServiceServicer_to_server(Auth(), auth)  # type: ignore[abstract]  # the keys are all that is asked for
    port = auth.add_insecure_port("127.0.0.1:0")
    await auth.start()
    env = {
        **os.environ,
        "PYTHONPATH": f"{migrate.ROOT}:{migrate.ROOT / 'gen'}",
        "SWITCHYARD_DATABASE_URL": await databases.url("inventory"),
        "SWITCHYARD_NATS_URL": servers.nats_url,
        "SWITCHYARD_AUTH_ADDRESS": f"127.0.0.1:{port}",
        "SWITCHYARD_SERVICE_CREDENTIAL": "svc_inventory.testing",
        "SWITCHYARD_DRAIN_S": "1",
    }
    async with AsyncExitStack() as stack:
        stack.push_async_callback(auth.stop, 0)
        started = [await stack.enter_async_context(Process.start(env)) for _ in range(2)]
        waiting = asyncio.gather(*(process.ready.wait() for process in started))
        await asyncio.wait_for(waiting, START_DEADLINE_S)
        yield started


class TestKill:
    async def test_what_is_left_is_sold_once(
        self, serve: Serve, tenant: Tenant, servers: EmbeddedServers, databases: Databases
    ) -> None:
        shop = await Shop.open(serve, tenant, (20, 3), (40, 0))
        wishes = [shop.wish() for _ in range(CLIENTS)]
        answered = asyncio.Semaphore(0)
        async with two_processes(servers, databases) as processes:
            principal = tenant.service("orders")
            stubs = [
                Stub(ActingChannel(grpc.aio.insecure_channel(process.address), principal, {})) for process in processes
            ]

            async def place(number: int) -> str:
                """An order that asks until it is answered, at the one process or at the other."""
                wish = wishes[number]
                for stub in itertools.islice(itertools.cycle(stubs), number % 2, None):
                    try:
                        await stub.Reserve(wish)
                        answered.release()
                        await stub.PostReservation(post(wish.order_id))
                    except (errors.Unavailable, errors.DeadlineExceeded):
                        continue
                    except errors.Conflict as refused:
                        answered.release()
                        return refused.code
                    return "sold"
                raise AssertionError

            placing = [asyncio.ensure_future(place(number)) for number in range(CLIENTS)]
            for _ in range(CLIENTS // 6):
                await answered.acquire()
            processes[0].kill()
            outcomes = Counter(await asyncio.gather(*placing))

        assert outcomes == {"sold": UNITS, "INSUFFICIENT_STOCK": CLIENTS - UNITS}
        assert await shop.stock() == (0, 0)
        again = await at_once(shop.orders.PostReservation(post(wish.order_id)) for wish in wishes)
        posted = [answer for answer in again if isinstance(answer, held.Reservation)]
        assert len(posted) == UNITS
        await balanced(databases, tenant)
