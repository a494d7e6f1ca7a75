"""The live state: who was heard of when, how each instance is, and who watches.

An instance is `starting` until its first sign of readiness, `passing` while it sends heartbeats, `warning` when it says
that it is not ready, or misses heartbeats but still answers the health probe, and `critical` when neither comes; after
a while of that it is `gone`. When more than half of all instances fall silent at once, it is the network or this
process that has failed and not they: the last known state is kept.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import structlog
from switchyard.registry.v1 import registry_pb2 as pb

from chassis import clock, errors

HEARTBEAT_INTERVAL_S = 1
# Silent for this long, an instance is probed: a kill is known within three seconds of it.
MISSED_S = 1.75
GONE_AFTER_S = 10.0
# After a restart every instance gets this long to report.
GRACE_S = 4.0
# So many silent at once, and more than half of all: keep what we know.
PRESERVE_MIN = 3
# A watcher that is this far behind is cut; it opens a new stream, which begins with a snapshot.
WATCHER_QUEUE_MAX = 1000

SERVING = (pb.INSTANCE_STATE_PASSING, pb.INSTANCE_STATE_WARNING)
SCORES = {
    pb.INSTANCE_STATE_STARTING: 50,
    pb.INSTANCE_STATE_PASSING: 100,
    pb.INSTANCE_STATE_WARNING: 60,
    pb.INSTANCE_STATE_CRITICAL: 0,
    pb.INSTANCE_STATE_DRAINING: 40,
    pb.INSTANCE_STATE_GONE: 0,
}

log = structlog.get_logger()


@dataclass(frozen=True)
class Change:
    """A state that was left for another."""

    instance: pb.Instance
    from_state: pb.InstanceState
    reason: str


@dataclass
class Entry:
    """One instance. Times are of the monotonic clock, in seconds."""

    instance: pb.Instance
    heard_at: float
    critical_since: float | None = None
    # Drained once, it stays so: a silence in between does not bring the calls back.
    draining: bool = False


@dataclass
class Roster:
    """All instances."""

    entries: dict[str, Entry] = field(default_factory=dict)
    # Changes that are not yet in the history.
    unrecorded: "asyncio.Queue[Change]" = field(default_factory=asyncio.Queue)
    revision: int = 0
    preserving: bool = False
    # Until then nobody is told anything: an empty snapshot would make every watcher forget all it knows.
    restored: asyncio.Event = field(default_factory=asyncio.Event)
    _watchers: "set[asyncio.Queue[pb.WatchResponse | None]]" = field(default_factory=set)

    def restore(self, instances: Sequence[pb.Instance]) -> None:
        """Begin with what was registered before a restart; each instance gets time to report."""
        for instance in instances:
            draining = instance.state == pb.INSTANCE_STATE_DRAINING
            entry = Entry(instance, time.monotonic() + GRACE_S, draining=draining)
            self.entries.setdefault(instance.id, entry)
        self.restored.set()
        self._tell([entry.instance for entry in self.entries.values()])

    def take(self, instance: pb.Instance) -> None:
        """A registration has been stored."""
        before = self.entries.get(instance.id)
        if before is not None and before.instance.epoch > instance.epoch:
            # Its successor was quicker from the commit to here.
            return
        self.entries[instance.id] = Entry(instance, time.monotonic())
        left = before.instance.state if before else pb.INSTANCE_STATE_UNSPECIFIED
        self._changed(instance, left, "registered")

    def beat(self, service: str, instance_id: str, epoch: int, *, ready: bool) -> None:
        """A sign of life. Raises `NotFound` for whoever is not registered, or was before its successor."""
        entry = self.find(service, instance_id)
        if entry.instance.epoch != epoch:
            raise errors.NotFound
        entry.heard_at = time.monotonic()
        entry.critical_since = None
        entry.instance.last_seen_at.FromDatetime(clock.now())
        if entry.draining:
            self.move(entry, pb.INSTANCE_STATE_DRAINING, "heartbeat of a drained instance")
        elif ready:
            self.move(entry, pb.INSTANCE_STATE_PASSING, "heartbeat")
        elif entry.instance.state != pb.INSTANCE_STATE_STARTING:
            self.move(entry, pb.INSTANCE_STATE_WARNING, "says that it is not ready")

    def find(self, service: str, instance_id: str) -> Entry:
        """One instance of a service. Raises `NotFound`."""
        entry = self.entries.get(instance_id)
        if entry is None or entry.instance.service != service:
            raise errors.NotFound
        return entry

    def of(self, service: str) -> list[pb.Instance]:
        """The instances of a service. Raises `NotFound` when there are none."""
        found = [entry.instance for entry in self.entries.values() if entry.instance.service == service]
        if not found:
            raise errors.NotFound
        return sorted(found, key=lambda instance: instance.epoch)

    def services(self) -> list[str]:
        """The names of all services."""
        return sorted({entry.instance.service for entry in self.entries.values()})

    def drain(self, entry: Entry) -> None:
        """An instance gets no new calls."""
        entry.draining = True
        self.move(entry, pb.INSTANCE_STATE_DRAINING, "drained")

    def leave(self, entry: Entry, reason: str) -> None:
        """An instance has ended, or is given up."""
        self.entries.pop(entry.instance.id, None)
        self.move(entry, pb.INSTANCE_STATE_GONE, reason)

    def move(self, entry: Entry, state: pb.InstanceState, reason: str) -> None:
        """Change a state, if it is another, and tell the watchers."""
        left = entry.instance.state
        if left != state:
            entry.instance.state = state
            entry.instance.health_score = SCORES[state]
            self._changed(entry.instance, left, reason)

    def silent(self) -> list[Entry]:
        """Those that have missed their heartbeats; nobody while so many are silent that it must be us."""
        now = time.monotonic()
        overdue = [entry for entry in self.entries.values() if now - entry.heard_at > MISSED_S]
        # Those that were found dead before say nothing about what happens now.
        dead = [entry for entry in self.entries.values() if entry.critical_since is not None]
        fresh = [entry for entry in overdue if entry.critical_since is None]
        preserving = len(fresh) >= PRESERVE_MIN and len(fresh) * 2 > len(self.entries) - len(dead)
        if preserving != self.preserving:
            log.warning("self_preservation", on=preserving, silent=len(overdue), instances=len(self.entries))
        self.preserving = preserving
        return [entry for entry in overdue if entry.critical_since is not None] if preserving else overdue

    def probed(self, entry: Entry, *, answers: bool) -> None:
        """What the health probe of a silent instance said."""
        if self.entries.get(entry.instance.id) is not entry or time.monotonic() - entry.heard_at <= MISSED_S:
            return
        if answers:
            if entry.instance.state == pb.INSTANCE_STATE_PASSING:
                self.move(entry, pb.INSTANCE_STATE_WARNING, "missed heartbeats, answers the health probe")
            return
        if entry.critical_since is None:
            entry.critical_since = time.monotonic()
        self.move(entry, pb.INSTANCE_STATE_CRITICAL, "missed heartbeats, does not answer the health probe")
        if time.monotonic() - entry.critical_since > GONE_AFTER_S:
            self.leave(entry, "given up")

    async def watch(self) -> AsyncIterator[pb.WatchResponse]:
        """A snapshot, then every change, until the watcher goes or is too slow."""
        await self.restored.wait()
        queue: asyncio.Queue[pb.WatchResponse | None] = asyncio.Queue(WATCHER_QUEUE_MAX)
        self._watchers.add(queue)
        try:
            instances = [entry.instance for entry in self.entries.values()]
            yield pb.WatchResponse(revision=self.revision, instances=instances, snapshot=True)
            while (change := await queue.get()) is not None:
                yield change
        finally:
            self._watchers.discard(queue)

    def _changed(self, instance: pb.Instance, left: pb.InstanceState, reason: str) -> None:
        told = pb.Instance()
        told.CopyFrom(instance)
        self.unrecorded.put_nowait(Change(told, left, reason))
        self._tell([told])

    def _tell(self, instances: Sequence[pb.Instance]) -> None:
        self.revision += 1
        change = pb.WatchResponse(revision=self.revision, instances=instances)
        for queue in list(self._watchers):
            if queue.full():
                self._watchers.discard(queue)
                # The watcher takes what it has got, and finds the end where the rest would be.
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(change)
