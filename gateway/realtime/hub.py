"""What was published on each channel lately, numbered, and who listens.

A channel belongs to one tenant. Its offsets grow by one; its epoch says which numbering they belong to: another
gateway, or a channel that was forgotten meanwhile, numbers anew. An event's bytes are never parsed or encoded again:
one frame is made of them for each channel and written to all who listen.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, NamedTuple, Protocol

import orjson

from chassis import telemetry

# What a client that comes back can be given: so many events, so old at most.
KEPT_MAX: Final = 1000
KEPT_S: Final = 600.0
# All channels together; the oldest events go first.
KEPT_LEN_MAX: Final = 128 * 1024 * 1024
# Of the states of one thing, a channel is sent one in this time, and always the last.
STATE_EVERY_S: Final = 0.1

_TEXT: Final = 0x81
_SHORT_MAX, _MEDIUM_MAX = 125, 0xFFFF


def frame(payload: bytes) -> bytes:
    """A websocket text frame (RFC 6455, section 5.2). A server's frames are not masked, so one serves all clients."""
    length = len(payload)
    if length <= _SHORT_MAX:
        return bytes((_TEXT, length)) + payload
    if length <= _MEDIUM_MAX:
        return bytes((_TEXT, 126)) + length.to_bytes(2) + payload
    return bytes((_TEXT, 127)) + length.to_bytes(8) + payload


class Listener(Protocol):
    """Somebody who is sent frames."""

    def push(self, made: bytes) -> None:
        """Send a frame, without waiting."""
        ...


class Since(NamedTuple):
    """The last event that a client has seen."""

    offset: int
    epoch: str


class Joined(NamedTuple):
    """Where a channel stands for who has just joined; `missed` are frames to send now."""

    offset: int
    epoch: str
    recovered: bool
    missed: Sequence[bytes]


@dataclass(slots=True, eq=False)
class _Kept:
    channel: "_Channel"
    offset: int
    at: float
    event: bytes
    dropped: bool = False


class _Channel:
    __slots__ = ("bare", "epoch", "head", "kept", "key", "listeners", "offset")

    def __init__(self, key: tuple[str, str], epoch: str) -> None:
        self.key = key
        self.epoch = epoch
        self.offset = 0
        self.kept: deque[_Kept] = deque()
        self.listeners: set[Listener] = set()
        # Those who are sent the events' data alone.
        self.bare: set[Listener] = set()
        self.head = (
            b'{"type":"event","channel":' + orjson.dumps(key[1]) + b',"epoch":"' + epoch.encode() + b'","offset":'
        )

    def frame(self, offset: int, event: bytes) -> bytes:
        """The frame of one event."""
        return frame(b'%b%d,"event":%b}' % (self.head, offset, event))


class Hub:
    """All channels of all tenants."""

    def __init__(self) -> None:
        self._channels: dict[tuple[str, str], _Channel] = {}
        # Every kept event in the order of time: what is too old, or too much, goes from the left.
        self._history: deque[_Kept] = deque()
        self._len = 0
        self._count = 0
        self._epoch = secrets.token_hex(6)
        self._epochs = count(1)
        # By tenant, channel and what is told of: the newest state that waits for its time; None: none does.
        self._states: dict[tuple[str, str, str], bytes | None] = {}
        self._delivered = telemetry.meter().create_counter("switchyard.realtime.delivered")

    def publish(self, tenant: str, name: str, event: bytes) -> None:
        """Send an event to those who listen, and keep it for those who come back."""
        channel = self._channel(tenant, name)
        channel.offset += 1
        self._keep(_Kept(channel, channel.offset, time.monotonic(), event))
        if channel.listeners:
            made = channel.frame(channel.offset, event)
            for listener in channel.listeners:
                listener.push(made)
            self._delivered.add(len(channel.listeners))
        if channel.bare:
            made = frame(orjson.dumps(orjson.loads(event).get("data")))
            for listener in channel.bare:
                listener.push(made)

    def publish_state(self, tenant: str, name: str, about: str, event: bytes) -> None:
        """As `publish`, for an event that tells the whole state of something: the next of it takes its place.

        The first is sent at once; those that follow too soon wait, and only the last of them is sent.
        """
        key = (tenant, name, about)
        if key in self._states:
            self._states[key] = event
            return
        self._states[key] = None
        asyncio.get_running_loop().call_later(STATE_EVERY_S, self._next_state, key)
        self.publish(tenant, name, event)

    def _next_state(self, key: tuple[str, str, str]) -> None:
        waiting = self._states.pop(key)
        if waiting is not None:
            self.publish_state(*key, waiting)

    def join(self, tenant: str, name: str, listener: Listener, since: Since | None = None) -> Joined:
        """Listen from now on, with what was missed since an event, if all of it is still there."""
        channel = self._channel(tenant, name)
        channel.listeners.add(listener)
        missed: list[bytes] = []
        recovered = since is not None and _reaches(channel, since)
        if recovered and since is not None:
            missed = [channel.frame(kept.offset, kept.event) for kept in channel.kept if kept.offset > since.offset]
        return Joined(channel.offset, channel.epoch, recovered, missed)

    def join_bare(self, tenant: str, name: str, listener: Listener) -> None:
        """Listen to the events' data alone, without numbers."""
        self._channel(tenant, name).bare.add(listener)

    def leave(self, tenant: str, name: str, listener: Listener) -> None:
        """Listen no more."""
        channel = self._channels.get((tenant, name))
        if channel is not None:
            channel.listeners.discard(listener)
            channel.bare.discard(listener)
            self._forget_if_idle(channel)

    def restart(self) -> None:
        """Number anew: events may have been lost."""
        self._epoch = secrets.token_hex(6)
        self._history.clear()
        self._len = self._count = 0
        for key, channel in tuple(self._channels.items()):
            renewed = self._channels[key] = _Channel(key, f"{self._epoch}-{next(self._epochs)}")
            renewed.listeners, renewed.bare = channel.listeners, channel.bare
            self._forget_if_idle(renewed)

    def _channel(self, tenant: str, name: str) -> _Channel:
        channel = self._channels.get((tenant, name))
        if channel is None:
            channel = self._channels[tenant, name] = _Channel((tenant, name), f"{self._epoch}-{next(self._epochs)}")
        return channel

    def _keep(self, kept: _Kept) -> None:
        channel = kept.channel
        channel.kept.append(kept)
        self._history.append(kept)
        self._len += len(kept.event)
        self._count += 1
        if len(channel.kept) > KEPT_MAX:
            self._drop(channel.kept[0])
        oldest = kept.at - KEPT_S
        while self._history and (self._history[0].at < oldest or self._len > KEPT_LEN_MAX):
            self._drop(self._history.popleft())
        if len(self._history) > 2 * self._count + KEPT_MAX:
            # Busy channels have dropped theirs before their time.
            self._history = deque(each for each in self._history if not each.dropped)

    def _drop(self, kept: _Kept) -> None:
        if kept.dropped:
            return
        # Of its channel it is always the oldest: both are in the order of time.
        kept.dropped = True
        kept.channel.kept.popleft()
        self._len -= len(kept.event)
        self._count -= 1
        self._forget_if_idle(kept.channel)

    def _forget_if_idle(self, channel: _Channel) -> None:
        if not (channel.kept or channel.listeners or channel.bare):
            self._channels.pop(channel.key, None)


def _reaches(channel: _Channel, since: Since) -> bool:
    if since.epoch != channel.epoch or not 0 <= since.offset <= channel.offset:
        return False
    oldest = channel.kept[0].offset if channel.kept else channel.offset + 1
    return since.offset >= oldest - 1
