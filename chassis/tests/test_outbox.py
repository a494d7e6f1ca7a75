"""Nothing that committed is lost on its way, and nothing has two effects."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import asyncpg
import orjson
import sqlalchemy as sa
from nats.aio.client import Client as Nats
from sqlalchemy.ext.asyncio import AsyncSession

from chassis import call, errors, events, inbox
from chassis.db import Database
from chassis.identity import Principal
from chassis.service import Service
from chassis.testing import Databases, Running, Tenant


async def _received(nats_client: Nats, subject: str, count: int) -> list[dict[str, Any]]:
    """The next messages of a subject."""
    subscription = await nats_client.jetstream().subscribe(subject, ordered_consumer=True)
    messages = [orjson.loads((await subscription.next_msg(timeout=10)).data) for _ in range(count)]
    await subscription.unsubscribe()
    return messages


async def _publish(database: Database, event: Any, principal: Principal, text: str, *, fail: bool = False) -> None:
    answering = call.Call(principal=principal, action="notes.test", category="data")
    with call.answering(answering):
        async with database.transaction() as session:
            event = type(event)()
            event.note.text = text
            events.publish(session, event, subject=f"notes/{principal.tenant}")
            if fail:
                raise errors.Conflict


class TestRelay:
    async def test_events_arrive_in_the_order_of_their_aggregate(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant, nats_client: Nats
    ) -> None:
        running: Running = await serve_notes()
        user = tenant.user()
        for number in range(50):
            await _publish(running.service.database, notes.pb.NoteWritten(), user, str(number))

        received = await _received(nats_client, f"evt.{tenant.id}.notes.NoteWritten", 50)

        assert [event["data"]["note"]["text"] for event in received] == [str(number) for number in range(50)]
        assert len({event["sequence"] for event in received}) == 50

    async def test_what_rolled_back_is_never_sent(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant, nats_client: Nats
    ) -> None:
        running: Running = await serve_notes()
        try:
            await _publish(running.service.database, notes.pb.NoteWritten(), tenant.user(), "never", fail=True)
        except errors.Conflict:
            await _publish(running.service.database, notes.pb.NoteWritten(), tenant.user(), "sent")

        received = await _received(nats_client, f"evt.{tenant.id}.notes.NoteWritten", 1)

        assert received[0]["data"]["note"]["text"] == "sent"

    async def test_a_transaction_that_commits_late_is_not_skipped(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant, nats_client: Nats
    ) -> None:
        running: Running = await serve_notes()
        database, user = running.service.database, tenant.user()
        event = notes.pb.NoteWritten()
        event.note.text = "early number, late commit"
        with call.answering(call.Call(principal=user, action="notes.test")):
            async with database.transaction() as session:
                events.publish(session, event, subject="notes/late")
                await events.write(session)
                events.of(session).rows.clear()
                await _publish(database, event, user, "late number, early commit")
                first = await _received(nats_client, f"evt.{tenant.id}.notes.NoteWritten", 1)
        await running.sent()

        both = await _received(nats_client, f"evt.{tenant.id}.notes.NoteWritten", 2)

        assert first[0]["data"]["note"]["text"] == "late number, early commit"
        assert both[1]["data"]["note"]["text"] == "early number, late commit"

    async def test_audit_events_are_numbered_without_gaps(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant, nats_client: Nats
    ) -> None:
        running: Running = await serve_notes()
        stub = notes.grpc.NotesServiceStub(running.channel(tenant.user()))
        texts = ["fail" if number % 3 == 0 else f"note {number}" for number in range(30)]
        await asyncio.gather(
            *(stub.CreateNote(notes.pb.CreateNoteRequest(note=notes.pb.Note(text=text))) for text in texts),
            return_exceptions=True,
        )

        received = await _received(nats_client, f"aud.{tenant.id}.notes", 20)

        assert [entry["service_sequence"] for entry in received] == list(range(1, 21))

    async def test_sent_again_after_a_crash_before_the_mark_it_is_stored_once(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant, nats_client: Nats, databases: Databases
    ) -> None:
        running: Running = await serve_notes()
        await _publish(running.service.database, notes.pb.NoteWritten(), tenant.user(), "once")
        await _received(nats_client, f"evt.{tenant.id}.notes.NoteWritten", 1)
        connection = await asyncpg.connect(databases.admin("notes"))
        await connection.execute("UPDATE outbox SET sent_at = NULL WHERE tenant_id = $1", tenant.id)
        await connection.close()
        await running.sent()
        await _publish(running.service.database, notes.pb.NoteWritten(), tenant.user(), "another")

        received = await _received(nats_client, f"evt.{tenant.id}.notes.NoteWritten", 2)

        assert [event["data"]["note"]["text"] for event in received] == ["once", "another"]


class TestInbox:
    async def test_a_handler_runs_once_however_often_the_event_comes(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant, nats_client: Nats
    ) -> None:
        seen: list[str] = []

        async def on_note_written(event: Any, session: AsyncSession) -> None:
            seen.append(event.note.text)

        running: Running = await serve_notes()
        consumer = inbox.Inbox(running.service.database, nats_client, {notes.pb.NoteWritten: on_note_written})
        await _publish(running.service.database, notes.pb.NoteWritten(), tenant.user(), "hello")
        data = orjson.dumps((await _received(nats_client, f"evt.{tenant.id}.notes.NoteWritten", 1))[0])

        for _ in range(3):
            await consumer.handle(data)

        assert seen == ["hello"]

    async def test_a_failing_handler_is_tried_again_and_then_parked(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        tries: list[str] = []

        async def on_note_written(event: Any, session: AsyncSession) -> None:
            tries.append(event.note.text)
            raise errors.Conflict

        def build(service: Service) -> None:
            handlers = {notes.pb.NoteWritten: on_note_written}
            service.background(inbox.Inbox(service.database, service.nats, handlers, delays_s=(0.01, 0.01)).run())

        running: Running = await serve_notes(build)
        await _publish(running.service.database, notes.pb.NoteWritten(), tenant.user(), "poison")

        async def parked() -> int:
            async with running.service.database.transaction(tenant.user()) as session:
                found: int = await session.scalar(sa.select(sa.func.count()).select_from(inbox.PARKED)) or 0
                return found

        assert await _eventually(parked, 1)
        assert tries.count("poison") == 3


async def _eventually(ask: Callable[[], Any], wanted: object) -> bool:
    async with asyncio.timeout(20):
        while await ask() != wanted:
            await asyncio.sleep(0.02)
    return True
