"""A registry of a test's own, and processes that it can look after."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from switchyard.registry.v1 import registry_pb2 as pb
from switchyard.registry.v1 import registry_pb2_grpc
from uuid_utils.compat import uuid7

from chassis import identity, registration
from chassis.buckets import Bucket
from chassis.testing import Running, Serve, Tenant
from services.registry.__main__ import build

CONTRACT = registration.contract([pb.DESCRIPTOR.services_by_name["RegistryService"]])


class Registry:
    """One process of a registry. The stubs' `Any` is theirs: they are made on channels that raise our errors."""

    def __init__(self, running: Running, name: str) -> None:
        self.running = running
        self.bucket = Bucket(running.service.nats, name, replicas=1)

    def acting(self, service: str) -> Any:
        """A stub on which a service calls."""
        return registry_pb2_grpc.RegistryServiceStub(self.running.channel(identity.service_principal(service, None)))

    @functools.cached_property
    def reader(self) -> Any:
        """A stub on which somebody of the platform looks at the instances."""
        return registry_pb2_grpc.RegistryServiceStub(self.running.channel(Tenant().user()))

    async def state(self, service: str) -> list[pb.InstanceState]:
        """The states of a service's instances."""
        listed = await self.reader.ListInstances(pb.ListInstancesRequest(name=service, include_gone=True))
        return [each.state for each in listed.instances]

    async def register(self, service: str, **told: Any) -> pb.Instance:
        """Register an instance, and let it say that it is ready."""
        stub = self.acting(service)
        instance: pb.Instance = (await stub.Register(request(service, **told))).instance
        await self.beat(instance)
        return instance

    async def beat(self, instance: pb.Instance, *, ready: bool = True) -> None:
        """A heartbeat of an instance."""
        beat = pb.HeartbeatRequest(name=instance.service, instance_id=instance.id, epoch=instance.epoch, ready=ready)
        await self.acting(instance.service).Heartbeat(beat)

    async def history(self, service: str, count: int) -> list[pb.HistoryEntry]:
        """A service's history, once it has so many entries."""
        async with asyncio.timeout(20):
            while True:
                told = await self.reader.ListHistory(pb.ListHistoryRequest(name=service))
                if len(told.entries) >= count:
                    return list(told.entries)
                await asyncio.sleep(0.02)


def request(service: str, **told: Any) -> pb.RegisterRequest:
    """A registration; unless told, of an instance at an address where nobody listens."""
    epoch = told.pop("epoch", 0)
    number = uuid7().int
    nowhere = f"127.{number >> 8 & 127 | 1}.{number >> 15 & 255}.{number & 255}:1"
    instance = pb.Instance(**({"id": str(uuid7()), "address": nowhere} | told))
    return pb.RegisterRequest(name=service, instance=instance, contract=CONTRACT, epoch=epoch)


@pytest.fixture
def name() -> str:
    """A service that no other test knows."""
    return f"s{uuid7().hex[-12:]}"


Start = Callable[[], Awaitable[Registry]]


@pytest_asyncio.fixture(loop_scope="session")
async def start(serve: Serve) -> Start:
    """A function that starts one more process of this test's registry."""
    named = f"registry-{uuid7().hex[-12:]}"

    async def begin() -> Registry:
        return Registry(await serve("registry", functools.partial(build, name=named)), named)

    return begin


@pytest_asyncio.fixture(loop_scope="session")
async def registry(start: Start) -> Registry:
    """One process of this test's registry."""
    return await start()


Listen = Callable[[], Awaitable[str]]


@pytest_asyncio.fixture(loop_scope="session")
async def listen() -> AsyncIterator[Listen]:
    """A function that lets somebody listen who answers the health probe; the address."""
    servers = []

    async def begin() -> str:
        server = grpc.aio.server()
        servicer = health.aio.HealthServicer()
        await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield begin
    for server in servers:
        await server.stop(None)
