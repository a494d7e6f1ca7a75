"""Orders from end to end: placed at the gateway, reserved, in the queue, on the websocket, in the trail.

The suite is a whole `switchyard up`. Callers place orders of two lines one after the other while a client listens to
the site's live queue; it is noted when each order's answer and its frame were read.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from uuid_utils.compat import uuid7
from websockets.asyncio.client import connect

from bench import callers, cpu, report
from bench.callers import Caller
from bench.load import WrongAnswer
from bench.suite import Suite
from bench.world import World
from cli.api import Api

CONNECTIONS = (1, 16)
# For what follows behind the last answer.
PATIENCE_S = 60
SHOWN_SHARE = 0.02

_HEADINGS = (
    "callers",
    "orders a second",
    "in the trail, a second",
    "answer p50 ms",
    "p99 ms",
    "answer to frame p50 ms",
    "p99 ms",
    "CPU µs an order",
)
_METHOD = """
Written by `make bench` (alone: `python -m bench orders`), {seconds:g} s each after a warm-up. An order has two lines
of one item each: it is accepted, its stock reserved, it is queued with its site's next number, `OrderPlaced` goes
over JetStream to the gateway and the queue's websocket, and every step stands in the audit trail. **Orders a second**
are answers; **in the trail, a second** is what has passed through all of it: from the first request until the trail
has told of the last order. **Answer to frame** is the time from when the client has read an order's answer to when
another client has read its frame on `orders:queue:{{site}}`; below zero, the frame was first. **CPU µs** is user and
system time of all processes, PostgreSQL's included; the generator's and the listener's own are not counted, though
they take their share of this machine's cores.
"""


class Queue:
    """A client of a site's live queue; when it read each order's frame."""

    def __init__(self) -> None:
        self.read_at: dict[str, float] = {}
        self._changed = asyncio.Event()

    async def follow(self, stack: AsyncExitStack, suite: Suite, api: Api, site_id: str) -> None:
        """Join, and listen until the stack ends."""
        headers = {"Authorization": f"Bearer {api.token}", "X-Tenant-ID": api.tenant_id}
        url = f"ws://127.0.0.1:{suite.port}/ws"
        connection = await stack.enter_async_context(connect(url, additional_headers=headers, max_size=None))
        await connection.send(json.dumps({"type": "subscribe", "channel": f"orders:queue:{site_id}"}))
        while json.loads(await connection.recv())["type"] != "snapshot":
            pass
        listening = asyncio.create_task(self._listen(connection))
        stack.callback(listening.cancel)

    async def _listen(self, connection: Any) -> None:
        async for text in connection:
            at = time.perf_counter()
            event = json.loads(text).get("event", {})
            if event.get("type", "").endswith(".OrderPlaced"):
                self.read_at[event["data"]["order"]["id"]] = at
                self._changed.set()

    async def has(self, order_ids: Iterable[str]) -> None:
        """Return when all of them have come."""
        missing = set(order_ids)
        async with asyncio.timeout(PATIENCE_S):
            while missing := missing - self.read_at.keys():
                self._changed.clear()
                await self._changed.wait()


async def run(seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything, in about half a minute. Raises `WrongAnswer` or `bench.suite.SuiteError`."""
    rows = []
    async with AsyncExitStack() as stack:
        suite = await Suite.start(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="switchyard-bench-"))))
        stack.push_async_callback(suite.stop)
        world = await asyncio.to_thread(suite.fill)
        for connections in CONNECTIONS:
            rows.append(await _measure(suite, world, connections, seconds))
            say(_line(rows[-1]))
    return {"rows": rows, "seconds": seconds}


async def _measure(suite: Suite, world: World, connections: int, seconds: float) -> dict[str, Any]:
    api, site_id = suite.login(), world.site_ids[0]
    async with AsyncExitStack() as stack:
        queue = Queue()
        await queue.follow(stack, suite, api, site_id)
        made: dict[str, tuple[float, float]] = {}
        head = f"authorization: Bearer {api.token}\r\nx-tenant-id: {api.tenant_id}\r\n"
        menu = cycle(world.menu)
        opened = [await Caller.open(stack, suite.port) for _ in range(connections)]
        ends_at = time.perf_counter() + callers.WARM_S

        async def place(caller: Caller) -> None:
            while time.perf_counter() < ends_at:
                lines = [{"menu_item_id": next(menu), "quantity": 1} for _ in "ab"]
                body = json.dumps({"id": str(uuid7()), "site_id": site_id, "lines": lines}).encode()
                began = time.perf_counter()
                answer = await caller.post("/api/v1/orders", body, status=201, more=head)
                made[answer["data"]["id"]] = began, time.perf_counter()
                if answer["data"]["status"] != "queued":
                    raise WrongAnswer(f"an order is {answer['data']['status']}")

        await asyncio.gather(*map(place, opened))
        await _done(api, queue, made)
        made.clear()
        before, started = suite.watch().snapshot(), time.perf_counter()
        ends_at = started + seconds
        await asyncio.gather(*map(place, opened))
        answered_s = time.perf_counter() - started
        await _done(api, queue, made)
        through_s = time.perf_counter() - started
        spent = cpu.spent(before, suite.watch().snapshot())
    took = [answered - began for began, answered in made.values()]
    late = [queue.read_at[order_id] - answered for order_id, (_, answered) in made.items()]
    return {
        "connections": connections,
        "per_s": len(made) / answered_s,
        "through_per_s": len(made) / through_s,
        "answer_ms": _percentiles(took),
        "frame_ms": _percentiles(late),
        "cpu_us": {process: used * 1e6 / len(made) for process, used in spent.items()},
    }


async def _done(api: Api, queue: Queue, order_ids: Iterable[str]) -> None:
    """Return when the queue and the trail have told of every order."""
    told = list(order_ids)
    await queue.has(told)
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(_in_trail, api, told[-1]):
            await asyncio.sleep(0.1)


def _in_trail(api: Api, order_id: str) -> bool:
    found: list[Any] = api.call("POST", "/api/v1/audit/query", {"resource": f"orders/{order_id}"})
    return bool(found)


def _percentiles(seconds: list[float]) -> tuple[float, float]:
    ordered = sorted(seconds)
    return ordered[len(ordered) // 2] * 1e3, ordered[len(ordered) * 99 // 100] * 1e3


# The figures.


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(*_HEADINGS)
    for row in _cells(result):
        table.add_row(*row)
    Console(width=max(Console().width, 140)).print(table, *_remarks(result), sep="\n")


def document(result: dict[str, Any]) -> str:
    """The chapter of `bench/RESULTS.md`."""
    parts = [
        "## Orders, end to end",
        report.markdown(_HEADINGS, _cells(result)),
        "\n".join(f"- {remark}" for remark in _remarks(result)),
        _METHOD.strip().format(seconds=result["seconds"]),
    ]
    return "\n\n".join(parts)


def _cells(result: dict[str, Any]) -> list[list[str]]:
    return [
        [
            str(row["connections"]),
            f"{row['per_s']:,.0f}",
            f"{row['through_per_s']:,.0f}",
            *(f"{figure:.1f}" for name in ("answer_ms", "frame_ms") for figure in row[name]),
            f"{sum(row['cpu_us'].values()):,.0f}",
        ]
        for row in result["rows"]
    ]


def _remarks(result: dict[str, Any]) -> list[str]:
    remarks = []
    for row in result["rows"]:
        whole = sum(row["cpu_us"].values())
        shares = sorted(row["cpu_us"].items(), key=lambda share: -share[1])
        shown = ", ".join(f"{name} {used:,.0f}" for name, used in shares if used >= whole * SHOWN_SHARE)
        remarks.append(f"{row['connections']} at once: CPU µs {shown}")
    return remarks


def _line(row: dict[str, Any]) -> str:
    return f"{row['connections']} at once: {row['per_s']:.0f} orders/s, {sum(row['cpu_us'].values()):.0f} µs"
