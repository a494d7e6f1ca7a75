"""Two owners who wait for each other, each by another process of `locks`, with nothing else wrong."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import grpc.aio
from switchyard.locks.v1 import locks_pb2 as pb
from switchyard.locks.v1 import locks_pb2_grpc

from bench.locks_chaos.faults import TTL_S
from chassis import errors

# Their leases would end by themselves after that.
CIRCLE_S = TTL_S - 1.0
HEAL_S = 10.0


async def broken_after_s(addresses: Sequence[str], metadata: Any) -> float | None:
    """How long it stood until one of them was refused; `None`: it was not."""
    channels = [grpc.aio.insecure_channel(each) for each in addresses[:2]]
    stubs = [locks_pb2_grpc.LocksServiceStub(each) for each in channels]

    async def acquire(owner: int, lock: int, wait_s: int) -> Any:
        wish = pb.AcquireRequest(
            lock_name=f"circle-{lock}", owner=f"{owner}", timeout=TTL_S, blocking_timeout=wait_s, permits=1
        )
        return await stubs[owner].Acquire(wish, metadata=metadata, timeout=TTL_S + wait_s)

    # A watch may still look for a server that answers; who has listed all locks follows every change again.
    await asyncio.gather(*(each.ListLocks(pb.ListLocksRequest(), metadata=metadata, timeout=HEAL_S) for each in stubs))
    await asyncio.gather(acquire(0, 0, 0), acquire(1, 1, 0))
    began = time.monotonic()
    waiting = [asyncio.create_task(acquire(owner, 1 - owner, TTL_S)) for owner in (0, 1)]
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=CIRCLE_S)
    lasted_s = time.monotonic() - began
    refused = [_code(each.exception()) for each in done]
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for channel in channels:
        await channel.close()
    return lasted_s if refused == ["DEADLOCK"] else None


def _code(failure: BaseException | None) -> str:
    return errors.from_rpc_error(failure).code if isinstance(failure, grpc.aio.AioRpcError) else repr(failure)
