"""The edge on the other side: takes the changes from the bucket's stream into the history.

All processes of the registry share one durable consumer. A batch is one transaction, with a mark for each change in the
inbox: a change that comes twice, because its writer died before it could say that it was done, is written once.
"""

import base64
from collections.abc import Awaitable, Sequence
from datetime import UTC
from uuid import UUID, uuid5

import structlog
from google.protobuf.message import DecodeError
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from switchyard.audit.v1 import audit_pb2

from chassis import buckets, errors, identity, inbox, streams
from chassis.db import Database
from services.registry import keeper, registry, roster

DURABLE = "registry-history"
BATCH = 100
# Long enough for a database to come back, short against the redelivery of what was never answered.
RETRY_S = 1.0

Part = list[tuple[Msg, UUID, registry.Change]]

log = structlog.get_logger()


async def consume(connection: Nats, database: Database, bucket: buckets.Bucket, begun: Awaitable[None]) -> None:
    """Write the changes of the bucket's stream down, once it is there, until cancelled."""
    await begun
    taking = Intake(database).take
    await streams.consume(
        connection, stream=bucket.stream, durable=DURABLE, subjects=[bucket.subjects], batch=BATCH, handle=taking
    )


class Intake:
    """Writes the changes down."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, batch: Sequence[Msg]) -> None:
        """Write a batch down and acknowledge it."""
        part: Part = []
        for message in batch:
            try:
                part.append((message, *_read(message)))
            except (DecodeError, ValueError):
                # Nothing can be told of it, now or later.
                log.exception("change_unreadable", subject=message.subject)
                await message.term()
        if not part:
            return
        try:
            await self._write(part)
        except errors.Error as failure:
            log.warning("history_delayed", error=repr(failure), changes=len(part))
            for message, *_ in part:
                await message.nak(delay=RETRY_S)
        else:
            for message, *_ in part:
                await message.ack()

    async def _write(self, part: Part) -> None:
        principal = identity.service_principal(self._database.service, None)
        async with self._database.transaction(principal) as session:
            new = await inbox.new_of(session, principal.tenant, [mark for _message, mark, _change in part])
            for _message, mark, change in part:
                if mark in new:
                    new.remove(mark)
                    registry.record(session, change)


def _read(message: Msg) -> tuple[UUID, registry.Change]:
    """A change, and the mark by which it is known when it comes again."""
    metadata, headers = message.metadata, message.headers or {}
    revision, written_at = metadata.sequence.stream, metadata.timestamp.astimezone(UTC)
    instance, _renews = roster.read(buckets.Entry("", message.data, revision))
    audited = None
    if keeper.AUDIT in headers:
        audited = audit_pb2.AuditEvent.FromString(base64.b64decode(headers[keeper.AUDIT]))
    left = registry.state_of(int(headers.get(keeper.LEFT, 0)))
    # The moment tells a bucket from one that was made anew and counts from the beginning.
    mark = uuid5(identity.PLATFORM, f"{metadata.stream}/{revision}/{written_at.isoformat()}")
    return mark, registry.Change(instance, left, written_at, audited)
