"""All instances as the bucket has them, with the signs of life of each: what one process of the registry knows.

States come from the bucket alone, in the order of its revisions, so that all processes tell the same. Signs of life
come from the instances, and from the other processes. No I/O, no clock: every method is told what time it is.
"""

import asyncio
import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple, cast
from uuid import UUID

import structlog
from google.protobuf.message import DecodeError
from switchyard.registry.v1 import registry_pb2 as pb

from chassis import buckets, clock, errors
from services.registry import probing, rules
from services.registry.feed import Change, Feed
from services.registry.peers import Heard

# Instances that left are remembered for a day: none of them comes back under its old epoch, and people may look.
REMEMBERED = timedelta(days=1)
# After a start every instance has this long to find this process.
GRACE_S = 3.0
# How often an instance is probed though it sends heartbeats; all together no more often than so many times a second.
PROBE_EVERY_S = 10.0
PROBES_PER_S = 20
# After a start everybody is probed, so many a second.
FIRST_PROBES_PER_S = 100
# How often one that is not well is looked at, and one that is kept for so many others' sake.
LOOK_AGAIN_S = 0.25
UNWELL_AGAIN_S = 1.0
PRESERVED_AGAIN_S = 3.0
PRESERVED_PROBES_PER_S = 100
# Counting the silent takes a look at everybody.
MASS_EVERY_S = 0.25
# What a value of the bucket says besides the instance: what `Known` tells.
RENEWS = "Switchyard-Renews"
LEFT = "Switchyard-Left"

log = structlog.get_logger()


@dataclass(slots=True)
class Entry:
    """One registration of an instance, and its signs of life."""

    key: str
    instance: pb.Instance
    signs: rules.Signs
    renews: int = 0
    left: pb.InstanceState = pb.INSTANCE_STATE_UNSPECIFIED
    # The process of the registry that heard it last.
    home: bytes = b""
    # How many streams it holds open; whether it is being probed, or written, and may have changed meanwhile.
    attending: int = 0
    examined: bool = False
    settling: bool = False
    unsettled: bool = False

    @property
    def gone(self) -> bool:
        """Whether it has left."""
        return self.instance.state == pb.INSTANCE_STATE_GONE


class Known(NamedTuple):
    """An instance as a value of the bucket tells it."""

    instance: pb.Instance
    # The epoch with which the process itself asked for the one it has: whoever shows that one is the same process.
    renews: int
    # The state that it left by its last change.
    left: pb.InstanceState


@dataclass
class Roster:
    """All instances. `now` is the monotonic clock."""

    now: Callable[[], float] = time.monotonic
    entries: dict[str, Entry] = field(default_factory=dict)
    # How many there are in each state, and how many are kept.
    counts: Counter[pb.InstanceState] = field(default_factory=Counter)
    preserved: int = 0
    interval_s: int = 1
    # Whom this process has heard since it last told the others.
    fresh: dict[bytes, Heard] = field(default_factory=dict)
    began: bool = False
    _by_token: dict[bytes, Entry] = field(default_factory=dict)
    _by_service: dict[str, dict[str, Entry]] = field(default_factory=dict)
    _by_address: dict[str, set[str]] = field(default_factory=dict)
    _due: list[tuple[float, str]] = field(default_factory=list)
    _queued: set[str] = field(default_factory=set)
    _mass: tuple[float, bool] = (float("-inf"), False)
    _told: asyncio.Event = field(default_factory=asyncio.Event)
    _interval_changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.feed = Feed(lambda: (self._snapshot(), self.preserved > 0))

    # What the bucket says.

    def apply(self, told: buckets.Entry, now: float) -> None:
        """Take in a value of the bucket. Raises `ValueError` for what is no instance."""
        instance, renews, left = read(told)
        before = self.entries.get(told.key)
        preserving = self.preserved > 0
        if before is None or before.instance.epoch != instance.epoch:
            entry = self._enter(told.key, instance, now)
        else:
            entry = before
            if entry.instance.state != instance.state:
                entry.signs.turns.append(now)
            self._count(entry.instance, -1)
            entry.instance = instance
        entry.renews, entry.left = renews, left
        if not entry.signs.checks:
            # Of what it said last this process knows what came of it.
            entry.signs.ready = instance.state == pb.INSTANCE_STATE_PASSING
        self._count(instance, 1)
        self._place(entry, now)
        self._publish(told.revision, instance, preserving=preserving)

    def lose(self, key: str, revision: int) -> None:
        """Somebody has deleted an instance by hand, or overwritten it: it is gone, and may register again."""
        preserving = self.preserved > 0
        entry = self.forget(key)
        if entry is None or entry.gone:
            self.feed.revision = revision
            self._tell()
            return
        gone = pb.Instance()
        gone.CopyFrom(entry.instance)
        gone.state, gone.reason, gone.revision = pb.INSTANCE_STATE_GONE, "deleted by hand", revision
        self._publish(revision, gone, preserving=preserving)

    def _publish(self, revision: int, instance: pb.Instance, *, preserving: bool) -> None:
        turned = preserving != (self.preserved > 0)
        if turned:
            log.warning("self_preservation", on=not preserving, instances=self.size)
        self.feed.publish(Change(revision, instance, self.preserved > 0, turned))
        self._tell()

    def _tell(self) -> None:
        self._told.set()
        self._told = asyncio.Event()

    def begin(self, now: float, revision: int) -> None:
        """All that was in the bucket at a revision has been applied: from now on it is changes."""
        self.began = True
        self.feed.begin(revision)
        self.grace(now, GRACE_S)
        # Whoever died while no process of the registry ran is found at once.
        for number, instance in enumerate(self._living()):
            signs = self._by_token[_token(instance.id)].signs
            signs.probed_at = now - self._probe_every_s() + number / FIRST_PROBES_PER_S

    def grace(self, now: float, seconds: float) -> None:
        """Whoever was not heard while we could not hear has this long to be heard."""
        for entry in self.entries.values():
            signs = entry.signs
            at = now + seconds - rules.MISSED * self.interval_s
            signs.heard_at, signs.beat_at = max(signs.heard_at, at), max(signs.beat_at, at)

    async def reached(self, revision: int) -> None:
        """Return once the roster is as new as a revision."""
        while self.feed.revision < revision:
            await self._told.wait()

    def forget(self, key: str) -> Entry | None:
        """An instance is no longer remembered."""
        entry = self.entries.pop(key, None)
        if entry is None:
            return None
        self._count(entry.instance, -1)
        self._leave(entry)
        if self._by_token.get(_token(entry.instance.id)) is entry:
            del self._by_token[_token(entry.instance.id)]
        members = self._by_service[entry.instance.service]
        del members[key]
        if not members:
            del self._by_service[entry.instance.service]
        return entry

    def _enter(self, key: str, instance: pb.Instance, now: float) -> Entry:
        if (before := self.entries.get(key)) is not None:
            self._count(before.instance, -1)
            self._leave(before)
        signs = rules.Signs(heard_at=now, beat_at=now, probed_at=now)
        entry = self.entries[key] = Entry(key, instance, signs)
        self._by_token[_token(instance.id)] = entry
        self._by_service.setdefault(instance.service, {})[key] = entry
        return entry

    def _place(self, entry: Entry, now: float) -> None:
        if entry.gone:
            self._leave(entry)
            return
        self._by_address.setdefault(entry.instance.address, set()).add(entry.key)
        if entry.key not in self._queued:
            self._queued.add(entry.key)
            heapq.heappush(self._due, (now, entry.key))

    def _leave(self, entry: Entry) -> None:
        there = self._by_address.get(entry.instance.address, set())
        there.discard(entry.key)
        if not there:
            self._by_address.pop(entry.instance.address, None)

    def _count(self, instance: pb.Instance, step: int) -> None:
        self.counts[instance.state] += step
        self.preserved += step * instance.preserved
        interval_s = rules.interval(self.size, self.interval_s)
        if interval_s != self.interval_s:
            self.interval_s = interval_s
            self._interval_changed.set()
            self._interval_changed = asyncio.Event()

    @property
    def size(self) -> int:
        """How many instances there are that are not gone."""
        return sum(self.counts.values()) - self.counts[pb.INSTANCE_STATE_GONE]

    async def interval_changed(self, told_s: int) -> None:
        """Return once instances are to wait longer, or less long, between heartbeats than they were told."""
        while self.interval_s == told_s:
            await self._interval_changed.wait()

    # Signs of life.

    def beat(self, entry: Entry, process: bytes, now: float, *, ready: bool) -> None:
        """An instance has sent this process a heartbeat."""
        entry.home = process
        entry.signs.beat(now, ready=ready, interval_s=self.interval_s)
        token = _token(entry.instance.id)
        self.fresh[token] = Heard(token, now, beat=True, ready=ready)

    def heard(self, process: bytes, told: Iterable[Heard], now: float) -> None:
        """Another process has heard these."""
        for each in told:
            entry = self._by_token.get(each.token)
            # Older news than what came here; a moment to come is a grace, and no news.
            if entry is None or each.at < entry.signs.beat_at <= now:
                continue
            if each.beat:
                entry.home = process
                entry.signs.beat(each.at, ready=each.ready, interval_s=self.interval_s)
            else:
                entry.signs.answered(each.at, serving=each.ready)

    def probed(self, entry: Entry, answer: probing.Answer, now: float) -> None:
        """The health probe of an instance had an answer."""
        if answer in (probing.Answer.REFUSED, probing.Answer.SILENT):
            entry.signs.failed(now, refused=answer is probing.Answer.REFUSED)
            return
        serving = answer is probing.Answer.SERVING
        entry.signs.answered(now, serving=serving)
        token = _token(entry.instance.id)
        self.fresh.setdefault(token, Heard(token, now, beat=False, ready=serving))

    # What follows.

    def judge(self, entry: Entry, instance: pb.Instance, now: float) -> rules.Verdict | None:
        """How an instance that stands in the bucket as `instance` is to be from now on."""
        successor = self.successor(instance)
        # One that sends heartbeats lives: two processes may have been told the same address.
        silent = now - entry.signs.beat_at > rules.MISSED * rules.expected_s(entry.signs, self.interval_s)
        if successor is not None and silent and instance.state != pb.INSTANCE_STATE_GONE:
            return rules.Verdict(pb.INSTANCE_STATE_GONE, f"{successor.id} has taken its address")
        return rules.judge(instance, entry.signs, now, interval_s=self.interval_s, mass=self.mass(now))

    def successor(self, instance: pb.Instance) -> pb.Instance | None:
        """The instance of the same service that has registered at the same address later."""
        there = (self.entries[key].instance for key in self._by_address.get(instance.address, ()))
        ours = (each for each in there if each.service == instance.service and each.id != instance.id)
        later = [each for each in ours if each.epoch > instance.epoch]
        return max(later, key=lambda each: each.epoch, default=None)

    def replaced(self, instance: pb.Instance) -> list[Entry]:
        """Those at whose address an instance has registered."""
        keys = self._by_address.get(instance.address, ())
        return [self.entries[key] for key in keys if self.entries[key].instance.epoch < instance.epoch]

    def mass(self, now: float) -> bool:
        """Whether so many are silent at once that it is more likely us."""
        at, found = self._mass
        if now - at >= MASS_EVERY_S:
            living = [one for one in self.entries.values() if self._in_question(one, now)]
            silent = sum(rules.suspect(one.signs, now, self.interval_s) for one in living)
            found = rules.is_mass(silent=silent, living=len(living), before=self.preserved > 0)
            self._mass = now, found
        return found

    def _in_question(self, entry: Entry, now: float) -> bool:
        state, signs = entry.instance.state, entry.signs
        if state in rules.LIVING or rules.fell_lately(state, signs, now, self.interval_s):
            return True
        return not entry.gone and rules.unreachable(signs, now, self.interval_s)

    def due(self, now: float) -> list[Entry]:
        """Those that are to be looked at now."""
        found = []
        while self._due and self._due[0][0] <= now:
            _, key = heapq.heappop(self._due)
            entry = self.entries.get(key)
            if entry is None or entry.gone:
                self._queued.discard(key)
                continue
            found.append(entry)
            heapq.heappush(self._due, (self._next(entry, now), key))
        return found

    def doubtful(self, entry: Entry, now: float) -> bool:
        """Whether an instance is to be probed: it is silent, not well, or has not been probed for long."""
        signs = entry.signs
        if entry.instance.state == pb.INSTANCE_STATE_CRITICAL or signs.refused or signs.unanswered or signs.unserving:
            return True
        return rules.overdue(signs, now, self.interval_s) or now - signs.probed_at >= self._probe_every_s()

    def _next(self, entry: Entry, now: float) -> float:
        signs = entry.signs
        if entry.instance.preserved:
            return now + max(PRESERVED_AGAIN_S, self.preserved / PRESERVED_PROBES_PER_S)
        if entry.instance.state == pb.INSTANCE_STATE_CRITICAL or signs.refused or signs.unserving:
            return now + UNWELL_AGAIN_S
        silent_at = signs.heard_at + rules.MISSED * rules.expected_s(signs, self.interval_s)
        return max(now + LOOK_AGAIN_S, min(silent_at, signs.probed_at + self._probe_every_s()))

    def _probe_every_s(self) -> float:
        return max(PROBE_EVERY_S, self.size / PROBES_PER_S)

    # What people ask.

    def find(self, service: str, instance_id: str) -> Entry | None:
        """One instance, though it be gone."""
        return self.entries.get(key_of(service, instance_id))

    def elsewhere(self, service: str, instance_id: str) -> str:
        """The other service that has an instance of this id, if one has."""
        entry = self._by_token.get(_token(instance_id))
        return "" if entry is None or entry.gone or entry.instance.service == service else entry.instance.service

    def services(self) -> list[str]:
        """The names of all services that have instances, or had some within the last day."""
        return sorted(self._by_service)

    def of(self, service: str) -> list[Entry]:
        """The instances of a service, also those that are gone. Raises `NotFound` when it never had any."""
        if service not in self._by_service:
            raise errors.NotFound
        return sorted(self._by_service[service].values(), key=lambda entry: entry.instance.epoch)

    def forgettable(self) -> list[Entry]:
        """Those that left longer ago than is remembered."""
        until = clock.now() - REMEMBERED
        gone = (entry for entry in self.entries.values() if entry.gone)
        return [entry for entry in gone if entry.instance.changed_at.ToDatetime(until.tzinfo) < until]

    def _living(self) -> list[pb.Instance]:
        return [entry.instance for entry in self.entries.values() if not entry.gone]

    def _snapshot(self) -> list[pb.Instance]:
        """What lives; of a service with nothing alive what went last, by which it is known to be down."""
        living = self._living()
        up = {instance.service for instance in living}
        down = (self.of(service) for service in self.services() if service not in up)
        return [*living, *(entries[-1].instance for entries in down)]


def key_of(service: str, instance_id: str) -> str:
    """The bucket's key of an instance."""
    return f"{service}.{instance_id.lower()}"


def read(told: buckets.Entry) -> Known:
    """What a value of the bucket says; the registration's own write is its epoch.

    Raises `ValueError` for what the registry has not written, such as the mark of a key that was deleted by hand.
    """
    try:
        instance = pb.Instance.FromString(told.value)
    except DecodeError as failure:
        raise ValueError("no instance") from failure
    _token(instance.id)
    if key_of(instance.service, instance.id) != told.key or instance.state not in rules.SCORES:
        raise ValueError("another instance, or none")
    instance.revision = told.revision
    instance.epoch = instance.epoch or told.revision
    left = cast("pb.InstanceState", int(told.headers.get(LEFT, 0)))
    return Known(instance, int(told.headers.get(RENEWS, 0)), left)


def _token(instance_id: str) -> bytes:
    return UUID(instance_id).bytes
