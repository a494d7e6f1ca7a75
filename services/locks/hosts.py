"""Which processes of the service live: each says so twice a second, and the silent ones are dead to the others."""

import time
import uuid
from collections.abc import Iterable
from typing import Final

SUBJECT: Final = "locks.alive"
DEAD_AFTER_S: Final = 3.0


class Hosts:
    """What one process has heard of the others, by its own monotonic clock."""

    def __init__(self, *, dead_after_s: float = DEAD_AFTER_S) -> None:
        self.me = uuid.uuid4().hex[:12]
        self.say_every_s = dead_after_s / 6
        self._dead_after_s = dead_after_s
        self._heard: dict[str, float] = {}
        self._ticked = self._since = time.monotonic()

    def heard(self, host: str, now: float) -> None:
        """A host has said that it lives."""
        self._heard[host] = now

    def tick(self, now: float, *, connected: bool) -> None:
        """Time goes on. Silence does not count while this process could hear nobody."""
        paused = now - self._ticked > 3 * self.say_every_s
        if paused or not connected:
            self._since = now
        self._ticked = now
        for host in [host for host, heard in self._heard.items() if heard + self._dead_after_s < now]:
            del self._heard[host]

    def dead(self, hosts: Iterable[str], now: float) -> frozenset[str]:
        """Those of them that have been silent for too long."""
        if now - self._since <= self._dead_after_s:
            return frozenset()
        return frozenset(
            host for host in hosts if host != self.me and now - self._heard.get(host, self._since) > self._dead_after_s
        )
