"""A process of clients, who take locks, write under them, and tell all that they ask and are answered.

Each is as careful as a good client can be: it counts a lease's life from when it asked, and stops when that has passed.
What no client can do is look at the clock after it has been paused: between the look and the write it may sleep for
long. There the fence stands.
"""

import asyncio
import os
import random
import signal
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import grpc.aio
import orjson
import sqlalchemy as sa
import uvloop
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
REST_S = (0.0, 0.1)

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


def main(crowd: Crowd) -> None:
    process.begin(crowd.told)
    uvloop.run(_Crowd(crowd).run())


class _Crowd:
    """The clients of one process."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        key = OKPKey.import_key(dict(crowd.told.key))
        granted = frozenset({"locks.read", "locks.write"})
        self.principal = Principal("user", str(uuid7()), crowd.tenant_id, permissions=granted)
        self.metadata = ((metadata.PASS, process.pass_of(self.principal, key)),)
        self.over = asyncio.Event()
        self._count = 0

    async def run(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.over.set)
        channels = [grpc.aio.insecure_channel(each, options=rpc.OPTIONS) for each in self.crowd.addresses]
        self.stubs = [locks_pb2_grpc.LocksServiceStub(each) for each in channels]
        self.database = Database("chaos", self.crowd.database_url, pool=2)
        await asyncio.gather(*(_Client(self, number).run() for number in range(self.crowd.tasks)))
        for channel in channels:
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


class _Client:
    """One client: one thing after the other."""

    def __init__(self, crowd: _Crowd, number: int) -> None:
        self._crowd = crowd
        self._chosen = random.Random(f"{crowd.crowd.seed} {number}")
        self.name = f"{crowd.crowd.told.name}.{number}"

    async def run(self) -> None:
        locks = self._crowd.crowd.locks
        while not self._crowd.over.is_set():
            await self._once(self._chosen.choice(list(locks)), self._chosen.choice(WAIT_S), tries=4)
            await asyncio.sleep(self._chosen.uniform(*REST_S))
        # Nothing is in anybody's way any more: each lock can be had by everybody in turn.
        for lock in self._chosen.sample(list(locks), 2):
            for _ in range(TRIES_LAST):
                if await self._once(lock, 5, tries=4, last=True):
                    break
            else:
                raise SystemExit(f"{self.name} did not get {lock}")

    async def _once(self, lock: str, wait_s: int, *, tries: int, last: bool = False) -> bool:
        wish = pb.AcquireRequest(lock_name=lock, timeout=TTL_S, blocking_timeout=wait_s, lock_id=str(uuid7()))
        rules = self._crowd.crowd.locks[lock]
        if rules.permits > 1:
            wish.permits = rules.permits
        if rules.shared and self._chosen.random() < 0.7:
            wish.mode = pb.LOCK_MODE_SHARED
        lease = _Lease(self, wish)
        if not await lease.acquire(tries):
            return False
        try:
            for number in range(1 if last else self._chosen.randint(*PIECES)):
                await lease.keep()
                self._crowd.tell(client=self.name, works=lock)
                await asyncio.sleep(self._chosen.uniform(*WORK_S))
                if rules == Rules():
                    # Those who share a lock have no order that a fence could keep.
                    await lease.write(number)
            if last or self._chosen.random() > FORGETS:
                await lease.release()
        except _Lost:
            pass
        return True

    async def call(self, method: str, request: Any, patience_s: float) -> Any:
        """One try, of one process. Raises `chassis.errors.Error`."""
        stub = self._chosen.choice(self._crowd.stubs)
        try:
            return await getattr(stub, method)(request, metadata=self._crowd.metadata, timeout=patience_s)
        except grpc.aio.AioRpcError as failure:
            raise errors.from_rpc_error(failure) from failure

    def ask(self, kind: str, lock: str, **more: Any) -> int:
        return self._crowd.ask(self.name, kind, lock, **more)

    def answer(self, call: int, outcome: str, **more: Any) -> None:
        self._crowd.answer(self.name, call, outcome, **more)

    async def write(self, lease: pb.Lease, number: int) -> str:
        """A fenced write, as any service does it."""
        row = {"lock": lease.lock_name, "token": lease.fencing_token, "number": number, "client": self.name}
        row["tenant"] = self._crowd.crowd.tenant_id
        try:
            async with self._crowd.database.transaction(self._crowd.principal) as session:
                await fencing.fenced(session, lease)
                await session.execute(_WRITE, row)
        except errors.Conflict:
            return LOST
        except errors.Error:
            return UNKNOWN
        return OK


class _Lease:
    """A lease, as its client sees it."""

    def __init__(self, client: _Client, wish: pb.AcquireRequest) -> None:
        self._client = client
        self._wish = wish
        self._lock = wish.lock_name
        self._granted = pb.Lease()
        self._until = 0.0

    @property
    def _token(self) -> int:
        token: int = self._granted.fencing_token
        return token

    async def acquire(self, tries: int) -> bool:
        asked = time.monotonic()
        shared = self._wish.mode == pb.LOCK_MODE_SHARED
        call = self._client.ask("acquire", self._lock, shared=shared, ttl_s=TTL_S)
        for number in range(1, tries + 1):
            try:
                found = await self._client.call("Acquire", self._wish, self._wish.blocking_timeout + PATIENCE_S)
            except errors.Conflict:
                # What an answer that was lost had granted has ended since.
                self._client.answer(call, LOST, tries=number)
                return False
            except errors.Error as failure:
                said = str(failure)
                await asyncio.sleep(0.1 * number)
                continue
            if not found.acquired:
                self._client.answer(call, REFUSED, tries=number)
                return False
            self._granted, self._until = found, asked + TTL_S
            self._client.answer(call, OK, token=self._token, tries=number)
            return True
        self._client.answer(call, UNKNOWN, tries=tries, said=said)
        return False

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
        late = time.monotonic() > self._until
        call = self._client.ask("write", self._lock, token=self._token, number=number, late=late)
        outcome = await self._client.write(self._granted, number)
        self._client.answer(call, outcome)
        if outcome == LOST:
            raise _Lost

    async def release(self) -> None:
        call = self._client.ask("release", self._lock, token=self._token)
        for number in range(1, 4):
            try:
                await self._client.call("Release", pb.ReleaseRequest(lock_id=self._wish.lock_id), PATIENCE_S)
            except errors.Conflict:
                self._client.answer(call, LOST, tries=number)
                raise _Lost from None
            except errors.Error as failure:
                said = str(failure)
                await asyncio.sleep(0.1 * number)
                continue
            self._client.answer(call, OK, tries=number)
            return
        self._client.answer(call, UNKNOWN, tries=3, said=said)
