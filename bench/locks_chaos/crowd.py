"""A process of clients."""

import asyncio
import signal

import uvloop

from bench.locks_chaos import process
from bench.locks_chaos.client import Client, Crowd, Plain, Shared
from bench.locks_chaos.holder import Holder


def main(crowd: Crowd) -> None:
    process.begin(crowd.told)
    uvloop.run(_run(crowd))


async def _run(crowd: Crowd) -> None:
    shared = Shared(crowd)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, shared.over.set)
    # One of them as services do it.
    clients: list[Client] = [Holder(shared, 0), *(Plain(shared, number) for number in range(1, crowd.tasks))]
    await asyncio.gather(*(each.run() for each in clients))
    await shared.close()
