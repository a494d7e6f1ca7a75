"""Circles of owners who wait for each other."""

import sys

from switchyard.locks.v1 import locks_pb2 as pb

from services.locks import deadlocks
from services.locks.documents import Document
from services.locks.locks import Wish
from services.locks.tests.test_locks import EXCLUSIVE, SHARED, Written, a_wish


class Locks:
    """Some locks, and owners who wish for them in turn."""

    def __init__(self) -> None:
        self._written: dict[str, Written] = {}

    def enter(self, name: str, owner: str, mode: pb.LockMode = EXCLUSIVE, permits: int = 1) -> Wish:
        return self._written.setdefault(name, Written()).enter(a_wish(owner=owner, mode=mode, permits=permits))

    def circles(self, *names: str) -> list[deadlocks.Circle]:
        looked_at = names or self._written
        return deadlocks.find([Document(name, self._written[name].lock, 1) for name in looked_at])

    def circle(self) -> deadlocks.Circle | None:
        circles = self.circles()
        return circles[0] if circles else None


class TestFind:
    def test_two_who_wait_for_each_other(self) -> None:
        some = Locks()
        some.enter("a", "first")
        some.enter("b", "second")
        some.enter("b", "first")
        youngest = some.enter("a", "second")

        circle = some.circle()

        assert circle is not None
        assert (circle.keys, circle.key, circle.youngest.id) == (["a", "b"], "a", youngest.id)

    def test_three_in_a_circle_and_one_who_waits_for_them(self) -> None:
        some = Locks()
        for name, owner in (("a", "first"), ("b", "second"), ("c", "third")):
            some.enter(name, owner)
        some.enter("b", "first")
        some.enter("c", "second")
        youngest = some.enter("a", "third")
        some.enter("a", "outside")

        circle = some.circle()

        assert circle is not None
        assert circle.youngest.id == youngest.id

    def test_a_chain_is_no_circle(self) -> None:
        some = Locks()
        some.enter("a", "first")
        some.enter("b", "second")
        some.enter("a", "second")
        some.enter("b", "third")

        assert some.circle() is None

    def test_who_has_no_owner_is_in_none(self) -> None:
        some = Locks()
        some.enter("a", "")
        some.enter("b", "")
        some.enter("b", "")
        some.enter("a", "")

        assert some.circle() is None

    def test_one_who_stands_before_is_waited_for(self) -> None:
        some = Locks()
        some.enter("a", "reading", SHARED)
        some.enter("b", "other")
        some.enter("a", "writing")
        some.enter("b", "reading")
        youngest = some.enter("a", "other", SHARED)

        circle = some.circle()

        assert circle is not None
        assert circle.youngest.id == youngest.id

    def test_those_who_share_do_not_wait_for_each_other(self) -> None:
        some = Locks()
        some.enter("a", "first", SHARED)
        some.enter("b", "second", SHARED)
        some.enter("b", "first", SHARED)
        some.enter("a", "second", SHARED)

        assert some.circle() is None

    def test_one_of_several_permits_that_may_come_back_is_enough(self) -> None:
        some = Locks()
        some.enter("a", "first", permits=2)
        some.enter("a", "at work", permits=2)
        some.enter("b", "second")
        some.enter("b", "first")
        some.enter("a", "second", permits=2)

        assert some.circle() is None

    def test_all_permits_in_the_circle(self) -> None:
        some = Locks()
        some.enter("a", "first", permits=2)
        some.enter("a", "third", permits=2)
        some.enter("b", "second")
        some.enter("b", "first")
        some.enter("b", "third")
        youngest = some.enter("a", "second", permits=2)

        circle = some.circle()

        assert circle is not None
        assert circle.youngest.id == youngest.id

    def test_locks_outside_of_the_circle_that_show_it_are_told_too(self) -> None:
        some = Locks()
        some.enter("a", "first", permits=2)
        some.enter("a", "second", permits=2)
        some.enter("b", "third")
        some.enter("c", "third")
        some.enter("a", "third", permits=2)
        some.enter("b", "first")
        youngest = some.enter("c", "second")

        [circle] = some.circles()

        assert (circle.keys, circle.youngest.id) == (["a", "b", "c"], youngest.id)
        assert some.circles(*circle.keys) == [circle]
        assert some.circles("a", "b") == []

    def test_who_waits_behind_a_circle_does_not_show_it(self) -> None:
        some = Locks()
        some.enter("a", "first")
        some.enter("b", "second")
        some.enter("c", "behind")
        some.enter("b", "first")
        some.enter("a", "second")
        some.enter("a", "behind")
        some.enter("c", "far behind")

        [circle] = some.circles()

        assert circle.keys == ["a", "b"]

    def test_two_circles(self) -> None:
        some = Locks()
        youngest = []
        for one, other in (("a", "b"), ("c", "d")):
            some.enter(one, f"first {one}")
            some.enter(other, f"second {one}")
            some.enter(other, f"first {one}")
            youngest.append(some.enter(one, f"second {one}"))

        assert [circle.youngest.id for circle in some.circles()] == [each.id for each in youngest]

    def test_two_tasks_of_one_owner_get_it_together(self) -> None:
        some = Locks()
        some.enter("a", "other")
        some.enter("a", "task")
        some.enter("a", "task")

        assert some.circle() is None

    def test_two_tasks_of_one_owner_do_not_take_two_permits(self) -> None:
        some = Locks()
        some.enter("a", "other", permits=2)
        some.enter("a", "another", permits=2)
        some.enter("b", "last")
        some.enter("a", "task", permits=2)
        some.enter("a", "task", permits=2)
        some.enter("a", "last", permits=2)
        some.enter("b", "task")

        assert some.circle() is None

    def test_one_who_waits_for_itself(self) -> None:
        some = Locks()
        some.enter("a", "other")
        some.enter("a", "task", SHARED)
        youngest = some.enter("a", "task")
        written = some._written["a"]
        written.release(Wish(written.lock.leases[0].holds[0].id, "user:a", "other", EXCLUSIVE, 1, 30, "here"))

        circle = some.circle()

        assert circle is not None
        assert circle.youngest.id == youngest.id


class TestCost:
    def test_it_grows_with_those_who_wait(self) -> None:
        assert _steps(60) < 2.5 * _steps(30)


def _steps(waiting: int) -> int:
    """How much is done to find nothing where the same owners wait in several lines."""
    some = Locks()
    for name in "abcd":
        for owner in ("at work", *(f"task {number}" for number in range(waiting))):
            some.enter(name, owner)
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        found = some.circles()
    finally:
        sys.setprofile(before)
    assert found == []
    return steps
