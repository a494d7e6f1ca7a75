"""Callers over HTTP, one call after the other on a connection that is kept, and what their calls cost."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from bench import cpu
from bench.load import WrongAnswer

WARM_S = 0.5
# By then the outbox is empty and the trail written.
SETTLE_S = 1.5


@dataclass
class Caller:
    """One keep-alive connection to the gateway."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, stack: AsyncExitStack, port: int) -> "Caller":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        stack.callback(writer.close)
        return cls(reader, writer)

    async def post(
        self, path: str, body: bytes, media_type: str = "application/json", *, status: int = 200, more: str = ""
    ) -> dict[str, Any]:
        """The answer to a POST; `more` are headers. Raises `WrongAnswer` unless it has the status."""
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {media_type}\r\ncontent-length: {len(body)}"
        self.writer.write(f"{head}\r\n{more}\r\n".encode() + body)
        told = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(int(line.split(":")[1]) for line in told.split("\r\n") if line.startswith("content-length:"))
        content = await self.reader.readexactly(length)
        if not told.startswith(f"http/1.1 {status} "):
            raise WrongAnswer(f"POST {path}: {told.splitlines()[0]} {content.decode()}")
        answer: dict[str, Any] = json.loads(content)
        return answer


Work = Callable[[], Awaitable[None]]


async def measure(name: str, workers: list[Work], watch: cpu.Watch, seconds: float) -> dict[str, Any]:
    """Let each worker work again and again for so long."""
    taken: list[float] = []
    ends_at = time.perf_counter() + WARM_S + seconds

    async def repeat(work: Work) -> None:
        while (began := time.perf_counter()) < ends_at:
            await work()
            taken.append(time.perf_counter() - began)

    running = asyncio.gather(*(repeat(work) for work in workers))
    await asyncio.wait({running}, timeout=WARM_S)
    warm, before, started = len(taken), watch.snapshot(), time.perf_counter()
    await running
    measured, lasted_s = sorted(taken[warm:]), time.perf_counter() - started
    await asyncio.sleep(SETTLE_S)
    spent = cpu.spent(before, watch.snapshot())
    if not measured:
        raise WrongAnswer(f"{name}: not one answer came in time")
    return {
        "name": name,
        "per_s": len(measured) / lasted_s,
        "p50_ms": measured[len(measured) // 2] * 1e3,
        "p99_ms": measured[len(measured) * 99 // 100] * 1e3,
        "cpu_us": {process: used * 1e6 / len(measured) for process, used in spent.items()},
    }
