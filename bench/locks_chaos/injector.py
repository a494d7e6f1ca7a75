"""Does to a world what the schedule says."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence

from bench.locks_chaos.faults import NODES, Fault
from bench.locks_chaos.proxy import Link
from bench.locks_chaos.recorder import Recorder
from bench.locks_chaos.world import EXCLUSIVE, Crowd, Node, Server, World


class Injector:
    """Faults begin when the schedule says so, whether or not others have ended."""

    def __init__(self, world: World, recorder: Recorder) -> None:
        self._world = world
        self._recorder = recorder

    async def run(self, faults: Sequence[Fault]) -> None:
        """All of them; at the end everything is as it was."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(max(began + fault.at - time.monotonic(), 0))
                group.create_task(self._do(fault))

    async def _do(self, fault: Fault) -> None:
        what, _, whom = fault.kind.partition(" ")
        if what == "step":
            self._note(fault, f"locks-{fault.which}")
            self._world.step_clock(fault.which, fault.amount)
        elif what in {"cut", "isolate", "slow"}:
            await self._cut(fault, await self._links(what, whom, fault))
        elif what == "kill":
            await self._kill(fault, await self._victim(whom, fault))
        else:
            await self._pause(fault, await self._victim(whom, fault))

    def _note(self, fault: Fault, whom: str) -> None:
        self._recorder.note(fault.kind, whom=whom, lasts_s=fault.lasts_s, how=fault.how, amount=fault.amount)

    async def _victim(self, whom: str, fault: Fault) -> Node | Server | Crowd:
        if whom in {"leader", "node"}:
            return self._world.nodes[await self._node(whom, fault)]
        if whom == "locks":
            return self._world.servers[fault.which]
        name = await self._recorder.holder(EXCLUSIVE[fault.which]) if whom == "holder" else None
        crowds = [each for each in self._world.crowds if each.forked.exit_code is None]
        return next((each for each in crowds if each.name == name), crowds[fault.which % len(crowds)])

    async def _node(self, whom: str, fault: Fault) -> int:
        leader = await self._world.leader() if whom == "leader" else None
        return fault.which % NODES if leader is None else leader

    async def _kill(self, fault: Fault, victim: Node | Server | Crowd) -> None:
        self._note(fault, _name(victim))
        if isinstance(victim, Node):
            await victim.stop()
            await asyncio.sleep(fault.lasts_s)
            await victim.start()
            return
        victim.forked.signal(signal.SIGKILL)
        await victim.forked.wait(5)
        await asyncio.sleep(fault.lasts_s)
        if isinstance(victim, Server):
            self._world.restart(self._world.servers.index(victim))
        else:
            await self._world.start_crowd(victim.group)

    async def _pause(self, fault: Fault, victim: Node | Server | Crowd) -> None:
        self._note(fault, _name(victim))
        told: Callable[[signal.Signals], None] = victim.signal if isinstance(victim, Node) else victim.forked.signal
        told(signal.SIGSTOP)
        await asyncio.sleep(fault.lasts_s)
        told(signal.SIGCONT)
        self._recorder.note("goes on", whom=_name(victim))

    async def _links(self, what: str, whom: str, fault: Fault) -> list[Link]:
        links = self._world.links.items()
        if what == "isolate":
            node = await self._node(whom, fault)
            self._note(fault, self._world.nodes[node].name)
            return [link for (kind, *ends), link in links if kind == "route" and node in ends]
        self._note(fault, f"{whom} {fault.which}")
        if what == "slow":
            return [link for (kind, *_), link in links if kind == "route"]
        if whom == "locks from nats":
            return [link for (kind, number, _), link in links if kind == "nats" and number == fault.which]
        return [
            link
            for (kind, group, number), link in links
            if kind == "clients" and (group, number) == divmod(fault.which, 2)
        ]

    async def _cut(self, fault: Fault, links: Sequence[Link]) -> None:
        for link in links:
            if fault.kind == "slow routes":
                link.slow(fault.amount)
            elif fault.how == "stall":
                link.stall()
            else:
                link.reset()
        await asyncio.sleep(fault.lasts_s)
        for link in links:
            link.mend()
        self._recorder.note("mended", whom=fault.kind)


def _name(victim: Node | Server | Crowd) -> str:
    return victim.told.name if isinstance(victim, Server) else victim.name
