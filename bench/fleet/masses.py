"""Thousands of instances: what they cost, how fast a change is told to many, and what comes of half of them at once."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from statistics import median
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from switchyard.registry.v1 import registry_pb2 as pb
from uuid_utils.compat import uuid7

from bench import cpu
from bench.fleet import auth
from bench.fleet.watcher import DEAD, PASSING, Watcher
from bench.fleet.world import Helper, World

PROCESSES = 4
# More than this, and a machine that has two cores for all is busy with the clients' connections alone.
CONNECTIONS_MAX = 1000
SERVICES = [f"crowd-{number}" for number in range(20)]
REGISTER_DEADLINE_S = 420.0
# From the last registration until nothing but heartbeats and probes goes on.
SETTLE_S = 12.0
MEASURED_S = 20.0
FOLLOWERS = (10, 100)
CHANGES, CHANGE_EVERY_S = 20, 0.25
CALL_DEADLINE_S = 10.0
# Two of the longest heartbeats, and what is looked at after them.
CUT_S = 25.0
HEAL_DEADLINE_S = 60.0
# Then everybody has sent some heartbeats again.
HEALED_S = 10.0
DEATH_DEADLINE_S = 60.0
# What may differ between two lists although nothing has changed.
_LIVELY = frozenset({"preserved", "last_seen_at"})


class Masses:
    """One crowd of a size."""

    def __init__(self, world: World, count: int, say: Callable[[str], None]) -> None:
        self._world = world
        self._count = count
        self._say = say
        self._drained: set[str] = set()
        self._helpers: list[Helper] = []

    async def run(self) -> dict[str, Any]:
        """Everything, in order. Raises `TimeoutError` for what does not happen."""
        figures: dict[str, Any] = {"count": self._count, "connections": min(self._count, CONNECTIONS_MAX)}
        try:
            figures["registered"] = self._said("registered", await self._register())
            await asyncio.sleep(SETTLE_S)
            figures["at_rest"] = self._said("at rest", await self._at_rest())
            fan_out = {number: await self._fan_out(number) for number in FOLLOWERS}
            figures["fan_out"] = self._said("fan-out", fan_out)
            figures["cut"] = self._said("cut off", await self._cut_off())
            figures["killed"] = self._said("killed", await self._kill_half())
        finally:
            for helper in self._helpers:
                await helper.stop()
        await self._world.all_told(lambda watcher: not _crowd(watcher), DEATH_DEADLINE_S)
        return figures

    def _said(self, part: str, found: dict[Any, Any]) -> dict[Any, Any]:
        self._say(f"{self._count} {part}: {found}")
        return found

    async def _register(self) -> dict[str, Any]:
        for watcher in self._world.watchers:
            watcher.told.clear()
        before = self._world.usage()
        began = time.monotonic()
        for number in range(PROCESSES):
            connections = min(self._count, CONNECTIONS_MAX) // PROCESSES
            self._helpers.append(await self._world.crowd(number, self._count // PROCESSES, SERVICES, connections))
        await asyncio.gather(*(helper.hear(REGISTER_DEADLINE_S) for helper in self._helpers))
        await self._world.all_told(
            lambda watcher: sum(1 for each in _crowd(watcher).values() if each.state in PASSING) >= self._count,
            REGISTER_DEADLINE_S,
        )
        # From the first that was told of: the crowd's own start is nobody's.
        first = min(moment for moment, _, _ in self._world.watchers[0].told if moment > began)
        lasted = time.monotonic() - first
        spent = cpu.spent(before, self._world.usage())
        return {"lasted_s": lasted, "per_s": self._count / lasted, "cpu_ms": _each(spent, 1e3 / self._count)}

    async def _at_rest(self) -> dict[str, Any]:
        before, began = self._world.usage(), time.monotonic()
        changes = sum(len(watcher.told) for watcher in self._world.watchers)
        await asyncio.sleep(MEASURED_S)
        spent = cpu.spent(before, self._world.usage())
        share = _each(spent, 100 / (time.monotonic() - began))
        changes = sum(len(watcher.told) for watcher in self._world.watchers) - changes
        return {"cpu_percent": share, "memory_mb": self._world.memory_mb(), "changes": changes}

    async def _fan_out(self, number: int) -> dict[str, float]:
        """Milliseconds from asking for a change of state to the first and the last of so many being told of it."""
        world = self._world
        helper = await Helper.start("bench.fleet.followers", str(number), *world.registries, env=dict(os.environ))
        try:
            # The snapshots.
            await helper.hear()
            registry = world.registry()
            found = []
            for instance in self._undrained(CHANGES):
                request = pb.DrainRequest(name=instance.service, instance_id=instance.id)
                asked = time.monotonic()
                await registry.Drain(request, metadata=world.told_by(instance.service), timeout=CALL_DEADLINE_S)
                answered = time.monotonic()
                told = json.loads(await helper.hear())
                assert told["id"] == instance.id
                found.append([moment - asked for moment in (answered, told["first"], told["last"])])
                await asyncio.sleep(CHANGE_EVERY_S)
        finally:
            await helper.stop()
        answered_s, first_s, last_s = (median(each) for each in zip(*found, strict=True))
        longest = max(last for _, _, last in found)
        times = {"answered": answered_s, "first": first_s, "last": last_s, "longest": longest}
        return {name: seconds * 1e3 for name, seconds in times.items()}

    def _undrained(self, count: int) -> list[pb.Instance]:
        crowd = _crowd(self._world.watchers[0])
        chosen = [each for each in crowd.values() if each.id not in self._drained][:count]
        self._drained |= {each.id for each in chosen}
        return chosen

    async def _cut_off(self) -> dict[str, Any]:
        """Let half of them fall silent at once, without refusing anything; then let them come back."""
        world = self._world
        # The registry's processes are instances too.
        silent = [*self._helpers[: PROCESSES // 2], *[await world.sample() for _ in world.registries]]
        before = await self._listed()
        for watcher in world.watchers:
            watcher.told.clear()
        cut_at = max(each.signal(signal.SIGSTOP) for each in silent)
        said = await asyncio.gather(*(self._preserves(watcher, cut_at) for watcher in world.watchers))
        await asyncio.sleep(max(0.0, cut_at + CUT_S - time.monotonic()))
        during = await self._listed()
        told = Counter(_name(state) for watcher in world.watchers for _, _, state in _of_states(watcher, before))
        healed_at = max(each.signal(signal.SIGCONT) for each in silent)
        states = {key: each.state for key, each in before.items()}
        await world.all_told(
            lambda watcher: (
                not watcher.preserving
                and all(
                    (each := watcher.instances.get(key)) and each.state == state and not each.preserved
                    for key, state in states.items()
                )
            ),
            HEAL_DEADLINE_S,
        )
        healed_s = time.monotonic() - healed_at
        for each in silent[PROCESSES // 2 :]:
            each.signal(signal.SIGKILL)
        await asyncio.sleep(HEALED_S)
        return {
            "stopped": self._count // 2,
            "cut": sum(each.preserved for each in during.values()),
            "lost": len(before.keys() - during.keys()),
            "differences": dict(_differences(before, during)),
            "changes_told": dict(told),
            "said_s": said,
            "healed_s": healed_s,
        }

    @staticmethod
    async def _preserves(watcher: Watcher, since: float) -> float | None:
        """Seconds until a watcher was told that the registry preserves what it knows; None: it was not."""
        try:
            await watcher.until(lambda each: each.preserving, CUT_S)
        except TimeoutError:
            return None
        return time.monotonic() - since

    async def _kill_half(self) -> dict[str, Any]:
        """Kill half of them at once; seconds until the watchers know of the half of these, and of all.

        Those that were drained get no calls anyway, and are not counted.
        """
        doomed = {str(helper.pid) for helper in self._helpers[: PROCESSES // 2]}
        killed_at = max(helper.signal(signal.SIGKILL) for helper in self._helpers[: PROCESSES // 2])
        await self._world.all_told(
            lambda watcher: (
                not any(
                    each.metadata["crowd"] in doomed and each.state not in DEAD and each.id not in self._drained
                    for each in _crowd(watcher).values()
                )
            ),
            DEATH_DEADLINE_S,
        )
        moments = []
        for watcher in self._world.watchers:
            first: dict[str, float] = {}
            for moment, instance_id, state in watcher.told:
                if state in DEAD and moment >= killed_at and instance_id not in self._drained:
                    first.setdefault(instance_id, moment - killed_at)
            moments += first.values()
        moments.sort()
        return {
            "killed": len(moments) // len(self._world.watchers),
            "p50_s": moments[len(moments) // 2],
            "last_s": moments[-1],
        }

    async def _listed(self) -> dict[str, pb.Instance]:
        """What the registry answers, by instance."""
        metadata = self._world.told_by(auth.USER, str(uuid7()))
        registry = self._world.registry(1)
        answers = [
            await registry.ListInstances(pb.ListInstancesRequest(name=name), metadata=metadata, timeout=CALL_DEADLINE_S)
            for name in SERVICES
        ]
        return {instance.id: instance for answer in answers for instance in answer.instances}


def _crowd(watcher: Watcher) -> dict[str, pb.Instance]:
    return {key: each for key, each in watcher.instances.items() if "crowd" in each.metadata}


def _of_states(watcher: Watcher, before: dict[str, pb.Instance]) -> list[tuple[float, str, Any]]:
    """What a watcher was told that is another state than before."""
    return [
        (moment, instance_id, state)
        for moment, instance_id, state in watcher.told
        if instance_id in before and before[instance_id].state != state
    ]


def _differences(before: dict[str, pb.Instance], after: dict[str, pb.Instance]) -> Counter[str]:
    """How many instances differ in which fields."""
    fields: list[FieldDescriptor] = [field for field in pb.Instance.DESCRIPTOR.fields if field.name not in _LIVELY]
    return Counter(
        field.name
        for key in before.keys() & after.keys()
        for field in fields
        if getattr(before[key], field.name) != getattr(after[key], field.name)
    )


def _name(state: Any) -> str:
    return pb.InstanceState.Name(state).removeprefix("INSTANCE_STATE_").lower()


def _each(spent: dict[str, float], factor: float) -> dict[str, float]:
    return {name: seconds * factor for name, seconds in spent.items()}
