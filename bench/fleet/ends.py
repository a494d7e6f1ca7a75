"""How instances end, one at a time, and when their watchers know: killed, fallen silent, stopped as they should be."""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from switchyard.registry.v1 import registry_pb2 as pb
from switchyard.tenants.v1 import sites_pb2, sites_pb2_grpc
from uuid_utils.compat import uuid7

from bench.fleet.auth import USER
from bench.fleet.watcher import DEAD, LEFT, PASSING
from bench.fleet.world import Sample, World
from chassis.rpc import client

# Living processes, of which one dies at a time in each of the lanes.
LANES, IN_LANE = 3, 4
# Longer than any two heartbeats are apart, so that every moment between them is met.
WAIT_MAX_S = 1.5
DEADLINE_S = 20.0
# Calls to a process that is being stopped, one after the other begun so often.
CALL_EVERY_S = 0.005
CALL_TIMEOUT_S = 2.0
# Of the processes that are stopped; those whose clients only connect end at once.
BUSY_SHARE = 0.5


async def in_lanes(world: World, count: int, end: Callable[[World, Sample], Awaitable[Any]]) -> list[Any]:
    """Let so many processes end, each at a random moment, and each be replaced; what was seen."""
    found: list[Any] = []
    left = iter(range(count))

    async def lane() -> None:
        living = [await world.sample() for _ in range(IN_LANE)]
        for _ in left:
            await asyncio.sleep(random.uniform(0, WAIT_MAX_S))
            victim = living.pop(random.randrange(IN_LANE))
            found.append(await end(world, victim))
            living.append(await world.sample())
        for sample in living:
            sample.signal(signal.SIGKILL)

    await asyncio.gather(*(lane() for _ in range(LANES)))
    return found


async def known(world: World, victim: pb.Instance, states: frozenset[Any], since: float) -> list[float]:
    """Seconds until each watcher was told that an instance is in one of these states. Raises `TimeoutError`."""
    moments = await asyncio.gather(
        *(watcher.when(victim.id, states, since=since, timeout_s=DEADLINE_S) for watcher in world.watchers)
    )
    return [moment - since for moment in moments]


async def killed(world: World, victim: Sample) -> list[float]:
    """Kill -9: how long until each watcher was told."""
    moment = victim.signal(signal.SIGKILL)
    return await known(world, victim.instance, DEAD, moment)


async def silenced(world: World, victim: Sample) -> dict[str, list[float]]:
    """SIGSTOP, which answers nothing and refuses nothing: how long until that was told, and that it is back."""
    stopped = victim.signal(signal.SIGSTOP)
    told = await known(world, victim.instance, DEAD, stopped)
    resumed = victim.signal(signal.SIGCONT)
    back = await known(world, victim.instance, PASSING, resumed)
    victim.signal(signal.SIGKILL)
    return {"told": told, "back": back}


class Prober:
    """Calls one process and nobody else, again and again, without ever trying again.

    While it is called, a process that is to end serves on for a while; one to which clients only connect has nothing to
    wait for.
    """

    def __init__(self, address: str, told: Any, *, busy: bool) -> None:
        self.refused_at = float("inf")
        self.calls = 0
        self._told = told
        self._make = self._ask if busy else self._connect
        self._address = address
        self._channel = grpc.aio.insecure_channel(address, options=client.OPTIONS)
        self._stub: Any = sites_pb2_grpc.SitesServiceStub(self._channel)
        self._calls: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Call until one call is refused."""
        while self.refused_at == float("inf"):
            task = asyncio.create_task(self._call())
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
            await asyncio.sleep(CALL_EVERY_S)
        await asyncio.gather(*self._calls)
        await self._channel.close()

    async def _call(self) -> None:
        began = time.monotonic()
        self.calls += 1
        try:
            await self._make()
        except (grpc.aio.AioRpcError, OSError):
            # As seen from the caller: what it knew when it began.
            self.refused_at = min(self.refused_at, began)

    async def _ask(self) -> None:
        await self._stub.ListSites(sites_pb2.ListSitesRequest(), timeout=CALL_TIMEOUT_S, metadata=self._told)

    async def _connect(self) -> None:
        host, _, port = self._address.rpartition(":")
        _reader, writer = await asyncio.open_connection(host, int(port))
        writer.close()


async def stopped(world: World, victim: Sample) -> dict[str, Any]:
    """SIGTERM: when the watchers were told, and how long after the last of them the first refused call was begun."""
    busy = random.random() < BUSY_SHARE
    prober = Prober(victim.instance.address, world.told_by(USER, str(uuid7())), busy=busy)
    running = asyncio.create_task(prober.run())
    await asyncio.sleep(CALL_EVERY_S * 10)
    moment = victim.signal(signal.SIGTERM)
    told = await known(world, victim.instance, LEFT, moment)
    async with asyncio.timeout(DEADLINE_S):
        await running
    return {"busy": busy, "told": told, "margin": prober.refused_at - moment - max(told), "calls": prober.calls}
