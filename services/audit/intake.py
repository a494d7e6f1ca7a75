"""The edge on the other side: takes the AUDIT stream in.

A batch is split by tenant, each tenant's part is one transaction and is acknowledged once it has committed. A part that
fails comes again later, without holding up the others; a message that comes twice is found by its id. What cannot be
read is parked, so that nothing stands still and nothing is lost.
"""

from collections.abc import Sequence
from uuid import UUID, uuid5

import orjson
import structlog
from google.protobuf.message import Error as ProtobufError
from nats.aio.msg import Msg
from sqlalchemy.dialects import postgresql
from switchyard.audit.v1 import audit_pb2

from chassis import codec, errors, identity, inbox
from chassis.db import Database
from services.audit import audit

# Long enough for a database to come back, short against the redelivery of what was never answered.
RETRY_S = 1.0
# After this many deliveries an event that the database refuses is parked.
TRIES_MAX = 10

Part = Sequence[tuple[Msg, audit_pb2.AuditEvent]]

log = structlog.get_logger()


class Intake:
    """Takes batches of audit events into the chains."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, batch: Sequence[Msg]) -> None:
        """Append a batch and acknowledge it."""
        parts: dict[UUID, list[tuple[Msg, audit_pb2.AuditEvent]]] = {}
        for message in batch:
            try:
                event = _read(message)
            except (ValueError, KeyError, TypeError, AttributeError, ProtobufError) as failure:
                await self._park(message, failure)
            else:
                parts.setdefault(UUID(event.tenant_id), []).append((message, event))
        for tenant_id, part in parts.items():
            await self._append(tenant_id, part)

    async def _append(self, tenant_id: UUID, part: Part) -> None:
        principal = identity.service_principal(self._database.service, tenant_id)
        try:
            async with self._database.transaction(principal) as session:
                await audit.append(session, [event for _message, event in part])
        except (errors.Unavailable, errors.Conflict) as failure:
            await self._come_again(part, failure)
        except Exception as failure:
            log.exception("audit_not_appended", tenant_id=str(tenant_id))
            await self._bear(tenant_id, part, failure)
        else:
            for message, _event in part:
                await message.ack()

    async def _come_again(self, part: Part, failure: Exception) -> None:
        log.warning("audit_comes_again", messages=len(part), error=repr(failure))
        for message, _event in part:
            await message.nak(delay=RETRY_S)

    async def _bear(self, tenant_id: UUID, part: Part, failure: Exception) -> None:
        """One event that the database will not take must not keep the tenant's others out."""
        if len(part) > 1:
            for one in part:
                await self._append(tenant_id, [one])
        elif (part[0][0].metadata.num_delivered or 1) < TRIES_MAX:
            await self._come_again(part, failure)
        else:
            await self._park(part[0][0], failure)

    async def _park(self, message: Msg, failure: Exception) -> None:
        log.error("audit_event_unreadable", subject=message.subject, error=repr(failure))
        row = {
            "tenant_id": identity.PLATFORM,
            "event_id": uuid5(identity.PLATFORM, message.data.hex()),
            "subject": message.subject,
            "envelope": message.data.decode("utf-8", "replace").replace("\x00", ""),
            "error": repr(failure)[:2000],
        }
        try:
            async with self._database.transaction(identity.service_principal(self._database.service, None)) as session:
                await session.execute(postgresql.insert(inbox.PARKED).values(row).on_conflict_do_nothing())
        except errors.Error:
            await message.nak(delay=RETRY_S)
        else:
            await message.term()


def _read(message: Msg) -> audit_pb2.AuditEvent:
    """The event of a message. Raises whatever its bytes deserve."""
    event = codec.from_json(audit_pb2.AuditEvent, orjson.loads(message.data))
    tenant, service = message.subject.split(".")[1:3]
    # A tenant's chain takes what came in under that tenant's subject, whatever the message says of itself.
    if UUID(event.tenant_id) != UUID(tenant) or event.service != service:
        text = "the event does not belong under its subject"
        raise ValueError(text)
    UUID(event.id)
    return event
