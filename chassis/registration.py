"""A process's entry in the registry: registered until it succeeds, kept alive, drained and taken out at the end.

Beside the heartbeats a stream stays open for as long as the process lives: it breaks with the process, and the registry
knows. When it breaks otherwise, the process of the registry at its other end has gone: the next heartbeat finds
another one, which knows the instance as well as that one did, so that nothing is registered anew.
"""

import asyncio
import contextlib
import importlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message
from switchyard.registry.v1 import registry_pb2, registry_pb2_grpc
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.credentials import Credentials
from chassis.rpc import client, metadata

# A registration is written durably, for which NATS may first have to choose a new leader.
DEADLINE_S = 10.0
# A heartbeat that is not answered within this was sent to a process that hangs: another one is looked for.
BEAT_DEADLINE_S = 2.0
# Nobody waits long for a process that has ended in any case.
LEAVE_DEADLINE_S = 3.0
DRAIN_TRIES = 3
RETRY_S = 0.3
# Twice as long after each failure, up to this: a registry that cannot keep up is not to be asked more.
RETRY_MAX_S = 2.4
SUPERSEDED = "SUPERSEDED"

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
    """One instance's entry.

    `ready` tells the registry whether the process counts itself ready for calls; `on_superseded` is called when another
    process has taken the instance's place, after which this one has no business any more.
    """

    def __init__(
        self,
        service: str,
        *,
        registry_address: str,
        credentials: Credentials,
        instance: registry_pb2.Instance,
        contract_bytes: bytes,
        ready: Callable[[], bool],
        on_superseded: Callable[[], None],
    ) -> None:
        self._service = service
        self._address = registry_address
        self._credentials = credentials
        self._instance = instance
        self._contract = contract_bytes
        self._ready = ready
        self._on_superseded = on_superseded
        self._channel = client.to_registry(registry_address)
        self._stub = registry_pb2_grpc.RegistryServiceStub(self._channel)
        self._epoch = 0
        self._interval_s = 1
        # There is something to tell before the next heartbeat is due.
        self._due = asyncio.Event()
        self._attending: asyncio.Task[None] | None = None
        self._pause_s = RETRY_S
        self._ended = False

    async def run(self) -> None:
        """Register, and send heartbeats until cancelled; register again whenever the registry has forgotten us."""
        while not self._ended:
            try:
                await self._register()
                await self._beat()
            except errors.Error as failure:
                if failure.code == SUPERSEDED:
                    self._give_way()
                    return
                log.info("registration_interrupted", error=repr(failure))
            await self._pause()

    def tell(self) -> None:
        """Send a heartbeat now: what `ready` says has changed."""
        self._due.set()

    async def drain(self) -> bool:
        """Have no new calls sent here. Whether the registry has told everybody who follows it."""
        request = registry_pb2.DrainRequest(name=self._service, instance_id=self._instance.id)
        for _ in range(DRAIN_TRIES):
            if self._ended:
                break
            try:
                await self._ask(lambda stub: stub.Drain, request, DEADLINE_S)
            except (errors.Unavailable, errors.DeadlineExceeded) as failure:
                log.info("drain_not_told", error=repr(failure))
                await self._pause()
            except errors.Error:
                # It knows no such instance.
                break
            else:
                return True
        return False

    async def leave(self) -> None:
        """Take the entry out: the process has finished what it had begun. Without a registry there is none."""
        if self._ended:
            return
        self._ended = True
        request = registry_pb2.DeregisterRequest(name=self._service, instance_id=self._instance.id)
        with contextlib.suppress(errors.Error):
            await self._ask(lambda stub: stub.Deregister, request, LEAVE_DEADLINE_S)

    async def close(self) -> None:
        """Close the connection. What tells that the process lives ends here, after everything else."""
        self._stop_attending()
        await self._channel.close()

    async def _register(self) -> None:
        request = registry_pb2.RegisterRequest(
            name=self._service, instance=self._instance, contract=self._contract, epoch=self._epoch
        )
        registration = await self._ask(lambda stub: stub.Register, request, DEADLINE_S, wait_for_ready=True)
        self._epoch = registration.instance.epoch
        self._beat_every(registration.heartbeat_interval_s)
        self._stop_attending()
        self._attending = asyncio.create_task(self._attend(self._epoch))

    async def _beat(self) -> None:
        """Send heartbeats until the registry refuses them. Raises what it answers."""
        while not self._ended:
            self._due.clear()
            beat = registry_pb2.HeartbeatRequest(
                name=self._service, instance_id=self._instance.id, epoch=self._epoch, ready=self._ready()
            )
            try:
                await self._ask(lambda stub: stub.Heartbeat, beat, BEAT_DEADLINE_S)
            except (errors.Unavailable, errors.DeadlineExceeded) as failure:
                log.info("heartbeat_failed", error=repr(failure))
                await self._pause()
            else:
                self._pause_s = RETRY_S
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._interval_s):
                        await self._due.wait()

    async def _attend(self, epoch: int) -> None:
        """Keep the stream open. What ends it is learnt from the next heartbeat, which is sent at once."""
        request = registry_pb2.AttendRequest(name=self._service, instance_id=self._instance.id, epoch=epoch)
        while True:
            try:
                stream = self._stub.Attend(request, metadata=await self._told(), wait_for_ready=True)
                async for told in stream:
                    self._beat_every(told.heartbeat_interval_s)
            except grpc.aio.AioRpcError as failure:
                if failure.code() is grpc.StatusCode.UNIMPLEMENTED:
                    # A registry of before: it counts on heartbeats alone.
                    return
            except errors.Error as failure:
                log.info("attendance_interrupted", error=repr(failure))
            except asyncio.CancelledError:
                if not client.was_given_up():
                    raise
            self._due.set()
            await self._pause()

    def _beat_every(self, interval_s: int) -> None:
        if max(interval_s, 1) != self._interval_s:
            self._interval_s = max(interval_s, 1)
            self._due.set()

    def _stop_attending(self) -> None:
        if self._attending is not None:
            self._attending.cancel()

    async def _pause(self) -> None:
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, RETRY_MAX_S)
        # Spread: all processes have lost the same registry.
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311

    def _give_way(self) -> None:
        log.warning("superseded", service=self._service, instance=self._instance.id, epoch=self._epoch)
        self._ended = True
        self._stop_attending()
        self._on_superseded()

    async def _connect_again(self) -> None:
        """Turn to another process: a connection to one that hangs looks well, and a new one finds it out at once."""
        log.warning("registry_hangs")
        hanging = self._channel
        self._channel = client.to_registry(self._address)
        self._stub = registry_pb2_grpc.RegistryServiceStub(self._channel)
        await hanging.close()

    async def _ask(self, method: Callable[[Any], Any], request: Message, deadline_s: float, **how: bool) -> Any:
        """Call the registry. Raises an `Error`."""
        told = await self._told()
        try:
            return await method(self._stub)(request, timeout=deadline_s, metadata=told, **how)
        except grpc.aio.AioRpcError as failure:
            if failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                await self._connect_again()
            raise errors.from_rpc_error(failure) from failure
        except asyncio.CancelledError:
            if not client.was_given_up():
                raise
            raise errors.Unavailable from None

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
