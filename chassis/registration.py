"""A process's entry in the registry: registered until it succeeds, kept alive, drained and taken out at the end."""

import asyncio
import contextlib
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc.aio
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from switchyard.registry.v1 import registry_pb2, registry_pb2_grpc
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.credentials import Credentials
from chassis.rpc import client, metadata

DEADLINE_S = 3.0
RETRY_S = 0.3

log = structlog.get_logger()


def contract(services: Sequence[ServiceDescriptor]) -> bytes:
    """The services' contracts as one `FileDescriptorSet` with imports and comments.

    Comments are not in the generated Python, so each contract is also generated as a `.binpb` beside it.
    """
    files = {}
    for service in services:
        module = importlib.import_module(service.file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
        raw = Path(str(module.__file__).replace("_pb2.py", ".binpb")).read_bytes()
        files.update({file.name: file for file in FileDescriptorSet.FromString(raw).file})
    return FileDescriptorSet(file=files.values()).SerializeToString()


class Registration:
    """One instance's entry. `ready` tells the registry whether the process counts itself ready for calls."""

    def __init__(
        self,
        service: str,
        *,
        registry_address: str,
        credentials: Credentials,
        instance: registry_pb2.Instance,
        contract_bytes: bytes,
        ready: Callable[[], bool],
    ) -> None:
        self._service = service
        self._channel = grpc.aio.insecure_channel(registry_address, options=client.OPTIONS)
        self._stub = registry_pb2_grpc.RegistryServiceStub(self._channel)
        self._credentials = credentials
        self._instance = instance
        self._contract = contract_bytes
        self._ready = ready
        self._left = False

    async def run(self) -> None:
        """Register, and send heartbeats until cancelled; register again whenever the registry has forgotten us."""
        while not self._left:
            try:
                await self._register_and_beat()
            except (grpc.aio.AioRpcError, errors.Error) as failure:
                log.info("registration_interrupted", error=str(failure) or repr(failure))
            await asyncio.sleep(RETRY_S)

    async def leave(self) -> None:
        """Take the entry out, so that nobody sends a call here any more; without a registry there is none."""
        request = registry_pb2.DeregisterRequest(name=self._service, instance_id=self._instance.id)
        self._left = True
        with contextlib.suppress(grpc.aio.AioRpcError, errors.Error):
            await self._stub.Deregister(request, timeout=DEADLINE_S, metadata=await self._told())

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def _register_and_beat(self) -> None:
        request = registry_pb2.RegisterRequest(name=self._service, instance=self._instance, contract=self._contract)
        registration = await self._stub.Register(
            request, timeout=DEADLINE_S, metadata=await self._told(), wait_for_ready=True
        )
        beat = registry_pb2.HeartbeatRequest(
            name=self._service, instance_id=self._instance.id, epoch=registration.instance.epoch
        )
        while not self._left:
            beat.ready = self._ready()
            await self._stub.Heartbeat(beat, timeout=DEADLINE_S, metadata=await self._told())
            await asyncio.sleep(registration.heartbeat_interval_s)

    async def _told(self) -> tuple[tuple[str, str], ...]:
        return ((metadata.PASS, await self._credentials.for_tenant(None)),)


def instance(
    version: str, address: str, zone: str, services: Sequence[ServiceDescriptor], **told: str
) -> registry_pb2.Instance:
    """The entry of this process; its id is new at every start."""
    return registry_pb2.Instance(
        id=str(uuid7()),
        version=version,
        address=address,
        zone=zone,
        weight=100,
        metadata=told,
        grpc_services=[service.full_name for service in services],
    )
