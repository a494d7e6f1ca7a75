"""The edge of locks: one method an RPC, in the contract's order."""

import asyncio
import time

from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.locks.v1 import locks_pb2 as pb

from chassis import errors
from chassis.db import Database
from chassis.paging import Pager
from chassis.rpc import server
from services.locks import locks, store
from services.locks.models import Lock


class LocksRpc:
    """Serves the contract."""

    service = pb.DESCRIPTOR.services_by_name["LocksService"]

    def __init__(self, database: Database, pager: Pager) -> None:
        self._database = database
        self._pager = pager

    async def Acquire(self, request: pb.AcquireRequest) -> pb.Lease:
        timeout_s = request.timeout or locks.TIMEOUT_DEFAULT_S
        async with self._database.transaction() as session:
            lease = await locks.acquire(session, request.lock_name, timeout_s=timeout_s)
        if lease is None and request.blocking_timeout:
            lease = await self._wait(request.lock_name, timeout_s, request.blocking_timeout)
        return lease or pb.Lease(acquired=False, lock_name=request.lock_name)

    @server.transactional
    async def Renew(self, request: pb.RenewRequest, session: AsyncSession) -> pb.Lease:
        timeout_s = request.timeout if request.HasField("timeout") else None
        return await locks.renew(session, request.lock_id, timeout_s=timeout_s)

    @server.transactional
    async def Release(self, request: pb.ReleaseRequest, session: AsyncSession) -> Empty:
        await locks.release(session, request.lock_id)
        return Empty()

    @server.transactional
    async def ListLocks(self, request: pb.ListLocksRequest, session: AsyncSession) -> pb.ListLocksResponse:
        page = self._pager.page(request, {"id": Lock.id}, default="id")
        rows, cursor = page.cut((await session.scalars(page.apply(store.held()))).all())
        return pb.ListLocksResponse(locks=[_lock(row, held=True) for row in rows], next_cursor=cursor)

    @server.transactional
    async def GetLock(self, request: pb.GetLockRequest, session: AsyncSession) -> pb.Lock:
        found = await store.lock(session, request.name)
        if found is None:
            raise errors.NotFound
        return _lock(found[0], held=found[1])

    async def _wait(self, name: str, timeout_s: int, patience_s: int) -> pb.Lease | None:
        """Wait in line; no transaction is open meanwhile."""
        until = time.monotonic() + patience_s
        async with self._database.transaction() as session:
            place = await locks.stand_in_line(session, name)
        try:
            while time.monotonic() < until:
                await asyncio.sleep(locks.ASK_EVERY_S)
                async with self._database.transaction() as session:
                    lease = await locks.wait(session, name, timeout_s=timeout_s, place=place)
                if lease is not None:
                    return lease
        finally:
            async with self._database.transaction() as session:
                await store.leave_line(session, name=name, place=place)
        return None


def _lock(row: Lock, *, held: bool) -> pb.Lock:
    lock = pb.Lock(name=row.id, held=held, fencing_token=row.token)
    if held and row.expires_at is not None:
        lock.holder = row.holder
        lock.acquired_at.FromDatetime(row.acquired_at)
        lock.expires_at.FromDatetime(row.expires_at)
    return lock
