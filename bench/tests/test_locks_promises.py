"""The other promises of locks: histories made by hand that break them are found."""

from bench.locks_chaos import promises
from bench.locks_chaos.judge import LOST, OK, UNKNOWN, Call, Loss, Rules

TTL_S = 3.0
RULES = {"a": Rules(), "b": Rules()}
EXPIRED = (Loss("a", 1, "EXPIRED"),)


def acquire(client: str, token: int, at: float, outcome: str = OK, lock: str = "a", **more: object) -> Call:
    told = {"returned": at + 0.1, **more}
    return Call(client, "acquire", lock, at, outcome=outcome, token=token, ttl_s=TTL_S, **told)  # type: ignore[arg-type]


def kept(kind: str, token: int, at: float, outcome: str = OK, **more: object) -> Call:
    return Call("x", kind, "a", at, at + 0.1, outcome, token, **more)  # type: ignore[arg-type]


def violations(*calls: Call, losses: tuple[Loss, ...] = (), calm_at: float | None = 0.0) -> list[str]:
    # Leases with a token of two digits are given back in the end.
    released = [
        Call(each.client, "release", each.lock, 99.0, None, UNKNOWN, each.token) for each in calls if each.token > 9
    ]
    return promises.violations(RULES, [*calls, *released], losses, calm_at)


class TestRefused:
    def test_a_lease_can_have_been_lost_when_its_life_has_passed(self) -> None:
        assert violations(acquire("x", 0, 1, LOST, said="LEASE_LOST", returned=4.1)) == []
        assert violations(acquire("x", 0, 1, LOST, said="LEASE_LOST", returned=3.9)) != []

    def test_or_when_it_was_broken(self) -> None:
        refused = acquire("x", 0, 1, LOST, said="LEASE_LOST")

        assert violations(refused, Call("z", "break", "a", 1, 1.1, OK, said="it hangs")) == []

    def test_nothing_else_is_in_order(self) -> None:
        assert violations(acquire("x", 0, 1, LOST, said="LOCK_MISMATCH", returned=9)) != []


class TestDeadlock:
    REFUSED = acquire("x", 0, 2, LOST, said="DEADLOCK", returned=3)

    def test_where_another_wants_what_is_held(self) -> None:
        held, other = acquire("x", 11, 1, lock="b"), acquire("y", 12, 1.5, lock="b", returned=5)

        assert violations(held, other, self.REFUSED) == []

    def test_where_nothing_is_held(self) -> None:
        assert violations(acquire("y", 12, 1.5, lock="b", returned=5), self.REFUSED) != []

    def test_where_nobody_wants_it(self) -> None:
        assert violations(acquire("x", 11, 1, lock="b"), self.REFUSED) != []


class TestInLine:
    FIRST = acquire("x", 12, 1, waiting=1.5, returned=5)

    def test_who_comes_later_is_served_later(self) -> None:
        assert violations(self.FIRST, acquire("y", 13, 1.6)) == []
        assert violations(self.FIRST, acquire("y", 11, 1.6)) != []

    def test_who_has_asked_before_may_stand_before(self) -> None:
        assert violations(self.FIRST, acquire("y", 11, 1.4)) == []

    def test_with_faults_a_place_may_be_lost(self) -> None:
        assert violations(self.FIRST, acquire("y", 11, 1.6), calm_at=2.0) == []
        assert violations(self.FIRST, acquire("y", 11, 1.6), calm_at=None) == []


class TestLosses:
    def test_told_once(self) -> None:
        assert violations(acquire("x", 1, 0), losses=EXPIRED) == []
        assert violations(acquire("x", 1, 0), losses=EXPIRED * 2) != []

    def test_never_told(self) -> None:
        assert violations(acquire("x", 1, 0)) == ["a: nobody was told that token 1 was lost"]

    def test_what_was_given_back_is_not_lost(self) -> None:
        calls = [acquire("x", 1, 0), kept("release", 1, 1)]

        assert violations(*calls) == []
        assert violations(*calls, losses=EXPIRED) != []

    def test_of_a_release_without_an_answer_nobody_knows(self) -> None:
        calls = [acquire("x", 1, 0), kept("release", 1, 1, UNKNOWN)]

        assert violations(*calls) == violations(*calls, losses=EXPIRED) == []

    def test_its_holder_is_told_the_same(self) -> None:
        calls = [acquire("x", 1, 0), kept("told", 1, 4, LOST, said="BROKEN")]

        assert violations(*calls, losses=(Loss("a", 1, "BROKEN", "it hangs"),)) == []
        assert violations(*calls, losses=EXPIRED) != []
