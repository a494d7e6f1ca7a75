"""A service of locks that says what a test wants it to say, and when."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from google.protobuf.empty_pb2 import Empty
from switchyard.locks.v1 import locks_pb2 as pb

from chassis import call, errors

# What goes wrong goes wrong at once.
BOUND_S = 20


@dataclass
class Stream:
    """One `Hold`; what the test puts into it is said."""

    wish: pb.AcquireRequest
    caller: call.Call
    says: "asyncio.Queue[pb.HoldResponse | errors.Error]" = field(default_factory=asyncio.Queue)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def wait(self, position: int = 0) -> None:
        self.says.put_nowait(pb.HoldResponse(waiting=pb.Waiting(queue_position=position)))

    def grant(self, token: int = 7) -> None:
        lease = pb.Lease(
            acquired=True,
            lock_id=self.wish.lock_id,
            fencing_token=token,
            lock_name=self.wish.lock_name,
            timeout=self.wish.timeout,
        )
        self.says.put_nowait(pb.HoldResponse(granted=lease))

    def lose(self) -> None:
        lost = pb.Lost(reason=pb.LOSS_REASON_BROKEN, by="user:1", comment="it hangs")
        self.says.put_nowait(pb.HoldResponse(lost=lost))

    def fail(self, failure: errors.Error) -> None:
        self.says.put_nowait(failure)


async def renewed(request: pb.RenewRequest) -> pb.Lease:
    return pb.Lease(acquired=True, lock_id=request.lock_id, timeout=request.timeout)


async def released(_request: pb.ReleaseRequest) -> Empty:
    return Empty()


class Scripted:
    """A service of locks. `renewing` and `releasing` say what it answers; what it was asked stands in queues."""

    service = pb.DESCRIPTOR.services_by_name["LocksService"]

    def __init__(self) -> None:
        self.streams: asyncio.Queue[Stream] = asyncio.Queue()
        self.renewals: asyncio.Queue[pb.RenewRequest] = asyncio.Queue()
        self.releases: asyncio.Queue[pb.ReleaseRequest] = asyncio.Queue()
        self.renewing: Callable[[pb.RenewRequest], Awaitable[pb.Lease]] = renewed
        self.releasing: Callable[[pb.ReleaseRequest], Awaitable[Empty]] = released

    async def stream(self) -> Stream:
        """The next wish."""
        return await asyncio.wait_for(self.streams.get(), BOUND_S)

    async def Hold(self, request: pb.HoldRequest) -> AsyncIterator[pb.HoldResponse]:
        stream = Stream(request.wish, call.current())
        self.streams.put_nowait(stream)
        try:
            while not isinstance(said := await stream.says.get(), errors.Error):
                yield said
                if said.HasField("lost"):
                    return
            raise said
        finally:
            stream.ended.set()

    async def Renew(self, request: pb.RenewRequest) -> pb.Lease:
        self.renewals.put_nowait(request)
        return await self.renewing(request)

    async def Release(self, request: pb.ReleaseRequest) -> Empty:
        self.releases.put_nowait(request)
        return await self.releasing(request)

    Acquire = ListLocks = GetLock = BreakLock = Renew
