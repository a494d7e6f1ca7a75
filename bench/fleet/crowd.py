"""Many instances in one process: `python -m bench.fleet.crowd`, told by one JSON object on standard input.

Each registers by `chassis.registration`, keeps its `Attend` stream and sends its heartbeats, on a connection of its own
or on one of so many that they share. They have an address each, one of 127.0.0.0/8, and answer health probes there by
one gRPC server. When all have registered once, a line is written. Ends with its input, without taking leave.
"""

import asyncio
import json
import logging
import os
import sys
from itertools import cycle
from typing import Any

import grpc.aio
import structlog
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from switchyard.registry.v1 import registry_pb2

from chassis import registration
from chassis.credentials import Credentials
from chassis.rpc import client

# Beginning all at once, they would time the client's own queue.
AT_ONCE = 16
POLL_S = 0.02


class _Shared:
    """A channel that others use, too."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    async def close(self) -> None:
        """It is not its user's to close."""


class Crowd:
    """The instances of one process."""

    def __init__(self, told: dict[str, str]) -> None:
        self._registry, self._auth = told["registry"], told["auth"]
        self._number, self._count, self._services = int(told["number"]), int(told["count"]), told["services"].split()
        self._connections = int(told["connections"])
        self._beginning = asyncio.Semaphore(AT_ONCE)
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        self._port = await self._serve()
        if self._connections < self._count:
            shared = cycle([_Shared(client.to_registry(self._registry)) for _ in range(self._connections)])
            client.to_registry = lambda _target: next(shared)  # type: ignore[assignment,return-value]
        credentials = {service: Credentials(self._auth, service) for service in self._services}
        contract = registration.contract([registry_pb2.DESCRIPTOR.services_by_name["RegistryService"]])
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        await asyncio.gather(
            *(
                self._begin(number, service, credentials[service], contract)
                for number, service in zip(range(self._count), self._services * self._count, strict=False)
            )
        )
        print("registered", flush=True)
        await reader.read()
        os._exit(0)

    async def _serve(self) -> int:
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        servicer = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
        port = server.add_insecure_port("0.0.0.0:0")
        await server.start()
        # It lives as long as somebody holds it.
        self._server = server
        return int(port)

    async def _begin(self, number: int, service: str, credentials: Credentials, contract: bytes) -> None:
        async with self._beginning:
            asked = asyncio.Event()

            def ready() -> bool:
                # Asked for the first heartbeat: the registration has been answered.
                asked.set()
                return True

            address = f"127.{self._number + 1}.{number >> 8}.{number & 255}:{self._port}"
            made = registration.Registration(
                service,
                registry_address=self._registry,
                credentials=credentials,
                instance=registration.instance("1.0.0", address, "a", [], crowd=str(os.getpid())),
                contract_bytes=contract,
                ready=ready,
                on_superseded=lambda: sys.exit("two instances of one id"),
            )
            self._tasks.append(asyncio.create_task(made.run()))
            await asked.wait()


if __name__ == "__main__":
    # Standard output is for what is told, and nobody reads it meanwhile.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    uvloop.run(Crowd(json.loads(sys.stdin.readline())).run())
