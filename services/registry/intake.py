"""The edge on the other side: takes the changes from the bucket's stream into the history.

All processes of the registry share one durable consumer. A batch is one transaction, with a mark for each change in the
inbox: a change that comes twice, because its writer died before it could say that it was done, is written once.
"""

import base64
from collections.abc import Awaitable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID, uuid5

import structlog
from google.protobuf.message import DecodeError
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from switchyard.audit.v1 import audit_pb2

from chassis import buckets, errors, identity, inbox, streams
from chassis.db import Database
from services.registry import keeper, registry, roster, store

DURABLE = "registry-history"
BATCH = 100
# Long enough for a database to come back, short against the redelivery of what was never answered.
RETRY_S = 1.0

log = structlog.get_logger()


class Taken(NamedTuple):
    """A message, the mark by which it is known when it comes again, and the change that it is."""

    message: Msg
    mark: UUID
    change: registry.Change


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
        part: list[Taken] = []
        for message in batch:
            try:
                part.append(_read(message))
            except (DecodeError, ValueError) as failure:
                # Nothing can be told of it, now or later.
                log.warning("change_unreadable", subject=message.subject, error=repr(failure))
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

    async def _write(self, part: list[Taken]) -> None:
        principal = identity.service_principal(self._database.service, None)
        part = sorted(part, key=lambda each: each.change.instance.revision)
        audited = [UUID(each.change.audited.id) for each in part if each.change.audited is not None]
        async with self._database.transaction(principal) as session:
            await store.one_by_one(session)
            last = await store.last(session, [each.change.instance for each in part])
            new = await inbox.new_of(session, principal.tenant, [*(each.mark for each in part), *audited])
            for _message, mark, change in part:
                if mark in new:
                    new.remove(mark)
                    registry.record(session, _audited_once(change, new), late=_is_late(change, last))


def _audited_once(change: registry.Change, new: set[UUID]) -> registry.Change:
    """A change without its entry for the trail if that is there: a write that was repeated repeats it."""
    if change.audited is None or UUID(change.audited.id) not in new:
        return change._replace(audited=None)
    new.remove(UUID(change.audited.id))
    return change


def _is_late(change: registry.Change, last: Mapping[str, tuple[datetime, int]]) -> bool:
    """Whether the history had a later change of the instance before."""
    known = last.get(change.instance.id.lower())
    # The moment comes first: a bucket that was made anew counts from the beginning.
    return known is not None and (change.occurred_at, change.instance.revision) < known


def _read(message: Msg) -> Taken:
    metadata, headers = message.metadata, message.headers or {}
    revision, written_at = metadata.sequence.stream, metadata.timestamp.astimezone(UTC)
    _kv, _bucket, key = message.subject.split(".", 2)
    instance, _renews, left = roster.read(buckets.Entry(key, message.data, revision, headers))
    audited = None
    if keeper.AUDIT in headers:
        audited = audit_pb2.AuditEvent.FromString(base64.b64decode(headers[keeper.AUDIT]))
        UUID(audited.id)
    # The moment tells a bucket from one that was made anew and counts from the beginning.
    mark = uuid5(identity.PLATFORM, f"{metadata.stream}/{revision}/{written_at.isoformat()}")
    return Taken(message, mark, registry.Change(instance, left, written_at, audited))
