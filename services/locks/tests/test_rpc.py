"""locks through a real server."""

import asyncio
from typing import Any

import pytest
from switchyard.locks.v1 import locks_pb2 as pb
from switchyard.locks.v1 import locks_pb2_grpc

from chassis import errors
from chassis.testing import Serve, Tenant
from services.locks.__main__ import build


async def _stub(serve: Serve, tenant: Tenant) -> Any:
    return locks_pb2_grpc.LocksServiceStub((await serve("locks", build)).channel(tenant.user()))


def _acquire(name: str = "restock", **values: Any) -> pb.AcquireRequest:
    return pb.AcquireRequest(lock_name=name, **values)


class TestAcquire:
    async def test_one_of_twenty_gets_it(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant)

        leases = await asyncio.gather(*(stub.Acquire(_acquire()) for _ in range(20)))

        assert sum(lease.acquired for lease in leases) == 1

    async def test_never_two_holders_and_tokens_grow(self, serve: Serve, tenant: Tenant) -> None:
        running = await serve("locks", build)
        holding, tokens = 0, []

        async def work() -> None:
            nonlocal holding
            stub = locks_pb2_grpc.LocksServiceStub(running.channel(tenant.user()))
            for _ in range(3):
                lease = await stub.Acquire(_acquire(blocking_timeout=8))
                assert lease.acquired
                holding += 1
                assert holding == 1
                tokens.append(lease.fencing_token)
                await asyncio.sleep(0)
                holding -= 1
                await stub.Release(pb.ReleaseRequest(lock_id=lease.lock_id))

        await asyncio.gather(*(work() for _ in range(8)))

        assert tokens == sorted(set(tokens))
        assert len(tokens) == 24

    async def test_two_tenants_locks_of_one_name_are_two(self, serve: Serve, tenant: Tenant) -> None:
        first = await (await _stub(serve, tenant)).Acquire(_acquire())

        second = await (await _stub(serve, Tenant())).Acquire(_acquire())

        assert first.acquired
        assert second.acquired

    async def test_waiting_ends_without_the_lock(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant)
        await stub.Acquire(_acquire())

        assert not (await stub.Acquire(_acquire(blocking_timeout=1))).acquired


class TestRelease:
    async def test_another_cannot_release(self, serve: Serve, tenant: Tenant) -> None:
        lease = await (await _stub(serve, tenant)).Acquire(_acquire())

        with pytest.raises(errors.Conflict):
            await (await _stub(serve, tenant)).Release(pb.ReleaseRequest(lock_id=lease.lock_id))

    async def test_released_it_is_free(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant)
        lease = await stub.Acquire(_acquire())

        await stub.Release(pb.ReleaseRequest(lock_id=lease.lock_id))

        assert not (await stub.GetLock(pb.GetLockRequest(name="restock"))).held
        assert (await stub.Acquire(_acquire())).fencing_token > lease.fencing_token


class TestListLocks:
    async def test_shows_who_holds_what(self, serve: Serve, tenant: Tenant) -> None:
        user = tenant.user()
        stub = locks_pb2_grpc.LocksServiceStub((await serve("locks", build)).channel(user))
        await stub.Acquire(_acquire("b"))
        await stub.Acquire(_acquire("a"))

        listed = await stub.ListLocks(pb.ListLocksRequest())

        assert [(lock.name, lock.holder) for lock in listed.locks] == [("a", user.name), ("b", user.name)]

    async def test_anothers_lock_is_not_found(self, serve: Serve, tenant: Tenant) -> None:
        await (await _stub(serve, tenant)).Acquire(_acquire())

        with pytest.raises(errors.NotFound):
            await (await _stub(serve, Tenant())).GetLock(pb.GetLockRequest(name="restock"))


class TestBreakLock:
    async def test_it_is_taken_away_and_told(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant)
        held = stub.Hold(pb.HoldRequest(wish=_acquire()))
        granted = await held.read()

        broken = await stub.BreakLock(pb.BreakLockRequest(name="restock", reason="it hangs"))

        lost = await held.read()
        assert granted.granted.acquired
        assert not broken.held
        assert (lost.lost.reason, lost.lost.comment) == (pb.LOSS_REASON_BROKEN, "it hangs")
