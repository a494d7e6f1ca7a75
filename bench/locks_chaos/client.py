"""Clients, who take locks, write under them, and tell all that they ask and are answered.

Each is as careful as a good client can be: it counts a lease's life from when it asked, and stops when that has passed.
What no client can do is look at the clock after it has been paused: between the look and the write it may sleep for
long. There the fence stands.
"""

import asyncio
import os
import random
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import grpc.aio
import orjson
import sqlalchemy as sa
from grpc_status import rpc_status
from joserfc.jwk import OKPKey
from switchyard.locks.v1 import locks_pb2 as pb
from switchyard.locks.v1 import locks_pb2_grpc
from uuid_utils.compat import uuid7

from bench.locks_chaos import process
from bench.locks_chaos.faults import TTL_S
from bench.locks_chaos.judge import LOST, OK, REFUSED, UNKNOWN, Rules
from chassis import errors, fencing
from chassis.db import Database
from chassis.identity import Principal
from chassis.rpc import client as rpc
from chassis.rpc import metadata

# An answer that takes longer is not waited for: asked again, of the other process.
PATIENCE_S = 3.0
WAIT_S = (0, 0, 1, 5)
# After the last fault everything must come to an end.
TRIES_LAST = 40
# How long a piece of work under a lock takes, how many there are, and how often somebody walks away and lets it lapse.
WORK_S = (0.03, 0.2)
PIECES = (1, 4)
FORGETS = 0.03
# How often a lease is acquired again by its owner, and somebody breaks the one lock that may be broken.
AGAIN = 0.15
BREAKS = 0.06
BREAKABLE = "broken"
# So often a wish is sent before it is given up.
TRIES = 4
REST_S = (0.0, 0.1)

# What a service may answer when much is wrong around it.
_EXPECTED = (errors.Conflict, errors.NotFound, errors.Unavailable, errors.DeadlineExceeded)

_WRITE = sa.text(
    "INSERT INTO writes (tenant_id, lock, token, number, client) VALUES (:tenant, :lock, :token, :number, :client)"
)


@dataclass(frozen=True)
class Crowd:
    """What a process of clients is told besides. `out` is a pipe to the recorder."""

    told: process.Told
    out: Any
    seed: str
    tasks: int
    tenant_id: UUID
    addresses: tuple[str, ...]
    database_url: str
    locks: dict[str, Rules]


class Shared:
    """What the clients of one process share."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        key = OKPKey.import_key(dict(crowd.told.key))
        granted = frozenset({"locks.read", "locks.write", "locks.break"})
        self.principal = Principal("user", str(uuid7()), crowd.tenant_id, permissions=granted)
        self.metadata = ((metadata.PASS, process.pass_of(self.principal, key)),)
        self.over = asyncio.Event()
        self.channels = [grpc.aio.insecure_channel(each, options=rpc.OPTIONS) for each in crowd.addresses]
        self.stubs = [locks_pb2_grpc.LocksServiceStub(each) for each in self.channels]
        self.database = Database("chaos", crowd.database_url, pool=2)
        self._count = 0

    async def close(self) -> None:
        for channel in self.channels:
            await channel.close()
        await self.database.close()

    def tell(self, **event: Any) -> None:
        """One line to the recorder: written whole, or not at all."""
        os.write(self.crowd.out.fileno(), orjson.dumps({"at": time.monotonic(), **event}) + b"\n")

    def ask(self, client: str, kind: str, lock: str, **more: Any) -> int:
        self._count += 1
        self.tell(client=client, call=self._count, kind=kind, lock=lock, **more)
        return self._count

    def answer(self, client: str, call: int, outcome: str, **more: Any) -> None:
        self.tell(client=client, call=call, outcome=outcome, **more)


class _Lost(Exception):
    """The lease is over, or may be."""


class Client(ABC):
    """One client: one thing after the other."""

    def __init__(self, crowd: Shared, number: int) -> None:
        self.crowd = crowd
        self.chosen = random.Random(f"{crowd.crowd.seed} {number}")
        self.name = f"{crowd.crowd.told.name}.{number}"

    async def run(self) -> None:
        locks = self.crowd.crowd.locks
        while not self.crowd.over.is_set():
            await self.once(self.chosen.choice(list(locks)), self.chosen.choice(WAIT_S), last=False)
            await asyncio.sleep(self.chosen.uniform(*REST_S))
        # Nothing is in anybody's way any more: each lock can be had by everybody in turn.
        for lock in self.chosen.sample(list(locks), 2):
            for _ in range(TRIES_LAST):
                if await self.once(lock, 5, last=True):
                    break
            else:
                raise SystemExit(f"{self.name} did not get {lock}")

    @abstractmethod
    async def once(self, lock: str, wait_s: int, *, last: bool) -> bool:
        """Work under a lock; whether it was had."""

    def wish(self, lock: str, wait_s: int) -> pb.AcquireRequest:
        wish = pb.AcquireRequest(lock_name=lock, timeout=TTL_S, blocking_timeout=wait_s, lock_id=str(uuid7()))
        rules = self.crowd.crowd.locks[lock]
        wish.permits = rules.permits
        shared = rules.shared and self.chosen.random() < 0.7
        wish.mode = pb.LOCK_MODE_SHARED if shared else pb.LOCK_MODE_EXCLUSIVE
        return wish

    async def work(self, lock: str) -> None:
        self.crowd.tell(client=self.name, works=lock)
        await asyncio.sleep(self.chosen.uniform(*WORK_S))

    async def call(self, method: str, request: Any, patience_s: float) -> Any:
        """One try, of one process. Raises `chassis.errors.Error`."""
        stub = self.chosen.choice(self.crowd.stubs)
        try:
            return await getattr(stub, method)(request, metadata=self.crowd.metadata, timeout=patience_s)
        except grpc.aio.AioRpcError as failure:
            raise self.error(method, failure) from failure

    def error(self, method: str, failure: grpc.aio.AioRpcError) -> errors.Error:
        """What was answered; told is what no fault excuses."""
        error = errors.from_rpc_error(failure)
        said_by_service = rpc_status.from_call(failure) is not None  # type: ignore[arg-type]
        if said_by_service and not isinstance(error, _EXPECTED):
            self.crowd.tell(client=self.name, wrong=f"{method} was answered with {error!r}")
        return error

    def ask(self, kind: str, lock: str, **more: Any) -> int:
        return self.crowd.ask(self.name, kind, lock, **more)

    def answer(self, call: int, outcome: str, **more: Any) -> None:
        self.crowd.answer(self.name, call, outcome, **more)

    async def write(self, lease: fencing.Fence, number: int, *, late: bool) -> str:
        """A fenced write, as any service does it."""
        lock, token = lease.lock_name, lease.fencing_token
        if self.crowd.crowd.locks[lock] != Rules():
            # Those who share a lock have no order that a fence could keep.
            return OK
        call = self.ask("write", lock, token=token, number=number, late=late)
        outcome = await self._write(lease, number)
        self.answer(call, outcome)
        return outcome

    async def _write(self, lease: fencing.Fence, number: int) -> str:
        row = {"lock": lease.lock_name, "token": lease.fencing_token, "number": number, "client": self.name}
        row["tenant"] = self.crowd.crowd.tenant_id
        try:
            async with self.crowd.database.transaction(self.crowd.principal) as session:
                await fencing.fenced(session, lease)
                await session.execute(_WRITE, row)
        except errors.Conflict:
            return LOST
        except errors.Error:
            return UNKNOWN
        return OK


class Plain(Client):
    """One that makes each call itself."""

    async def once(self, lock: str, wait_s: int, *, last: bool) -> bool:
        if not last and self.chosen.random() < BREAKS:
            await self._break()
        wish = self.wish(lock, wait_s)
        again = not last and self.chosen.random() < AGAIN
        if again:
            wish.owner = str(uuid7())
        lease = _Lease(self, wish)
        if not await lease.acquire():
            return False
        try:
            for number in range(1 if last else self.chosen.randint(*PIECES)):
                await lease.keep()
                await self.work(lock)
                await lease.write(number)
            if again:
                await lease.again()
                await self.work(lock)
                await lease.write(PIECES[1])
                await lease.leave()
                await self.work(lock)
                await lease.write(PIECES[1] + 1)
            if last or self.chosen.random() > FORGETS:
                await lease.release()
        except _Lost:
            pass
        return True

    async def _break(self) -> None:
        comment = str(uuid7())
        call = self.ask("break", BREAKABLE, said=comment)
        try:
            await self.call("BreakLock", pb.BreakLockRequest(name=BREAKABLE, reason=comment), PATIENCE_S)
        except errors.NotFound:
            self.answer(call, REFUSED)
        except errors.Error:
            self.answer(call, UNKNOWN)
        else:
            self.answer(call, OK)


class _Lease:
    """A lease, as its client sees it."""

    def __init__(self, client: Plain, wish: pb.AcquireRequest) -> None:
        self._client = client
        self._wish = wish
        self._lock = wish.lock_name
        self._granted = pb.Lease()
        self._until = 0.0

    @property
    def _token(self) -> int:
        token: int = self._granted.fencing_token
        return token

    async def acquire(self) -> bool:
        found = await self._ask("acquire", self._wish)
        if found is not None:
            self._granted = found
        return found is not None

    async def again(self) -> None:
        """Acquire it once more; raises `_Lost` when that is not certain."""
        self._other = pb.AcquireRequest()
        self._other.CopyFrom(self._wish)
        self._other.lock_id = str(uuid7())
        found = await self._ask("again", self._other, token=self._token)
        if found is None or found.fencing_token != self._token:
            raise _Lost

    async def leave(self) -> None:
        """Give it back once, by either id; raises `_Lost` when that is not certain."""
        if self._client.chosen.random() < 0.5:
            self._wish, self._other = self._other, self._wish
        if not await self._give_back("leave", self._other.lock_id):
            raise _Lost

    async def release(self) -> None:
        await self._give_back("release", self._wish.lock_id)

    async def _ask(self, kind: str, wish: pb.AcquireRequest, **more: Any) -> pb.Lease | None:
        asked = time.monotonic()
        shared = wish.mode == pb.LOCK_MODE_SHARED
        call = self._client.ask(kind, self._lock, shared=shared, ttl_s=TTL_S, **more)
        for number in range(1, TRIES + 1):
            try:
                found: pb.Lease = await self._client.call("Acquire", wish, wish.blocking_timeout + PATIENCE_S)
            except errors.Conflict as failure:
                self._client.answer(call, LOST, tries=number, said=failure.code)
                return None
            except errors.Error as failure:
                said = str(failure)
                await asyncio.sleep(0.1 * number)
                continue
            if not found.acquired:
                self._client.answer(call, REFUSED, tries=number)
                return None
            self._until = asked + TTL_S
            self._client.answer(call, OK, token=found.fencing_token, tries=number)
            return found
        self._client.answer(call, UNKNOWN, tries=TRIES, said=said)
        return None

    async def keep(self) -> None:
        """Renew it when half of its life has passed, or it may be over already; raises `_Lost` when it cannot be."""
        if self._until - time.monotonic() > TTL_S / 2:
            return
        asked = time.monotonic()
        call = self._client.ask("renew", self._lock, token=self._token, ttl_s=TTL_S)
        try:
            await self._client.call("Renew", pb.RenewRequest(lock_id=self._wish.lock_id), PATIENCE_S)
        except errors.Conflict:
            self._client.answer(call, LOST)
            raise _Lost from None
        except errors.Error as failure:
            self._client.answer(call, UNKNOWN, said=str(failure))
            if time.monotonic() >= self._until:
                raise _Lost from None
            return
        self._until = asked + TTL_S
        self._client.answer(call, OK)
        if time.monotonic() >= self._until:
            raise _Lost

    async def write(self, number: int) -> None:
        if await self._client.write(self._granted, number, late=time.monotonic() > self._until) == LOST:
            raise _Lost

    async def _give_back(self, kind: str, lock_id: str) -> bool:
        call = self._client.ask(kind, self._lock, token=self._token)
        for number in range(1, 4):
            try:
                await self._client.call("Release", pb.ReleaseRequest(lock_id=lock_id), PATIENCE_S)
            except errors.Conflict:
                self._client.answer(call, LOST, tries=number)
                raise _Lost from None
            except errors.Error as failure:
                said = str(failure)
                await asyncio.sleep(0.1 * number)
                continue
            self._client.answer(call, OK, tries=number)
            return True
        self._client.answer(call, UNKNOWN, tries=3, said=said)
        return False
