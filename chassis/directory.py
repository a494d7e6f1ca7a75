"""The instances of all services, followed from the registry.

The last state is kept when the registry is away. Channels are opened once for each address and closed when the instance
is gone.
"""

import asyncio
from collections.abc import Callable, Sequence

import grpc
import grpc.aio
import structlog
from switchyard.registry.v1 import registry_pb2, registry_pb2_grpc

from chassis.rpc import client

# States in which an instance takes calls.
SERVING = frozenset({registry_pb2.INSTANCE_STATE_PASSING, registry_pb2.INSTANCE_STATE_WARNING})
RETRY_S = 0.25

log = structlog.get_logger()


class Watched:
    """A directory that follows the registry at `registry_address`. `on_change` is told of every change."""

    def __init__(self, registry_address: str, on_change: Callable[[], None] | None = None) -> None:
        self._registry = grpc.aio.insecure_channel(registry_address, options=client.OPTIONS)
        self._on_change = on_change
        self._instances: dict[str, registry_pb2.Instance] = {}
        self._serving: dict[str, list[str]] = {}
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._changed = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follow the registry until cancelled."""
        stub = registry_pb2_grpc.RegistryServiceStub(self._registry)
        while True:
            try:
                async for reply in stub.Watch(registry_pb2.WatchRequest(), wait_for_ready=True):
                    self._take(reply)
            except grpc.aio.AioRpcError as failure:
                log.info("registry_watch_interrupted", error=failure.details())
            await asyncio.sleep(RETRY_S)

    def instances(self) -> Sequence[registry_pb2.Instance]:
        """All instances that are known, whatever their state."""
        return list(self._instances.values())

    def addresses(self, service: str) -> Sequence[str]:
        """Addresses of the instances of a service that take calls now."""
        return self._serving.get(service, ())

    def channel(self, address: str) -> grpc.aio.Channel:
        """The channel to an address, opened when first asked for."""
        found = self._channels.get(address)
        if found is None:
            found = self._channels[address] = grpc.aio.insecure_channel(address, options=client.OPTIONS)
        return found

    async def changed(self) -> None:
        """Return at the next change."""
        await self._changed.wait()

    async def close(self) -> None:
        """Close every channel."""
        for channel in (*self._channels.values(), self._registry):
            await channel.close()
        for closing in tuple(self._closing):
            closing.cancel()

    def _take(self, reply: registry_pb2.WatchResponse) -> None:
        if reply.snapshot:
            self._instances = {}
        for instance in reply.instances:
            if instance.state == registry_pb2.INSTANCE_STATE_GONE:
                self._instances.pop(instance.id, None)
            else:
                self._instances[instance.id] = instance
        serving: dict[str, list[str]] = {}
        for instance in self._instances.values():
            if instance.state in SERVING:
                serving.setdefault(instance.service, []).append(instance.address)
        self._serving = serving
        known = {instance.address for instance in self._instances.values()}
        for address in [address for address in self._channels if address not in known]:
            # A call that is under way on the channel ends first, and nobody waits for it: the next change may say where
            # calls go now.
            closing = asyncio.create_task(self._channels.pop(address).close(grace=client.DRAIN_S))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        self._changed.set()
        self._changed.clear()
        if self._on_change is not None:
            self._on_change()
