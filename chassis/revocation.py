"""What auth's events make void: the one place that knows which passes are meant.

A pass carries marks: its session, its holder, the holder's roles, the tenant. A revocation names marks, and says
whether the credential itself has ended (`final`) or must be asked for a new pass. The gateway drops the passes that it
keeps; every service refuses those that were issued before, and ends the streams of whoever holds one.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

import orjson
from google.protobuf.message import Message
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from switchyard.auth.v1 import events_pb2

from chassis import clock, events
from chassis.identity import PASS_LIFETIME_S, Principal

# No pass that is older than the oldest revocation that is remembered is still good.
REMEMBERED_S: Final = 2.0 * PASS_LIFETIME_S


class Revocation(NamedTuple):
    """Passes that carry one of the marks and were issued no later than `at` (seconds since 1970) are void."""

    marks: frozenset[str]
    final: bool
    at: float
    # Whether refusals, too, may be so no longer.
    lifts: bool = False


def marks(principal: Principal) -> frozenset[str]:
    """The marks of a principal's passes. A process of the suite has none: nobody revokes it while it runs."""
    return frozenset() if principal.kind == "service" else frozenset(_marks(principal))


def _marks(principal: Principal) -> Iterable[str]:
    tenant = principal.tenant_id or ""
    yield f"principal {principal.id}"
    yield f"user {tenant} {principal.id}"
    yield f"tenant {tenant}"
    if principal.session_id:
        yield f"session {principal.session_id}"
    for role in principal.roles:
        yield f"role {tenant} {role}"
    if principal.actor:
        # Whoever acts in another's name can do no more than they could themselves.
        yield f"user {tenant} {principal.actor.removeprefix('user:')}"


Read = Callable[[str, Mapping[str, str]], tuple[set[str], bool]]


def _session_revoked(_tenant: str, data: Mapping[str, str]) -> tuple[set[str], bool]:
    return {f"session {data.get('session_id')}"}, True


def _token_revoked(_tenant: str, data: Mapping[str, str]) -> tuple[set[str], bool]:
    # A token of a person's own stands where a session stands otherwise.
    token = data.get("token_id")
    return {f"principal {token}", f"session {token}"}, True


def _client_revoked(_tenant: str, data: Mapping[str, str]) -> tuple[set[str], bool]:
    return {f"principal {data.get('client_id')}"}, True


def _role_changed(tenant: str, data: Mapping[str, str]) -> tuple[set[str], bool]:
    return {f"user {tenant} {data.get('user_id')}"}, False


def _role_definition_changed(tenant: str, data: Mapping[str, str]) -> tuple[set[str], bool]:
    return {f"role {tenant} {data.get('role')}"}, False


def _tenant_status_changed(_tenant: str, data: Mapping[str, str]) -> tuple[set[str], bool]:
    return {f"tenant {data.get('tenant_id')}"}, False


_READ: Final[Mapping[type[Message], Read]] = {
    events_pb2.SessionRevoked: _session_revoked,
    events_pb2.TokenRevoked: _token_revoked,
    events_pb2.ClientRevoked: _client_revoked,
    events_pb2.RoleChanged: _role_changed,
    events_pb2.RoleDefinitionChanged: _role_definition_changed,
    events_pb2.TenantStatusChanged: _tenant_status_changed,
}
SUBJECTS: Final = tuple(events.subject_of(event) for event in _READ)
_BY_KIND: Final = {events.subject_of(event).split(".", 2)[2]: read for event, read in _READ.items()}
_LIFTING: Final = events.subject_of(events_pb2.TenantStatusChanged).split(".", 2)[2]


def read(tenant: str, kind: str, payload: bytes) -> Revocation | None:
    """What an event revokes; `kind` is `<service>.<Event>`, `payload` the CloudEvent. None for other events."""
    found = _BY_KIND.get(kind)
    if found is None:
        return None
    envelope = orjson.loads(payload)
    named, final = found(tenant, envelope.get("data") or {})
    return Revocation(frozenset(named), final, _at(envelope.get("time")), lifts=kind == _LIFTING)


def _at(time: str | None) -> float:
    # By auth's own clock, as passes are: a new one is never taken for an old one.
    return datetime.fromisoformat(time).timestamp() if time else clock.now().timestamp()


class Revocations:
    """What was revoked lately, as a process has heard it."""

    def __init__(self) -> None:
        self._at: OrderedDict[str, float] = OrderedDict()
        self._listeners: list[Callable[[Revocation], None]] = []

    async def follow(self, connection: Nats) -> None:
        """Hear of revocations from now on. What is missed while NATS is away ends with its pass."""
        for subject in SUBJECTS:
            await connection.subscribe(subject, cb=self._on_message)

    def on_revocation(self, listener: Callable[[Revocation], None]) -> None:
        """Tell `listener` of every revocation, once it is remembered."""
        self._listeners.append(listener)

    def is_void(self, principal: Principal) -> bool:
        """Whether the pass that a principal came with was revoked after it was issued."""
        # Nearly always nothing was revoked lately.
        return bool(self._at) and any(self._at.get(mark, 0.0) >= principal.issued_at for mark in marks(principal))

    def take(self, revocation: Revocation) -> None:
        """Remember a revocation."""
        for mark in revocation.marks:
            self._at[mark] = max(revocation.at, self._at.get(mark, 0.0))
            self._at.move_to_end(mark)
        forgotten = clock.now().timestamp() - REMEMBERED_S
        while self._at and next(iter(self._at.values())) < forgotten:
            self._at.popitem(last=False)
        for listener in self._listeners:
            listener(revocation)

    async def _on_message(self, message: Msg) -> None:
        _, tenant, kind = message.subject.split(".", 2)
        found = read(tenant, kind, message.data)
        if found is not None:
            self.take(found)
