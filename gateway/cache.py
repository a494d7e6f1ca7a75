"""Answers of methods that allow it, kept for the seconds their contract says.

An answer is kept for one tenant, one set of permissions and sites, one path and query. It is dropped when the service
publishes any event of the tenant, and when a change by the same tenant passes through this gateway: a client sees its
own writes.
"""

import time
from collections import OrderedDict
from typing import Final, NamedTuple

from google.protobuf.message import Message

from chassis.identity import PLATFORM, Principal

# A message of a page is about 10 kB.
ANSWERS_MAX: Final = 5_000


class Key(NamedTuple):
    """What an answer depends on."""

    tenant: str
    service: str
    permissions: frozenset[str]
    sites: frozenset[str]
    path: str
    query: str


def key(principal: Principal | None, *, service: str, path: str, query: str) -> Key:
    """The key of a call; everybody shares the answers of a public method."""
    if principal is None:
        return Key("", service, frozenset(), frozenset(), path, query)
    tenant = str(principal.tenant_id or PLATFORM)
    return Key(tenant, service, principal.permissions | {f"kind {principal.kind}"}, principal.sites, path, query)


class Cache:
    """The answers that are kept."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Key, tuple[Message, float]] = OrderedDict()
        # When a service last said that something of a tenant changed: an answer that was asked for before is not kept.
        self._changed: OrderedDict[tuple[str, str], float] = OrderedDict()

    def find(self, wanted: Key) -> Message | None:
        """The answer, unless it is too old."""
        message, ends_at = self._answers.get(wanted, (None, 0.0))
        return message if ends_at > time.monotonic() else None

    def keep(self, wanted: Key, message: Message, *, asked_at: float, seconds: float) -> None:
        """Keep an answer that was asked for at `asked_at` (monotonic)."""
        if self._changed.get((wanted.tenant, wanted.service), 0.0) >= asked_at:
            return
        self._answers[wanted] = (message, asked_at + seconds)
        self._answers.move_to_end(wanted)
        if len(self._answers) > ANSWERS_MAX:
            self._answers.popitem(last=False)

    def drop(self, tenant: str, service: str) -> None:
        """Forget what a service answered in a tenant, and to everybody: it has changed."""
        now = time.monotonic()
        for owner in (tenant, ""):
            self._changed[owner, service] = now
            self._changed.move_to_end((owner, service))
        if len(self._changed) > ANSWERS_MAX:
            self._changed.popitem(last=False)
        # Few methods allow it, so there is little to look through.
        for kept in [kept for kept in self._answers if kept.service == service and kept.tenant in {tenant, ""}]:
            del self._answers[kept]
