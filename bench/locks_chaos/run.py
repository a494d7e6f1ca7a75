"""One seeded run: recorded, and judged."""

import asyncio
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from bench.locks_chaos import judge, promises
from bench.locks_chaos.client import BREAKABLE
from bench.locks_chaos.faults import PROCESSES, TTL_S, schedule
from bench.locks_chaos.injector import Injector
from bench.locks_chaos.judge import Loss, Replaced, Row
from bench.locks_chaos.recorder import CALM, Recorder
from bench.locks_chaos.world import EXCLUSIVE, LOCKS, Crowd, Databases, World
from bench.suite import SuiteError
from cli.run_dir import ROOT

HISTORIES = ROOT / ".run/chaos"
# With all faults over: until the last client has had its last lock.
FINISH_S = 90.0
# Holders that are killed while nothing else is wrong, and what their locks may take to be had again.
QUIET_KILLS = 2
REPLACED_S = TTL_S + 1.0
QUIET_S = 1.5
# Where the next one waits for the end of a dead one's lease, and nobody shortens that.
UNBROKEN = {name: rules for name, rules in LOCKS.items() if name != BREAKABLE}
# A lease ends, and the processes of the service tell of it.
TOLD_S = TTL_S + 12.0
# Twenty lives of a lease.
QUIET_STEP_S = 20.0 * TTL_S


@dataclass
class Run:
    """What came of a run."""

    seed: int
    without: str = ""
    faults: Counter[str] = field(default_factory=Counter)
    figures: dict[str, int] = field(default_factory=dict)
    replaced: list[Replaced] = field(default_factory=list)
    together: int = 0
    circle_s: float | None = None
    violations: list[str] = field(default_factory=list)


async def one(folder: Path, databases: Databases, seed: int, without: str, say: Callable[[str], None]) -> Run:
    """The run of a seed, `without` a promise or with all of them."""
    outcome = Run(seed, without)
    recorder = Recorder()
    place = Path(tempfile.mkdtemp(prefix=f"{seed}-", dir=folder))
    made = World(place, databases, str(seed), without, recorder.take)
    outcome.faults.update(each.kind for each in schedule(seed, len(EXCLUSIVE)))
    kills: list[tuple[str, float]] = []
    losses: list[Loss] = []
    try:
        async with made.running():
            kills = await _story(made, recorder, outcome)
            outcome.violations += await _finish(made)
            losses = await _losses(databases, made.tenant_id, recorder)
    except (SuiteError, TimeoutError) as failure:
        if without:
            # That is not what is to be found out.
            raise
        outcome.violations.append(f"it did not come up, or not again: {failure!r}")
    calls = recorder.calls()
    rows = [Row(*each) for each in await databases.writes(made.tenant_id)]
    outcome.violations += recorder.wrong()
    outcome.violations += judge.violations(LOCKS, calls, rows, losses)
    outcome.violations += promises.violations(LOCKS, calls, losses, recorder.calm_at())
    outcome.figures = {
        **recorder.figures(),
        "losses": len(losses),
        "in_line": len(promises.in_line(LOCKS, calls, recorder.calm_at())),
        "refusals": judge.refusals(calls),
    }
    outcome.together = judge.most_together([each for each in calls if each.lock == "counted"])
    for crowd, at in kills:
        outcome.replaced += judge.replaced(UNBROKEN, calls, crowd, at)
    outcome.violations += filter(None, map(_too_late, outcome.replaced))
    recorder.save(HISTORIES / f"locks-{seed}{without and '-'}{without.replace(' ', '-')}.jsonl")
    found = f"{len(outcome.violations)} VIOLATIONS: {outcome.violations[0]}" if outcome.violations else "good"
    say(f"seed {seed} {without}: {outcome.figures} {found}")
    return outcome


async def _losses(databases: Databases, tenant_id: UUID, recorder: Recorder) -> list[Loss]:
    """All that the world is told of losses: the last leases of the dead end now."""
    until = time.monotonic() + TOLD_S
    while promises.untold(recorder.calls(), losses := await databases.losses(tenant_id)):
        if time.monotonic() > until:
            break
        await asyncio.sleep(0.2)
    return losses


def _too_late(replaced: Replaced) -> str:
    if replaced.after_s is not None and replaced.after_s <= REPLACED_S:
        return ""
    return f"{replaced.lock}: the killed holder of token {replaced.token} was replaced after {replaced.after_s} s"


async def _story(made: World, recorder: Recorder, outcome: Run) -> list[tuple[str, float]]:
    """What the seed says; then, with nothing else wrong, a circle, steps of clocks, a pause, and kills (returned)."""
    await Injector(made, recorder).run(schedule(outcome.seed, len(EXCLUSIVE)))
    await made.settled()
    recorder.note(CALM)
    await asyncio.sleep(QUIET_S)
    outcome.circle_s = await made.circle()
    if outcome.circle_s is None:
        outcome.violations.append("two owners who waited for each other were left to wait")
    for number in range(PROCESSES):
        recorder.note("step ahead", whom=f"locks-{number}", amount=QUIET_STEP_S)
        made.step_clock(number, QUIET_STEP_S)
    await _quiet_pause(made, recorder, EXCLUSIVE[0])
    return await asyncio.gather(*(_quiet_kill(made, recorder, lock) for lock in EXCLUSIVE[:QUIET_KILLS]))


async def _quiet_pause(made: World, recorder: Recorder, lock: str) -> None:
    """With nothing else wrong, the next one has certainly written when the paused holder goes on."""
    victim = await _working(made, recorder, lock)
    victim.forked.signal(signal.SIGSTOP)
    recorder.note("pause holder", whom=victim.name)
    await asyncio.sleep(REPLACED_S + 1)
    victim.forked.signal(signal.SIGCONT)


async def _quiet_kill(made: World, recorder: Recorder, lock: str) -> tuple[str, float]:
    victim = await _working(made, recorder, lock)
    at = time.monotonic()
    victim.forked.signal(signal.SIGKILL)
    recorder.note("kill holder", whom=victim.name)
    await asyncio.sleep(REPLACED_S + 1)
    return victim.name, at


async def _working(made: World, recorder: Recorder, lock: str) -> Crowd:
    name = await recorder.holder(lock)
    alive = [each for each in made.crowds if each.forked.exit_code is None]
    return next((each for each in alive if each.name == name), alive[-1])


async def _finish(made: World) -> list[str]:
    """Ask all clients to come to an end; what is wrong with how they did."""
    alive = [each for each in made.crowds if each.forked.exit_code is None]
    for each in alive:
        each.forked.signal(signal.SIGTERM)
    codes = await asyncio.gather(*(each.forked.wait(FINISH_S) for each in alive))
    return [
        f"the clients {each.name} did not get what they wanted after all faults were over (exit code {code})"
        for each, code in zip(alive, codes, strict=True)
        if code != 0
    ]
