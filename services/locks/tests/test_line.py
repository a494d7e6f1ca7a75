"""Several processes of the service on one NATS, and what they are to each other's waiters."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from nats.aio.client import Client as Nats
from switchyard.locks.v1.stored_pb2 import StoredLease, StoredLock
from uuid_utils.compat import uuid7

from chassis import clock, errors, periodic
from chassis.buckets import Bucket, Entry
from services.locks import documents, keeper, locks, work
from services.locks.hosts import Hosts
from services.locks.keeper import Keeper
from services.locks.line import Line
from services.locks.locks import Ended, Wish
from services.locks.tests.test_locks import SHARED, a_wish


class Process:
    """All of a process but its edge."""

    def __init__(self, connection: Nats) -> None:
        self.hosts = Hosts(dead_after_s=0.6)
        self.bucket = Bucket(connection, "locks", replicas=1)
        self.keeper = Keeper(self.bucket, self.hosts)
        self.line = Line(self.keeper, self.hosts.me)
        self._callers: set[asyncio.Task[Any]] = set()
        self._tasks = [
            asyncio.create_task(each)
            for each in (
                self.keeper.run(),
                work.expire(self.keeper),
                work.live(connection, self.hosts),
                periodic.every(0.1, partial(work.clear_up, self.keeper, self.line, self.hosts.me)),
                work.end_circles(self.keeper, self.line, self.hosts.me),
            )
        ]

    def wish(self, **values: Any) -> Wish:
        return a_wish(**{"host": self.hosts.me, **values})

    async def acquire(self, key: str, wish: Wish, patience_s: float = 20) -> StoredLease | None:
        return (await self.line.acquire(key, wish, patience_s=patience_s))[0]

    async def standing(self, key: str, wish: Wish, patience_s: float = 20) -> "asyncio.Task[StoredLease | None]":
        """One who waits, once they stand in line."""
        task = asyncio.create_task(self.acquire(key, wish, patience_s))
        self._callers.add(task)
        await until(lambda: locks.position_of(self.lock(key), wish.id) is not None)
        return task

    async def release(self, key: str, lease: StoredLease) -> None:
        """Give back all that is held by a lease."""
        for hold in lease.holds:
            await self.keeper.change(key, partial(locks.release, lease_id=hold.id, holder=lease.holder))

    def lock(self, key: str) -> StoredLock:
        return self.keeper.documents.get(key).lock

    async def end(self) -> None:
        """Die: nothing is given up, nobody is told."""
        self.line.leave = lambda *_: None  # type: ignore[method-assign]
        left: set[asyncio.Task[Any]] = {*self._tasks, *self._callers}
        while left:
            for task in left:
                task.cancel()
            # Before Python 3.12 `asyncio.wait_for` may swallow a cancellation.
            _done, left = await asyncio.wait(left, timeout=0.1)


async def until(true: Callable[[], bool]) -> None:
    """Wait for what is bound to come."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


@pytest_asyncio.fixture(loop_scope="session")
async def two(nats_client: Nats) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes that know all locks."""
    await Bucket(nats_client, "locks", replicas=1).ensure()
    both = Process(nats_client), Process(nats_client)
    for process in both:
        await process.keeper.caught_up.wait()
    yield both
    for process in both:
        await process.end()


@pytest.fixture
def key() -> str:
    """A lock that no other test knows."""
    return documents.key_of(UUID(str(uuid7())), "restock")


@pytest.fixture
def keys() -> Iterator[str]:
    """Locks of one tenant."""
    tenant = UUID(str(uuid7()))
    return (documents.key_of(tenant, name) for name in "abc")


class TestAcquire:
    async def test_the_line_is_served_in_order_over_all_processes(self, two: tuple[Process, Process], key: str) -> None:
        lease = await two[0].acquire(key, two[0].wish())
        served: list[int] = []

        async def work_as(place: int, standing: "asyncio.Task[StoredLease | None]") -> None:
            granted = await standing
            assert granted is not None
            served.append(place)
            await two[place % 2].release(key, granted)

        waiting = []
        for place in range(12):
            process = two[place % 2]
            waiting.append(asyncio.create_task(work_as(place, await process.standing(key, process.wish()))))
        assert lease is not None
        await two[1].release(key, lease)
        await asyncio.gather(*waiting)

        assert served == list(range(12))

    async def test_tokens_grow_over_all_processes(self, two: tuple[Process, Process], key: str) -> None:
        tokens: list[int] = []

        async def work_in(process: Process) -> None:
            for _ in range(10):
                lease = await process.acquire(key, process.wish())
                assert lease is not None
                tokens.append(lease.token)
                await process.release(key, lease)

        await asyncio.gather(*(work_in(process) for process in two for _ in range(4)))

        assert len(tokens) == 80
        assert tokens == sorted(set(tokens))

    async def test_one_whom_nobody_renews_is_ended_by_another_process(
        self, two: tuple[Process, Process], key: str
    ) -> None:
        await two[0].acquire(key, two[0].wish(timeout_s=1))
        waiting = await two[1].standing(key, two[1].wish())
        await two[0].end()

        lease = await waiting

        assert lease is not None
        assert [loss.reason for loss in locks.untold(two[1].lock(key))] == [locks.EXPIRED]

    async def test_after_its_host_has_died_a_waiter_goes_on_elsewhere(
        self, two: tuple[Process, Process], key: str
    ) -> None:
        held = await two[1].acquire(key, two[1].wish())
        wish = two[0].wish()
        await two[0].standing(key, wish)
        last = await two[1].standing(key, two[1].wish())
        await two[0].end()

        adopted = asyncio.create_task(two[1].acquire(key, two[1].wish(id=wish.id)))
        await until(lambda: two[1].lock(key).waiters[0].host == two[1].hosts.me)
        assert held is not None
        await two[1].release(key, held)
        lease = await adopted

        assert lease is not None
        assert lease.holds[0].id == wish.id
        assert not last.done()

    async def test_waiters_of_a_dead_host_hold_nobody_up(self, two: tuple[Process, Process], key: str) -> None:
        held = await two[1].acquire(key, two[1].wish())
        gone = two[0].wish()
        await two[0].standing(key, gone)
        following = await two[1].standing(key, two[1].wish())
        await two[0].end()

        await until(lambda: locks.position_of(two[1].lock(key), gone.id) is None)
        assert held is not None
        await two[1].release(key, held)

        assert await following is not None

    async def test_a_caller_who_goes_leaves_the_line(self, two: tuple[Process, Process], key: str) -> None:
        await two[0].acquire(key, two[0].wish())
        waiting = await two[1].standing(key, two[1].wish())

        waiting.cancel()

        await until(lambda: not two[0].lock(key).waiters)

    async def test_who_was_taken_for_dead_stands_in_line_again(self, two: tuple[Process, Process], key: str) -> None:
        held = await two[0].acquire(key, two[0].wish())
        waiting = await two[1].standing(key, two[1].wish())

        await two[0].keeper.change(key, lambda lock: locks.drop(lock, {two[1].hosts.me}))
        await until(lambda: bool(two[0].lock(key).waiters))
        assert held is not None
        await two[0].release(key, held)

        assert await waiting is not None

    async def test_what_may_be_over_is_renewed_before_it_is_answered(
        self, two: tuple[Process, Process], key: str
    ) -> None:
        held = await two[0].acquire(key, two[0].wish(timeout_s=30))
        # Waits for longer than the lease will live: when it was granted is not known well enough.
        waiting = await two[1].standing(key, two[1].wish(timeout_s=1))
        place = next(iter(two[1].line._places[key].values()))[0]
        place.at -= 5
        assert held is not None
        await two[0].release(key, held)

        lease = await waiting

        assert lease is not None
        assert lease.renewals == 1

    async def test_after_an_answer_that_never_came_the_same_wish_may_come_again(
        self, two: tuple[Process, Process], key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bucket, wish = two[0].bucket, two[0].wish()

        async def put(*args: Any, **values: Any) -> int:
            # Written, and nobody here knows.
            await Bucket.put(bucket, *args, **values)
            raise errors.Unavailable

        with monkeypatch.context() as patch:
            patch.setattr(keeper, "PATIENCE_S", 0.0)
            patch.setattr(bucket, "put", put)
            with pytest.raises(errors.Unavailable):
                await two[0].acquire(key, wish)
        await until(lambda: two[1].keeper.documents.get(key).revision > 0 and not two[1].lock(key).leases)

        assert await two[1].acquire(key, two[1].wish(id=wish.id)) is not None

    async def test_who_has_gone_while_the_bucket_was_away_changes_nothing(
        self, two: tuple[Process, Process], key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (slow, other), wish = two, two[0].wish()
        asked, answers = asyncio.Event(), asyncio.Event()

        async def put(*_: Any, **__: Any) -> int:
            raise errors.Unavailable

        async def get(of: str) -> Entry | None:
            asked.set()
            await answers.wait()
            return await Bucket.get(slow.bucket, of)

        with monkeypatch.context() as patch:
            patch.setattr(slow.bucket, "put", put)
            patch.setattr(slow.bucket, "get", get)
            late = asyncio.create_task(slow.acquire(key, wish))
            await asked.wait()
        late.cancel()
        lease = await other.acquire(key, other.wish(id=wish.id))
        answers.set()
        await until(lambda: key not in slow.keeper._pending)
        await asyncio.gather(late, return_exceptions=True)
        found = await slow.keeper.read(key)

        assert lease is not None
        # Nor is it renewed.
        assert [(each.token, each.renewals) for each in found.lock.leases] == [(lease.token, 0)]

    async def test_nothing_is_refused_by_a_leader_that_is_cut_off(
        self, two: tuple[Process, Process], key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await two[0].acquire(key, two[0].wish())
        tenant = documents.tenant_of(key)

        async def barrier() -> int:
            # It answers reads, and has no majority.
            raise errors.Unavailable

        monkeypatch.setattr(keeper, "PATIENCE_S", 0.0)
        monkeypatch.setattr(two[0].bucket, "barrier", barrier)

        with pytest.raises(errors.Unavailable):
            await two[0].acquire(key, two[0].wish(), 0)
        with pytest.raises(errors.Unavailable):
            await two[0].keeper.find(tenant, two[0].wish().id)

    async def test_who_knows_less_than_was_acknowledged_looks_again(
        self, two: tuple[Process, Process], key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lease = await two[1].acquire(key, two[1].wish())
        await until(lambda: bool(two[0].lock(key).leases))
        known, passed = two[0].keeper.documents.get(key), Bucket.barrier
        assert lease is not None

        async def barrier() -> int:
            # What was known is old by now.
            await two[1].release(key, lease)
            return await passed(two[0].bucket)

        monkeypatch.setattr(two[0].bucket, "barrier", barrier)

        granted = await two[0].acquire(key, two[0].wish(), 0)

        assert known.lock.leases
        assert granted is not None

    async def test_an_id_that_stands_in_another_lock_is_refused(
        self, two: tuple[Process, Process], keys: Iterator[str]
    ) -> None:
        wish = two[0].wish()
        await two[0].acquire(next(keys), wish)

        with pytest.raises(errors.Conflict) as refused:
            await two[0].acquire(next(keys), wish)

        assert refused.value.code == "LOCK_MISMATCH"

    async def test_an_id_that_was_given_back_elsewhere_is_good_for_another_lock(
        self, two: tuple[Process, Process], keys: Iterator[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wish, first, second = two[0].wish(), next(keys), next(keys)
        lease = await two[0].acquire(first, wish)
        assert lease is not None
        see, late = two[0].keeper._see, list[Entry]()

        async def catch_up() -> None:
            for entry in late:
                see(entry)

        # The first process does not hear of it until it asks.
        monkeypatch.setattr(two[0].keeper, "_see", late.append)
        monkeypatch.setattr(two[0].keeper, "catch_up", catch_up)
        await two[1].release(first, lease)
        released = two[1].keeper.documents.get(first).revision
        await until(lambda: any(entry.revision == released for entry in late))

        assert await two[0].acquire(second, wish) is not None


class TestRenew:
    async def test_what_is_taken_away_by_the_same_write_is_lost(self, two: tuple[Process, Process], key: str) -> None:
        process, wish = two[0], two[0].wish()
        lease = await process.acquire(key, wish)
        assert lease is not None
        # While this is written the others come together.
        writing = process.keeper.begin(key, partial(locks.enter, wish=process.wish(), wait=True, now=clock.now()))
        await asyncio.sleep(0)
        renewing = asyncio.create_task(process.line.renew(key, wish.id, wish.holder, None))
        await asyncio.sleep(0)
        breaking = process.keeper.begin(key, partial(locks.break_, tokens={lease.token}, comment="", by="user:b"))
        await asyncio.gather(writing, breaking)

        with pytest.raises(errors.LeaseLost):
            await renewing


class TestForgotten:
    async def test_tokens_grow_after_a_lock_was_forgotten(self, two: tuple[Process, Process], key: str) -> None:
        first = await two[0].acquire(key, two[0].wish())
        assert first is not None
        revision = two[0].keeper.documents.get(key).revision
        # As the server does with a free lock after an hour.
        await two[0].bucket.put(key, b"", last=revision, ttl_s=1)
        async with asyncio.timeout(20):
            while (await two[0].keeper.read(key)).revision:
                await asyncio.sleep(0.05)

        second = await two[1].acquire(key, two[1].wish())

        assert second is not None
        assert second.token > first.token

    async def test_nothing_is_remembered_of_it(self, two: tuple[Process, Process], key: str) -> None:
        lease = await two[0].acquire(key, two[0].wish())
        assert lease is not None
        await two[0].release(key, lease)
        known = two[0].keeper.documents

        known.forget(asyncio.get_running_loop().time() + 2 * documents.FREE_S)

        assert known.find(documents.tenant_of(key), lease.holds[0].id) is None
        assert not known.get(key).revision


class TestHold:
    async def test_it_tells_the_place_the_lease_and_the_loss(self, two: tuple[Process, Process], key: str) -> None:
        held = await two[0].acquire(key, two[0].wish())
        told = two[1].line.hold(key, two[1].wish())

        waiting = await anext(told)
        assert held is not None
        await two[0].release(key, held)
        granted = await anext(told)
        await two[0].keeper.change(
            key,
            lambda lock: locks.break_(lock, tokens={lock.leases[0].token}, comment="it hangs", by="user:admin"),
        )
        lost = await anext(told)

        assert waiting == 0
        assert isinstance(granted, StoredLease)
        assert isinstance(lost, Ended)
        assert (lost.reason, lost.comment, lost.by) == (locks.BROKEN, "it hangs", "user:admin")
        with pytest.raises(StopAsyncIteration):
            await anext(told)

    async def test_opened_again_elsewhere_it_goes_on_with_the_lease(
        self, two: tuple[Process, Process], key: str
    ) -> None:
        wish = two[0].wish()
        first = await anext(two[0].line.hold(key, wish))
        await two[0].end()

        second = await anext(two[1].line.hold(key, two[1].wish(id=wish.id)))

        assert isinstance(first, StoredLease)
        assert isinstance(second, StoredLease)
        assert (second.token, second.renewals) == (first.token, first.renewals + 1)

    async def test_opened_again_after_it_was_lost_it_tells_how(self, two: tuple[Process, Process], key: str) -> None:
        wish = two[0].wish()
        first = two[0].line.hold(key, wish)
        granted = await anext(first)
        assert isinstance(granted, StoredLease)
        await first.aclose()  # type: ignore[attr-defined]
        breaking = partial(locks.break_, tokens={granted.token}, comment="it hangs", by="user:admin")
        await two[0].keeper.change(key, breaking)

        told = [each async for each in two[1].line.hold(key, two[1].wish(id=wish.id))]
        with pytest.raises(errors.LeaseLost):
            await anext(two[1].line.hold(key, two[1].wish(id=wish.id, holder="user:b")))

        assert told == [Ended(locks.BROKEN, wish.holder, "", granted.token, "it hangs", "user:admin")]

    async def test_opened_again_within_a_moment_it_has_its_place(self, two: tuple[Process, Process], key: str) -> None:
        await two[0].acquire(key, two[0].wish())
        wish = two[0].wish()
        first = two[0].line.hold(key, wish)
        await anext(first)
        behind = two[0].wish()
        await two[0].standing(key, behind)

        await first.aclose()  # type: ignore[attr-defined]
        again = await anext(two[1].line.hold(key, two[1].wish(id=wish.id)))
        two[0].line._gone(key, next(iter(two[0].line._places[key][wish.id])))

        assert again == 0
        await until(lambda: not two[0].line.is_here(key, wish.id))
        assert locks.position_of(two[1].lock(key), wish.id) == 0


class TestCircles:
    async def test_the_youngest_of_two_in_a_circle_is_refused(
        self, two: tuple[Process, Process], keys: Iterator[str]
    ) -> None:
        one, other = next(keys), next(keys)
        await two[0].acquire(one, two[0].wish(owner="first"))
        second = await two[1].acquire(other, two[1].wish(owner="second"))
        waiting = await two[0].standing(other, two[0].wish(owner="first"))

        with pytest.raises(errors.Conflict) as refused:
            await two[1].acquire(one, two[1].wish(owner="second"))
        assert second is not None
        await two[1].release(other, second)

        assert refused.value.code == "DEADLOCK"
        assert await waiting is not None
        await until(lambda: not two[0].lock(one).waiters)

    async def test_one_in_which_there_are_several_permits(
        self, two: tuple[Process, Process], keys: Iterator[str]
    ) -> None:
        counted, one, other = keys
        for owner in ("first", "second"):
            await two[0].acquire(counted, two[0].wish(owner=owner, permits=2))
        for key in (one, other):
            await two[1].acquire(key, two[1].wish(owner="third"))
        older = [
            await two[1].standing(counted, two[1].wish(owner="third", permits=2)),
            await two[0].standing(one, two[0].wish(owner="first")),
        ]

        younger = await two[0].standing(other, two[0].wish(owner="second"))
        done, _ = await asyncio.wait([*older, younger], return_when=asyncio.FIRST_COMPLETED, timeout=20)

        assert [str(getattr(task.exception(), "code", "")) for task in done] == ["DEADLOCK"]

    async def test_who_is_refused_and_granted_it_in_that_moment_has_left_nothing(
        self, two: tuple[Process, Process], key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = await two[0].acquire(key, two[0].wish())
        wish = two[1].wish()
        waiting = await two[1].standing(key, wish)
        granted = asyncio.Event()

        async def put(*args: Any, **values: Any) -> int:
            await granted.wait()
            return await Bucket.put(two[1].bucket, *args, **values)

        monkeypatch.setattr(two[1].bucket, "put", put)
        refusing = asyncio.create_task(two[1].line.refuse(key, wish.id, locks.deadlocked()))
        with pytest.raises(errors.Conflict, match="circle"):
            await waiting
        assert held is not None
        await two[0].release(key, held)
        await until(lambda: locks.lease_of(two[0].lock(key), wish.id) is not None)
        granted.set()
        await refusing

        await until(lambda: locks.is_free(two[0].lock(key)))

    async def test_by_a_clock_that_is_ahead_the_youngest_has_come_first(
        self, two: tuple[Process, Process], keys: Iterator[str]
    ) -> None:
        one, other = next(keys), next(keys)
        await two[0].acquire(one, two[0].wish(owner="first"))
        await two[1].acquire(other, two[1].wish(owner="second"))
        with clock.shifted(timedelta(hours=1)):
            youngest = await two[1].standing(one, two[1].wish(owner="second"))
        for _ in range(50):
            # Meanwhile its process has looked for a circle, and found none.
            await two[1].keeper.catch_up()

        last = await two[0].standing(other, two[0].wish(owner="first"))
        await asyncio.wait([youngest], timeout=20)

        assert getattr(youngest.exception(), "code", "") == "DEADLOCK"
        assert not last.done()

    async def test_three_in_a_circle(self, two: tuple[Process, Process], keys: Iterator[str]) -> None:
        named = list(keys)
        for place, key in enumerate(named):
            await two[place % 2].acquire(key, two[place % 2].wish(owner=f"task {place}"))
        older = [
            await two[place].standing(named[place + 1], two[place].wish(owner=f"task {place}")) for place in range(2)
        ]

        with pytest.raises(errors.Conflict) as refused:
            await two[0].acquire(named[0], two[0].wish(owner="task 2"))

        assert refused.value.code == "DEADLOCK"
        assert not any(task.done() for task in older)


class TestShared:
    async def test_those_who_share_are_let_in_together(self, two: tuple[Process, Process], key: str) -> None:
        held = await two[0].acquire(key, two[0].wish())
        readers = [await process.standing(key, process.wish(mode=SHARED)) for process in two for _ in range(3)]
        assert held is not None
        await two[0].release(key, held)

        leases = await asyncio.gather(*readers)

        assert all(lease is not None for lease in leases)
        assert len({lease.token for lease in leases if lease is not None}) == 6
