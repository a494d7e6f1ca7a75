"""Holding a lock, with a service of locks that says what the test wants it to say, and when."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.empty_pb2 import Empty
from switchyard.locks.v1 import locks_pb2 as pb
from switchyard.locks.v1 import locks_pb2_grpc

from chassis import call, errors, identity, locks
from chassis.leases import Lease
from chassis.locks import Locks
from chassis.rpc import client, server
from chassis.testing import Credentials, Directory, Serve, Tenant
from chassis.tests.scripted_locks import BOUND_S, Scripted, Stream, renewed


async def _never(_request: object) -> Any:
    await asyncio.Event().wait()


def _failing(failure: errors.Error) -> Callable[[object], Awaitable[Any]]:
    async def fail(_request: object) -> Any:
        raise failure

    return fail


def _stand_still() -> None:
    """Nothing of the process moves for longer than a lease of a second lives."""
    time.sleep(1.1)


@dataclass(frozen=True)
class World:
    """A process that holds locks, and who serves them."""

    locks: Locks
    service: Scripted

    def begin(self, work: Awaitable[Any]) -> "asyncio.Task[Any]":
        """Work in a task."""
        return asyncio.ensure_future(work)

    async def holding(self, *, name: str = "plan", entered: asyncio.Event | None = None, **how: Any) -> None:
        """Hold the lock for ever."""
        async with self.locks.hold(name, **how):
            (entered or asyncio.Event()).set()
            await asyncio.Event().wait()

    async def held(self, **how: Any) -> "tuple[asyncio.Task[Any], Stream]":
        """A task that holds the lock for ever, and its stream."""
        entered = asyncio.Event()
        task = asyncio.create_task(self.holding(entered=entered, **how))
        stream = await self.service.stream()
        stream.grant()
        await asyncio.wait_for(entered.wait(), BOUND_S)
        return task, stream


@pytest_asyncio.fixture(loop_scope="session")
async def world(tenant: Tenant) -> AsyncIterator[World]:
    """Notes, which is called by a user, and locks."""
    listening, service, credentials = grpc.aio.server(), Scripted(), Credentials("notes")
    verifier = identity.Verifier(credentials.keys)
    server.Server(listening, verifier=verifier, database=None).add(service)
    directory: Any = Directory({"locks": f"127.0.0.1:{listening.add_insecure_port('127.0.0.1:0')}"})
    await listening.start()
    channel: Any = client.Channel("locks", directory, credentials.issue, deadline_s=BOUND_S)
    with call.answering(call.Call(principal=tenant.user(), action="notes.Test", token="theirs")):
        yield World(Locks(locks_pb2_grpc.LocksServiceStub(channel)), service)
    await directory.close()
    await listening.stop(None)


async def _result(task: "asyncio.Task[Any]") -> Any:
    return await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), BOUND_S)


class TestHold:
    async def test_a_lease_is_held_and_given_back(self, world: World) -> None:
        async def work() -> Lease:
            async with world.locks.hold("plan", ttl_s=40) as lease:
                assert world.service.releases.empty()
                return lease

        task = world.begin(work())
        stream = await world.service.stream()
        stream.grant(7)
        lease = await task

        assert (lease.lock_name, lease.fencing_token, lease.lock_id) == ("plan", 7, stream.wish.lock_id)
        assert (stream.wish.timeout, stream.wish.mode, stream.wish.permits) == (40, locks.EXCLUSIVE, 1)
        assert [world.service.releases.get_nowait().lock_id, world.service.releases.qsize()] == [lease.lock_id, 0]

    async def test_the_holder_is_the_service_and_the_tenant_the_callers(self, serve: Serve, tenant: Tenant) -> None:
        scripted = Scripted()
        running = await serve("tests", lambda process: process.serve(scripted))
        notes = await serve("notes", lambda _process: None, addresses={"locks": running.service.address})
        with call.answering(call.Call(principal=tenant.user(), action="notes.Test", token="theirs")):
            task, stream = await World(notes.service.locks(), scripted).held()

        principal = stream.caller.principal

        assert (principal.name, principal.tenant_id) == ("service:notes", tenant.id)
        task.cancel()

    async def test_waits_in_line(self, world: World) -> None:
        task = world.begin(world.holding())
        stream = await world.service.stream()
        stream.wait(2)
        stream.fail(errors.Unavailable())
        second = await world.service.stream()

        assert second.wish.lock_id == stream.wish.lock_id
        assert not task.done()
        task.cancel()

    async def test_who_is_impatient_leaves_the_line(self, world: World) -> None:
        task = world.begin(world.holding(patience_s=0))
        stream = await world.service.stream()
        stream.wait()

        with pytest.raises(errors.Exhausted) as raised:
            await asyncio.wait_for(task, BOUND_S)

        assert raised.value.code == "LOCK_TIMEOUT"
        await asyncio.wait_for(stream.ended.wait(), BOUND_S)

    async def test_who_is_impatient_takes_what_is_free(self, world: World) -> None:
        task, _stream = await world.held(patience_s=0)

        task.cancel()
        assert isinstance((await _result(task))[0], asyncio.CancelledError)

    async def test_a_grant_that_crosses_with_giving_up_is_given_back(self, world: World) -> None:
        task = world.begin(world.holding())
        stream = await world.service.stream()
        stream.wait()

        task.cancel()
        await _result(task)

        assert (await asyncio.wait_for(world.service.releases.get(), BOUND_S)).lock_id == stream.wish.lock_id

    async def test_a_refusal_is_raised_and_nothing_given_back(self, world: World) -> None:
        task = world.begin(world.holding())
        (await world.service.stream()).fail(errors.Conflict(code="DEADLOCK"))

        [raised] = await _result(task)

        assert (type(raised), raised.code) == (errors.Conflict, "DEADLOCK")
        assert world.service.releases.empty()

    async def test_a_grant_nobody_knows_the_age_of_is_renewed_before_the_body_begins(self, world: World) -> None:
        renewing, entered = asyncio.Event(), asyncio.Event()

        async def renew(request: pb.RenewRequest) -> pb.Lease:
            await renewing.wait()
            return await renewed(request)

        world.service.renewing = renew
        task = world.begin(world.holding(ttl_s=2, entered=entered))
        stream = await world.service.stream()
        # A third of its life, after which a lease is renewed.
        await asyncio.sleep(0.67)
        stream.grant()
        await asyncio.wait_for(world.service.renewals.get(), BOUND_S)
        begun = entered.is_set()
        renewing.set()

        await asyncio.wait_for(entered.wait(), BOUND_S)
        assert not begun
        task.cancel()

    async def test_it_is_renewed_again_and_again(self, world: World) -> None:
        task, stream = await world.held(ttl_s=2)

        renewals = [await asyncio.wait_for(world.service.renewals.get(), BOUND_S) for _ in range(4)]

        assert {(renewal.lock_id, renewal.timeout) for renewal in renewals} == {(stream.wish.lock_id, 2)}
        assert not task.done()
        task.cancel()

    async def test_a_stream_that_breaks_is_opened_again_for_the_lease(self, world: World) -> None:
        task, stream = await world.held()
        stream.fail(errors.Internal())
        second = await world.service.stream()
        second.grant()
        second.fail(errors.Unavailable())

        third = await world.service.stream()

        assert [second.wish.lock_id, third.wish.lock_id] == [stream.wish.lock_id] * 2
        assert not task.done()
        task.cancel()


class TestLoss:
    async def test_told_by_the_service(self, world: World) -> None:
        task, stream = await world.held()
        stream.lose()

        [raised] = await _result(task)

        assert (type(raised), raised.code, raised.metadata["reason"]) == (errors.LeaseLost, "LEASE_LOST", "broken")
        assert str(raised) == "the lease of plan was broken by user:1: it hangs"
        assert not task.cancelling()
        assert world.service.releases.empty()

    async def test_told_by_a_renewal(self, world: World) -> None:
        world.service.renewing = _failing(errors.Conflict(code="LEASE_LOST"))
        task, _stream = await world.held(ttl_s=1)

        assert isinstance((await _result(task))[0], errors.LeaseLost)

    async def test_told_by_a_stream_that_was_opened_again(self, world: World) -> None:
        task, stream = await world.held()
        stream.fail(errors.Unavailable())
        (await world.service.stream()).grant(8)

        assert isinstance((await _result(task))[0], errors.LeaseLost)
        assert (await asyncio.wait_for(world.service.releases.get(), BOUND_S)).lock_id == stream.wish.lock_id

    async def test_told_to_wait_again(self, world: World) -> None:
        task, stream = await world.held()
        stream.fail(errors.Unavailable())
        (await world.service.stream()).wait()

        assert isinstance((await _result(task))[0], errors.LeaseLost)

    @pytest.mark.parametrize("renewing", [_never, _failing(errors.Unavailable()), _failing(errors.Denied())])
    async def test_no_renewal_in_time(self, world: World, renewing: Any) -> None:
        world.service.renewing = renewing
        task, _stream = await world.held(ttl_s=1)

        [raised] = await _result(task)

        assert (type(raised), raised.metadata["reason"]) == (errors.LeaseLost, "expired")

    async def test_a_grant_counts_from_when_it_was_asked_for(self, world: World) -> None:
        async def work() -> float:
            async with world.locks.hold("plan") as lease:
                return lease.remaining_s

        task = world.begin(work())
        stream = await world.service.stream()
        await asyncio.sleep(0.2)
        stream.grant()

        assert await asyncio.wait_for(task, BOUND_S) <= 30 - 0.2

    async def test_a_renewal_counts_from_when_it_was_asked_for(self, world: World) -> None:
        async def renew(request: pb.RenewRequest) -> pb.Lease:
            await asyncio.sleep(0.5)
            return await renewed(request)

        async def work() -> float:
            async with world.locks.hold("plan", ttl_s=2) as lease:
                before = lease.remaining_s
                while (now := lease.remaining_s) <= before:
                    before = now
                    await asyncio.sleep(0.01)
                return now

        world.service.renewing = renew
        task = world.begin(work())
        (await world.service.stream()).grant()

        assert await asyncio.wait_for(task, BOUND_S) <= 2 - 0.5

    async def test_a_process_that_stood_still_meets_the_loss_at_its_next_step(self, world: World) -> None:
        steps = []

        async def work() -> None:
            async with world.locks.hold("plan", ttl_s=1) as lease:
                _stand_still()
                steps.append("stood")
                with pytest.raises(errors.LeaseLost):
                    lease.check()
                await asyncio.sleep(0)
                steps.append("went on")

        task = world.begin(work())
        (await world.service.stream()).grant()

        assert isinstance((await _result(task))[0], errors.LeaseLost)
        assert steps == ["stood"]

    @pytest.mark.skipif(
        not hasattr(time, "CLOCK_BOOTTIME"), reason="no clock here goes on while a machine is suspended"
    )
    async def test_a_machine_that_was_suspended(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        clock_gettime, suspended_s = time.clock_gettime, 0

        def read(clock: int) -> float:
            return clock_gettime(clock) + (suspended_s if clock == time.CLOCK_BOOTTIME else 0)

        async def work() -> None:
            nonlocal suspended_s
            async with world.locks.hold("plan") as lease:
                suspended_s = 60
                lease.check()

        monkeypatch.setattr(time, "clock_gettime", read)
        task = world.begin(work())
        (await world.service.stream()).grant()

        assert isinstance((await _result(task))[0], errors.LeaseLost)

    async def test_what_came_while_a_process_stood_still_is_met_after_the_loss(self, world: World) -> None:
        near, far = socket.socketpair()
        answer, other = await asyncio.open_connection(sock=near)
        steps = []

        def be_answered() -> None:
            _stand_still()
            far.send(b"answer")

        async def work() -> None:
            async with world.locks.hold("plan", ttl_s=1):
                asyncio.get_running_loop().call_soon(be_answered)
                await answer.read(1)
                steps.append("went on")

        task = world.begin(work())
        (await world.service.stream()).grant()

        assert isinstance((await _result(task))[0], errors.LeaseLost)
        assert steps == []
        other.close()
        far.close()

    async def test_a_body_that_ends_in_that_moment_is_told_and_its_task_goes_on(self, world: World) -> None:
        async def overstay() -> None:
            async with world.locks.hold("plan", ttl_s=1) as lease:
                _stand_still()
                with pytest.raises(errors.LeaseLost):
                    lease.check()

        async def work() -> str:
            with pytest.raises(errors.LeaseLost):
                await overstay()
            await asyncio.sleep(0)
            return "went on"

        task = world.begin(work())
        (await world.service.stream()).grant()

        assert await asyncio.wait_for(task, BOUND_S) == "went on"
        assert not task.cancelling()

    async def test_told_only_when_it_is_given_back(self, world: World) -> None:
        world.service.releasing = _failing(errors.Conflict(code="LEASE_LOST"))

        async def work() -> None:
            async with world.locks.hold("plan"):
                pass

        task = world.begin(work())
        (await world.service.stream()).grant()

        assert isinstance((await _result(task))[0], errors.LeaseLost)


class TestEnd:
    async def test_a_cancellation_from_outside_stays_one(self, world: World) -> None:
        task, stream = await world.held()

        task.cancel()

        assert isinstance((await _result(task))[0], asyncio.CancelledError)
        assert world.service.releases.get_nowait().lock_id == stream.wish.lock_id

    async def test_and_so_it_does_when_the_lease_is_lost_too(self, world: World) -> None:
        def strike_twice(lease: Lease) -> None:
            _stand_still()
            with suppress(errors.LeaseLost):
                lease.check()
            task.cancel()

        async def work() -> None:
            async with world.locks.hold("plan", ttl_s=1) as lease:
                asyncio.get_running_loop().call_soon(strike_twice, lease)
                await asyncio.Event().wait()

        task = world.begin(work())
        (await world.service.stream()).grant()

        assert isinstance((await _result(task))[0], asyncio.CancelledError)

    async def test_a_second_cancellation_does_not_keep_the_lock(self, world: World) -> None:
        going = asyncio.Event()

        async def release(_request: pb.ReleaseRequest) -> Empty:
            await going.wait()
            return Empty()

        world.service.releasing = release
        task, stream = await world.held()
        task.cancel()
        released = await asyncio.wait_for(world.service.releases.get(), BOUND_S)

        task.cancel()

        assert isinstance((await _result(task))[0], asyncio.CancelledError)
        assert released.lock_id == stream.wish.lock_id
        going.set()

    async def test_what_the_body_raises_is_raised(self, world: World) -> None:
        world.service.releasing = _failing(errors.Conflict(code="LEASE_LOST"))

        async def work() -> None:
            async with world.locks.hold("plan"):
                raise ZeroDivisionError

        task = world.begin(work())
        (await world.service.stream()).grant()

        assert isinstance((await _result(task))[0], ZeroDivisionError)
        assert world.service.releases.qsize() == 1

    @pytest.mark.parametrize("owner", [None, "nightly"])
    async def test_a_release_that_fails_is_sent_again(self, world: World, owner: str | None) -> None:
        failures = [errors.Unavailable(), errors.DeadlineExceeded()]

        async def release(_request: pb.ReleaseRequest) -> Empty:
            if failures:
                raise failures.pop()
            return Empty()

        world.service.releasing = release

        async def work() -> None:
            async with world.locks.hold("plan", owner=owner):
                pass

        task = world.begin(work())
        (await world.service.stream()).grant()

        assert await _result(task) == [None]
        assert world.service.releases.qsize() == 3


class TestOwner:
    async def test_the_same_lock_within_is_the_same_lease(self, world: World) -> None:
        async def again() -> int:
            async with world.locks.hold("plan") as lease, world.locks.hold("plan", mode=locks.SHARED):
                return lease.fencing_token

        async def work() -> list[int]:
            async with world.locks.hold("plan") as lease:
                tokens = [lease.fencing_token, await again(), *await asyncio.gather(again(), again())]
                assert world.service.releases.empty()
                return tokens

        task = world.begin(work())
        (await world.service.stream()).grant()

        assert await asyncio.wait_for(task, BOUND_S) == [7] * 4
        assert (world.service.streams.qsize(), world.service.releases.qsize()) == (0, 1)

    async def test_what_was_begun_within_keeps_the_lock_until_it_ends(self, world: World) -> None:
        entered, leaving = asyncio.Event(), asyncio.Event()

        async def lasting() -> None:
            async with world.locks.hold("plan"):
                entered.set()
                await leaving.wait()

        async def work() -> "asyncio.Task[None]":
            async with world.locks.hold("plan"):
                task = asyncio.create_task(lasting())
                await entered.wait()
                return task

        task = world.begin(work())
        (await world.service.stream()).grant()
        lasting_task = await asyncio.wait_for(task, BOUND_S)
        before = world.service.releases.qsize()
        leaving.set()
        await lasting_task

        assert (before, world.service.releases.qsize()) == (0, 1)

    async def test_all_bodies_of_a_lease_are_cancelled(self, world: World) -> None:
        async def work() -> None:
            async with world.locks.hold("plan"):
                await asyncio.gather(world.holding(), world.holding())

        task = world.begin(work())
        stream = await world.service.stream()
        stream.grant()
        stream.lose()

        assert isinstance((await _result(task))[0], errors.LeaseLost)

    async def test_shared_is_not_made_exclusive(self, world: World) -> None:
        async def work() -> None:
            async with world.locks.hold("plan", mode=locks.SHARED), world.locks.hold("plan"):
                pass

        task = world.begin(work())
        (await world.service.stream()).grant()

        assert (await _result(task))[0].code == "LOCK_MISMATCH"

    async def test_one_for_all_that_is_held_within(self, world: World) -> None:
        async def work() -> None:
            async with world.locks.hold("outer"):
                await asyncio.gather(world.holding(name="inner"))

        task = world.begin(work())
        outer = await world.service.stream()
        outer.grant()
        inner = await world.service.stream()
        other = world.begin(world.holding(name="outer"))
        others = await world.service.stream()

        assert outer.wish.owner == inner.wish.owner != others.wish.owner
        task.cancel()
        other.cancel()

    async def test_two_tasks_within_wait_for_one_another(self, world: World) -> None:
        inside = 0

        async def alone() -> None:
            nonlocal inside
            async with world.locks.hold("inner"):
                inside += 1
                assert inside == 1
                await asyncio.sleep(0)
                inside -= 1

        async def work() -> None:
            async with world.locks.hold("outer"):
                await asyncio.gather(alone(), alone())

        task = world.begin(work())
        streams = []
        for _ in range(3):
            streams.append(await world.service.stream())
            streams[-1].grant()

        assert await _result(task) == [None]
        assert streams[1].wish.owner == streams[2].wish.owner
        assert streams[1].wish.lock_id != streams[2].wish.lock_id

    async def test_who_does_not_want_to_wait_for_a_sibling(self, world: World) -> None:
        async def work() -> None:
            async with world.locks.hold("outer"):
                task = asyncio.create_task(world.holding(name="inner"))
                (await world.service.stream()).grant()
                try:
                    async with world.locks.hold("inner", patience_s=0):
                        pass
                finally:
                    task.cancel()

        task = world.begin(work())
        (await world.service.stream()).grant()

        assert isinstance((await _result(task))[0], errors.Exhausted)
