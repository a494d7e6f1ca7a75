"""The edge of locks: one method an RPC, in the contract's order."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid5

import sqlalchemy as sa
import structlog
from google.protobuf.empty_pb2 import Empty
from switchyard.locks.v1 import locks_pb2 as pb
from switchyard.locks.v1.stored_pb2 import StoredLease
from uuid_utils.compat import uuid7

from chassis import call, errors
from chassis.db import Database
from chassis.paging import Pager
from services.locks import documents, locks, losses, views
from services.locks.documents import Document
from services.locks.keeper import Keeper
from services.locks.line import Line
from services.locks.locks import Ended, Wish

log = structlog.get_logger()


class LocksRpc:
    """Serves the contract."""

    service = pb.DESCRIPTOR.services_by_name["LocksService"]

    def __init__(self, database: Database, keeper: Keeper, line: Line, pager: Pager, *, me: str) -> None:
        self._database = database
        self._keeper = keeper
        self._line = line
        self._pager = pager
        self._me = me

    async def Acquire(self, request: pb.AcquireRequest) -> pb.Lease:
        wish, key = self._wish(request), _key(request.lock_name)
        lease, position = await self._line.acquire(key, wish, patience_s=request.blocking_timeout)
        if lease is not None:
            return views.lease(request.lock_name, wish.id, lease)
        return pb.Lease(acquired=False, lock_name=request.lock_name, queue_position=position)

    async def Hold(self, request: pb.HoldRequest) -> AsyncIterator[pb.HoldResponse]:
        wish, name = self._wish(request.wish), request.wish.lock_name
        async for told in self._line.hold(_key(name), wish):
            if isinstance(told, StoredLease):
                yield pb.HoldResponse(granted=views.lease(name, wish.id, told))
            elif isinstance(told, Ended):
                yield pb.HoldResponse(lost=views.lost(told))
            else:
                yield pb.HoldResponse(waiting=pb.Waiting(queue_position=told))

    async def Renew(self, request: pb.RenewRequest) -> pb.Lease:
        principal, lease_id = call.current().principal, UUID(request.lock_id).bytes
        key = await self._keeper.find(principal.tenant, lease_id)
        timeout_s = request.timeout if request.HasField("timeout") else None
        lease = await self._line.renew(key, lease_id, principal.name, timeout_s)
        return views.lease(documents.name_of(key), lease_id, lease)

    async def Release(self, request: pb.ReleaseRequest) -> Empty:
        principal, lease_id = call.current().principal, UUID(request.lock_id).bytes
        try:
            key = await self._keeper.find(principal.tenant, lease_id)
            await self._keeper.change(key, partial(locks.release, lease_id=lease_id, holder=principal.name))
        except errors.LeaseLost:
            if not self._keeper.documents.was_given_back(principal.tenant, lease_id):
                raise
        return Empty()

    async def ListLocks(self, request: pb.ListLocksRequest) -> pb.ListLocksResponse:
        page = self._pager.page(request, {"id": sa.column("id", sa.Text)}, default="id")
        await self._keeper.catch_up()
        after = str(page.after[0]) if page.after else ""
        there = (_row(document) for document in self._keeper.documents.in_use(call.current().principal.tenant))
        beyond = sorted((row for row in there if row.id > after), key=lambda row: row.id)
        rows, cursor = page.cut(beyond[: page.size + 1])
        return pb.ListLocksResponse(locks=[views.lock(row.document) for row in rows], next_cursor=cursor)

    async def GetLock(self, request: pb.GetLockRequest) -> pb.Lock:
        return views.lock(await self._read(request.name))

    async def BreakLock(self, request: pb.BreakLockRequest) -> pb.Lock:
        document = await self._read(request.name)
        held = {lease.token for lease in document.lock.leases}
        if held:
            by = call.current().principal.name
            taking = partial(locks.break_, tokens=held, comment=request.reason, by=by)
            document = (await self._keeper.change(document.key, taking)).document
            await self._tell(document)
        return views.lock(document)

    async def _read(self, name: str) -> Document:
        await self._keeper.catch_up()
        document = await self._keeper.read(_key(name))
        if not document.revision:
            raise errors.NotFound
        return document

    def _wish(self, request: pb.AcquireRequest) -> Wish:
        permits = request.permits or 1
        shared = request.mode == pb.LOCK_MODE_SHARED
        if shared and permits > 1:
            raise errors.Invalid(fields={"permits": ["must be 1 with shared"]})
        lease_id = UUID(request.lock_id) if request.lock_id else _keyed(request.lock_name) or uuid7()
        return Wish(
            id=lease_id.bytes,
            holder=call.current().principal.name,
            owner=request.owner,
            mode=pb.LOCK_MODE_SHARED if shared else pb.LOCK_MODE_EXCLUSIVE,
            permits=permits,
            timeout_s=request.timeout or locks.TIMEOUT_DEFAULT_S,
            host=self._me,
        )

    async def _tell(self, document: Document) -> None:
        """Tell the trail what the caller has broken, with all that is known of the call."""
        by = call.current().principal.name
        broken = [loss for loss in locks.untold(document.lock) if loss.reason == locks.BROKEN and loss.by == by]
        try:
            async with self._database.transaction() as session:
                await losses.tell(session, documents.name_of(document.key), broken)
        except errors.Error as failure:
            # The lock is broken, and the trail is told of it once its database is back.
            log.warning("loss_told_later", error=repr(failure))
            return
        tokens = {loss.token for loss in broken}
        await self._keeper.change(document.key, partial(locks.told, tokens=tokens), hint=True)


@dataclass(frozen=True)
class _Row:
    """A lock in a list, which is ordered by `id`."""

    id: str
    document: Document


def _row(document: Document) -> _Row:
    return _Row(documents.name_of(document.key), document)


def _key(name: str) -> str:
    return documents.key_of(call.current().principal.tenant, name)


def _keyed(what: str) -> UUID | None:
    """The id that the call's `Idempotency-Key` stands for, of which each call with that key has the same."""
    current = call.current()
    if not current.idempotency_key:
        return None
    return uuid5(current.principal.tenant, f"{current.principal.name}/{what}/{current.idempotency_key}")
