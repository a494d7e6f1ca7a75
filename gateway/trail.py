"""What the gateway itself tells the audit trail.

That is what services that are not built on the chassis do, and what it refuses before any service hears of it. These
events carry no number of a service's own: they are in the tenant's chain, but one that is lost on its way to JetStream
leaves no gap.
"""

from typing import Any, Final, NamedTuple

import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.js.errors import Error as JetStreamError

from chassis import audit, call
from chassis.identity import Principal
from chassis.rpc import metadata
from gateway.errors import Problem
from gateway.headers import Head
from gateway.passes import Pass

PUBLISH_TIMEOUT_S: Final = 2.0

log = structlog.get_logger()


class Entry(NamedTuple):
    """An audit event, ready to send."""

    id: str
    subject: str
    body: bytes


def entry(principal: Principal, told: Any, *, action: str, category: str, code: str = "") -> Entry:
    """What a principal did (`<service>.<Method>`), or was denied with a code. `told` is the call's metadata."""
    circumstances = dict(told)
    current = call.Call(
        principal=principal,
        action=action,
        category=category,
        request_id=str(circumstances.get(metadata.REQUEST_ID, "")),
        address=str(circumstances.get(metadata.ADDRESS, "")),
        user_agent=_text(circumstances.get(metadata.USER_AGENT, b"")),
        audit_context=_text(circumstances.get(metadata.AUDIT_CONTEXT, b"")),
    )
    service = action.partition(".")[0]
    outcome = audit.DENIED if code else audit.SUCCESS
    event = audit.event(current, service=service, tenant=principal.tenant, outcome=outcome, code=code)
    return Entry(event.id, *audit.message(event))


class Trail:
    """Where the gateway's audit events go. `connection` is set once NATS is there."""

    connection: Nats | None = None

    async def record(self, made: Entry | None) -> None:
        """Hand an event to JetStream. The call has happened: a failure is logged and not the client's."""
        if made is None:
            return
        try:
            if self.connection is None:
                raise nats.errors.ConnectionClosedError
            stream = self.connection.jetstream(timeout=PUBLISH_TIMEOUT_S)
            await stream.publish(made.subject, made.body, headers={"Nats-Msg-Id": made.id})
        except (nats.errors.Error, JetStreamError, OSError) as failure:
            log.error("gateway_audit_event_lost", subject=made.subject, event_id=made.id, error=repr(failure))  # noqa: TRY400

    async def refuse_elsewhere(self, shown: Pass, head: Head) -> None:
        """Raise `Problem` for a credential from a network that it may not be shown from: it may be stolen.

        The trail is told once in a pass's life, however often it is tried.
        """
        if shown.may_come_from(head.address):
            return
        if not shown.has_strayed:
            shown.has_strayed = True
            told = head.circumstances(None, conditions=False)
            code = "UNAUTHENTICATED"
            await self.record(
                entry(shown.principal, told, action="gateway.ShowCredential", category="authentication", code=code)
            )
        raise Problem("UNAUTHENTICATED", "the credential may not be shown from this network")


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
