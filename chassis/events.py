"""Publishing what happened.

`publish` notes an event in the session; `write` puts all of a transaction's events into the outbox table just before
its commit; the relay (`chassis.outbox`) sends them to JetStream. The envelope is a CloudEvent 1.0 in structured JSON
whose `data` is the event's message in the API's JSON form, so that the gateway forwards the bytes as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from google.protobuf.message import Message
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from chassis import call, clock, codec, telemetry
from chassis.identity import Principal

OUTBOX = sa.table(
    "outbox",
    sa.column("id", postgresql.UUID),
    sa.column("tenant_id", postgresql.UUID),
    sa.column("subject", sa.Text),
    sa.column("audience", sa.Text),
    sa.column("envelope", sa.Text),
)


# At the head of an audience: the event tells a whole state, and clients need only the last of several.
STATE = "~"


@dataclass
class Transaction:
    """What one transaction will say when it commits."""

    service: str
    principal: Principal
    rows: list[dict[str, object]]


def begin(session: AsyncSession, service: str, principal: Principal) -> None:
    """Prepare a session; the chassis does it when it opens one."""
    session.info["events"] = Transaction(service, principal, [])


def of(session: AsyncSession) -> Transaction:
    """What the session's transaction will say."""
    found: Transaction = session.info["events"]
    return found


def publish(
    session: AsyncSession,
    event: Message,
    *,
    subject: str,
    audience: Sequence[str] = (),
    tenant: UUID | None = None,
    state: bool = False,
) -> None:
    """Publish `event` when the session's transaction commits, and never if it does not.

    `subject` names the aggregate, such as `orders/0198...`: its events keep their order. `audience` names the channels
    whose subscribers may see it (`site:{id}`, `user:{id}`, ...); none: no client does. `tenant` is whose event it is,
    where the platform acts on a tenant from outside; unless given, the tenant of the transaction. With `state` it tells
    all there is to know of its subject: of several within a moment, clients are sent the last.
    """
    transaction = of(session)
    descriptor = event.DESCRIPTOR
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(uuid7()),
        "source": f"switchyard/{transaction.service}",
        "type": descriptor.full_name,
        "subject": subject,
        "time": clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "tenantid": str(tenant or transaction.principal.tenant),
        "partitionkey": subject,
        "actor": transaction.principal.actor or transaction.principal.name,
    }
    if transaction.principal.actor:
        # Somebody acted in another's name: both are told.
        envelope["onbehalfof"] = transaction.principal.on_behalf_of or transaction.principal.name
    if parent := telemetry.traceparent.get():
        envelope["traceparent"] = parent
    current = call.find()
    if current is not None and current.request_id:
        envelope["correlationid"] = current.request_id
    if current is not None and current.caused_by:
        envelope["causationid"] = current.caused_by
    head = orjson.dumps(envelope)[:-1].decode()
    add(
        session,
        event_id=envelope["id"],
        subject=f"evt.{envelope['tenantid']}.{transaction.service}.{descriptor.name}",
        audience=f"{STATE if state and audience else ''}{','.join(audience)}",
        # The relay puts the number of the row where the `sequence` belongs.
        envelope=f'{head},"data":{codec.encode(event).decode()}}}',
    )


def add(session: AsyncSession, *, event_id: str, subject: str, audience: str, envelope: str) -> None:
    """Note a finished message for the outbox."""
    transaction = of(session)
    transaction.rows.append(
        {
            "id": event_id,
            "tenant_id": transaction.principal.tenant,
            "subject": subject,
            "audience": audience,
            "envelope": envelope,
        }
    )


def mark(session: AsyncSession) -> Callable[[], None]:
    """What forgets the messages that are noted from here on."""
    rows = of(session).rows
    kept = len(rows)

    def undo() -> None:
        del rows[kept:]

    return undo


async def write(session: AsyncSession) -> bool:
    """Put the transaction's messages into the outbox; whether there were any."""
    rows = of(session).rows
    if rows:
        await session.execute(sa.insert(OUTBOX), rows)
    return bool(rows)


def subject_of(event: type[Message], tenant: str = "*") -> str:
    """The NATS subject on which events of a class arrive."""
    descriptor = event.DESCRIPTOR
    package = descriptor.file.package.split(".")
    return f"evt.{tenant}.{package[-2]}.{descriptor.name}"
