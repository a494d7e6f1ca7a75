"""The instances of all services, followed from the registry.

The last state is kept while the registry is away, and a stream that broke goes on where it was. Channels are opened
when they are first needed and closed when the instance is gone. Of a service that has no instance any more, the last
one is remembered for as long as the registry itself does.
"""

import asyncio
import random
from collections.abc import Callable, Sequence

import grpc
import grpc.aio
import structlog
from switchyard.registry.v1 import registry_pb2, registry_pb2_grpc

from chassis import clock
from chassis.peers import Peer, Pool
from chassis.rpc import client

RETRY_S = 0.25
GONE_S = 86_400.0

log = structlog.get_logger()


class Watched:
    """A directory that follows the registry at `registry_address`. `on_change` is told of every change.

    Instances of another `zone` are asked only when the own ones are busy.
    """

    def __init__(self, registry_address: str, on_change: Callable[[], None] | None = None, *, zone: str = "") -> None:
        self._registry = client.to_registry(registry_address)
        self._on_change = on_change
        self._zone = zone
        self._revision = 0
        self._peers: dict[str, Peer] = {}
        # By service; made when first asked for, since one change follows another while many processes start.
        self._by_service: dict[str, dict[str, Peer]] = {}
        self._pools: dict[str, Pool] = {}
        # Of each service the last instance that went.
        self._gone: dict[str, registry_pb2.Instance] = {}
        self._changed = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follow the registry until cancelled."""
        stub = registry_pb2_grpc.RegistryServiceStub(self._registry)
        while True:
            asked = registry_pb2.WatchRequest(after_revision=self._revision)
            gathered = registry_pb2.WatchResponse()
            try:
                async for reply in stub.Watch(asked, wait_for_ready=True):
                    gathered.MergeFrom(reply)
                    # A snapshot comes in parts, and the revision with its end.
                    if reply.revision:
                        self._take(gathered)
                        gathered = registry_pb2.WatchResponse()
            except grpc.aio.AioRpcError as failure:
                log.info("registry_watch_interrupted", error=failure.details())
            # Spread: all processes have lost the same one.
            await asyncio.sleep(RETRY_S * random.uniform(0.5, 1.5))  # noqa: S311

    def instances(self, *, gone: bool = False) -> Sequence[registry_pb2.Instance]:
        """All instances that are known, whatever their state; with `gone`, of each service the last that went too."""
        there = [peer.told for peer in self._peers.values()]
        if not gone:
            return there
        oldest = clock.now().timestamp() - GONE_S
        self._gone = {name: told for name, told in self._gone.items() if told.changed_at.seconds > oldest}
        return [*there, *self._gone.values()]

    def services(self) -> set[str]:
        """The services that have instances, or had some within the last day."""
        return {told.service for told in self.instances(gone=True)}

    def connect(self) -> None:
        """Connect to every instance that takes calls and says which, lest the first call waits for it."""
        for peer in self._peers.values():
            if peer.takes_calls and peer.told.contract_digest:
                peer.connect()

    def pool(self, service: str) -> Pool:
        """The instances of a service that take calls now."""
        found = self._pools.get(service)
        if found is None:
            found = self._pools[service] = Pool(self._by_service.get(service, {}).values())
        return found

    async def changed(self) -> None:
        """Return at the next change."""
        await self._changed.wait()

    async def close(self) -> None:
        """Close every channel."""
        for closing in tuple(self._closing):
            closing.cancel()
        for peer in self._peers.values():
            await peer.close()
        await self._registry.close()

    def _take(self, reply: registry_pb2.WatchResponse) -> None:
        if reply.snapshot:
            for instance_id in self._peers.keys() - {told.id for told in reply.instances}:
                self._remember(_gone(self._peers[instance_id].told))
                self._forget(instance_id)
        for told in reply.instances:
            if told.state == registry_pb2.INSTANCE_STATE_GONE:
                self._forget(told.id)
                self._remember(told)
            else:
                self._note(told)
        self._revision = reply.revision
        self._changed.set()
        self._changed.clear()
        if self._on_change is not None:
            self._on_change()

    def _note(self, told: registry_pb2.Instance) -> None:
        known = self._peers.get(told.id)
        if known is not None and known.told.address == told.address:
            known.tell(told)
        else:
            self._forget(told.id)
            far = bool(self._zone) and told.zone != self._zone
            self._peers[told.id] = Peer(told, client.to_instance, far=far)
            self._by_service.setdefault(told.service, {})[told.id] = self._peers[told.id]
        self._pools.pop(told.service, None)

    def _remember(self, gone: registry_pb2.Instance) -> None:
        last = self._gone.get(gone.service)
        if gone.service and (last is None or last.changed_at.ToNanoseconds() <= gone.changed_at.ToNanoseconds()):
            self._gone[gone.service] = gone

    def _forget(self, instance_id: str) -> None:
        peer = self._peers.pop(instance_id, None)
        if peer is None:
            return
        self._by_service[peer.told.service].pop(instance_id)
        self._pools.pop(peer.told.service, None)
        # A call that is under way on the channel ends first, and nobody waits for it: the next change may say where
        # calls go now.
        closing = asyncio.create_task(peer.close(client.DRAIN_S))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


def _gone(told: registry_pb2.Instance) -> registry_pb2.Instance:
    """An instance of whose end nobody was told."""
    gone = registry_pb2.Instance()
    gone.CopyFrom(told)
    gone.state = registry_pb2.INSTANCE_STATE_GONE
    gone.changed_at.FromDatetime(clock.now())
    return gone
