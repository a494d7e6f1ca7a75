"""What becomes of a lock: the rules one by one."""

import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from switchyard.locks.v1 import locks_pb2 as pb
from switchyard.locks.v1.stored_pb2 import StoredLease, StoredLock

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
        locks.release(self.lock, lease_id=wish.id, holder=wish.holder)
        self.write()

    def lose(self, wish: Wish) -> int:
        """Let the lease of a wish expire; its token."""
        lease = self.lease(wish)
        token = lease.token
        locks.expire(self.lock, token=token, renewals=lease.renewals)
        return token

    def lease(self, wish: Wish) -> StoredLease:
        lease = locks.lease_of(self.lock, wish.id)
        assert lease is not None
        return lease

    def holds(self, wish: Wish) -> bool:
        return locks.lease_of(self.lock, wish.id) is not None

    def position(self, wish: Wish) -> int | None:
        return locks.position_of(self.lock, wish.id)


def _enter_all(lock: StoredLock, wishes: Iterable[Wish]) -> None:
    for revision, wish in enumerate(wishes, start=1):
        locks.enter(lock, wish=wish, wait=True, now=clock.now())
        locks.settle(lock, revision)


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

        assert [(len(lease.holds), lease.renewals) for lease in written.lock.leases] == [(1, 1)]

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

    def test_those_who_share_it_are_not_without_number(self, written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(locks, "LEASES_MAX", 2)
        wishes = [written.enter(a_wish(mode=SHARED)) for _ in range(3)]

        before = written.position(wishes[2])
        written.release(wishes[0])

        assert before == 0
        assert written.holds(wishes[2])

    def test_one_who_would_make_it_too_large_is_refused_and_all_else_goes_on(
        self, written: Written, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(locks, "SIZE_MAX", locks.SIZE_MAX // 10)
        long = "\U0001f512" * 60
        wishes = [a_wish(owner=f"{number:04}{long}", permits=100) for number in range(200)]

        with pytest.raises(errors.Exhausted) as full:
            _enter_all(written.lock, wishes)
        lock = written.lock
        there = len(lock.leases) + len(lock.waiters)
        tokens = {lease.token for lease in lock.leases}
        locks.break_(lock, tokens=tokens, comment="Ж" * 500, by=f"user:{uuid.uuid4()}")
        written.write()

        assert full.value.code == "LOCK_QUEUE_FULL"
        assert 100 < there < 200
        assert all(written.holds(wish) for wish in wishes[100:there])
        # A tenth of what NATS takes.
        assert written.lock.ByteSize() < 1024 * 1024 / 10

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
        assert [hold.id for hold in written.lock.leases[0].holds] == [first.id, second.id]

    def test_a_wish_that_is_sent_twice_counts_once(self, written: Written) -> None:
        written.enter(a_wish(owner="task"))
        again = written.enter(a_wish(owner="task"))

        written.enter(again)

        assert len(written.lock.leases[0].holds) == 2

    def test_it_is_free_when_each_was_given_back(self, written: Written) -> None:
        first, second = (written.enter(a_wish(owner="task")) for _ in range(2))

        written.release(second)
        still = written.holds(first)
        written.release(first)

        assert still
        assert locks.is_free(written.lock)

    def test_a_release_that_is_sent_twice_counts_once(self, written: Written) -> None:
        first, second = (written.enter(a_wish(owner="task")) for _ in range(2))

        for _ in range(2):
            written.release(first)

        assert written.holds(second)

    def test_acquired_again_it_lives_anew(self, written: Written) -> None:
        first = written.enter(a_wish(owner="task", timeout_s=30))

        written.enter(a_wish(owner="task", timeout_s=40))
        locks.expire(written.lock, token=written.lock.last_token, renewals=0)

        assert (written.lease(first).timeout, written.lease(first).renewals) == (40, 1)

    def test_let_in_with_its_owner_it_lives_anew(self, written: Written) -> None:
        holding = written.enter(a_wish())
        first, _second = (written.enter(a_wish(owner="task", timeout_s=life)) for life in (30, 40))

        written.release(holding)

        assert (written.lease(first).timeout, written.lease(first).renewals) == (40, 1)

    def test_what_one_hold_was_promised_another_does_not_shorten(self, written: Written) -> None:
        first, second = (written.enter(a_wish(owner="task")) for _ in range(2))

        locks.renew(written.lock, lease_id=first.id, holder=first.holder, timeout_s=5, now=clock.now())
        both = written.lease(first).timeout
        written.release(second)
        locks.renew(written.lock, lease_id=first.id, holder=first.holder, timeout_s=5, now=clock.now())

        assert (both, written.lease(first).timeout) == (30, 5)

    def test_twenty_waits_that_end_together_are_all_remembered(self, written: Written) -> None:
        holding = written.enter(a_wish())
        waits = [written.enter(a_wish(owner="task")) for _ in range(20)]
        written.release(holding)

        for wish in waits:
            written.enter(wish)

        assert [hold.id for hold in written.lease(waits[0]).holds] == [wish.id for wish in waits]

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

    def test_those_that_are_sent_again_after_many_others_succeed(self, written: Written) -> None:
        wishes = [a_wish(permits=100) for _ in range(100)]
        _enter_all(written.lock, wishes)

        for wish in (*wishes, *wishes):
            locks.release(written.lock, lease_id=wish.id, holder=wish.holder)

        assert locks.is_free(written.lock)

    def test_what_is_remembered_has_an_end(self, written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(locks, "RELEASED_MAX", 2)
        monkeypatch.setattr(locks, "LOST_MAX", 3)
        holding = [written.enter(a_wish(permits=9)) for _ in range(9)]
        for wish in holding[:3]:
            written.release(wish)
        broken = {written.lease(wish).token for wish in holding[3:6]}
        locks.break_(written.lock, tokens=broken, comment="", by="user:b")
        expired = {written.lose(wish) for wish in holding[6:]}

        locks.told(written.lock, broken)
        locks.told(written.lock, expired - {max(expired)})

        remembered = [locks.ended_of(written.lock, wish.id) is not None for wish in holding]
        assert remembered == [False, True, True, False, False, True, True, True, True]
        assert [loss.token for loss in locks.untold(written.lock)] == [max(expired)]

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
            locks.release(written.lock, lease_id=wish.id, holder="user:b")
        with pytest.raises(errors.LeaseLost):
            locks.renew(written.lock, lease_id=wish.id, holder="user:b", timeout_s=None, now=clock.now())

    def test_one_that_was_renewed_does_not_expire(self, written: Written) -> None:
        wish = written.enter(a_wish())
        locks.renew(written.lock, lease_id=wish.id, holder=wish.holder, timeout_s=60, now=clock.now())

        locks.expire(written.lock, token=written.lock.last_token, renewals=0)

        assert written.holds(wish)

    def test_expired_it_is_the_next_ones_and_to_be_told(self, written: Written) -> None:
        wish, following = written.enter(a_wish()), written.enter(a_wish())
        token = written.lose(wish)
        written.write()

        assert written.holds(following)
        assert written.lock.last_token > token
        assert [(loss.reason, loss.token) for loss in locks.untold(written.lock)] == [(locks.EXPIRED, token)]
        assert locks.ended_of(written.lock, wish.id) == locks.untold(written.lock)[0]

    def test_a_release_of_what_has_expired_fails(self, written: Written) -> None:
        wish = written.enter(a_wish())
        written.lose(wish)

        with pytest.raises(errors.LeaseLost):
            written.release(wish)

    def test_a_break_takes_it_from_those_who_are_meant(self, written: Written) -> None:
        wish, following = written.enter(a_wish()), written.enter(a_wish())

        token = written.lease(wish).token
        for _ in range(2):
            locks.break_(written.lock, tokens={token}, comment="it hangs", by="user:admin")
            written.write()

        assert written.holds(following)
        assert [(loss.comment, loss.by) for loss in locks.untold(written.lock)] == [("it hangs", "user:admin")]

    def test_a_lock_with_losses_to_be_told_is_not_forgotten(self, written: Written) -> None:
        token = written.lose(written.enter(a_wish()))

        before = locks.is_free(written.lock)
        locks.told(written.lock, {token})

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

    def test_what_two_hosts_have_answered_neither_takes_back(self, written: Written) -> None:
        late = written.enter(a_wish(host="a"))
        written.enter(a_wish(id=late.id, host="b"))
        written.enter(late)

        for host in "ab":
            locks.leave(written.lock, lease_id=late.id, host=host)

        assert written.holds(late)

    def test_what_its_caller_has_renewed_stays(self, written: Written) -> None:
        wish = written.enter(a_wish(host="a"))
        locks.renew(written.lock, lease_id=wish.id, holder=wish.holder, timeout_s=None, now=clock.now())

        locks.leave(written.lock, lease_id=wish.id, host="a")

        assert written.holds(wish)

    def test_done_twice_it_takes_back_what_it_means_alone(self, written: Written) -> None:
        first, second = (written.enter(a_wish(owner="task", host="a")) for _ in range(2))

        for _ in range(2):
            locks.leave(written.lock, lease_id=first.id, host="a")

        assert written.holds(second)
        assert not written.holds(first)

    def test_what_was_acquired_again_elsewhere_is_taken_back_there(self, written: Written) -> None:
        first = written.enter(a_wish(owner="task", host="a"))
        locks.renew(written.lock, lease_id=first.id, holder=first.holder, timeout_s=None, now=clock.now())
        second = written.enter(a_wish(owner="task", host="b"))

        locks.leave(written.lock, lease_id=second.id, host="b")

        assert written.holds(first)
        assert not written.holds(second)

    def test_who_never_heard_of_it_may_come_again(self, written: Written) -> None:
        wish = written.enter(a_wish(host="a"))
        locks.leave(written.lock, lease_id=wish.id, host="a")

        written.enter(wish)

        assert written.holds(wish)

    def test_waiters_of_dead_hosts_are_dropped(self, written: Written) -> None:
        holding = written.enter(a_wish())
        dead, alive = written.enter(a_wish(host="dead")), written.enter(a_wish(host="alive"))

        locks.drop(written.lock, {"dead"})
        written.release(holding)

        assert written.position(dead) is None
        assert written.holds(alive)


class TestRenew:
    def test_it_ends_later(self, written: Written) -> None:
        wish = written.enter(a_wish())
        now = clock.now() + timedelta(seconds=20)

        locks.renew(written.lock, lease_id=wish.id, holder=wish.holder, timeout_s=None, now=now)

        assert written.lock.leases[0].expires_at.ToNanoseconds() > now.timestamp() * 1e9 + 29e9
