"""Handling others' events, each exactly once.

A handler is `async def on_order_placed(event, session)`. It runs in a transaction of the event's tenant, together with
the inbox row that says it has run: an event that comes twice has one effect. A handler that fails is tried again with a
growing delay, and after the last try the event is parked in a table, where it is listed and replayed from.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

import orjson
import sqlalchemy as sa
import structlog
from google.protobuf.message import Message
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from chassis import call, codec, errors, events, identity, streams, telemetry
from chassis.db import Database

# Delays before the next try, in seconds; after the last the event is parked.
DELAYS_S = (0.1, 0.5, 2.0, 5.0, 15.0, 30.0, 60.0)
BATCH = 100

INBOX = sa.table("inbox", sa.column("tenant_id"), sa.column("event_id"))
PARKED = sa.table(
    "parked_events",
    sa.column("tenant_id"),
    sa.column("event_id"),
    sa.column("subject"),
    sa.column("envelope"),
    sa.column("error"),
)
# Built once: SQLAlchemy spends three times as long on a statement that is put together for each execution.
_FIRST_TIME = postgresql.insert(INBOX).on_conflict_do_nothing().returning(sa.literal(1))
_PARK = postgresql.insert(PARKED).on_conflict_do_nothing()

Handler = Callable[[Message, AsyncSession], Awaitable[None]]
Handlers = Mapping[type[Message], Callable[..., Awaitable[None]]]

log = structlog.get_logger()


class Inbox:
    """A service's consumer of events."""

    def __init__(
        self, database: Database, connection: Nats, handlers: Handlers, *, delays_s: Sequence[float] = DELAYS_S
    ) -> None:
        self._delays_s = delays_s
        self._database = database
        self._connection = connection
        self._by_type = {event.DESCRIPTOR.full_name: (event, handler) for event, handler in handlers.items()}
        self._subjects = [events.subject_of(event) for event in handlers]

    async def run(self) -> None:
        """Handle events until cancelled."""
        await streams.consume(
            self._connection,
            stream=streams.EVENTS,
            durable=self._database.service,
            subjects=self._subjects,
            batch=BATCH,
            handle=self._handle_all,
        )

    async def _handle_all(self, messages: Sequence[Msg]) -> None:
        for message in messages:
            tries = message.metadata.num_delivered or 1
            try:
                await self.handle(message.data)
            except Exception as failure:  # noqa: BLE001 - whatever a handler raises delays its event, not the others
                await self._failed(message, tries, failure)
            else:
                await message.ack()

    async def handle(self, data: bytes) -> None:
        """Run the handler of one event unless it has run. Raises what the handler raises."""
        envelope = orjson.loads(data)
        event_class, handler = self._by_type[envelope["type"]]
        principal = identity.service_principal(self._database.service, UUID(envelope["tenantid"]))
        answering = call.Call(
            principal=principal,
            action=f"{self._database.service}.{handler.__name__}",
            category="system",
            request_id=envelope.get("correlationid", ""),
            caused_by=envelope["id"],
            caused_by_actor=envelope.get("actor", ""),
        )
        token = telemetry.traceparent.set(envelope.get("traceparent", ""))
        try:
            with call.answering(answering):
                async with self._database.transaction() as session:
                    if await _first_time(session, principal.tenant, envelope["id"]):
                        await handler(codec.from_json(event_class, envelope["data"]), session)
        finally:
            telemetry.traceparent.reset(token)

    async def _failed(self, message: Msg, tries: int, failure: Exception) -> None:
        expected = isinstance(failure, errors.Error)
        log.warning(
            "event_handler_failed", subject=message.subject, tries=tries, error=repr(failure), exc_info=not expected
        )
        if tries <= len(self._delays_s):
            await message.nak(delay=self._delays_s[tries - 1])
            return
        try:
            await self._park(message, failure)
        except errors.Error:
            await message.nak(delay=self._delays_s[-1])
        else:
            await message.term()

    async def _park(self, message: Msg, failure: Exception) -> None:
        envelope = orjson.loads(message.data)
        principal = identity.service_principal(self._database.service, UUID(envelope["tenantid"]))
        row = {
            "tenant_id": principal.tenant,
            "event_id": envelope["id"],
            "subject": message.subject,
            "envelope": message.data.decode(),
            "error": repr(failure)[:2000],
        }
        async with self._database.transaction(principal) as session:
            await session.execute(_PARK, row)


async def new_of(session: AsyncSession, tenant_id: UUID, event_ids: Sequence[UUID]) -> set[UUID]:
    """Note that events are being handled in this transaction; those of them that no other one has handled."""
    rows = [{"tenant_id": tenant_id, "event_id": str(each)} for each in event_ids]
    statement = postgresql.insert(INBOX).values(rows).on_conflict_do_nothing().returning(INBOX.c.event_id)
    return set((await session.scalars(statement)).all())


async def _first_time(session: AsyncSession, tenant_id: UUID, event_id: str) -> bool:
    row = {"tenant_id": tenant_id, "event_id": event_id}
    return (await session.execute(_FIRST_TIME, row)).first() is not None
