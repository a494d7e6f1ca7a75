"""`make bench`: start all targets, measure them in turns, report; then identity, orders, the registry and locks."""

import argparse
import asyncio
import http.client
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import cpu, envoy, identity, locks, orders, peer, registry, report
from bench.load import Plan, WrongAnswer
from bench.suite import Suite, SuiteError
from bench.targets import Headers, Target
from bench.world import World
from chassis.embedded import EmbeddedServersError
from cli.api import ApiError

FOLDER = Path(__file__).resolve().parents[1] / ".run" / "bench"
CONNECTIONS = 16
WARM_S = 0.7
# Alone, fewer requests are made in a second, and each says as much.
ALONE_SHARE = 0.4
# What an order sets going is done by then; a read sets nothing going.
SETTLE_S = {"get": 0.1, "page": 0.1, "order": 1.5}
IDLE_S = 3.0
UP_DEADLINE_S = 30.0
# An outcome is a line of JSON; a plan holds a hundred requests.
LINE_BYTES_MAX = 1 << 24

Say = Callable[[str], None]


class Generator:
    """The load generator's process."""

    @classmethod
    async def start(cls, stack: AsyncExitStack) -> "Generator":
        self = cls()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bench.load",
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
        outcome: dict[str, Any] = json.loads(await self._process.stdout.readline())
        if "failure" in outcome:
            raise WrongAnswer(outcome["failure"])
        return outcome

    async def _stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def measure(generator: Generator, target: Target, workload: str, world: World, seconds: float) -> dict[str, Any]:
    """One target's turn at one workload. Raises `WrongAnswer`."""
    headers = await target.headers()
    exchanges = target.exchanges(workload, headers, world)
    plan = Plan(
        port=target.port,
        connections=CONNECTIONS,
        warm_s=WARM_S,
        measured_s=seconds,
        settle_s=SETTLE_S[workload],
        exchanges=exchanges,
        watch=target.watch().to_json(),
    )
    alone = Plan(**{**vars(plan), "connections": 1, "warm_s": WARM_S / 2, "measured_s": seconds * ALONE_SHARE})
    held = target.reserved(headers, world) if workload == "order" else 0
    outcome = await generator.perform(plan)
    outcome_alone = await generator.perform(alone)
    if workload == "order":
        sold = target.reserved(headers, world) - held
        answered = outcome["answered"] + outcome_alone["answered"]
        if sold != answered:
            message = f"{target.name}: {answered} orders were accepted, and the stock of {sold} is held"
            raise WrongAnswer(message)
    named = {f"alone_{name}": outcome_alone[name] for name in ("p50_ms", "p99_ms")}
    return {"workload": workload, "target": target.name, **outcome, **named}


async def start_targets(stack: AsyncExitStack, folder: Path) -> tuple[list[Target], World, Suite]:
    """Switchyard, the monolith, Envoy; all filled and answering."""
    suite = await Suite.start(folder / "run")
    stack.push_async_callback(suite.stop)
    world = await asyncio.to_thread(suite.fill)
    monolith = await peer.start(suite.admin_url, suite.valkey_url, world)
    stack.push_async_callback(monolith.stop)
    proxy = await envoy.start(folder, suite.address_of(suite.login(), "inventory"))
    stack.push_async_callback(proxy.stop)
    await answers(monolith.port)
    await answers(proxy.port)
    tenant = {"x-tenant-id": world.tenant_id}

    async def signed_in() -> Headers:
        return {"authorization": f"Bearer {suite.login().token}", **tenant}

    async def with_token() -> Headers:
        return {"authorization": f"Bearer {monolith.token}", **tenant}

    async def with_pass() -> Headers:
        return {"switchyard-pass": await suite.issue_pass(suite.login())}

    def envoys() -> cpu.Watch:
        watch = suite.watch("inventory", "postgres")
        return cpu.Watch({"envoy": proxy.pid, **watch.pids}, watch.foreign)

    targets = [
        Target("switchyard", suite.port, suite.watch, signed_in),
        Target("monolith", monolith.port, lambda: suite.peer_watch("monolith", monolith.pid), with_token),
        Target("envoy", proxy.port, envoys, with_pass, workloads=("get", "page"), enveloped=False),
    ]
    return targets, world, suite


async def answers(port: int) -> None:
    """Wait until something speaks HTTP at the port."""

    def ask() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    async with asyncio.timeout(UP_DEADLINE_S):
        while not await asyncio.to_thread(ask):
            await asyncio.sleep(0.1)


async def idle_ms_per_s(watch: cpu.Watch) -> float:
    """Milliseconds of CPU a second when nobody asks anything."""
    before, started = watch.snapshot(), time.perf_counter()
    await asyncio.sleep(IDLE_S)
    used = cpu.spent(before, watch.snapshot())
    return sum(used.values()) * 1e3 / (time.perf_counter() - started)


async def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    """All rounds. Raises `WrongAnswer` or `SuiteError`."""
    rows = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="switchyard-bench-")))
        say("starting Switchyard, the monolith and Envoy")
        targets, world, suite = await start_targets(stack, folder)
        generator = await Generator.start(stack)
        idle = await idle_ms_per_s(suite.watch())
        everything = cpu.Watch({"bench": os.getpid()})
        before, machine_before, started = everything.snapshot(), cpu.machine_s(), time.perf_counter()
        for number in range(options.rounds):
            for workload in options.workloads:
                for target in targets:
                    if workload not in target.workloads:
                        continue
                    row = await measure(generator, target, workload, world, options.seconds)
                    total = sum(row["cpu_us"].values())
                    say(f"round {number + 1}: {workload} {target.name}: {row['per_s']:.0f}/s, {total:.0f} µs")
                    rows.append({"round": number, **row})
        ours = cpu.spent(before, everything.snapshot())["bench"]
        capacity = (time.perf_counter() - started) * (os.cpu_count() or 1)
        foreign = (cpu.machine_s() - machine_before - ours) / capacity
    return {
        "machine": report.machine(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "idle_ms_per_s": idle,
        "foreign_share": foreign,
        "medians": report.summarise(rows),
        "ratios": report.ratios(rows),
        "rows": rows,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn")
    parser.add_argument("--workloads", nargs="+", choices=report.WORKLOADS, default=list(report.WORKLOADS))
    parser.add_argument("--try", dest="trial", action="store_true", help="print only: keep RESULTS.md as it is")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{' or '.join(PARTS)}; all unless given")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    try:
        for part in options.parts or PARTS:
            PARTS[part](options, lambda line: print(line, file=sys.stderr, flush=True))
    except (WrongAnswer, SuiteError, ApiError, EmbeddedServersError, TimeoutError) as failure:
        print(f"bench: {type(failure).__name__}: {failure}", file=sys.stderr)
        return 1
    return 0


def _peers(options: argparse.Namespace, say: Say) -> None:
    result = asyncio.run(run(options, say))
    if not options.trial:
        report.write(result, FOLDER)
    report.show(result)


def _identity(options: argparse.Namespace, say: Say) -> None:
    result = asyncio.run(identity.run(options.seconds, say))
    if not options.trial:
        report.renew("identity", identity.document(result))
    identity.show(result)


def _orders(options: argparse.Namespace, say: Say) -> None:
    result = asyncio.run(orders.run(options.seconds, say))
    if not options.trial:
        report.renew("orders", orders.document(result))
    orders.show(result)


def _locks(options: argparse.Namespace, say: Say) -> None:
    result = asyncio.run(locks.run(options.rounds, options.seconds, say))
    if not options.trial:
        report.renew("locks", locks.document(result))
    locks.show(result)


def _registry(options: argparse.Namespace, say: Say) -> None:
    result = asyncio.run(registry.run(say))
    if not options.trial:
        report.renew("registry", registry.document(result))
    registry.show(result)


PARTS: dict[str, Callable[[argparse.Namespace, Say], None]] = {
    "peers": _peers,
    "identity": _identity,
    "orders": _orders,
    "registry": _registry,
    "locks": _locks,
}


if __name__ == "__main__":
    sys.exit(main())
