"""Which processes of the service live: each says so twice a second, and the silent ones are dead to the others."""

import math
import time
import uuid
from collections.abc import Iterable
from typing import Final

SUBJECT: Final = "locks.alive"
DEAD_AFTER_S: Final = 3.0


class Hosts:
    """What one process has heard of the others, by its own monotonic clock.

    It hears itself like the others. While it does not, it was paused or is cut off, and nobody's silence counts.
    """

    def __init__(self, *, dead_after_s: float = DEAD_AFTER_S) -> None:
        self.me = uuid.uuid4().hex[:12]
        self.say_every_s = dead_after_s / 6
        self._dead_after_s = dead_after_s
        self._heard: dict[str, float] = {}
        # Since when it hears.
        self._since = time.monotonic()

    def heard(self, host: str, now: float) -> None:
        """A host has said that it lives."""
        if host == self.me:
            if not self._hears(now):
                self._since = now
            for gone in [each for each, heard in self._heard.items() if heard + self._dead_after_s < now]:
                del self._heard[gone]
        self._heard[host] = now

    def dead(self, hosts: Iterable[str], now: float) -> frozenset[str]:
        """Those of them that have been silent for too long."""
        if not self._hears(now) or now - self._since <= self._dead_after_s:
            return frozenset()
        return frozenset(
            host for host in hosts if host != self.me and now - self._heard.get(host, self._since) > self._dead_after_s
        )

    def _hears(self, now: float) -> bool:
        return now - self._heard.get(self.me, -math.inf) <= 3 * self.say_every_s
