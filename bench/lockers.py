"""Clients of locks: a process a target, so that what the client costs is told apart from what the servers cost.

It reads one plan a line on standard input and writes one outcome a line. Each client asks for a lock, gets it, gives it
back, and begins again; that never two hold a lock at once, and that a token is never smaller than the one before, is
seen to with every grant.
"""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from bench import cpu, lock_recipes
from bench.load import WrongAnswer
from bench.lock_recipes import Client, Recipe

# What everybody does with the lock while others stand in line for it: longer than it takes to stand in line again, so
# that the line is whole when the lock is handed over.
WORK_S = 0.005
ARRIVING_S = 0.002


@dataclass(frozen=True)
class Plan:
    """So many clients, for so long; each with a lock of its own, or all with one. `handing_over`: see `Lockers`."""

    name: str
    clients: int
    one_lock: bool
    handing_over: bool
    warm_s: float
    measured_s: float
    watch: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What was measured; `cpu_us` a cycle, by process."""

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: dict[str, float]


@dataclass
class Watched:
    """A lock, as all its clients see it together: they are in one process."""

    held: bool = False
    fence: int = 0
    grants: int = 0
    given_back_at: float = 0.0
    guard: threading.Lock = field(default_factory=threading.Lock)

    def granted(self, name: str, fence: int | None) -> None:
        with self.guard:
            if self.held:
                raise WrongAnswer(f"{name} has two holders")
            self.held = True
            self.grants += 1
            if fence is not None:
                if fence <= self.fence:
                    raise WrongAnswer(f"{name} was granted with token {fence} after {self.fence}")
                self.fence = fence

    def given_back(self) -> None:
        with self.guard:
            self.held = False
            self.given_back_at = time.perf_counter()


class Lockers:
    """All clients of a plan.

    What is timed is a cycle: from asking for the lock until it is given back. When `handing_over`, each holder keeps
    the lock for `WORK_S`, and what is timed is how long after it was given back another knows that it is theirs; who
    has given it back asks again only then.
    """

    def __init__(self, recipe: Recipe, plan: Plan) -> None:
        self._recipe = recipe
        self._plan = plan
        self._taken: list[float] = []
        self._locks = [Watched() for _ in range(1 if plan.one_lock else plan.clients)]

    async def perform(self) -> Outcome:
        plan = self._plan
        async with AsyncExitStack() as stack:
            clients = [await self._recipe.client(stack, number) for number in range(plan.clients)]
            work = self._hand_over if plan.handing_over else self._repeat
            self._ends_at = time.perf_counter() + plan.warm_s + plan.measured_s
            running = asyncio.gather(*(self._run(work(client, number)) for number, client in enumerate(clients)))
            watch = cpu.Watch.from_json(plan.watch)
            watch = cpu.Watch({**watch.pids, "client": os.getpid()}, watch.foreign)
            await asyncio.wait({running}, timeout=plan.warm_s)
            warm, before, started = len(self._taken), watch.snapshot(), time.perf_counter()
            await asyncio.wait({running}, timeout=plan.measured_s)
            measured, lasted_s = sorted(self._taken[warm:]), time.perf_counter() - started
            spent = cpu.spent(before, watch.snapshot())
            await running
        if not measured:
            raise WrongAnswer(f"{plan.name}: nobody got the lock in time")
        return Outcome(
            per_s=len(measured) / lasted_s,
            p50_ms=measured[len(measured) // 2] * 1e3,
            p99_ms=measured[len(measured) * 99 // 100] * 1e3,
            cpu_us={process: used * 1e6 / len(measured) for process, used in spent.items()},
        )

    def _run(self, work: Awaitable[None]) -> Awaitable[None]:
        return _in_thread(work) if self._recipe.threaded else work

    async def _repeat(self, client: Client, number: int) -> None:
        plan = self._plan
        lock = self._locks[0 if plan.one_lock else number]
        name = plan.name if plan.one_lock else f"{plan.name}-{number}"
        while (began := time.perf_counter()) < self._ends_at:
            fence = await client.acquire(name)
            lock.granted(name, fence)
            lock.given_back()
            await client.release()
            self._taken.append(time.perf_counter() - began)

    async def _hand_over(self, client: Client, number: int) -> None:
        name, lock = self._plan.name, self._locks[0]
        # Nobody comes in step with the others.
        await asyncio.sleep(number * ARRIVING_S)
        while time.perf_counter() < self._ends_at:
            fence = await client.acquire(name)
            known_at = time.perf_counter()
            lock.granted(name, fence)
            if lock.given_back_at and known_at < self._ends_at:
                self._taken.append(known_at - lock.given_back_at)
                await asyncio.sleep(WORK_S)
            mine = lock.grants
            lock.given_back()
            await client.release()
            while lock.grants == mine and time.perf_counter() < self._ends_at:
                await asyncio.sleep(WORK_S / 5)


async def _in_thread(work: Awaitable[None]) -> None:
    """Run a coroutine that blocks, in a thread and a loop of its own."""
    done, loop = asyncio.Event(), asyncio.get_running_loop()
    failures: list[BaseException] = []

    async def whole() -> None:
        await work

    def run() -> None:
        try:
            asyncio.run(whole())
        except BaseException as failure:  # noqa: BLE001 - raised below, where it is waited for
            failures.append(failure)
        loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, daemon=True).start()
    await done.wait()
    if failures:
        raise failures[0]


async def main(recipe: Callable[[], Recipe]) -> None:
    """One plan a line, until there are no more."""
    async with AsyncExitStack() as stack:
        opened = recipe()
        await opened.open(stack)
        while line := await asyncio.to_thread(sys.stdin.readline):
            try:
                outcome = asdict(await Lockers(opened, Plan(**json.loads(line))).perform())
            except WrongAnswer as wrong:
                outcome = {"failure": str(wrong)}
            print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    asyncio.run(main(lambda: lock_recipes.make(**json.loads(sys.argv[1]))))
