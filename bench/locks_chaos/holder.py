"""A client who leaves all of it to `chassis.locks`, as services do; told is what goes over the wire."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc.aio
from google.protobuf.empty_pb2 import Empty
from switchyard.locks.v1 import locks_pb2 as pb

from bench.locks_chaos.client import BREAKABLE, PATIENCE_S, PIECES, Client, Shared
from bench.locks_chaos.faults import TTL_S
from bench.locks_chaos.judge import LOST, OK, UNKNOWN
from chassis import call, errors
from chassis.leases import Lease
from chassis.locks import Locks

# Held one within the other, in any order: whose owners wait for each other in a circle, of whom one is refused.
PAIR = ("left", "right")


class Holder(Client):
    """One whose leases are kept for it, and who is told at once when they are lost."""

    def __init__(self, crowd: Shared, number: int) -> None:
        super().__init__(crowd, number)
        self._wire = _Wire(self)
        self._locks = Locks(self._wire)

    async def once(self, lock: str, wait_s: int, *, last: bool) -> bool:
        first = lock if last else self.chosen.choice((lock, BREAKABLE, *PAIR))
        names = [first, *(each for each in PAIR if first in PAIR and each != first)]
        with call.answering(call.Call(self.crowd.principal, "chaos")):
            try:
                await self._within(names, None if last else wait_s + PATIENCE_S)
            except errors.Error:
                return False
            finally:
                self._wire.give_up()
        return True

    async def _within(self, names: list[str], patience_s: float | None) -> None:
        """Work under the first lock; within it, under the others."""
        wish = self.wish(names[0], 0)
        holding = self._locks.hold(names[0], ttl_s=TTL_S, mode=wish.mode, permits=wish.permits, patience_s=patience_s)
        async with holding as lease:
            for number in range(1 if patience_s is None else self.chosen.randint(*PIECES)):
                await self.work(names[0])
                await self._write_under(lease, number)
            if names[1:]:
                await self._within(names[1:], patience_s)

    async def _write_under(self, lease: Lease, number: int) -> None:
        if await self.write(lease, number, late=lease.remaining_s <= 0) == LOST:
            raise errors.LeaseLost


@dataclass
class _Wished:
    """A wish, and what has come of it. `call` and `release` are those that were told of."""

    call: int
    lock: str
    tries: int = 0
    waiting: float | None = None
    token: int = 0
    answered: bool = False
    release: int = 0
    releases: int = 0


class _Wire:
    """The stub that `chassis.locks` is given. Each call goes to any process."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._wished: dict[str, _Wished] = {}

    async def Hold(self, request: pb.HoldRequest) -> AsyncIterator[pb.HoldResponse]:
        wished = self._wish(request.wish)
        wished.tries += 1
        crowd = self._client.crowd
        calling = self._client.chosen.choice(crowd.stubs).Hold(request, metadata=crowd.metadata)
        try:
            async for answer in calling:
                self._hear(wished, answer)
                yield answer
        except grpc.aio.AioRpcError as failure:
            error = self._client.error("Hold", failure)
            if isinstance(error, errors.Conflict):
                self._refused(wished, error.code)
            raise error from failure
        finally:
            calling.cancel()

    async def Renew(self, request: pb.RenewRequest, timeout: float) -> pb.Lease:  # noqa: ASYNC109 - as stubs have it
        wished = self._wished[request.lock_id]
        asked = self._client.ask("renew", wished.lock, token=wished.token, ttl_s=TTL_S)
        try:
            lease: pb.Lease = await self._client.call("Renew", request, timeout)
        except errors.Error as failure:
            self._client.answer(asked, _outcome(failure))
            raise
        self._client.answer(asked, OK)
        return lease

    async def Release(self, request: pb.ReleaseRequest, timeout: float) -> Empty:  # noqa: ASYNC109 - as stubs have it
        wished = self._wished[request.lock_id]
        if wished.token and not wished.release:
            wished.release = self._client.ask("release", wished.lock, token=wished.token)
        wished.releases += 1
        try:
            empty: Empty = await self._client.call("Release", request, min(timeout, PATIENCE_S))
        except errors.Conflict:
            self._released(wished, LOST)
            raise
        self._released(wished, OK)
        return empty

    def give_up(self) -> None:
        """Nobody waits for what has no answer yet."""
        for wished in self._wished.values():
            if not wished.answered:
                self._answer(wished, UNKNOWN)

    def _wish(self, wish: pb.AcquireRequest) -> _Wished:
        if wish.lock_id not in self._wished:
            shared = wish.mode == pb.LOCK_MODE_SHARED
            asked = self._client.ask("acquire", wish.lock_name, shared=shared, ttl_s=TTL_S)
            self._wished[wish.lock_id] = _Wished(asked, wish.lock_name)
        return self._wished[wish.lock_id]

    def _hear(self, wished: _Wished, answer: pb.HoldResponse) -> None:
        match answer.WhichOneof("event"):
            case "waiting" if wished.waiting is None:
                wished.waiting = time.monotonic()
            case "granted" if not wished.answered:
                wished.token = answer.granted.fencing_token
                self._answer(wished, OK, token=wished.token)
            case "lost":
                reason = pb.LossReason.Name(answer.lost.reason).removeprefix("LOSS_REASON_")
                self._lost(wished, reason)

    def _refused(self, wished: _Wished, code: str) -> None:
        if wished.answered:
            self._lost(wished, code)
        else:
            self._answer(wished, LOST, said=code)

    def _lost(self, wished: _Wished, said: str) -> None:
        if wished.token:
            asked = self._client.ask("told", wished.lock, token=wished.token)
            self._client.answer(asked, LOST, said=said)

    def _answer(self, wished: _Wished, outcome: str, **more: Any) -> None:
        wished.answered = True
        self._client.answer(wished.call, outcome, tries=wished.tries, waiting=wished.waiting, **more)

    def _released(self, wished: _Wished, outcome: str) -> None:
        if wished.release:
            self._client.answer(wished.release, outcome, tries=wished.releases)


def _outcome(failure: errors.Error) -> str:
    return LOST if isinstance(failure, errors.Conflict) else UNKNOWN
