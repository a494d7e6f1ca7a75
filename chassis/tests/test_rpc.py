"""What the chassis does around every method, seen through a real server."""

import asyncio
from types import SimpleNamespace
from typing import Any

import asyncpg
import orjson
import pytest
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.testing import Databases, Tenant

WRITER = {"notes.read", "notes.write"}


def _note(notes: SimpleNamespace, **values: Any) -> Any:
    return notes.pb.CreateNoteRequest(note=notes.pb.Note(**values))


class TestPolicy:
    async def test_without_a_pass_is_unauthenticated(self, serve_notes: Any, notes: SimpleNamespace) -> None:
        stub = notes.grpc.NotesServiceStub((await serve_notes()).channel())

        with pytest.raises(errors.Unauthenticated):
            await stub.CreateNote(_note(notes, text="hello"))

    async def test_missing_permission_is_named(self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant) -> None:
        stub = notes.grpc.NotesServiceStub((await serve_notes()).channel(tenant.user(permissions={"notes.read"})))

        with pytest.raises(errors.Denied) as denied:
            await stub.CreateNote(_note(notes, text="hello"))

        assert denied.value.fields == {"permission": ["notes.write"]}

    async def test_a_method_for_services_refuses_users(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        stub = notes.grpc.NotesServiceStub((await serve_notes()).channel(tenant.user(permissions=WRITER)))

        with pytest.raises(errors.Denied):
            await stub.PurgeNote(notes.pb.GetNoteRequest(id=str(uuid7())))

    async def test_idempotency_key_can_be_required(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        stub = notes.grpc.NotesServiceStub((await serve_notes()).channel(tenant.service("orders")))

        with pytest.raises(errors.FailedPrecondition) as refused:
            await stub.PurgeNote(notes.pb.GetNoteRequest(id=str(uuid7())))

        assert refused.value.code == "IDEMPOTENCY_KEY_REQUIRED"

    async def test_a_field_can_demand_its_own_permission(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        stub = notes.grpc.NotesServiceStub((await serve_notes()).channel(tenant.user(permissions=WRITER)))

        with pytest.raises(errors.Denied) as denied:
            await stub.CreateNote(_note(notes, text="hello", secret="x"))

        assert denied.value.fields == {"note.secret": ["requires notes.secret"]}

    async def test_an_unreadable_field_is_left_out(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        running = await serve_notes()
        author = tenant.user(permissions={*WRITER, "notes.secret"})
        written = await notes.grpc.NotesServiceStub(running.channel(author)).CreateNote(
            _note(notes, text="a", secret="x")
        )
        reader = notes.grpc.NotesServiceStub(running.channel(tenant.user(permissions=WRITER)))

        read = await reader.GetNote(notes.pb.GetNoteRequest(id=written.id))

        assert (written.secret, read.secret) == ("x", "")

    async def test_a_bug_is_an_internal_error_that_tells_nothing(
        self, serve_notes: Any, notes: SimpleNamespace
    ) -> None:
        stub = notes.grpc.NotesServiceStub((await serve_notes()).channel())

        with pytest.raises(errors.Internal) as failed:
            await stub.Crash(notes.pb.GetNoteRequest(id=str(uuid7())))

        assert failed.value.message == "internal error"


class TestValidation:
    async def test_each_broken_rule_is_told(self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant) -> None:
        stub = notes.grpc.NotesServiceStub((await serve_notes()).channel(tenant.user(permissions=WRITER)))

        with pytest.raises(errors.Invalid) as invalid:
            await stub.CreateNote(_note(notes, text="x" * 21))

        assert list(invalid.value.fields) == ["note.text"]

    @pytest.mark.parametrize(
        ("values", "mask", "path"),
        [
            ({"text": "x" * 21}, ["text"], "note.text"),
            ({"author": "me"}, ["author"], "note.author"),
            ({}, ["version"], "note.version"),
            ({}, ["nonsense"], "note.nonsense"),
            ({}, ["text"], "note.text"),
            ({}, [], "note"),
        ],
    )
    async def test_a_bad_patch_is_refused(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant, values: Any, mask: list[str], path: str
    ) -> None:
        channel = (await serve_notes()).channel(tenant.user(permissions=WRITER), switchyard_expected_version="1")
        request = notes.pb.UpdateNoteRequest(id=str(uuid7()), note=notes.pb.Note(**values))
        request.update_mask.paths.extend(mask)

        with pytest.raises(errors.Invalid) as invalid:
            await notes.grpc.NotesServiceStub(channel).UpdateNote(request)

        assert list(invalid.value.fields) == [path]


class TestTenancy:
    async def test_anothers_note_is_not_found(self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant) -> None:
        running = await serve_notes()
        own = notes.grpc.NotesServiceStub(running.channel(tenant.user(permissions=WRITER)))
        other = notes.grpc.NotesServiceStub(running.channel(Tenant().user(permissions=WRITER)))
        written = await own.CreateNote(_note(notes, text="mine"))

        with pytest.raises(errors.NotFound):
            await other.GetNote(notes.pb.GetNoteRequest(id=written.id))

    async def test_without_a_tenant_nothing_is_seen(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        running = await serve_notes()
        await notes.grpc.NotesServiceStub(running.channel(tenant.user(permissions=WRITER))).CreateNote(
            _note(notes, text="a")
        )
        connection = await running.service.database.connect()

        seen = await connection.fetchval("SELECT count(*) FROM notes")
        await connection.close()

        assert seen == 0


class TestVersions:
    async def test_a_stale_version_is_refused(self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant) -> None:
        running = await serve_notes()
        user = tenant.user(permissions=WRITER)
        written = await notes.grpc.NotesServiceStub(running.channel(user)).CreateNote(_note(notes, text="one"))
        request = notes.pb.UpdateNoteRequest(id=written.id, note=notes.pb.Note(text="two"))
        request.update_mask.paths.append("text")
        stub = notes.grpc.NotesServiceStub(running.channel(user, switchyard_expected_version="1"))
        changed = await stub.UpdateNote(request)

        with pytest.raises(errors.StaleVersion):
            await stub.UpdateNote(request)

        assert (changed.text, changed.version) == ("two", 2)

    async def test_a_version_can_be_required(self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant) -> None:
        stub = notes.grpc.NotesServiceStub((await serve_notes()).channel(tenant.user(permissions=WRITER)))

        with pytest.raises(errors.FailedPrecondition) as refused:
            await stub.UpdateNote(notes.pb.UpdateNoteRequest(id=str(uuid7())))

        assert refused.value.code == "PRECONDITION_REQUIRED"


class TestIdempotency:
    async def test_the_same_key_gets_the_same_answer(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        channel = (await serve_notes()).channel(tenant.user(permissions=WRITER), switchyard_idempotency_key="k")
        stub = notes.grpc.NotesServiceStub(channel)
        first = await stub.CreateNote(_note(notes, text="once"))

        second = await stub.CreateNote(_note(notes, text="once"))

        assert (second, channel.trailers["idempotency-replayed"]) == (first, "true")

    async def test_another_payload_is_refused(self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant) -> None:
        channel = (await serve_notes()).channel(tenant.user(permissions=WRITER), switchyard_idempotency_key="k")
        stub = notes.grpc.NotesServiceStub(channel)
        await stub.CreateNote(_note(notes, text="once"))

        with pytest.raises(errors.FailedPrecondition) as refused:
            await stub.CreateNote(_note(notes, text="twice"))

        assert refused.value.code == "IDEMPOTENCY_KEY_REUSED"

    async def test_twenty_at_once_have_one_effect(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        running = await serve_notes()
        user = tenant.user(permissions=WRITER)
        stub = notes.grpc.NotesServiceStub(running.channel(user, switchyard_idempotency_key="k"))

        answers = await asyncio.gather(
            *(stub.CreateNote(_note(notes, text="once")) for _ in range(20)), return_exceptions=True
        )
        listed = await notes.grpc.NotesServiceStub(running.channel(user)).ListNotes(notes.pb.ListNotesRequest())

        others = [answer for answer in answers if isinstance(answer, Exception)]
        assert len(listed.notes) == 1
        assert {getattr(failure, "code", failure) for failure in others} <= {"IDEMPOTENCY_KEY_IN_USE"}

    async def test_a_failed_call_leaves_its_key_free(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        channel = (await serve_notes()).channel(tenant.user(permissions=WRITER), switchyard_idempotency_key="k")
        stub = notes.grpc.NotesServiceStub(channel)
        with pytest.raises(errors.Conflict):
            await stub.CreateNote(_note(notes, text="fail"))

        written = await stub.CreateNote(_note(notes, text="better"))

        assert written.text == "better"


class TestPages:
    async def test_pages_are_walked_without_gap_or_repeat(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        stub = notes.grpc.NotesServiceStub((await serve_notes()).channel(tenant.user(permissions=WRITER)))
        texts = [f"note {number % 3}" for number in range(11)]
        for text in texts:
            await stub.CreateNote(_note(notes, text=text))

        seen, cursor = [], ""
        while True:
            page = await stub.ListNotes(notes.pb.ListNotesRequest(page_size=4, cursor=cursor, order_by="-text"))
            seen += [(note.text, note.id) for note in page.notes]
            cursor = page.next_cursor
            if not cursor:
                break

        assert [text for text, _ in seen] == sorted(texts, reverse=True)
        assert len(set(seen)) == 11

    async def test_a_cursor_of_another_list_is_refused(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        running = await serve_notes()
        stub = notes.grpc.NotesServiceStub(running.channel(tenant.user(permissions=WRITER)))
        for number in range(3):
            await stub.CreateNote(_note(notes, text=f"note {number}"))
        page = await stub.ListNotes(notes.pb.ListNotesRequest(page_size=1))
        other = notes.grpc.NotesServiceStub(running.channel(Tenant().user(permissions=WRITER)))

        for reader, author, cursor in (
            (stub, "me", page.next_cursor),
            (other, "", page.next_cursor),
            (stub, "", "AAAA"),
        ):
            with pytest.raises(errors.Invalid):
                await reader.ListNotes(notes.pb.ListNotesRequest(cursor=cursor, author=author))

    async def test_an_unknown_order_is_refused(self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant) -> None:
        stub = notes.grpc.NotesServiceStub((await serve_notes()).channel(tenant.user(permissions=WRITER)))

        with pytest.raises(errors.Invalid):
            await stub.ListNotes(notes.pb.ListNotesRequest(order_by="secret"))


class TestOutboxRows:
    async def test_a_change_leaves_its_event_and_one_audit_event(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant, databases: Databases
    ) -> None:
        stub = notes.grpc.NotesServiceStub(
            (await serve_notes()).channel(tenant.user(permissions={*WRITER, "notes.secret"}))
        )

        written = await stub.CreateNote(_note(notes, text="hello", secret="x"))

        rows = await _outbox(databases, tenant)
        told = orjson.loads(rows[f"evt.{tenant.id}.notes.NoteWritten"])
        trail = orjson.loads(rows[f"aud.{tenant.id}.notes"])
        assert (told["type"], told["data"]["note"]["id"]) == ("notes.v1.NoteWritten", written.id)
        assert trail["changes"][f"notes/{written.id}"]["after"]["secret"] == "***"
        assert (trail["action"], trail["outcome"]) == ("notes.CreateNote", "success")

    async def test_a_failed_change_leaves_nothing(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant, databases: Databases
    ) -> None:
        stub = notes.grpc.NotesServiceStub((await serve_notes()).channel(tenant.user(permissions=WRITER)))

        with pytest.raises(errors.Conflict):
            await stub.CreateNote(_note(notes, text="fail"))

        assert await _outbox(databases, tenant) == {}

    async def test_a_denial_is_in_the_trail(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant, databases: Databases
    ) -> None:
        stub = notes.grpc.NotesServiceStub((await serve_notes()).channel(tenant.user(permissions=set())))

        with pytest.raises(errors.Denied):
            await stub.CreateNote(_note(notes, text="hello"))

        trail = orjson.loads((await _outbox(databases, tenant))[f"aud.{tenant.id}.notes"])
        assert (trail["outcome"], trail["error_code"]) == ("denied", "PERMISSION_DENIED")


async def _outbox(databases: Databases, tenant: Tenant) -> dict[str, str]:
    connection = await asyncpg.connect(databases.admin("notes"))
    try:
        rows = await connection.fetch("SELECT subject, envelope FROM outbox WHERE tenant_id = $1", tenant.id)
    finally:
        await connection.close()
    return {row["subject"]: row["envelope"] for row in rows}
