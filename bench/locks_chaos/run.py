"""One seeded run: recorded, and judged."""

import asyncio
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.locks_chaos import judge
from bench.locks_chaos.faults import TTL_S, schedule
from bench.locks_chaos.injector import Injector
from bench.locks_chaos.judge import Replaced, Row
from bench.locks_chaos.recorder import Recorder
from bench.locks_chaos.world import EXCLUSIVE, LOCKS, Crowd, Databases, World
from cli.run_dir import ROOT

HISTORIES = ROOT / ".run/chaos"
# With all faults over: until the last client has had its last lock.
FINISH_S = 90.0
# Holders that are killed while nothing else is wrong, and what their locks may take to be had again.
QUIET_KILLS = 2
REPLACED_S = TTL_S + 1.0
QUIET_S = 1.5


@dataclass
class Run:
    """What came of a run."""

    seed: int
    without: str = ""
    faults: Counter[str] = field(default_factory=Counter)
    figures: dict[str, int] = field(default_factory=dict)
    replaced: list[Replaced] = field(default_factory=list)
    together: int = 0
    violations: list[str] = field(default_factory=list)


async def one(folder: Path, databases: Databases, seed: int, without: str, say: Callable[[str], None]) -> Run:
    outcome = Run(seed, without)
    recorder = Recorder()
    await databases.begin()
    place = Path(tempfile.mkdtemp(prefix=f"{seed}-", dir=folder))
    made = World(place, databases, str(seed), without, recorder.take)
    kills: list[tuple[str, float]] = []
    async with made.running():
        faults = schedule(seed, len(EXCLUSIVE))
        outcome.faults.update(each.kind for each in faults)
        recorder.note("begin")
        await Injector(made, recorder).run(faults)
        recorder.note("faults are over")
        await made.settled()
        recorder.note("settled")
        await asyncio.sleep(QUIET_S)
        await _quiet_pause(made, recorder, EXCLUSIVE[0])
        kills = await asyncio.gather(*(_quiet_kill(made, recorder, lock) for lock in EXCLUSIVE[:QUIET_KILLS]))
        recorder.note("finish")
        outcome.violations += await _finish(made)
        recorder.note("finished")
    calls = recorder.calls()
    rows = [Row(*each) for each in await databases.writes()]
    outcome.violations += judge.violations(LOCKS, calls, rows)
    outcome.figures = recorder.figures()
    outcome.together = judge.most_together([each for each in calls if each.lock == "counted"])
    for crowd, at in kills:
        outcome.replaced += judge.replaced(LOCKS, calls, crowd, at)
    outcome.violations += [
        f"{each.lock}: the killed holder of token {each.token} was replaced after {each.after_s} s"
        for each in outcome.replaced
        if each.after_s is None or each.after_s > REPLACED_S
    ]
    recorder.save(HISTORIES / f"locks-{seed}{without and '-'}{without.replace(' ', '-')}.jsonl")
    found = (
        f"{len(outcome.violations)} VIOLATIONS, the first: {outcome.violations[0]}" if outcome.violations else "good"
    )
    say(f"seed {seed} {without}: {outcome.figures} {found}")
    return outcome


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
