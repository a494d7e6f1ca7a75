"""The processes of the registry among themselves.

Each tells the others twice a second whom it has heard since, over core NATS: what is lost is told by the next
heartbeat. It hears itself too, and by that knows that it is not cut off: a process that is knows of no heartbeats but
those that are sent to it, and must not judge the others' instances.
"""

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from zlib import crc32

from uuid_utils.compat import uuid7

SUBJECT: Final = "registry.heard"
EVERY_S: Final = 0.5
# A process not heard of for this long is dead, and its instances are looked after by another.
SILENT_S: Final = 3.0
_ID: Final = 16
# Whom, and in one number how and how many milliseconds ago.
_ENTRY: Final = struct.Struct("16sH")
_BEAT, _READY, _BITS = 1, 2, 2
_AGE_MAX_MS: Final = (1 << 14) - 1


class Heard(NamedTuple):
    """A sign of life of an instance at a moment; `token` is its id as bytes. Without `beat` it answered a probe."""

    token: bytes
    at: float
    beat: bool
    ready: bool


def digest(process: bytes, heard: Mapping[bytes, Heard], now: float) -> bytes:
    """Whom a process has heard, to be told to the others: by how long ago, since each has a clock of its own."""
    return process + b"".join(_ENTRY.pack(each.token, _number(each, now)) for each in heard.values())


def _number(heard: Heard, now: float) -> int:
    age_ms = min(int((now - heard.at) * 1000), _AGE_MAX_MS)
    return _BEAT * heard.beat | _READY * heard.ready | age_ms << _BITS


def read(data: bytes, now: float) -> tuple[bytes, Iterator[Heard]]:
    """The process that speaks, and whom it has heard. Raises `ValueError`."""
    if len(data) < _ID or (len(data) - _ID) % _ENTRY.size:
        raise ValueError("not a digest")
    entries = _ENTRY.iter_unpack(memoryview(data)[_ID:])
    return data[:_ID], (
        Heard(token, now - (number >> _BITS) / 1000, bool(number & _BEAT), bool(number & _READY))
        for token, number in entries
    )


@dataclass
class Peers:
    """Which processes live, and which of them looks after an instance. Times are monotonic."""

    id: bytes = field(default_factory=lambda: uuid7().bytes)
    _heard_at: dict[bytes, float] = field(default_factory=dict)

    def heard(self, process: bytes, now: float) -> bool:
        """A process has spoken. True when it is this one, heard again after it was cut off."""
        back = process == self.id and self.cut_off(now)
        self._heard_at[process] = now
        return back

    def cut_off(self, now: float) -> bool:
        """Whether this process does not even hear itself."""
        return now - self._heard_at.get(self.id, -math.inf) > SILENT_S

    def responsible(self, key: str, home: bytes, now: float) -> bool:
        """Whether this process looks after an instance: it heard it last, or who did is dead and it is our turn."""
        if home == self.id:
            return True
        if self.cut_off(now):
            return False
        living = [each for each, at in self._heard_at.items() if now - at <= SILENT_S]
        return home not in living and self.id == _chosen(key, living)


def _chosen(key: str, living: Iterable[bytes]) -> bytes:
    return max(living, key=lambda process: crc32(process + key.encode()))
