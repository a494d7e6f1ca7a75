"""How an instance is, by the signs of it: no clock, no memory and no I/O of their own.

Three things speak for or against an instance: its heartbeats, the health probe, and its address. A heartbeat or an
answered probe is a sign of life. A refused connection is proof of death: the host answers that nobody listens there. A
probe that nobody answers is silence, and silence may as well be ours.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from switchyard.registry.v1 import registry_pb2 as pb

# After so many failed probes in a row an instance is critical, after so many signs of health it passes again.
FAILURES: Final = 2
SUCCESSES: Final = 2
# One that changed so often within a minute must be well for longer before it is believed.
FLAPPING_TURNS: Final = 4
FLAPPING_WINDOW_S: Final = 60.0
FLAPPING_SUCCESSES: Final = 6
# One heartbeat a second is what detection within three seconds takes; with more instances they come more rarely, so
# that all of them together send about a thousand a second.
INSTANCES_PER_S: Final = 1000
# Of an interval: silent for this long, an instance is probed; for one interval longer, it is judged. Whoever fell
# silent together with it, at any moment of their own interval, is known as silent by then.
MISSED: Final = 1.75
# It answers the probe, but its heartbeats are missing for so many intervals.
HEARTBEATS_MISSING: Final = 4.0
# An instance that sends its heartbeats more rarely than it was told is waited for, up to this.
GAP_MAX_S: Final = 30.0
# One that lets so many intervals pass does so always; a little more is a heartbeat that came late.
SLOW: Final = 3.0
# From proven dead to gone: time enough for a process that only opens its port again.
DEAD_GONE_S: Final = 3.0
# From silent to gone.
SILENT_GONE_S: Final = 30.0
# Somebody answers the probe at its address, and no heartbeat has come for so long: it is another one.
HEARTBEATS_GONE_S: Final = 300.0
# So many silent at once, and half of all that live: it is more likely us. When the first of a half are judged, what was
# heard of some others may have come late: four in ten are taken for half, one zone of three is not.
MASS_MIN: Final = 3
MASS_TENTHS: Final = 4
CHECKS: Final = 10

SERVING: Final = (pb.INSTANCE_STATE_PASSING, pb.INSTANCE_STATE_WARNING)
LIVING: Final = (*SERVING, pb.INSTANCE_STATE_STARTING, pb.INSTANCE_STATE_DRAINING)
# From best to worst, with the score that the state allows at most.
SCORES: Final = {
    pb.INSTANCE_STATE_PASSING: 100,
    pb.INSTANCE_STATE_WARNING: 60,
    pb.INSTANCE_STATE_STARTING: 50,
    pb.INSTANCE_STATE_DRAINING: 40,
    pb.INSTANCE_STATE_CRITICAL: 0,
    pb.INSTANCE_STATE_GONE: 0,
}


@dataclass(slots=True)
class Signs:
    """What is known of an instance besides what it said when it registered. Times are monotonic, in seconds."""

    # The last heartbeat or answered probe, and the last heartbeat; and how long before that the one before it came.
    heard_at: float
    beat_at: float
    probed_at: float
    gap_s: float = 0.0
    # What the last heartbeat said.
    ready: bool = False
    # In a row: signs of health, signs of life; and of the probe: refused, unanswered, answered that it does not serve.
    good: int = 0
    alive: int = 0
    refused: int = 0
    unanswered: int = 0
    unserving: int = 0
    refused_at: float = 0.0
    # Since when there have been signs of life in a row.
    alive_at: float = 0.0
    # The last checks, true for a good one, and when the state last turned.
    checks: deque[bool] = field(default_factory=lambda: deque(maxlen=CHECKS))
    turns: deque[float] = field(default_factory=lambda: deque(maxlen=FLAPPING_TURNS))

    def beat(self, now: float, *, ready: bool, interval_s: float) -> None:
        """A heartbeat."""
        if overdue(self, now, interval_s):
            # That the probe was not answered is explained.
            self.unanswered = 0
        self.gap_s, self.beat_at, self.heard_at, self.ready = now - self.beat_at, now, now, ready
        self._count(now, good=ready)

    def answered(self, now: float, *, serving: bool) -> None:
        """The probe was answered."""
        self.heard_at = self.probed_at = now
        self.refused = self.unanswered = 0
        self.unserving = 0 if serving else self.unserving + 1
        self._count(now, good=serving)

    def failed(self, now: float, *, refused: bool) -> None:
        """The probe was not answered; `refused`: because nobody listens."""
        self.probed_at = now
        self.good = self.alive = 0
        self.checks.append(False)
        if not refused:
            self.refused, self.unanswered = 0, self.unanswered + 1
            return
        if not self.refused:
            self.refused_at = now
        self.refused += 1

    def _count(self, now: float, *, good: bool) -> None:
        if not self.alive:
            self.alive_at = now
        self.alive += 1
        self.good = self.good + 1 if good else 0
        self.checks.append(good)


class Verdict(NamedTuple):
    """How an instance is."""

    state: pb.InstanceState
    reason: str
    preserved: bool = False


def judge(instance: pb.Instance, signs: Signs, now: float, *, interval_s: float, mass: bool) -> Verdict | None:
    """How an instance is to be from now on; None while it stays as it is.

    `interval_s` is what instances are told to wait between heartbeats; `mass`: half of all have fallen silent.
    """
    if instance.state == pb.INSTANCE_STATE_GONE:
        return None
    found = _verdict(instance, signs, now, interval_s, mass=mass)
    same = found is None or (found.state, found.preserved) == (instance.state, instance.preserved)
    return None if same else found


def _verdict(instance: pb.Instance, signs: Signs, now: float, interval_s: float, *, mass: bool) -> Verdict | None:
    interval_s = expected_s(signs, interval_s)
    quiet_s = now - signs.heard_at
    if signs.refused >= FAILURES:
        return _dead(instance, signs, now, interval_s, mass=mass)
    if quiet_s > (MISSED + 1) * interval_s and signs.unanswered >= FAILURES:
        return _silent(instance, signs, now, mass=mass)
    if quiet_s > MISSED * interval_s:
        # It is being probed.
        return None
    if beatless(signs, now) and not mass:
        return Verdict(pb.INSTANCE_STATE_GONE, "no heartbeats, though somebody answers at its address")
    return _living(instance, signs, now, interval_s)


def _dead(instance: pb.Instance, signs: Signs, now: float, interval_s: float, *, mass: bool) -> Verdict | None:
    ending = instance.state in (pb.INSTANCE_STATE_CRITICAL, pb.INSTANCE_STATE_DRAINING)
    # One that sends heartbeats all the same lives, unreachable; many at once are so for us alone.
    beating = now - signs.beat_at <= MISSED * interval_s
    if beating and mass:
        state = pb.INSTANCE_STATE_WARNING if instance.state == pb.INSTANCE_STATE_CRITICAL else instance.state
        return Verdict(state, "unreachable together with many others: kept", preserved=True)
    if ending and now - signs.refused_at > DEAD_GONE_S and not beating:
        return Verdict(pb.INSTANCE_STATE_GONE, "nobody listens at its address")
    if instance.state == pb.INSTANCE_STATE_DRAINING:
        return None
    return Verdict(pb.INSTANCE_STATE_CRITICAL, "nobody listens at its address")


def _silent(instance: pb.Instance, signs: Signs, now: float, *, mass: bool) -> Verdict | None:
    if mass and instance.state in LIVING:
        return Verdict(instance.state, "silent together with many others: kept as it was", preserved=True)
    ending = instance.state in (pb.INSTANCE_STATE_CRITICAL, pb.INSTANCE_STATE_DRAINING)
    # One that was kept for long has as much time as any other from when it is not.
    since = max(signs.heard_at, *signs.turns) if signs.turns else signs.heard_at
    if ending and now - since > SILENT_GONE_S and not mass:
        return Verdict(pb.INSTANCE_STATE_GONE, "silent, given up")
    if instance.state == pb.INSTANCE_STATE_DRAINING:
        return None
    return Verdict(pb.INSTANCE_STATE_CRITICAL, "silent: neither heartbeats nor an answer to the health probe")


def _living(instance: pb.Instance, signs: Signs, now: float, interval_s: float) -> Verdict | None:
    state = instance.state
    if state == pb.INSTANCE_STATE_DRAINING:
        return Verdict(state, "drained")
    if state == pb.INSTANCE_STATE_CRITICAL and signs.alive < needed(signs, now):
        return None
    if state in (pb.INSTANCE_STATE_STARTING, pb.INSTANCE_STATE_CRITICAL) and not signs.ready:
        return Verdict(pb.INSTANCE_STATE_STARTING, "lives, has not said that it is ready")
    if trouble := _trouble(signs, now, interval_s):
        return Verdict(pb.INSTANCE_STATE_WARNING, trouble)
    enough = 1 if state == pb.INSTANCE_STATE_STARTING else needed(signs, now)
    if state == pb.INSTANCE_STATE_PASSING or signs.good >= enough:
        return Verdict(pb.INSTANCE_STATE_PASSING, "ready" if state == pb.INSTANCE_STATE_STARTING else "well again")
    return Verdict(state, instance.reason)


def _trouble(signs: Signs, now: float, interval_s: float) -> str:
    if not signs.ready:
        return "says that it is not ready"
    if signs.unserving >= FAILURES:
        return "answers the health probe that it does not serve"
    if signs.unanswered >= FAILURES:
        return "sends heartbeats, does not answer the health probe"
    if now - signs.beat_at > HEARTBEATS_MISSING * interval_s:
        return "answers the health probe, sends no heartbeats"
    return ""


def needed(signs: Signs, now: float) -> int:
    """How many signs of health in a row are believed."""
    flapping = len(signs.turns) == FLAPPING_TURNS and now - signs.turns[0] < FLAPPING_WINDOW_S
    return FLAPPING_SUCCESSES if flapping else SUCCESSES


def expected_s(signs: Signs, interval_s: float) -> float:
    """The seconds between two heartbeats of an instance: what it was told, or what it does if that is more."""
    return interval_s if signs.gap_s <= 1.5 * interval_s else min(signs.gap_s, max(interval_s, GAP_MAX_S))


def overdue(signs: Signs, now: float, interval_s: float) -> bool:
    """Whether an instance has been silent for so long that it is to be probed."""
    return now - signs.heard_at > MISSED * expected_s(signs, interval_s)


def suspect(signs: Signs, now: float, interval_s: float) -> bool:
    """Whether an instance counts as one of many that may have been cut off.

    That a heartbeat of it was a little late before gives it no more time, else the half that is cut off looks smaller.
    """
    slow = signs.gap_s > SLOW * interval_s
    late_s = now - signs.heard_at - MISSED * (expected_s(signs, interval_s) if slow else interval_s)
    silent = late_s > 0 and not signs.refused
    return silent or unreachable(signs, now, interval_s) or beatless(signs, now)


def unreachable(signs: Signs, now: float, interval_s: float) -> bool:
    """Whether an instance sends heartbeats though its host said that nobody listens there: that was no proof."""
    beating = now - signs.beat_at <= MISSED * expected_s(signs, interval_s)
    return beating and signs.refused >= FAILURES and signs.beat_at > signs.refused_at


def beatless(signs: Signs, now: float) -> bool:
    """Whether an instance has answered the probe for long, and sent no heartbeats."""
    return now - max(signs.beat_at, signs.alive_at) > HEARTBEATS_GONE_S


def fell_lately(state: pb.InstanceState, signs: Signs, now: float, interval_s: float) -> bool:
    """Whether an instance was judged silent a moment ago: it may have been the first of many."""
    silent = state == pb.INSTANCE_STATE_CRITICAL and not signs.refused
    return silent and now - signs.heard_at < 2 * (MISSED + 1) * interval_s


def is_mass(*, silent: int, living: int, before: bool) -> bool:
    """Whether so many have fallen silent that they are kept; once so, until it is less than a third."""
    return silent * 3 >= living if before and silent else silent >= MASS_MIN and silent * 10 >= living * MASS_TENTHS


def interval(instances: int, before: int) -> int:
    """The seconds between two heartbeats for so many instances; not changed back at once by a few that went."""
    wanted = max(1, math.ceil(instances / INSTANCES_PER_S))
    return wanted if wanted > before or instances < 0.8 * INSTANCES_PER_S * (before - 1) else before


def score(state: pb.InstanceState, checks: Sequence[bool]) -> int:
    """0 to 100: the share of good ones among the last checks, and no more than the state allows."""
    share = 100 * sum(checks) // len(checks) if checks else 100
    return min(share, SCORES[state])
