"""A watcher of the registry that remembers when it was told what."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

import grpc
import grpc.aio
from switchyard.registry.v1 import registry_pb2 as pb
from switchyard.registry.v1 import registry_pb2_grpc

from chassis.rpc import client

RETRY_S = 0.1
# Each watcher has a connection of its own, as if it were a process of its own.
OPTIONS = (*client.OPTIONS, ("grpc.use_local_subchannel_pool", 1))

DEAD = frozenset({pb.INSTANCE_STATE_CRITICAL, pb.INSTANCE_STATE_GONE})
LEFT = frozenset({pb.INSTANCE_STATE_DRAINING, pb.INSTANCE_STATE_GONE})
PASSING = frozenset({pb.INSTANCE_STATE_PASSING})


class Watcher:
    """Follows one registry process. Times are of the monotonic clock, which all processes of the machine share."""

    def __init__(self, address: str, services: Iterable[str] = ()) -> None:
        self.instances: dict[str, pb.Instance] = {}
        self.preserving = False
        # Every change that was told: when, of which instance, to which state.
        self.told: list[tuple[float, str, Any]] = []
        self.interrupted = 0
        self._services = list(services)
        self._revision = 0
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled."""
        stub: Any = registry_pb2_grpc.RegistryServiceStub(self._channel)
        while True:
            request = pb.WatchRequest(after_revision=self._revision, services=self._services)
            try:
                async for reply in stub.Watch(request, wait_for_ready=True):
                    self._take(reply)
            except grpc.aio.AioRpcError:
                pass
            self.interrupted += 1
            await asyncio.sleep(RETRY_S)

    def _take(self, reply: pb.WatchResponse) -> None:
        now = time.monotonic()
        if reply.snapshot:
            self.instances = {}
        for instance in reply.instances:
            self.told.append((now, instance.id, instance.state))
            if instance.state == pb.INSTANCE_STATE_GONE:
                self.instances.pop(instance.id, None)
            else:
                self.instances[instance.id] = instance
        self._revision, self.preserving = reply.revision, reply.preserving
        self._changed.set()

    async def until(self, holds: Callable[["Watcher"], bool], timeout_s: float) -> None:
        """Return when it holds. Raises `TimeoutError`."""
        async with asyncio.timeout(timeout_s):
            while not holds(self):
                self._changed.clear()
                await self._changed.wait()

    async def when(self, instance_id: str, states: frozenset[Any], *, since: float, timeout_s: float) -> float:
        """The moment when it was told that an instance is in one of these states. Raises `TimeoutError`."""
        found = 0.0

        def is_told(_: "Watcher") -> bool:
            nonlocal found
            for moment, told_id, state in reversed(self.told):
                if moment < since:
                    return bool(found)
                if told_id == instance_id and state in states:
                    found = moment
            return bool(found)

        await self.until(is_told, timeout_s)
        return found

    def of_process(self, pid: int) -> pb.Instance | None:
        """The instance that a process has registered."""
        wanted = str(pid)
        return next((each for each in self.instances.values() if each.metadata.get("pid") == wanted), None)
