"""Which processes of the service live: each says so twice a second, and the silent ones are dead to the others."""

import time
import uuid
from collections.abc import Iterable
from typing import Final

SUBJECT: Final = "locks.alive"
SAY_EVERY_S: Final = 0.5
DEAD_AFTER_S: Final = 3.0
# A gap in this process's own time: it was paused, and has heard nobody meanwhile.
PAUSED_S: Final = 1.5


class Hosts:
    """What one process has heard of the others, by its own monotonic clock."""

    def __init__(self, now: float | None = None) -> None:
        self.me = uuid.uuid4().hex[:12]
        self._heard: dict[str, float] = {}
        self._ticked = self._since = time.monotonic() if now is None else now

    def heard(self, host: str, now: float) -> None:
        """A host has said that it lives."""
        self._heard[host] = now

    def tick(self, now: float, *, connected: bool) -> None:
        """Time goes on. Silence does not count while this process could hear nobody."""
        if not connected or now - self._ticked > PAUSED_S:
            self._since = now
        self._ticked = now
        for host in [host for host, heard in self._heard.items() if heard + 10 * DEAD_AFTER_S < now]:
            del self._heard[host]

    def dead(self, hosts: Iterable[str], now: float) -> frozenset[str]:
        """Those of them that have been silent for too long."""
        return frozenset(
            host
            for host in hosts
            if host != self.me and now - max(self._heard.get(host, self._since), self._since) > DEAD_AFTER_S
        )
