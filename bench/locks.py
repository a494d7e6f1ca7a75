"""Locks beside those of etcd, ZooKeeper and Valkey: taking and giving back, and handing over to the next in line.

All targets run in one run on one machine and one disk, each with every write fsynced, and have their turns one after
the other. Each target's clients are a process of their own, whose CPU is counted, as the client is part of what a lock
costs.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import cpu, lock_servers, report
from bench.load import WrongAnswer
from bench.lock_servers import Layout, Missing, Servers, Switchyard
from bench.lockers import WORK_S, Plan

# The run has many turns; each is this part of what one takes elsewhere.
TURN_SHARE = 0.3
WARM_S = 0.3
# An outcome is a line of JSON.
LINE_BYTES_MAX = 1 << 20
OURS, HOLD = "switchyard", "switchyard, chassis client"
TWO_PROCESSES, THREE_NODES = "switchyard, 2 processes", "switchyard, 3 NATS nodes"
# A process that takes less of the whole is not named.
SHOWN_SHARE = 0.02


@dataclass(frozen=True)
class Workload:
    """What the clients do."""

    says: str
    clients: int
    one_lock: bool = False
    handing_over: bool = False


WORKLOADS = {
    "alone": Workload("1 client", 1),
    "own": Workload("32 clients, each a lock", 32),
    "one": Workload("32 clients, one lock", 32, one_lock=True),
    "handing over": Workload("handed over, 50 in line", 51, one_lock=True, handing_over=True),
}


@dataclass(frozen=True)
class Target:
    """One whose locks are measured."""

    name: str
    servers: Servers
    # Which of ours it is compared with.
    beside: str


@dataclass(frozen=True)
class Kind:
    """What a recipe is, and what it gives besides exclusion."""

    recipe: str
    fence: str
    line: str
    lost: str


KINDS = {
    "switchyard": Kind("`Acquire`, `Release` over gRPC", "yes, kept over restarts", "FIFO", "pushed with its reason"),
    "switchyard hold": Kind(
        "`chassis.locks.hold`", "yes, kept over restarts", "FIFO", "pushed with its reason; the body is cancelled"
    ),
    "etcd": Kind("`concurrency.Mutex` in Python over gRPC", "the key's revision serves", "FIFO", "the client's clock"),
    "zookeeper": Kind("kazoo's `Lock`", "no; the node's zxid could serve", "FIFO", "the session's state"),
    "valkey": Kind("redis-py's `Lock` (asyncio)", "no", "none: each asks again every 0.1 s", "no"),
}
_HEADINGS = ("", "target", "a second", "p50 ms", "p99 ms", "switchyard is", "CPU µs", "CPU µs by process")
_METHOD = """
Written by `make bench` (alone: `python -m bench locks`): {rounds} rounds, in each of which every target has its turn at
every workload ({seconds:.1f} s after a warm-up), all on one disk. Figures are medians over the rounds; **switchyard
is** so many times as fast (the median of each round's own ratio: of cycles a second, or of the p50 when a lock is
handed over); etcd's cluster is compared with Switchyard on three NATS nodes.

- **1 client**, **32 clients**: a cycle is asking for a lock, getting it and giving it back. With one lock for all, the
  time that a client stands in line is in its latency.
- **handed over**: one holds the lock for {work_ms:.0f} ms while 50 stand in line, gives it back, and stands in line
  again; the latency is that from giving it back until the next one knows that it is theirs.
- **CPU µs** a cycle: user and system time of all processes, the clients' included. Clients are Python everywhere, in
  one process a target; they share the machine's cores with the servers, as everything does here.

Every grant is checked: never two holders, and tokens that only grow where there are tokens. Switchyard's processes
verify a pass and its permissions in each call, and keep each waiter's place on the disk; they run with a NATS and a
PostgreSQL of their own, the rest of the suite away. etcd and ZooKeeper are one server each, as is Switchyard's NATS
where nothing else is said. Sessions and leases of the peers are made once and used again.
"""


class Clients:
    """The process of a target's clients."""

    @classmethod
    async def start(cls, stack: AsyncExitStack, recipe: dict[str, Any]) -> "Clients":
        self = cls()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bench.lockers", json.dumps(recipe)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
        )
        stack.push_async_callback(self._stop)
        return self

    async def perform(self, plan: Plan) -> dict[str, Any]:
        """Carry out a plan. Raises `WrongAnswer`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(plan)).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise WrongAnswer(f"the clients have ended before {plan.name}")
        outcome: dict[str, Any] = json.loads(line)
        if "failure" in outcome:
            raise WrongAnswer(outcome["failure"])
        return outcome

    async def _stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def run(rounds: int, seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """All rounds. Raises `WrongAnswer` or `bench.suite.SuiteError`."""
    rows, turn_s = [], seconds * TURN_SHARE
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="switchyard-bench-")))
        targets, missing = await _targets(stack, folder)
        for line in missing:
            say(line)
        clients = {target.name: await Clients.start(stack, target.servers.recipe) for target in targets}
        everything = cpu.Watch({"bench": os.getpid()})
        before, machine_before, started = everything.snapshot(), cpu.machine_s(), time.perf_counter()
        for number in range(rounds):
            for name, workload in WORKLOADS.items():
                for target in targets:
                    plan = Plan(
                        name=f"{name.replace(' ', '-')}-{number}",
                        clients=workload.clients,
                        one_lock=workload.one_lock,
                        handing_over=workload.handing_over,
                        warm_s=WARM_S,
                        measured_s=turn_s,
                        watch=target.servers.watch.to_json(),
                    )
                    outcome = await clients[target.name].perform(plan)
                    rows.append({"round": number, "workload": name, "target": target.name, **outcome})
                    say(_line(rows[-1]))
        used = cpu.spent(before, everything.snapshot())["bench"]
        capacity = (time.perf_counter() - started) * (os.cpu_count() or 1)
        foreign = (cpu.machine_s() - machine_before - used) / capacity
    return {
        "machine": report.machine(),
        "rounds": rounds,
        "seconds": turn_s,
        "targets": {
            target.name: {"recipe": target.servers.recipe["recipe"], "durability": target.servers.durability}
            for target in targets
        },
        "missing": missing,
        "foreign_share": foreign,
        "medians": summarise(rows, {target.name: target.beside for target in targets}),
        "rows": rows,
    }


async def _targets(stack: AsyncExitStack, folder: Path) -> tuple[list[Target], list[str]]:
    """All that is on this machine, and what is not."""
    ours = Switchyard(stack, folder)
    await ours.open()
    targets = [
        Target(OURS, one := await ours.start(Layout()), OURS),
        Target(HOLD, replace(one, recipe={**one.recipe, "recipe": "switchyard hold"}), OURS),
        Target(TWO_PROCESSES, await ours.start(Layout(locks=2)), OURS),
        Target(THREE_NODES, await ours.start(Layout(nats=3)), OURS),
    ]
    missing = []
    for name, start, beside in (
        ("etcd", lock_servers.etcd, OURS),
        ("etcd, 3 members", partial(lock_servers.etcd, members=3), THREE_NODES),
        ("zookeeper", lock_servers.zookeeper, OURS),
        ("valkey", lock_servers.valkey, OURS),
    ):
        try:
            targets.append(Target(name, await start(stack, folder), beside))
        except Missing as what:
            missing.append(f"{name} was not measured: {what}")
    return targets, missing


def summarise(rows: list[dict[str, Any]], beside: Mapping[str, str]) -> list[dict[str, Any]]:
    """Medians over the rounds, by workload and target, and how many times as fast ours is in the same round."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["workload"], row["target"]].append(row)
    return [
        {
            "workload": workload,
            "target": target,
            **{name: median(row[name] for row in group) for name in ("per_s", "p50_ms", "p99_ms")},
            "ratio": median(map(_times_as_fast, groups[workload, beside[target]], group)),
            "cpu_us": {name: median(row["cpu_us"][name] for row in group) for name in group[0]["cpu_us"]},
        }
        for (workload, target), group in groups.items()
    ]


def _times_as_fast(ours: dict[str, Any], other: dict[str, Any]) -> float:
    if WORKLOADS[ours["workload"]].handing_over:
        return float(other["p50_ms"] / ours["p50_ms"])
    return float(ours["per_s"] / other["per_s"])


# The figures.


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    table = Table(*_HEADINGS)
    for row in _cells(result):
        table.add_row(*row)
    Console(width=max(Console().width, 170)).print(table, *_remarks(result), sep="\n")


def document(result: dict[str, Any]) -> str:
    """The chapter of `bench/RESULTS.md`."""
    parts = [
        "## Locks",
        report.markdown(_HEADINGS, _cells(result)),
        report.markdown(("target", "fsynced", "recipe", "fencing token", "line", "a lost lease"), _kinds(result)),
        "\n".join(f"- {line}" for line in _remarks(result)),
        _METHOD.strip().format(rounds=result["rounds"], seconds=result["seconds"], work_ms=WORK_S * 1e3),
    ]
    return "\n\n".join(part for part in parts if part)


def _kinds(result: dict[str, Any]) -> list[list[str]]:
    rows = []
    for name, told in result["targets"].items():
        kind = KINDS[told["recipe"]]
        rows.append([name, told["durability"], kind.recipe, kind.fence, kind.line, kind.lost])
    return rows


def _remarks(result: dict[str, Any]) -> list[str]:
    told = result["machine"]
    lines = [f"{told['cores']} cores ({told['cpu']}), {told['system']}, Python {told['python']}", *result["missing"]]
    if result["foreign_share"] > report.FOREIGN_MAX:
        share = f"{result['foreign_share']:.0%}"
        lines.append(f"Other work took {share} of the machine meanwhile: the ratios are what counts")
    return lines


def _cells(result: dict[str, Any]) -> list[list[str]]:
    return [
        [
            WORKLOADS[row["workload"]].says,
            row["target"],
            "" if WORKLOADS[row["workload"]].handing_over else f"{row['per_s']:,.0f}",
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            "" if row["target"] == OURS else f"{row['ratio']:.2f}",
            f"{_total(row):,.0f}",
            _shares(row),
        ]
        for row in result["medians"]
    ]


def _shares(row: dict[str, Any]) -> str:
    shares = sorted(row["cpu_us"].items(), key=lambda share: -share[1])
    return ", ".join(f"{name} {used:,.0f}" for name, used in shares if used >= _total(row) * SHOWN_SHARE)


def _line(row: dict[str, Any]) -> str:
    figures = f"{row['per_s']:.0f}/s, p50 {row['p50_ms']:.2f} ms, p99 {row['p99_ms']:.2f} ms, {_total(row):.0f} µs"
    return f"round {row['round'] + 1}: {WORKLOADS[row['workload']].says}: {row['target']}: {figures}"


def _total(row: dict[str, Any]) -> float:
    return float(sum(row["cpu_us"].values()))
