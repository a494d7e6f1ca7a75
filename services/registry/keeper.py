"""The bucket in which the registry is kept: read in the order of its revisions, changed by compare-and-set."""

import asyncio
import base64
from collections.abc import Callable
from typing import Final

import nats.errors
import structlog
from nats.js.errors import Error as JetStreamError
from switchyard.registry.v1 import registry_pb2 as pb

from chassis import buckets, clock, errors
from services.registry import roster as rosters
from services.registry import rules
from services.registry.roster import Entry, Known, Roster

BUCKET: Final = "registry"
# Every change waits for the history, however long its writer is away.
HISTORY: Final = -1
# What a change says besides the instance: what the audit trail is to be told.
AUDIT: Final = "Switchyard-Audit"
# A change that meets others, or an outcome that is not known, is tried again so often.
TRIES: Final = 5
# A write is seen by its own process within milliseconds; longer than this, NATS is away.
SEEN_S: Final = 2.0
RETRY_S: Final = 0.25
# So many writes at once: half of all instances may change in a moment.
WRITES_MAX: Final = 64

Decide = Callable[[Known | None], pb.Instance | None]

log = structlog.get_logger()


class Keeper:
    """Keeps the roster as the bucket is, and changes the bucket."""

    def __init__(self, bucket: buckets.Bucket, roster: Roster) -> None:
        self._bucket = bucket
        self._roster = roster
        self._began = asyncio.Event()
        self._writing = asyncio.Semaphore(WRITES_MAX)
        self._asking: asyncio.Task[int] | None = None

    async def run(self) -> None:
        """Follow the bucket until cancelled."""
        revision = await self._begin()
        async for told in self._bucket.watch():
            if isinstance(told, buckets.Entry):
                self._apply(told)
            elif not self._roster.began:
                self._roster.begin(self._roster.now(), revision)
                self._began.set()

    async def _begin(self) -> int:
        """The revision of a bucket that is there."""
        while True:
            try:
                await self._bucket.ensure()
                return await self._bucket.revision()
            except (nats.errors.Error, JetStreamError, errors.Unavailable) as failure:
                log.info("bucket_not_ready", error=repr(failure))
            await asyncio.sleep(RETRY_S)

    def _apply(self, told: buckets.Entry) -> None:
        try:
            self._roster.apply(told, self._roster.now())
        except ValueError as failure:
            log.warning("instance_unreadable", key=told.key, revision=told.revision, error=repr(failure))
            self._roster.lose(told.key, told.revision)

    async def begun(self) -> None:
        """Return once the roster is as the bucket was."""
        await self._began.wait()

    async def began(self) -> None:
        """Return once the roster is as the bucket was. Raises `Unavailable` when that takes too long."""
        try:
            await asyncio.wait_for(self._began.wait(), SEEN_S)
        except TimeoutError:
            raise errors.Unavailable("the registry is not yet read") from None

    async def ready(self) -> bool:
        """Whether the roster is as the bucket was."""
        return self._began.is_set()

    async def reached(self, revision: int) -> None:
        """Return once the roster is as new as `revision`. Raises `Unavailable` when that takes too long."""
        try:
            await asyncio.wait_for(self._roster.reached(revision), SEEN_S)
        except TimeoutError:
            raise errors.Unavailable("the bucket was not heard of") from None

    async def fresh(self) -> None:
        """Return once the roster is as new as the bucket was when this was called. Raises `Unavailable`."""
        await self.began()
        if self._asking is not None:
            # An answer that is under way may be older than this question; many questions share the next one.
            await asyncio.wait([self._asking])
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._bucket.revision())
        await self.reached(await asyncio.shield(self._asking))

    async def known(self, service: str, instance_id: str) -> Entry:
        """One instance that is not gone. Raises `NotFound`."""
        entry = await self._find(service, instance_id, 0)
        if entry.gone:
            raise errors.NotFound
        return entry

    async def owned(self, service: str, instance_id: str, epoch: int) -> Entry:
        """The instance of a process that was given this epoch. Raises `NotFound`, and `Conflict` if it is over."""
        entry = await self._find(service, instance_id, epoch)
        if epoch < entry.instance.epoch or (entry.gone and self._roster.successor(entry.instance)):
            raise superseded()
        if entry.gone:
            raise errors.NotFound
        return entry

    async def _find(self, service: str, instance_id: str, epoch: int) -> Entry:
        await self.began()
        entry = self._roster.find(service, instance_id)
        if entry is None or entry.gone or epoch > entry.instance.epoch:
            # Another process may have written what has not yet come here.
            await self.fresh()
            entry = self._roster.find(service, instance_id)
        if entry is None or epoch > entry.instance.epoch:
            raise errors.NotFound
        return entry

    async def settle(self, entry: Entry) -> None:
        """Write how an instance is by the signs of it, if that has changed."""
        if self._roster.judge(entry, entry.instance, self._roster.now()) is None:
            return

        def decide(known: Known | None) -> pb.Instance | None:
            if known is None or known.instance.epoch != entry.instance.epoch:
                return None
            verdict = self._roster.judge(entry, known.instance, self._roster.now())
            if verdict is None:
                return None
            changed = turned(known.instance, verdict.state, verdict.reason, preserved=verdict.preserved)
            if not changed.preserved:
                changed.health_score = rules.score(changed.state, entry.signs.checks)
            return changed

        await self.change(entry.key, decide)

    async def change(
        self, key: str, decide: Decide, *, audit: bytes = b"", renews: int | None = None
    ) -> pb.Instance | None:
        """Write what `decide` makes of an instance as it stands; what was written, or None for nothing.

        `decide` may be asked again, when others were quicker. An epoch of 0 is the write's own; `renews` is the one
        before it: a registration that has been written already, by a call that was sent again, is the answer.
        Raises `Unavailable`.
        """
        entry = self._roster.entries.get(key)
        known = None if entry is None else Known(entry.instance, entry.renews, entry.left)
        last, seen = (known.instance.revision, known.instance.epoch) if known else (0, 0)
        wanted: pb.Instance | None
        async with self._writing:
            for _ in range(TRIES):
                if known is not None and _is_repeated(known, renews, seen):
                    wanted, revision = known.instance, known.instance.revision
                    break
                wanted = decide(known)
                if wanted is None:
                    return None
                told = {rosters.LEFT: str(known.instance.state if known else pb.INSTANCE_STATE_UNSPECIFIED)}
                told[rosters.RENEWS] = str(renews if renews is not None else known.renews if known else 0)
                if audit:
                    told[AUDIT] = base64.b64encode(audit).decode()
                revision = await self._put(key, wanted, told, last=last)
                if revision:
                    break
                found = await self._bucket.get(key)
                known, last = _known(found), found.revision if found else 0
            else:
                raise errors.Unavailable("too many change this instance at once")
        await self.reached(revision)
        wanted.revision = revision
        wanted.epoch = wanted.epoch or revision
        return wanted

    async def _put(self, key: str, wanted: pb.Instance, headers: dict[str, str], *, last: int) -> int:
        """Write once; the revision, or 0 when another write came first."""
        wanted.ClearField("revision")
        value = wanted.SerializeToString(deterministic=True)
        try:
            return await self._bucket.put(key, value, last=last, headers=headers)
        except buckets.Stale:
            return 0
        except errors.Unavailable:
            # Written or not? The value tells: no two writes are alike, each carries its moment.
            found = await self._bucket.get(key)
            if found is not None and found.value == value:
                return found.revision
            if found is None or found.revision == last:
                raise
            return 0

    async def forget(self, entry: Entry) -> None:
        """Forget an instance that left long ago. Raises `Unavailable`."""
        await self._bucket.forget(entry.key, until=entry.instance.revision)
        self._roster.forget(entry.key)

    async def prune(self, entry: Entry, *, until: int) -> None:
        """Drop what an instance was until a revision, but not what it is. Raises `Unavailable`."""
        await self._bucket.forget(entry.key, until=min(until, entry.instance.revision - 1))


def _known(found: buckets.Entry | None) -> Known | None:
    try:
        return None if found is None else rosters.read(found)
    except ValueError:
        # Deleted by hand.
        return None


def _is_repeated(known: Known, renews: int | None, seen: int) -> bool:
    """Whether a registration that renews an epoch was written already; of the first one, since `seen`."""
    same = known.renews == renews and known.instance.state != pb.INSTANCE_STATE_GONE
    return same and (known.renews > 0 or known.instance.epoch > seen)


def turned(instance: pb.Instance, state: pb.InstanceState, reason: str, *, preserved: bool = False) -> pb.Instance:
    """An instance in another state."""
    changed = pb.Instance()
    changed.CopyFrom(instance)
    if state != instance.state:
        changed.changed_at.FromDatetime(clock.now())
    changed.state, changed.reason, changed.preserved = state, reason, preserved
    changed.health_score = rules.SCORES[state]
    return changed


def superseded() -> errors.Conflict:
    """The refusal of a process that has a successor."""
    return errors.Conflict("another process has registered in its place", code="SUPERSEDED")
