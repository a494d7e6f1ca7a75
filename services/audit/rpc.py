"""The edge of audit."""

from datetime import UTC
from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from google.protobuf.descriptor import ServiceDescriptor
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.audit.v1 import audit_pb2

from chassis import call, errors, identity, paging
from chassis.db import Database
from chassis.rpc import server
from services.audit import audit, store
from services.audit.models import Entry


class AuditRpc:
    """Serves `switchyard.audit.v1.AuditService`."""

    service: ClassVar[ServiceDescriptor] = audit_pb2.DESCRIPTOR.services_by_name["AuditService"]

    def __init__(self, database: Database, pager: paging.Pager) -> None:
        self._database = database
        self._pager = pager

    @server.transactional
    async def Query(self, request: audit_pb2.QueryRequest, session: AsyncSession) -> audit_pb2.QueryResponse:
        columns = {"occurred_at": Entry.occurred_at, "id": Entry.id}
        page = self._pager.page(request, columns, default="-occurred_at")
        select = sa.select(*store.SHOWN).where(*_filters(request))
        rows, next_cursor = page.cut((await session.execute(page.apply(select))).all())
        shown = [_message(row.event, row.hash) for row in rows]
        return audit_pb2.QueryResponse(events=shown, next_cursor=next_cursor)

    async def GetEvent(self, request: audit_pb2.GetEventRequest) -> audit_pb2.AuditEvent:
        rows = await self._database.read(store.ONE, call.current().principal.tenant, id=UUID(request.id))
        if not rows:
            raise errors.NotFound
        return _message(rows[0]["event"], rows[0]["hash"])

    @server.transactional
    async def Verify(self, _request: audit_pb2.VerifyRequest, session: AsyncSession) -> audit_pb2.Verification:
        finding = await audit.verify(session)
        return audit_pb2.Verification(
            intact=not (finding.broken or finding.missing),
            entries=finding.entries,
            head=finding.head.hex(),
            broken_positions=finding.broken,
            missing=[f"{service}:{number}" for service, number in finding.missing],
        )


def _message(stored: bytes, hashed: bytes) -> audit_pb2.AuditEvent:
    event = audit_pb2.AuditEvent.FromString(stored)
    event.hash = hashed.hex()
    if event.tenant_id == str(identity.PLATFORM):
        event.tenant_id = ""
    return event


def _filters(request: audit_pb2.QueryRequest) -> list[Any]:
    since = getattr(request, "from")
    asked: list[tuple[bool, Any]] = [
        (request.HasField("from"), Entry.occurred_at >= since.ToDatetime(UTC)),
        (request.HasField("to"), Entry.occurred_at < request.to.ToDatetime(UTC)),
        (bool(request.categories), Entry.category.in_(list(request.categories))),
        (bool(request.actions), Entry.action.in_(list(request.actions))),
        (bool(request.actor), Entry.actor == request.actor),
        (bool(request.resource), Entry.resources.contains([request.resource])),
        (request.outcome != 0, Entry.outcome == request.outcome),
        (bool(request.address), Entry.address == request.address),
        (bool(request.request_id), Entry.request_id == request.request_id),
    ]
    return [condition for applies, condition in asked if applies]
