"""The load generator: a process of its own, so that its CPU is nobody else's.

It reads one plan a line on standard input and writes one outcome a line: bytes in, bytes out, no HTTP library, since it
shares the machine with what it measures. Every answer's status and body are checked; the first wrong one ends the plan.
"""

import asyncio
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import cycle
from typing import Any

import uvloop
from uuid_utils import uuid7

from bench import cpu

# In a request that may not be sent twice, and in what is expected of its answer: a fresh id.
FRESH = "@fresh-id@"
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"
_WRONG_SHOWN = 600
# For the last answers.
PATIENCE_S = 30


@dataclass(frozen=True)
class Exchange:
    """A request as it goes over the wire, and what its answer has to be: a status, a beginning, and other parts."""

    request: str
    status: int = 200
    begins: str = ""
    holds: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """A measurement: so many connections, each asking as soon as it is answered, for so long.

    CPU time is taken from the end of the warm-up until `settle_s` after the last answer, and shared by the requests
    answered since: what an order sets going behind the answer is counted too.
    """

    port: int
    connections: int
    warm_s: float
    measured_s: float
    settle_s: float
    exchanges: list[Exchange]
    watch: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What was measured; `cpu_us` a request, by process. `answered` counts all answers, the warm-up's included."""

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: dict[str, float]
    answered: int


class WrongAnswer(Exception):
    """A target did not do its work."""


Wire = tuple[bytes, bytes, bytes, list[bytes]]


class Connection(asyncio.Protocol):
    """One keep-alive connection that asks one thing at a time."""

    def __init__(self, exchanges: Iterator[Wire], record: Callable[[int], None]) -> None:
        self._exchanges = exchanges
        self._record = record
        self.stopping = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        head_end = buffer.find(_END_OF_HEAD)
        if head_end < 0:
            return
        body = _body(buffer, head_end)
        if body is None:
            return
        taken_ns = time.perf_counter_ns() - self._asked_ns
        self._buffer = b""
        if not buffer.startswith(self._status) or not body.startswith(self._begins) or not self._all_in(body):
            wrong = WrongAnswer(f"wanted {self._status!r} {self._holds!r}, got {buffer[:_WRONG_SHOWN]!r}")
            self._finish(wrong)
            return
        self._record(taken_ns)
        if self.stopping:
            self._finish(None)
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(WrongAnswer(f"the connection was closed: {exc!r}"))

    def _ask(self) -> None:
        request, self._status, self._begins, self._holds = next(self._exchanges)
        self._asked_ns = time.perf_counter_ns()
        self._transport.write(request)

    def _all_in(self, body: bytes) -> bool:
        return all(part in body for part in self._holds)

    def _finish(self, failure: Exception | None) -> None:
        if self.done.done():
            return
        if failure is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(failure)
        self._transport.close()


def _body(buffer: bytes, head_end: int) -> bytes | None:
    """The body if it is there as a whole."""
    head = buffer[:head_end].lower()
    start = head_end + len(_END_OF_HEAD)
    found = head.find(_LENGTH)
    if found >= 0:
        line_end = head.find(b"\r\n", found)
        length = int(head[found + len(_LENGTH) : line_end if line_end >= 0 else len(head)])
        return buffer[start:] if len(buffer) - start >= length else None
    # Chunked: the chunk sizes stay in, so only a body of one chunk can be compared; nobody here sends more.
    if not buffer.endswith(b"\r\n0\r\n\r\n"):
        return None
    return buffer[buffer.find(b"\r\n", start) + 2 :]


def _wire(exchanges: list[Exchange]) -> Iterator[Wire]:
    """The exchanges round and round, with a fresh id where one is asked for."""
    ready = [
        (
            each.request.encode(),
            f"HTTP/1.1 {each.status} ".encode(),
            each.begins.encode(),
            [part.encode() for part in each.holds],
        )
        for each in exchanges
    ]
    mark = FRESH.encode()
    for request, status, begins, holds in cycle(ready):
        if mark in request:
            fresh = str(uuid7()).encode()
            yield request.replace(mark, fresh), status, begins, [part.replace(mark, fresh) for part in holds]
        else:
            yield request, status, begins, holds


def _percentile_ms(sorted_ns: list[int], share: float) -> float:
    return sorted_ns[max(math.ceil(len(sorted_ns) * share) - 1, 0)] / 1e6


async def perform(plan: Plan) -> Outcome:
    """Carry the plan out. Raises `WrongAnswer`."""
    taken_ns: list[int] = []
    loop = asyncio.get_running_loop()
    exchanges = _wire(plan.exchanges)
    watch = cpu.Watch.from_json(plan.watch)
    connections = []
    for _ in range(plan.connections):
        _, connection = await loop.create_connection(
            lambda: Connection(exchanges, taken_ns.append), "127.0.0.1", plan.port
        )
        connections.append(connection)
    ends = [connection.done for connection in connections]
    await _pass(ends, plan.warm_s)
    warm, before, started = len(taken_ns), watch.snapshot(), time.perf_counter()
    await _pass(ends, plan.measured_s)
    measured, seconds = sorted(taken_ns[warm:]), time.perf_counter() - started
    for connection in connections:
        connection.stopping = True
    await asyncio.wait_for(asyncio.gather(*ends), PATIENCE_S)
    await asyncio.sleep(plan.settle_s)
    if not measured:
        message = "not one answer came in time"
        raise WrongAnswer(message)
    spent_s = cpu.spent(before, watch.snapshot())
    return Outcome(
        per_s=len(measured) / seconds,
        p50_ms=_percentile_ms(measured, 0.50),
        p99_ms=_percentile_ms(measured, 0.99),
        cpu_us={name: seconds * 1e6 / (len(taken_ns) - warm) for name, seconds in spent_s.items()},
        answered=len(taken_ns),
    )


async def _pass(ends: "list[asyncio.Future[None]]", seconds: float) -> None:
    """Let time pass, or raise what went wrong."""
    ended, _ = await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for end in ended:
        end.result()


def main() -> None:
    """Plans in, outcomes out, until the input ends."""
    for line in sys.stdin:
        told = json.loads(line)
        plan = Plan(**{**told, "exchanges": [Exchange(**each) for each in told["exchanges"]]})
        try:
            answer: dict[str, Any] = asdict(uvloop.run(perform(plan)))
        except (WrongAnswer, OSError) as failure:
            answer = {"failure": f"{type(failure).__name__}: {failure}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
