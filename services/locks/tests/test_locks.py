"""What becomes of a lock: the rules, and any course of events against a small model."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from switchyard.locks.v1 import locks_pb2 as pb
from switchyard.locks.v1.stored_pb2 import StoredLock

from chassis import clock, errors
from services.locks import locks
from services.locks.locks import Wish

EXCLUSIVE, SHARED = pb.LOCK_MODE_EXCLUSIVE, pb.LOCK_MODE_SHARED


def a_wish(**values: Any) -> Wish:
    usual = {
        "id": uuid.uuid4().bytes,
        "holder": "user:a",
        "owner": "",
        "mode": EXCLUSIVE,
        "permits": 1,
        "timeout_s": 30,
        "host": "here",
    }
    return Wish(**{**usual, **values})


class Written:
    """A lock that is written again and again, at growing revisions."""

    def __init__(self) -> None:
        self.lock = StoredLock()
        self.revision = 0

    def write(self) -> None:
        """Write it, and again as long as the line moves."""
        while True:
            locks.promote(self.lock, clock.now())
            self.revision += 1
            self.lock = locks.read(self.lock.SerializeToString(), self.revision)
            if not locks.can_promote(self.lock):
                return

    def enter(self, wish: Wish, *, wait: bool = True) -> Wish:
        """Wish for the lock; what comes later comes with the next write."""
        try:
            locks.enter(self.lock, wish=wish, wait=wait, now=clock.now())
        except locks.LaterError:
            self.write()
            return self.enter(wish, wait=wait)
        self.write()
        return wish

    def release(self, wish: Wish) -> None:
        locks.release(self.lock, lease_id=wish.id, holder=wish.holder, release_id=uuid.uuid4().bytes)
        self.write()

    def holds(self, wish: Wish) -> bool:
        return locks.lease_of(self.lock, wish.id) is not None

    def position(self, wish: Wish) -> int | None:
        return locks.position_of(self.lock, wish.id)


@pytest.fixture
def written() -> Written:
    """A lock that nobody has wished for."""
    return Written()


class TestEnter:
    def test_a_free_lock_is_granted_with_the_revision_as_token(self, written: Written) -> None:
        written.revision = 41

        wish = written.enter(a_wish())

        assert written.holds(wish)
        assert written.lock.leases[0].token == written.lock.last_token == 42

    def test_the_next_stands_in_line(self, written: Written) -> None:
        written.enter(a_wish())

        waiting = [written.enter(a_wish()) for _ in range(3)]

        assert [written.position(wish) for wish in waiting] == [0, 1, 2]

    def test_who_does_not_wait_leaves_no_trace(self, written: Written) -> None:
        written.enter(a_wish())
        before = written.lock.SerializeToString()

        written.enter(a_wish(), wait=False)

        assert written.lock.SerializeToString() == before

    def test_sent_again_it_is_the_same_lease_with_more_life(self, written: Written) -> None:
        wish = written.enter(a_wish())

        written.enter(wish)

        assert [(lease.id, lease.holds, lease.renewals) for lease in written.lock.leases] == [(wish.id, 1, 1)]

    def test_waiting_and_sent_again_elsewhere_it_keeps_its_place(self, written: Written) -> None:
        written.enter(a_wish())
        wish = written.enter(a_wish(host="a"))
        written.enter(a_wish())

        written.enter(a_wish(id=wish.id, host="b"))

        assert written.position(wish) == 0
        assert written.lock.waiters[0].host == "b"

    def test_what_has_ended_is_not_granted_again(self, written: Written) -> None:
        wish = written.enter(a_wish())
        written.release(wish)

        with pytest.raises(errors.LeaseLost):
            written.enter(wish)

    def test_anothers_id_is_refused(self, written: Written) -> None:
        wish = written.enter(a_wish())

        with pytest.raises(errors.Conflict, match="another's"):
            written.enter(a_wish(id=wish.id, holder="user:b"))

    def test_other_permits_are_refused_while_it_is_in_use(self, written: Written) -> None:
        first = written.enter(a_wish(permits=2))

        with pytest.raises(errors.Conflict) as mismatch:
            written.enter(a_wish(permits=3))
        written.release(first)
        third = written.enter(a_wish(permits=3))

        assert mismatch.value.code == "LOCK_MISMATCH"
        assert written.holds(third)

    def test_a_full_line_takes_no_more(self, written: Written) -> None:
        written.enter(a_wish())
        for _ in range(locks.WAITERS_MAX):
            locks.enter(written.lock, wish=a_wish(), wait=True, now=clock.now())

        with pytest.raises(errors.Exhausted) as full:
            written.enter(a_wish())

        assert full.value.code == "LOCK_QUEUE_FULL"

    def test_a_write_grants_one_lease(self, written: Written) -> None:
        locks.enter(written.lock, wish=a_wish(permits=2), wait=True, now=clock.now())

        with pytest.raises(locks.LaterError):
            locks.enter(written.lock, wish=a_wish(permits=2), wait=False, now=clock.now())


class TestModes:
    def test_some_share_and_one_who_wants_it_alone_waits(self, written: Written) -> None:
        readers = [written.enter(a_wish(mode=SHARED)) for _ in range(3)]

        writer = written.enter(a_wish())

        assert all(written.holds(reader) for reader in readers)
        assert written.position(writer) == 0

    def test_nobody_who_shares_passes_one_who_waits(self, written: Written) -> None:
        reader = written.enter(a_wish(mode=SHARED))
        writer = written.enter(a_wish())

        late = written.enter(a_wish(mode=SHARED))
        written.release(reader)

        assert written.holds(writer)
        assert written.position(late) == 0

    def test_all_who_share_and_stand_together_are_let_in(self, written: Written) -> None:
        writer = written.enter(a_wish())
        readers = [written.enter(a_wish(mode=SHARED)) for _ in range(3)]

        written.release(writer)

        assert all(written.holds(reader) for reader in readers)
        tokens = [lease.token for lease in written.lock.leases]
        assert tokens == sorted(set(tokens))

    def test_as_many_hold_it_as_there_are_permits(self, written: Written) -> None:
        wishes = [written.enter(a_wish(permits=2)) for _ in range(3)]

        before = [written.holds(wish) for wish in wishes]
        written.release(wishes[0])

        assert before == [True, True, False]
        assert written.holds(wishes[2])


class TestReentrancy:
    def test_the_same_owner_gets_the_same_lease(self, written: Written) -> None:
        first = written.enter(a_wish(owner="task"))

        second = written.enter(a_wish(owner="task"))

        assert locks.lease_of(written.lock, second.id) == locks.lease_of(written.lock, first.id)
        assert written.lock.leases[0].holds == 2

    def test_a_wish_that_is_sent_twice_counts_once(self, written: Written) -> None:
        written.enter(a_wish(owner="task"))
        again = written.enter(a_wish(owner="task"))

        written.enter(again)

        assert written.lock.leases[0].holds == 2

    def test_it_is_free_when_it_was_given_back_as_often(self, written: Written) -> None:
        wish = written.enter(a_wish(owner="task"))
        written.enter(a_wish(owner="task"))

        written.release(wish)
        still = written.holds(wish)
        written.release(wish)

        assert still
        assert locks.is_free(written.lock)

    def test_a_release_that_is_sent_twice_counts_once(self, written: Written) -> None:
        wish = written.enter(a_wish(owner="task"))
        written.enter(a_wish(owner="task"))
        release_id = uuid.uuid4().bytes

        for _ in range(2):
            locks.release(written.lock, lease_id=wish.id, holder=wish.holder, release_id=release_id)

        assert written.holds(wish)

    def test_who_shares_it_does_not_get_it_alone(self, written: Written) -> None:
        written.enter(a_wish(owner="task", mode=SHARED))

        with pytest.raises(errors.Conflict) as mismatch:
            written.enter(a_wish(owner="task"))

        assert mismatch.value.code == "LOCK_MISMATCH"

    def test_another_of_its_tasks_waits(self, written: Written) -> None:
        written.enter(a_wish(owner="task"))

        other = written.enter(a_wish(owner="another"))

        assert written.position(other) == 0

    def test_two_waits_of_one_owner_end_together(self, written: Written) -> None:
        holding = written.enter(a_wish())
        first, between = written.enter(a_wish(owner="task")), written.enter(a_wish())
        second = written.enter(a_wish(owner="task"))

        written.release(holding)

        assert written.holds(first)
        assert written.holds(second)
        assert written.position(between) == 0


class TestEnds:
    def test_a_release_that_is_sent_again_succeeds(self, written: Written) -> None:
        wish = written.enter(a_wish())
        written.release(wish)

        written.release(wish)

        assert locks.is_free(written.lock)

    def test_who_waits_gives_the_place_back_and_does_not_come_again(self, written: Written) -> None:
        written.enter(a_wish())
        wish = written.enter(a_wish())

        written.release(wish)

        assert written.position(wish) is None
        with pytest.raises(errors.LeaseLost):
            written.enter(wish)

    def test_nobody_else_releases_or_renews(self, written: Written) -> None:
        wish = written.enter(a_wish())

        with pytest.raises(errors.LeaseLost):
            locks.release(written.lock, lease_id=wish.id, holder="user:b", release_id=b"")
        with pytest.raises(errors.LeaseLost):
            locks.renew(written.lock, lease_id=wish.id, holder="user:b", timeout_s=None, now=clock.now())

    def test_one_that_was_renewed_does_not_expire(self, written: Written) -> None:
        wish = written.enter(a_wish())
        locks.renew(written.lock, lease_id=wish.id, holder=wish.holder, timeout_s=60, now=clock.now())

        locks.expire(written.lock, lease_id=wish.id, token=written.lock.last_token, renewals=0)

        assert written.holds(wish)

    def test_expired_it_is_the_next_ones_and_to_be_told(self, written: Written) -> None:
        wish, following = written.enter(a_wish()), written.enter(a_wish())
        token = written.lock.last_token

        locks.expire(written.lock, lease_id=wish.id, token=written.lock.last_token, renewals=0)
        written.write()

        assert written.holds(following)
        assert written.lock.last_token > token
        assert [(loss.id, loss.reason, loss.token) for loss in written.lock.untold] == [(wish.id, locks.EXPIRED, token)]

    def test_a_release_of_what_has_expired_fails(self, written: Written) -> None:
        wish = written.enter(a_wish())
        locks.expire(written.lock, lease_id=wish.id, token=written.lock.last_token, renewals=0)

        with pytest.raises(errors.LeaseLost):
            written.release(wish)

    def test_a_break_takes_it_from_those_who_are_meant(self, written: Written) -> None:
        wish, following = written.enter(a_wish()), written.enter(a_wish())

        for _ in range(2):
            locks.break_(written.lock, lease_ids={wish.id}, comment="it hangs", by="user:admin")
            written.write()

        assert written.holds(following)
        assert [(loss.comment, loss.by) for loss in written.lock.untold] == [("it hangs", "user:admin")]

    def test_a_lock_with_losses_to_be_told_is_not_forgotten(self, written: Written) -> None:
        wish = written.enter(a_wish())
        locks.expire(written.lock, lease_id=wish.id, token=written.lock.last_token, renewals=0)

        before = locks.is_free(written.lock)
        locks.told(written.lock, {wish.id})

        assert not before
        assert locks.is_free(written.lock)


class TestLeave:
    def test_a_place_is_given_up_by_its_host_alone(self, written: Written) -> None:
        written.enter(a_wish())
        wish = written.enter(a_wish(host="a"))
        written.enter(a_wish(id=wish.id, host="b"))

        locks.leave(written.lock, lease_id=wish.id, host="a")
        kept = written.position(wish)
        locks.leave(written.lock, lease_id=wish.id, host="b")

        assert kept == 0
        assert written.position(wish) is None

    def test_what_was_granted_meanwhile_is_given_back(self, written: Written) -> None:
        wish = written.enter(a_wish(host="a"))

        locks.leave(written.lock, lease_id=wish.id, host="a")

        assert not written.holds(wish)

    def test_what_another_host_has_answered_stays(self, written: Written) -> None:
        wish = written.enter(a_wish(host="a"))
        written.enter(a_wish(id=wish.id, host="b"))

        locks.leave(written.lock, lease_id=wish.id, host="a")

        assert written.holds(wish)

    def test_waiters_of_dead_hosts_are_dropped(self, written: Written) -> None:
        holding = written.enter(a_wish())
        dead, alive = written.enter(a_wish(host="dead")), written.enter(a_wish(host="alive"))

        locks.drop(written.lock, {"dead"})
        written.release(holding)

        assert written.position(dead) is None
        assert written.holds(alive)


class AnyCourse(RuleBasedStateMachine):
    """Whatever happens to a lock, it is held as a model says that it may be."""

    def __init__(self) -> None:
        super().__init__()
        self.written = Written()
        self.held: list[Wish] = []
        self.line: list[Wish] = []
        self.tokens: dict[bytes, int] = {}

    @rule(mode=st.sampled_from([EXCLUSIVE, SHARED]), wait=st.booleans())
    def enter(self, mode: pb.LockMode, wait: bool) -> None:  # noqa: FBT001 - hypothesis names its arguments
        wish = self.written.enter(a_wish(mode=mode), wait=wait)
        if not self.line and self._fits(wish):
            self.held.append(wish)
        elif wait:
            self.line.append(wish)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), how=st.sampled_from(["release", "expire", "break", "leave"]))
    def end(self, data: st.DataObject, how: str) -> None:
        wish = data.draw(st.sampled_from(self.held))
        lock = self.written.lock
        if how == "release":
            locks.release(lock, lease_id=wish.id, holder=wish.holder, release_id=b"")
        elif how == "expire":
            locks.expire(lock, lease_id=wish.id, token=self.tokens[wish.id], renewals=0)
        elif how == "break":
            locks.break_(lock, lease_ids={wish.id}, comment="", by="user:b")
        else:
            locks.leave(lock, lease_id=wish.id, host=wish.host)
        self.written.write()
        self.held.remove(wish)
        self._move()

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        wish = data.draw(st.sampled_from(self.line))
        locks.give_up(self.written.lock, lease_id=wish.id, host=wish.host)
        self.written.write()
        self.line.remove(wish)
        self._move()

    def _fits(self, wish: Wish) -> bool:
        return not self.held or (wish.mode == SHARED and all(other.mode == SHARED for other in self.held))

    def _move(self) -> None:
        while self.line and self._fits(self.line[0]):
            self.held.append(self.line.pop(0))

    @invariant()
    def as_the_model_says(self) -> None:
        assert [lease.id for lease in self.written.lock.leases] == [wish.id for wish in self.held]
        assert [waiter.id for waiter in self.written.lock.waiters] == [wish.id for wish in self.line]

    @invariant()
    def tokens_only_grow(self) -> None:
        for lease in self.written.lock.leases:
            if lease.id not in self.tokens:
                assert lease.token > max(self.tokens.values(), default=0)
                self.tokens[lease.id] = lease.token
            assert self.tokens[lease.id] == lease.token


TestAnyCourse = AnyCourse.TestCase
TestAnyCourse.settings = settings(max_examples=60, stateful_step_count=40)


class TestRenew:
    def test_it_ends_later(self, written: Written) -> None:
        wish = written.enter(a_wish())
        now = clock.now() + timedelta(seconds=20)

        locks.renew(written.lock, lease_id=wish.id, holder=wish.holder, timeout_s=None, now=now)

        assert written.lock.leases[0].expires_at.ToNanoseconds() > now.timestamp() * 1e9 + 29e9
