"""Changes locks: every change is one compare-and-set, and what comes for one lock at the same time is one change.

A command is a function that changes a document and may be applied to it again. The keeper applies all that wait to the
last document it knows, and writes the result if nobody else has written meanwhile; else it reads what they wrote, and
applies them anew. A write of which nobody knows whether it was done is read, too.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from google.protobuf.message import DecodeError
from switchyard.locks.v1.stored_pb2 import StoredLock

from chassis import buckets, clock, errors
from chassis.buckets import Bucket, CaughtUp, Entry
from services.locks import documents, locks
from services.locks.documents import Document, Documents
from services.locks.hosts import Hosts

# A free lock is forgotten after this.
FREE_TTL_S: Final = 3600
# A call waits for so long for a bucket that is choosing a new leader; that takes 2 to 7 seconds, and a call has 10.
PATIENCE_S: Final = 8.5
RETRY_S: Final = 0.1
# The mark of a key that was deleted by NATS's own tools.
_BY_HAND: Final = "KV-Operation"

log = structlog.get_logger()

Apply = Callable[[StoredLock], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The document that a command has led to; `at` is a moment (monotonic) before it was written, or read."""

    document: Document
    at: float


@dataclass(slots=True, eq=False)
class _Command:
    apply: Apply
    hint: bool
    until: float
    done: asyncio.Future[Outcome]


class Keeper:
    """All locks, as one process changes them."""

    def __init__(self, bucket: Bucket, hosts: Hosts) -> None:
        self._bucket = bucket
        self._hosts = hosts
        self._pending: dict[str, list[_Command]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listeners: list[Callable[[Document], None]] = []
        self._position = 0
        self._barrier: asyncio.Task[int] | None = None
        self._one_barrier = asyncio.Lock()
        self._behind: list[tuple[int, asyncio.Future[None]]] = []
        self.documents = Documents()
        # Locks in which this process has ended leases, of which nobody was told yet.
        self.losses: asyncio.Queue[str] = asyncio.Queue()
        self.caught_up = asyncio.Event()

    def on_change(self, listener: Callable[[Document], None]) -> None:
        """Tell `listener` of each document that is newer than what was known."""
        self._listeners.append(listener)

    async def ready(self) -> bool:
        """Whether all locks are known."""
        return self.caught_up.is_set()

    async def run(self) -> None:
        """Learn of every change, until cancelled."""
        try:
            async for found in self._bucket.watch():
                if isinstance(found, CaughtUp):
                    self.caught_up.set()
                    continue
                if found.key != buckets.BARRIER:
                    self._see(found)
                self._move(found.revision)
        finally:
            for task in self._tasks:
                task.cancel()

    async def change(self, key: str, apply: Apply, *, hint: bool = False) -> Outcome:
        """Apply a command. With `hint`, one that would change nothing by what is known here is done with that.

        Raises what the command raises, and `Unavailable`.
        """
        return await self.begin(key, apply, hint=hint)

    def begin(self, key: str, apply: Apply, *, hint: bool = False) -> "asyncio.Future[Outcome]":
        """As `change`, and not waited for. Commands for a lock are applied in the order in which they were begun."""
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        command = _Command(apply, hint, time.monotonic() + PATIENCE_S, done)
        pending = self._pending.get(key)
        if pending is None:
            self._serve(key, [command])
        else:
            pending.append(command)
        return done

    def nudge(self, key: str) -> None:
        """Drop the waiters of dead hosts, and let the first in line have a lock that is there to be had."""
        if key not in self._pending and self._is_due(self.documents.get(key).lock):
            self._serve(key, [])

    async def read(self, key: str) -> Document:
        """The document as the leader has it, or newer. Raises `Unavailable`."""
        entry = await self._bucket.get(key)
        if entry is not None:
            return self._see(entry)
        known = self.documents.get(key)
        # That it was forgotten is not told; one that is in use is not.
        return Document(key, StoredLock(), 0) if locks.is_free(known.lock) else known

    async def find(self, tenant: UUID, lease_id: bytes) -> str:
        """The key of the lock in which an id stands. Raises `LeaseLost` and `Unavailable`."""
        key = self.documents.find(tenant, lease_id)
        if key is None:
            await self.catch_up()
            key = self.documents.find(tenant, lease_id)
        if key is None:
            raise errors.LeaseLost
        return key

    async def catch_up(self) -> None:
        """Wait until everything that was acknowledged before is known. Raises `Unavailable`."""
        if self._barrier is None:
            self._barrier = asyncio.create_task(self._pass_barrier())
            # Who asked may have gone, and nobody else hears that it failed.
            self._barrier.add_done_callback(lambda passed: passed.cancelled() or passed.exception())
        revision = await asyncio.shield(self._barrier)
        if self._position >= revision:
            return
        there: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._behind.append((revision, there))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await there
        except TimeoutError:
            message = "the bucket's changes do not arrive"
            raise errors.Unavailable(message, retry_after_s=1) from None

    async def _pass_barrier(self) -> int:
        # One under way may be older than the question; who comes while it is shares the next one.
        async with self._one_barrier:
            self._barrier = None
            return await self._bucket.barrier()

    def _see(self, entry: Entry) -> Document:
        known = self.documents.get(entry.key)
        if known.revision >= entry.revision:
            return known
        document = Document(entry.key, _read(entry), entry.revision)
        self._take(document)
        return document

    def _take(self, document: Document) -> None:
        if self.documents.take(document, time.monotonic()):
            for listener in self._listeners:
                listener(document)

    def _move(self, position: int) -> None:
        self._position = position
        if self._behind:
            for revision, there in self._behind:
                if revision <= position and not there.done():
                    there.set_result(None)
            self._behind = [entry for entry in self._behind if not entry[1].done()]

    def _serve(self, key: str, commands: list[_Command]) -> None:
        self._pending[key] = commands
        task = asyncio.create_task(self._serve_all(key, commands))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_all(self, key: str, pending: list[_Command]) -> None:
        """Apply what is pending for a lock, until nothing is, and nobody in line could have it."""
        taken: list[_Command] = []
        read = False
        try:
            while pending or self._is_due(self.documents.get(key).lock):
                taken, pending[:] = [each for each in pending if not each.done.done()], []
                at = time.monotonic()
                try:
                    document = await self.read(key) if read else self.documents.get(key)
                    pending[:0] = await self._attempt(document, taken, at=at)
                    read = False
                except buckets.Stale:
                    if read and not taken and not pending:
                        return
                    contention = errors.Unavailable("others change the lock all the time", retry_after_s=1)
                    pending[:0], read = _patient(taken, contention), True
                except errors.Unavailable as failure:
                    if not taken and not pending:
                        return
                    pending[:0], read = _patient(taken, failure), True
                    await asyncio.sleep(RETRY_S)
        finally:
            del self._pending[key]
            for command in (*taken, *pending):
                # None is left, unless this was cancelled, or has died of a bug.
                command.done.cancel()

    async def _attempt(self, document: Document, commands: list[_Command], *, at: float) -> list[_Command]:
        """Apply commands to a document and write it; those that are left for the next write.

        Raises `Stale` when it is to be done again with a newer one, and `Unavailable`.
        """
        lock = locks.copy(document.lock)
        locks.drop(lock, self._dead(lock))
        later, refused = [], {}
        # Reading has taken its time: who has gone meanwhile wants nothing any more.
        commands = [each for each in commands if not each.done.done()]
        for command in commands:
            try:
                command.apply(lock)
            except locks.LaterError:
                later.append(command)
            except errors.Error as failure:
                refused[command] = failure
        locks.promote(lock, clock.now())
        if lock != document.lock:
            document = await self._write(document, lock)
        elif not all(command.hint for command in commands):
            # Nothing is refused by what may be old, and who takes itself for the leader may be cut off.
            await self.catch_up()
            known = self.documents.get(document.key)
            # What was forgotten, and free before, is as new.
            if known.revision > document.revision and (document.revision or not locks.is_free(known.lock)):
                raise buckets.Stale
        outcome = Outcome(document, at)
        for command in commands:
            if command.done.done() or command in later:
                continue
            if command in refused:
                command.done.set_exception(refused[command])
            else:
                command.done.set_result(outcome)
        return later

    def _is_due(self, lock: StoredLock) -> bool:
        return locks.can_promote(lock) or bool(self._dead(lock))

    def _dead(self, lock: StoredLock) -> frozenset[str]:
        """The hosts whose places in line are void. Asked in the moment: who has been paused takes nobody for dead."""
        return self._hosts.dead({waiter.host for waiter in lock.waiters}, time.monotonic())

    async def _write(self, before: Document, lock: StoredLock) -> Document:
        ttl_s = FREE_TTL_S if locks.is_free(lock) else None
        revision = await self._bucket.put(before.key, lock.SerializeToString(), last=before.revision, ttl_s=ttl_s)
        locks.settle(lock, revision)
        after = Document(before.key, lock, revision)
        self._take(after)
        if len(locks.untold(lock)) > len(locks.untold(before.lock)):
            self.losses.put_nowait(before.key)
        return after


def _read(entry: Entry) -> StoredLock:
    """A lock. One whose document somebody has deleted by hand, or overwritten, is free: its tokens go on growing."""
    if _BY_HAND in entry.headers:
        log.warning("lock_deleted_by_hand", key=entry.key, revision=entry.revision)
        return StoredLock()
    try:
        documents.tenant_of(entry.key)
        return locks.read(entry.value, entry.revision)
    except (DecodeError, ValueError) as failure:
        log.warning("lock_unreadable", key=entry.key, revision=entry.revision, error=repr(failure))
        return StoredLock()


def _patient(commands: list[_Command], failure: errors.Error) -> list[_Command]:
    """Those that can wait for longer; the others are told of the failure."""
    now = time.monotonic()
    for command in commands:
        if command.until <= now and not command.done.done():
            command.done.set_exception(failure)
    return [command for command in commands if command.until > now]
