"""Who may call what, beyond permissions: programs, persons in another's name, and who must prove themselves."""

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import asyncpg
import orjson
import pytest
from uuid_utils.compat import uuid7

from chassis import audit, call, errors
from chassis.identity import Principal
from chassis.policy import STEP_UP_S
from chassis.rpc import client
from chassis.testing import Credentials, Databases, Directory, Tenant

WRITER = {"notes.read", "notes.write"}
ACTOR = "user:0198aaaa-0000-7000-8000-00000000000b"


async def _written(running: Any, notes: SimpleNamespace, tenant: Tenant) -> Any:
    stub = notes.grpc.NotesServiceStub(running.channel(tenant.user(permissions=WRITER)))
    return notes.pb.GetNoteRequest(
        id=(await stub.CreateNote(notes.pb.CreateNoteRequest(note=notes.pb.Note(text="hello")))).id
    )


async def _outbox(databases: Databases, tenant: Tenant) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(databases.admin("notes"))
    try:
        rows = await connection.fetch("SELECT envelope FROM outbox WHERE tenant_id = $1 ORDER BY id", tenant.id)
    finally:
        await connection.close()
    return [orjson.loads(row["envelope"]) for row in rows]


class TestClient:
    async def test_may_what_its_permissions_say(self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant) -> None:
        running = await serve_notes()
        reader = notes.grpc.NotesServiceStub(running.channel(tenant.client(permissions={"notes.read"})))

        assert (await reader.ListNotes(notes.pb.ListNotesRequest())).notes == []
        with pytest.raises(errors.Denied):
            await reader.CreateNote(notes.pb.CreateNoteRequest(note=notes.pb.Note(text="hello")))

    async def test_may_not_what_no_permission_guards(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        running = await serve_notes()
        stub = notes.grpc.NotesServiceStub(running.channel(tenant.client(permissions={"*"})))

        with pytest.raises(errors.Denied):
            await stub.GetMyself(notes.pb.ListNotesRequest())

    async def test_may_what_names_it(self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant) -> None:
        principal = tenant.client()
        stub = notes.grpc.NotesServiceStub((await serve_notes()).channel(principal))

        assert (await stub.GetCaller(notes.pb.ListNotesRequest())).text == principal.name

    async def test_may_not_what_names_others(self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant) -> None:
        stub = notes.grpc.NotesServiceStub((await serve_notes()).channel(tenant.client(permissions=WRITER)))

        with pytest.raises(errors.Denied):
            await stub.PurgeNote(notes.pb.GetNoteRequest(id=str(uuid7())))


class TestStepUp:
    async def test_a_fresh_factor_is_enough(self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant) -> None:
        running = await serve_notes()
        note = await _written(running, notes, tenant)

        await notes.grpc.NotesServiceStub(running.channel(tenant.user(permissions=WRITER))).ShredNote(note)

    @pytest.mark.parametrize("age_s", [STEP_UP_S + 2, 1e9])
    async def test_an_old_one_is_asked_for_again(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant, age_s: float
    ) -> None:
        running = await serve_notes()
        stale = replace(tenant.user(permissions=WRITER), authenticated_at=int(time.time() - age_s))

        with pytest.raises(errors.Unauthenticated) as refused:
            await notes.grpc.NotesServiceStub(running.channel(stale)).ShredNote(notes.pb.GetNoteRequest())

        assert refused.value.code == "STEP_UP_REQUIRED"
        assert refused.value.metadata[errors.REFUSED_BY] == "/notes.v1.NotesService/ShredNote"

    async def test_whoever_may_not_anyway_is_not_asked(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        stale = replace(tenant.user(permissions={"notes.read"}), authenticated_at=0)

        with pytest.raises(errors.Denied):
            await notes.grpc.NotesServiceStub((await serve_notes()).channel(stale)).ShredNote(notes.pb.GetNoteRequest())

    async def test_nobody_does_it_in_anothers_name(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        acting = replace(tenant.user(permissions=WRITER), actor=ACTOR)

        with pytest.raises(errors.Denied) as denied:
            await notes.grpc.NotesServiceStub((await serve_notes()).channel(acting)).ShredNote(
                notes.pb.GetNoteRequest()
            )

        assert denied.value.code == "IMPERSONATION_FORBIDDEN"

    async def test_a_program_has_no_factor_to_show(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        running = await serve_notes()
        note = await _written(running, notes, tenant)

        await notes.grpc.NotesServiceStub(running.channel(tenant.client(permissions=WRITER))).ShredNote(note)


class TestImpersonation:
    async def test_the_trail_has_both_names(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant, databases: Databases
    ) -> None:
        acting = replace(tenant.user(permissions=WRITER), actor=ACTOR)

        await _write_as(acting, await serve_notes(), notes)

        (trail,) = [each for each in await _outbox(databases, tenant) if "action" in each]
        assert (trail["actor"], trail["subject"]) == (ACTOR, acting.name)
        assert trail["roles"] == ["admin"]

    async def test_so_have_its_events(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant, databases: Databases
    ) -> None:
        acting = replace(tenant.user(permissions=WRITER), actor=ACTOR)

        await _write_as(acting, await serve_notes(), notes)

        (event,) = [each for each in await _outbox(databases, tenant) if "specversion" in each]
        assert (event["actor"], event["onbehalfof"]) == (ACTOR, acting.name)

    async def test_other_events_are_not_marked(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant, databases: Databases
    ) -> None:
        user = tenant.user(permissions=WRITER)

        await _write_as(user, await serve_notes(), notes)

        (event,) = [each for each in await _outbox(databases, tenant) if "specversion" in each]
        assert (event["actor"], "onbehalfof" in event) == (user.name, False)

    async def test_a_call_of_a_service_for_them_keeps_both_names(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        running = await serve_notes()
        user = replace(tenant.user(), actor=ACTOR)
        directory = Directory({"notes": running.service.address})
        channel = client.Channel("notes", directory, Credentials("orders").issue, deadline_s=5)

        with call.answering(call.Call(user, "orders.PlaceOrder")):
            caller = await notes.grpc.NotesServiceStub(channel).GetCaller(notes.pb.ListNotesRequest())

        await directory.close()
        assert (caller.text, caller.author) == ("service:orders", ACTOR)

    def test_names_of_a_service_that_works_for_them(self) -> None:
        service = Principal("service", "orders", None, on_behalf_of="user:a", actor="user:b")

        assert audit.names(service) == ("user:b", "user:a")


async def _write_as(principal: Principal, running: Any, notes: SimpleNamespace) -> None:
    stub = notes.grpc.NotesServiceStub(running.channel(principal))
    await stub.CreateNote(notes.pb.CreateNoteRequest(note=notes.pb.Note(text="hello")))
