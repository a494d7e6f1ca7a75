"""What is done to a run, and when: drawn from its seed alone, so that a seed gives the same faults again.

Whom a fault meets is named by the part they play (the leader of the locks' stream, whoever holds a lock) where that
is what makes it hurt; who plays it then depends on the run.
"""

import random
from dataclasses import dataclass

# Lives of leases in the run; the shortest pauses are longer.
TTL_S = 3
PAUSE_S = (TTL_S + 0.5, TTL_S + 3.5)
CUT_S = (1.0, 6.0)
DOWN_S = (0.2, 2.0)
SLOW_S = (0.05, 0.3)
# Up to an hour.
CLOCK_S = (0.5, 5.0, 60.0, 3600.0)
NODES = 3
PROCESSES = 2
GROUPS = 2
# Between the beginnings of two faults; most last longer than that, so that several meet.
GAP_S = (1.0, 3.2)
# Every run has these, in an order of its own, and some more by chance.
ALWAYS = (
    "pause holder",
    "pause holder",
    "kill leader",
    "pause leader",
    "kill locks",
    "pause locks",
    "kill client",
    "isolate leader",
    "cut locks from nats",
    "step ahead",
    "step back",
)
OTHERS = (
    *("pause holder", "kill node", "pause node", "kill locks", "pause locks", "isolate node", "cut locks from nats"),
    *("cut clients from locks", "step ahead", "step back", "kill holder", "slow routes", "kill leader"),
)
MORE = 2


@dataclass(frozen=True)
class Fault:
    """`at` and `lasts_s` in seconds, `at` from the beginning; `which` a number of the kind's own."""

    at: float
    kind: str
    which: int
    lasts_s: float
    how: str = ""
    amount: float = 0.0


def schedule(seed: int, locks: int) -> list[Fault]:
    """The faults of a seed, in their order. `locks` is how many locks are used exclusively."""
    chosen = random.Random(f"faults {seed}")
    kinds = [*ALWAYS, *chosen.choices(OTHERS, k=MORE)]
    chosen.shuffle(kinds)
    faults, at = [], 1.0
    for kind in kinds:
        at += chosen.uniform(*GAP_S)
        faults.append(_fault(chosen, round(at, 2), kind, locks))
    return faults


def _fault(chosen: random.Random, at: float, kind: str, locks: int) -> Fault:
    what, _, whom = kind.partition(" ")
    if what == "step":
        step_s = chosen.choice(CLOCK_S)
        return Fault(at, kind, chosen.randrange(PROCESSES), 0.0, amount=step_s if whom == "ahead" else -step_s)
    if kind == "slow routes":
        return Fault(at, kind, 0, round(chosen.uniform(*CUT_S), 2), amount=round(chosen.uniform(*SLOW_S), 3))
    lasts_s = round(chosen.uniform(*{"kill": DOWN_S, "pause": PAUSE_S}.get(what, CUT_S)), 2)
    count = {"holder": locks, "locks": PROCESSES, "node": NODES, "locks from nats": PROCESSES}.get(whom, 0)
    if whom == "clients from locks":
        count = GROUPS * PROCESSES
    how = chosen.choice(("stall", "reset")) if what in {"cut", "isolate"} else ""
    return Fault(at, kind, chosen.randrange(count or 1_000), lasts_s, how)
