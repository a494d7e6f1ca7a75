"""The call that is being answered: who asks, under which policy, with which conditions.

It is set by the edge (a served RPC, an event's handler, a timer) and found again by the database session, the events
and the audit trail through one context variable, so that no heart has to carry it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field

from chassis import errors
from chassis.identity import Principal
from chassis.policy import Method


@dataclass
class Call:
    """One call. `action` and `category` are what the audit trail says of it; an empty category leaves no trace."""

    principal: Principal
    action: str
    category: str = ""
    method: Method | None = None
    token: str = ""
    idempotency_key: str = ""
    fingerprint: bytes = b""
    expected_version: int | None = None
    request_id: str = ""
    address: str = ""
    user_agent: str = ""
    audit_context: str = ""
    channel: str = ""
    # Id of the event that caused this call, when one did.
    caused_by: str = ""
    # Who did what that event tells of, as `kind:id`.
    caused_by_actor: str = ""
    # Sent back beside the answer.
    trailers: dict[str, str] = field(default_factory=dict)

    def require_version(self, current: int) -> None:
        """Raise `StaleVersion` when the caller's `If-Match` names another version than the current one."""
        if self.expected_version is not None and self.expected_version != current:
            raise errors.StaleVersion(metadata={"current_version": str(current)})


_current: ContextVar[Call] = ContextVar("call")


def current() -> Call:
    """The call being answered. Outside of one it is a mistake to ask (`LookupError`)."""
    return _current.get()


def find() -> Call | None:
    """The call being answered, if there is one."""
    return _current.get(None)


@contextmanager
def answering(call: Call) -> Iterator[Call]:
    """Make `call` the current one."""
    token = _current.set(call)
    try:
        yield call
    finally:
        # A stream whose reader has gone may be closed by the garbage collector, in a context that knew no call.
        with suppress(ValueError):
            _current.reset(token)
