"""Which instance of a service a call goes to, for the gateway and for calls between services.

The power of two choices: of two drawn at random by their weights, the one with fewer calls under way for its weight.
One that fails again and again is left alone for a while. Instances of another zone get what is too much for the own
one; those in `warning` get calls only when no other can be asked.
"""

import random
import time
from bisect import bisect
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any, Final

import grpc.aio
import structlog
from switchyard.registry.v1 import registry_pb2

# States in which an instance takes calls.
SERVING: Final = frozenset({registry_pb2.INSTANCE_STATE_PASSING, registry_pb2.INSTANCE_STATE_WARNING})
# Failures in a row after which an instance is left alone, first for one second, then for twice as long each time.
EJECT_AFTER: Final = 5
EJECT_FIRST_S, EJECT_MAX_S = 1.0, 30.0
# An instance in another zone counts as if it had so many more calls under way: not asked until the own zone is busy.
FAR: Final = 2
# One that has just begun counts for a tenth, and for all of its weight after this long: it has caches to fill.
WARM_S: Final = 10.0
COLD: Final = 0.1

log = structlog.get_logger()

OpenChannel = Callable[[str], grpc.aio.Channel]


class Peer:
    """One instance, as this process knows it."""

    __slots__ = (
        "_channel",
        "_open",
        "_stubs",
        "ejected_until",
        "ejections",
        "failures",
        "far",
        "serving_since",
        "told",
        "under_way",
    )

    def __init__(self, told: registry_pb2.Instance, open_channel: OpenChannel, *, far: bool = False) -> None:
        self.told = told
        self.far = FAR if far else 0
        self.under_way = 0
        self.failures = 0
        self.ejections = 0
        self.ejected_until = 0.0
        self.serving_since = time.monotonic()
        self._open = open_channel
        self._channel: grpc.aio.Channel | None = None
        self._stubs: dict[str, Any] = {}

    @property
    def takes_calls(self) -> bool:
        """Whether new calls may go there."""
        return self.told.state in SERVING and self.told.weight > 0

    def tell(self, told: registry_pb2.Instance) -> None:
        """Note how the instance is now."""
        rested = not self.takes_calls
        self.told = told
        if rested and self.takes_calls:
            self.serving_since = time.monotonic()

    def connect(self) -> None:
        """Connect now, not when the first call waits for it."""
        if self._channel is None:
            self._opened().get_state(try_to_connect=True)

    def unary(self, method: str, *codec: Any) -> Any:
        """What calls one method; `codec` are the serializer and the deserializer, for bytes none."""
        found = self._stubs.get(method)
        if found is None:
            found = self._stubs[method] = self._opened().unary_unary(method, *codec)
        return found

    def stream(self, method: str, *codec: Any) -> Any:
        """What opens a stream of one method."""
        return self._opened().unary_stream(method, *codec)

    async def close(self, grace_s: float | None = None) -> None:
        """Close the channel once its calls have ended, or after `grace_s`."""
        if self._channel is not None:
            await self._channel.close(grace_s)

    def load(self, now: float) -> float:
        """Calls under way for its weight; the lower the better."""
        warmth = min(COLD + (now - self.serving_since) / WARM_S, 1.0)
        return (self.under_way + self.far) / (self.told.weight * warmth)

    def succeeded(self) -> None:
        """Note an answer, whatever it says."""
        self.failures = 0
        self.ejections = 0

    def failed(self, others: Sequence["Peer"], now: float) -> None:
        """Note a failure, and leave the instance alone if that was one too many, but never more than half of all."""
        self.failures += 1
        ejected = sum(other.ejected_until > now for other in others)
        if self.failures < EJECT_AFTER or (ejected + 1) * 2 > len(others):
            return
        self.failures = 0
        self.ejected_until = now + min(EJECT_FIRST_S * 2**self.ejections, EJECT_MAX_S)
        self.ejections += 1
        log.warning("instance_ejected", service=self.told.service, address=self.told.address)

    def _opened(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._channel = self._open(self.told.address)
        return self._channel


class Pool:
    """The instances that a call may go to, as they are now. Empty, it is false."""

    def __init__(self, peers: Iterable[Peer]) -> None:
        self.peers = tuple(peer for peer in peers if peer.takes_calls)
        passing = [peer for peer in self.peers if peer.told.state == registry_pb2.INSTANCE_STATE_PASSING]
        self._well = [
            _Tier(tier)
            for tier in ([peer for peer in passing if bool(peer.far) is far] for far in (False, True))
            if tier
        ]
        warned = [peer for peer in self.peers if peer.told.state == registry_pb2.INSTANCE_STATE_WARNING]
        self._warned = _Tier(warned) if warned else None

    def __bool__(self) -> bool:
        return bool(self.peers)

    def choose(self, tried: Peer | None = None) -> Peer:
        """The instance for a call; not `tried`, where the call has just failed, unless there is no other."""
        now = time.monotonic()
        best: Peer | None = None
        for tier in self._well:
            found = tier.choose(tried, now)
            if found is not None and (best is None or found.load(now) < best.load(now)):
                best = found
        if best is None and self._warned is not None:
            best = self._warned.choose(tried, now)
        return best or min(self.peers, key=lambda peer: (peer is tried, peer.load(now)))


class _Tier:
    """Instances between which only weight and load decide."""

    def __init__(self, peers: Sequence[Peer]) -> None:
        self._peers = peers
        weights = [peer.told.weight for peer in peers]
        self._sums = list(accumulate(weights)) if len(set(weights)) > 1 else None

    def choose(self, tried: Peer | None, now: float) -> Peer | None:
        """The better of two, or the best of all if that one cannot be asked; None if nobody can."""
        first, second = self._two()
        best = second if second.load(now) < first.load(now) else first
        if best.ejected_until <= now and best is not tried:
            return best
        usable = [peer for peer in self._peers if peer.ejected_until <= now and peer is not tried]
        return min(usable, key=lambda peer: peer.load(now)) if usable else None

    def _two(self) -> tuple[Peer, Peer]:
        peers = self._peers
        if self._sums is None:
            first = int(random.random() * len(peers))  # noqa: S311
        else:
            first = bisect(self._sums, random.random() * self._sums[-1])  # noqa: S311
        # Any other one: who is drawn twice would be asked however busy it is.
        second = (first + 1 + int(random.random() * (len(peers) - 1))) % len(peers)  # noqa: S311
        return peers[first], peers[second]
