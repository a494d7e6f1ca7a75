"""What becomes of a lock: any course of events against a small model."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from switchyard.locks.v1 import locks_pb2 as pb
from switchyard.locks.v1.stored_pb2 import StoredLock

from chassis import clock, errors
from services.locks import locks
from services.locks.locks import Wish
from services.locks.tests.test_locks import EXCLUSIVE, SHARED, Written, a_wish


class Lease:
    """A lease as the model has it: who holds it by which wishes, and which process may take each of them back."""

    def __init__(self, wish: Wish) -> None:
        self.holder = (wish.holder, wish.owner)
        self.mode = wish.mode
        self.hosts = {wish.id: wish.host}
        self.token = 0

    def may_join(self, wish: Wish) -> bool:
        return bool(wish.owner) and self.holder == (wish.holder, wish.owner) and wish.mode in (self.mode, SHARED)


class AnyCourse(RuleBasedStateMachine):
    """Whatever happens to a lock, it is held as a model says that it may be.

    Each command may be one whose write had an outcome that nobody learned of: then it is applied again, to what was
    written or to what was there before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.written = Written()
        self.held: list[Lease] = []
        self.line: list[Wish] = []
        self.released: set[bytes] = set()
        self.lost: set[bytes] = set()
        self.untold: set[int] = set()
        self.last_token = 0
        self.wishes = 0

    @rule(
        owner=st.sampled_from(["", "x", "y"]),
        mode=st.sampled_from([EXCLUSIVE, SHARED]),
        host=st.sampled_from("ab"),
        wait=st.booleans(),
        again=st.booleans(),
    )
    def enter(self, owner: str, mode: pb.LockMode, host: str, *, wait: bool, again: bool) -> None:
        self.wishes += 1
        wish = a_wish(id=self.wishes.to_bytes(16, "big"), owner=owner, mode=mode, host=host)
        own = next((lease for lease in self.held if owner and lease.holder == (wish.holder, owner)), None)
        if own is not None and not own.may_join(wish):
            with pytest.raises(errors.Conflict):
                self.written.enter(wish, wait=wait)
            return
        before = {lease.token: lease.renewals for lease in self.written.lock.leases}
        for _ in range(2 if again else 1):
            self.written.enter(wish, wait=wait)
        if own is not None:
            own.hosts[wish.id] = host
        elif not self.line and self._fits(wish):
            self.held.append(Lease(wish))
        elif wait:
            self.line.append(wish)
        lease = locks.lease_of(self.written.lock, wish.id)
        if lease is not None:
            # Whoever is let in counts the life of the lease from now.
            assert lease.renewals > before.get(lease.token, -1)

    @precondition(lambda self: self.held or self.line)
    @rule(data=st.data(), host=st.sampled_from("ab"))
    def enter_elsewhere(self, data: st.DataObject, host: str) -> None:
        lease_id = data.draw(st.sampled_from(self._ids()))
        self.written.enter(a_wish(id=lease_id, host=host))
        for lease in self.held:
            if lease_id in lease.hosts:
                lease.hosts[lease_id] = host if lease.hosts[lease_id] == host else ""
        self.line = [replace(wish, host=host) if wish.id == lease_id else wish for wish in self.line]

    @precondition(lambda self: self.held or self.line)
    @rule(data=st.data(), written=st.booleans(), again=st.booleans())
    def release(self, data: st.DataObject, *, written: bool, again: bool) -> None:
        lease_id = data.draw(st.sampled_from(self._ids()))
        self._do(partial(locks.release, lease_id=lease_id, holder="user:a"), written=written, again=again)
        self._take_out(lease_id)
        self.released.add(lease_id)

    @precondition(lambda self: self.released)
    @rule(data=st.data())
    def release_again(self, data: st.DataObject) -> None:
        lease_id = data.draw(st.sampled_from(sorted(self.released)))
        locks.release(self.written.lock, lease_id=lease_id, holder="user:a")

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def release_what_is_lost(self, data: st.DataObject) -> None:
        lease_id = data.draw(st.sampled_from(sorted(self.lost)))
        with pytest.raises(errors.LeaseLost):
            locks.release(self.written.lock, lease_id=lease_id, holder="user:a")

    @precondition(lambda self: self.held or self.line)
    @rule(data=st.data(), host=st.sampled_from("ab"), written=st.booleans(), again=st.booleans())
    def leave(self, data: st.DataObject, host: str, *, written: bool, again: bool) -> None:
        lease_id = data.draw(st.sampled_from(self._ids()))
        self._do(partial(locks.leave, lease_id=lease_id, host=host), written=written, again=again)
        hosts = {wish.id: wish.host for wish in self.line}
        for lease in self.held:
            hosts |= lease.hosts
        if hosts[lease_id] == host:
            self._take_out(lease_id)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), written=st.booleans(), again=st.booleans())
    def renew(self, data: st.DataObject, *, written: bool, again: bool) -> None:
        lease = data.draw(st.sampled_from(self.held))
        lease_id = data.draw(st.sampled_from(sorted(lease.hosts)))
        renewal = partial(locks.renew, lease_id=lease_id, holder="user:a", timeout_s=None, now=clock.now())
        self._do(renewal, written=written, again=again)
        lease.hosts[lease_id] = ""

    @precondition(lambda self: self.held)
    @rule(data=st.data(), how=st.sampled_from(["expire", "break"]), written=st.booleans(), again=st.booleans())
    def lose(self, data: st.DataObject, how: str, *, written: bool, again: bool) -> None:
        lease = data.draw(st.sampled_from(self.held))
        stored = self.written.lease(a_wish(id=next(iter(lease.hosts))))
        if how == "expire":
            ending = partial(locks.expire, token=lease.token, renewals=stored.renewals)
        else:
            ending = partial(locks.break_, tokens={lease.token}, comment="", by="user:b")
        self._do(ending, written=written, again=again)
        self.held.remove(lease)
        self.lost |= set(lease.hosts)
        self.untold.add(lease.token)
        self._move()

    @rule(written=st.booleans(), again=st.booleans())
    def tell(self, *, written: bool, again: bool) -> None:
        self._do(partial(locks.told, tokens=self.untold), written=written, again=again)
        self.untold = set()

    @rule(host=st.sampled_from("ab"), written=st.booleans(), again=st.booleans())
    def drop(self, host: str, *, written: bool, again: bool) -> None:
        self._do(partial(locks.drop, hosts={host}), written=written, again=again)
        self.line = [wish for wish in self.line if wish.host != host]
        self._move()

    def _do(self, apply: Callable[[StoredLock], None], *, written: bool, again: bool) -> None:
        if again:
            before = locks.copy(self.written.lock)
            apply(self.written.lock)
            self.written.write()
            if not written:
                self.written.lock = before
        apply(self.written.lock)
        self.written.write()

    def _ids(self) -> list[bytes]:
        return sorted([*(wish.id for wish in self.line), *(each for lease in self.held for each in lease.hosts)])

    def _take_out(self, lease_id: bytes) -> None:
        self.line = [wish for wish in self.line if wish.id != lease_id]
        for lease in self.held:
            lease.hosts.pop(lease_id, None)
        self.held = [lease for lease in self.held if lease.hosts]
        self._move()

    def _fits(self, wish: Wish) -> bool:
        return not self.held or (wish.mode == SHARED and all(lease.mode == SHARED for lease in self.held))

    def _move(self) -> None:
        while True:
            moves = bool(self.line) and self._fits(self.line[0])
            if moves:
                self.held.append(Lease(self.line.pop(0)))
            for wish in list(self.line):
                own = next((lease for lease in self.held if lease.may_join(wish)), None)
                if own is not None:
                    own.hosts[wish.id] = wish.host
                    self.line.remove(wish)
            if not moves:
                return

    @invariant()
    def as_the_model_says(self) -> None:
        held = [{hold.id: hold.host for hold in lease.holds} for lease in self.written.lock.leases]
        assert held == [lease.hosts for lease in self.held]
        assert [waiter.id for waiter in self.written.lock.waiters] == [wish.id for wish in self.line]
        assert {loss.token for loss in locks.untold(self.written.lock)} == self.untold

    @invariant()
    def tokens_only_grow(self) -> None:
        before = self.last_token
        for stored, lease in zip(self.written.lock.leases, self.held, strict=True):
            if not lease.token:
                assert stored.token > self.last_token
                lease.token = self.last_token = stored.token
            assert stored.token == lease.token
        assert self.written.lock.last_token == self.last_token >= before


TestAnyCourse = AnyCourse.TestCase
TestAnyCourse.settings = settings(max_examples=60, stateful_step_count=40)
