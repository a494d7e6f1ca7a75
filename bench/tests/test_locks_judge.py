"""The judge of recorded runs finds what is wrong with histories made by hand."""

from types import MappingProxyType

import pytest

from bench.locks_chaos import judge
from bench.locks_chaos.judge import LOST, OK, REFUSED, UNKNOWN, Call, Loss, Row, Rules

TTL_S = 3.0


def acquire(client: str, token: int, at: float, to: float | None = None, outcome: str = OK, **more: object) -> Call:
    returned = None if outcome == UNKNOWN else at + 0.1 if to is None else to
    return Call(client, "acquire", "a", at, returned, outcome, token, TTL_S, **more)  # type: ignore[arg-type]


def renew(client: str, token: int, at: float, outcome: str = OK) -> Call:
    return Call(client, "renew", "a", at, at + 0.1, outcome, token, TTL_S)


def release(client: str, token: int, at: float, outcome: str = OK, tries: int = 1) -> Call:
    returned = None if outcome == UNKNOWN else at + 0.1
    return Call(client, "release", "a", at, returned, outcome, token, TTL_S, tries=tries)


def write(client: str, token: int, at: float, number: int, outcome: str = OK) -> Call:
    return Call(client, "write", "a", at, at + 0.1, outcome, token, number=number)


def kept(kind: str, token: int, at: float, outcome: str = OK) -> Call:
    return Call("x", kind, "a", at, at + 0.1, outcome, token, TTL_S)


def violations(*calls: Call, rows: tuple[Row, ...] = (), losses: tuple[Loss, ...] = (), **rules: object) -> list[str]:
    return judge.violations({"a": Rules(**rules)}, calls, rows, losses)  # type: ignore[arg-type]


class TestExclusive:
    def test_one_after_the_other(self) -> None:
        calls = [acquire("x", 1, 0), release("x", 1, 1), acquire("y", 2, 1.2), release("y", 2, 2)]

        assert violations(*calls) == []

    def test_two_holders(self) -> None:
        found = violations(acquire("x", 1, 0), acquire("y", 2, 1))

        assert any("not linearizable" in each for each in found)
        assert any("was held by y (token 2)" in each and "by x (token 1)" in each for each in found)

    def test_who_waited_gets_it_when_it_is_released(self) -> None:
        assert violations(acquire("x", 1, 0), acquire("y", 2, 0.5, 1.15), release("x", 1, 1)) == []

    def test_granted_before_the_release_was_asked(self) -> None:
        assert violations(acquire("x", 1, 0), acquire("y", 2, 0.5, 0.9), release("x", 1, 1)) != []

    def test_a_lease_lapses_when_its_life_has_passed(self) -> None:
        assert violations(acquire("x", 1, 0), acquire("y", 2, TTL_S + 0.1)) == []

    def test_a_lease_lapses_no_earlier(self) -> None:
        assert violations(acquire("x", 1, 0), acquire("y", 2, TTL_S - 0.2)) != []

    def test_a_renewed_lease_lives_longer(self) -> None:
        calls = [acquire("x", 1, 0), renew("x", 1, 2)]

        assert violations(*calls, acquire("y", 2, 2 + TTL_S + 0.1)) == []
        assert violations(*calls, acquire("y", 2, TTL_S + 0.1)) != []

    def test_a_renewal_that_nobody_heard_of_prolongs_nothing_for_certain(self) -> None:
        assert violations(acquire("x", 1, 0), renew("x", 1, 2, UNKNOWN), acquire("y", 2, TTL_S + 0.1)) == []

    def test_a_release_that_nobody_heard_of_may_have_come_late_or_never(self) -> None:
        calls = [acquire("x", 1, 0), release("x", 1, 1, UNKNOWN)]

        assert violations(*calls, acquire("y", 2, 2.5)) == []
        assert violations(*calls, renew("x", 1, 2)) == []
        assert violations(*calls, renew("x", 1, 2), acquire("y", 2, 2.5)) == []

    def test_renewed_after_it_was_lost(self) -> None:
        assert violations(acquire("x", 1, 0), acquire("y", 2, 4), renew("x", 1, 4.5)) != []

    def test_said_to_be_lost_too_early(self) -> None:
        assert violations(acquire("x", 1, 0), renew("x", 1, 1, LOST)) != []
        assert violations(acquire("x", 1, 0), renew("x", 1, TTL_S, LOST)) == []

    def test_a_release_that_is_told_again_may_find_it_gone(self) -> None:
        assert violations(acquire("x", 1, 0), release("x", 1, 1, LOST, tries=2)) == []
        assert violations(acquire("x", 1, 0), release("x", 1, 1, LOST)) != []

    def test_refused_although_it_was_free(self) -> None:
        calls = [acquire("x", 1, 0), release("x", 1, 1)]

        assert violations(*calls, acquire("y", 0, 0.5, outcome=REFUSED)) == []
        assert violations(*calls, acquire("y", 0, 2, outcome=REFUSED)) != []

    def test_refused_while_others_ask(self) -> None:
        assert violations(acquire("y", 0, 2, outcome=REFUSED), acquire("x", 1, 2.05)) == []
        assert violations(acquire("x", 0, 1, outcome=UNKNOWN), acquire("y", 0, 2, outcome=REFUSED)) == []

    def test_refused_long_after_somebody_else_had_given_up(self) -> None:
        gave_up = acquire("x", 0, 1, outcome=UNKNOWN, gave_up=5.0)
        long_after = 5.0 + judge.LINGERS_S + 0.1

        assert violations(gave_up, acquire("y", 0, long_after - 0.2, outcome=REFUSED)) == []
        assert violations(gave_up, acquire("y", 0, long_after, outcome=REFUSED)) != []


class TestAgain:
    def test_it_lengthens_the_life_of_the_lease(self) -> None:
        calls = [acquire("x", 1, 0), kept("again", 1, 2)]

        assert violations(*calls, acquire("y", 2, 2 + TTL_S + 0.1)) == []
        assert violations(*calls, acquire("y", 2, TTL_S + 0.1)) != []

    def test_given_back_once_it_is_held_still(self) -> None:
        calls = [acquire("x", 1, 0), kept("again", 1, 0.5), kept("leave", 1, 1)]

        assert violations(*calls, acquire("y", 2, 1.5)) != []
        assert violations(*calls, release("x", 1, 1.2), acquire("y", 2, 1.5)) == []

    def test_of_a_lease_that_was_over(self) -> None:
        assert violations(acquire("x", 1, 0), acquire("y", 2, 4), kept("again", 1, 4.5)) != []


class TestBreak:
    CALLS = (acquire("x", 1, 0), Call("z", "break", "a", 1, 1.1, OK, said="it hangs"))
    LOSSES = (Loss("a", 1, "BROKEN", "it hangs"),)

    def test_the_next_one_may_have_it(self) -> None:
        assert violations(*self.CALLS, acquire("y", 2, 1.2), losses=self.LOSSES) == []
        assert violations(*self.CALLS, acquire("y", 2, 0.5), losses=self.LOSSES) != []

    def test_it_is_not_kept_afterwards(self) -> None:
        assert violations(*self.CALLS, renew("x", 1, 1.2, LOST), losses=self.LOSSES) == []
        assert violations(*self.CALLS, renew("x", 1, 1.2), losses=self.LOSSES) != []

    def test_the_holder_is_told_of_no_loss_before(self) -> None:
        assert violations(*self.CALLS, kept("told", 1, 1.05, LOST), losses=self.LOSSES) == []
        assert violations(*self.CALLS, kept("told", 1, 0.5, LOST), losses=self.LOSSES) != []


class TestTogether:
    def test_as_many_as_there_are_permits(self) -> None:
        calls = [acquire("x", 1, 0), acquire("y", 2, 0.5)]

        assert violations(*calls, permits=2) == []
        assert violations(*calls, acquire("z", 3, 1), permits=2) != []
        assert judge.most_together(calls) == 2

    def test_those_who_share_keep_out_who_does_not(self) -> None:
        calls = [acquire("x", 1, 0, shared=True), acquire("y", 2, 0.5, shared=True)]

        assert violations(*calls, shared=True) == []
        assert violations(*calls, acquire("z", 3, 1), shared=True) != []
        assert violations(acquire("z", 1, 0), acquire("x", 2, 1, shared=True), shared=True) != []

    def test_those_who_share_give_back_and_renew(self) -> None:
        calls = [
            acquire("x", 1, 0, shared=True),
            acquire("y", 2, 0.5, shared=True),
            renew("x", 1, 1),
            release("x", 1, 2),
        ]

        assert violations(*calls, release("y", 2, 2.2), acquire("z", 3, 2.4), shared=True) == []
        assert violations(*calls, acquire("z", 3, 2.4), shared=True) != []


class TestTokens:
    @pytest.mark.parametrize("second", [5, 4])
    def test_one_that_does_not_grow(self, second: int) -> None:
        found = violations(acquire("x", 5, 0), release("x", 5, 1), acquire("y", second, 2))

        assert any(f"token {second} was granted after 5" in each for each in found)


class TestWrites:
    CALLS = (acquire("x", 1, 0), acquire("y", 2, 4))

    def test_in_order_of_tokens(self) -> None:
        rows = (Row("a", 1, 1), Row("a", 1, 2), Row("a", 2, 1))

        assert violations(*self.CALLS, rows=rows) == []

    def test_one_that_came_too_late(self) -> None:
        rows = (Row("a", 1, 1), Row("a", 2, 1), Row("a", 1, 2))

        assert violations(*self.CALLS, rows=rows) == ["a: write 2 under token 1 went through after one under token 2"]

    def test_one_that_was_acknowledged_and_is_gone(self) -> None:
        found = violations(*self.CALLS, write("x", 1, 1, 1))

        assert found == ["a: x's write under token 1 was acknowledged and is not there"]


class TestReplaced:
    RULES = MappingProxyType({"a": Rules()})

    def test_who_held_it_when_they_were_killed(self) -> None:
        calls = [acquire("c1.0", 1, 0), acquire("c2.0", 2, 0.5, 3.2)]

        assert judge.replaced(self.RULES, calls, "c1", 0.2) == [judge.Replaced("a", 1, 3.0)]

    def test_nobody_came_after_them(self) -> None:
        assert judge.replaced(self.RULES, [acquire("c1.0", 1, 0)], "c1", 0.5) == [judge.Replaced("a", 1, None)]

    def test_nobody_asked_until_the_lease_was_over(self) -> None:
        calls = [acquire("c1.0", 1, 0), acquire("c2.0", 2, 9)]

        assert judge.replaced(self.RULES, calls, "c1", 0.5) == []
        refused = acquire("c2.0", 0, 7, outcome=REFUSED)
        assert judge.replaced(self.RULES, [*calls, refused], "c1", 0.5) == [judge.Replaced("a", 1, 8.6)]

    def test_another_held_it_or_they_had_given_it_back(self) -> None:
        calls = [acquire("c1.0", 1, 0), release("c1.0", 1, 0.3)]

        assert judge.replaced(self.RULES, calls, "c1", 0.5) == []
        assert judge.replaced(self.RULES, [acquire("c2.0", 1, 0)], "c1", 0.5) == []
