"""The smallest service there is: its contract compiled for the tests, its table, its servicer."""

import asyncio
import importlib
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import sqlalchemy as sa
from grpc_tools import protoc
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7

from chassis import call, errors, events, migrate
from chassis.rpc import server
from chassis.service import Service
from chassis.testing import Databases, Running, Serve

_TABLE = """
    CREATE TABLE notes (
        tenant_id uuid NOT NULL, id uuid NOT NULL, text text NOT NULL, author text NOT NULL DEFAULT '',
        secret text NOT NULL DEFAULT '', version bigint NOT NULL DEFAULT 1, PRIMARY KEY (tenant_id, id)
    );
    ALTER TABLE notes OWNER TO switchyard_notes_owner;
    ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
    ALTER TABLE notes FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant_isolation ON notes
        USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
    GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO switchyard_notes;
"""


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"

    tenant_id: Mapped[Any] = mapped_column(sa.Uuid, primary_key=True)
    id: Mapped[Any] = mapped_column(sa.Uuid, primary_key=True, default=uuid7)
    text: Mapped[str]
    author: Mapped[str]
    secret: Mapped[str] = mapped_column(info={"sensitive": True})
    version: Mapped[int] = mapped_column(default=1)


@pytest.fixture(scope="session")
def notes() -> Iterator[SimpleNamespace]:
    """The generated modules of the notes contract."""
    here = Path(__file__).parent / "protos"
    with tempfile.TemporaryDirectory() as out:
        bundled = Path(protoc.__file__).parent / "_proto"
        includes = [f"-I{path}" for path in (here, migrate.ROOT / "protos", migrate.ROOT / "vendor/protos", bundled)]
        arguments = [f"--python_out={out}", f"--grpc_python_out={out}", "notes/v1/notes.proto"]
        assert protoc.main(["protoc", *includes, *arguments]) == 0
        described = [f"--descriptor_set_out={out}/notes/v1/notes.binpb", "--include_imports", "notes/v1/notes.proto"]
        assert protoc.main(["protoc", *includes, *described]) == 0
        sys.path.insert(0, out)
        try:
            yield SimpleNamespace(
                pb=importlib.import_module("notes.v1.notes_pb2"),
                grpc=importlib.import_module("notes.v1.notes_pb2_grpc"),
            )
        finally:
            sys.path.remove(out)


def _odd_methods(pb: ModuleType) -> type:
    """The methods that have nothing to do with notes."""

    class OddMethods:
        async def GetMyself(self, request: Any) -> Any:
            principal = call.current().principal
            return pb.Note(text=principal.name, author=principal.actor)

        GetCaller = GetMyself

        async def WatchNotes(self, request: Any) -> Any:
            yield pb.Note(text="watching")
            await asyncio.Event().wait()

        async def Crash(self, request: Any) -> Any:
            raise ZeroDivisionError

    return OddMethods


def servicer(pb: ModuleType, service: Service) -> Any:
    """The notes service."""
    pager = service.pager()

    class NotesRpc(_odd_methods(pb)):  # type: ignore[misc]  # made for this contract
        service = pb.DESCRIPTOR.services_by_name["NotesService"]

        @server.transactional
        async def ListNotes(self, request: Any, session: AsyncSession) -> Any:
            select = sa.select(Note)
            if request.author:
                select = select.where(Note.author == request.author)
            page = pager.page(request, {"id": Note.id, "text": Note.text}, default="text")
            rows, cursor = page.cut((await session.scalars(page.apply(select))).all())
            return pb.ListNotesResponse(notes=[_reply(pb, row) for row in rows], next_cursor=cursor)

        @server.transactional
        async def CreateNote(self, request: Any, session: AsyncSession) -> Any:
            told = request.note
            row = Note(
                tenant_id=call.current().principal.tenant, text=told.text, author=told.author, secret=told.secret
            )
            session.add(row)
            await session.flush()
            reply = _reply(pb, row)
            events.publish(session, pb.NoteWritten(note=reply), subject=f"notes/{row.id}", audience=["tenant"])
            if told.text == "fail":
                raise errors.Conflict(code="FAILED_ON_PURPOSE")
            return reply

        @server.transactional
        async def GetNote(self, request: Any, session: AsyncSession) -> Any:
            return _reply(pb, await _find(session, request.id))

        @server.transactional
        async def UpdateNote(self, request: Any, session: AsyncSession) -> Any:
            row = await _find(session, request.id)
            call.current().require_version(row.version)
            for name in request.update_mask.paths:
                setattr(row, name, getattr(request.note, name))
            row.version += 1
            return _reply(pb, row)

        @server.transactional
        async def PurgeNote(self, request: Any, session: AsyncSession) -> Any:
            await session.delete(await _find(session, request.id))
            return pb.google_dot_protobuf_dot_empty__pb2.Empty()

        @server.transactional
        async def ShredNote(self, request: Any, session: AsyncSession) -> Any:
            await session.delete(await _find(session, request.id))
            return pb.google_dot_protobuf_dot_empty__pb2.Empty()

    return NotesRpc()


async def _find(session: AsyncSession, note_id: str) -> Note:
    found = await session.scalar(sa.select(Note).where(Note.id == note_id).with_for_update())
    if found is None:
        raise errors.NotFound
    return found


def _reply(pb: ModuleType, row: Note) -> Any:
    return pb.Note(id=str(row.id), text=row.text, author=row.author, secret=row.secret, version=row.version)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def notes_table(databases: Databases) -> None:
    """The notes table in its database."""
    await databases.url("notes")
    connection = await asyncpg.connect(databases.admin("notes"))
    await connection.execute(_TABLE)
    await connection.close()


ServeNotes = Callable[..., Awaitable[Running]]


@pytest.fixture
def serve_notes(serve: Serve, notes: SimpleNamespace, notes_table: None) -> ServeNotes:
    """Serve notes."""

    async def start(build: Callable[[Service], None] | None = None) -> Running:
        def everything(service: Service) -> None:
            service.serve(servicer(notes.pb, service))
            if build is not None:
                build(service)

        return await serve("notes", everything)

    return start
