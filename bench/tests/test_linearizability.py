"""The checker says what a search through all orders says, and what is known of histories."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import histories, linearizability
from bench.linearizability import Operation

JEPSEN = "INFO  jepsen.util - {}\t:{}\t:{}\t{}".format


def check(*operations: Operation) -> bool | None:
    return linearizability.check((None,), histories.register_step, operations).linearizable


def write(value: int, invoked: float, returned: float | None) -> Operation:
    return Operation(("write", value, True), invoked, returned)


def read(value: int | None, invoked: float, returned: float | None) -> Operation:
    return Operation(("read", value, True), invoked, returned)


class TestCheck:
    def test_nothing_happened(self) -> None:
        assert check() is True

    def test_a_read_of_what_was_written_before(self) -> None:
        assert check(write(1, 0, 1), read(1, 2, 3)) is True

    def test_a_stale_read(self) -> None:
        assert check(write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)) is False

    def test_concurrent_writes_come_in_any_order(self) -> None:
        assert check(write(1, 0, 3), write(2, 1, 2), read(1, 4, 5)) is True

    def test_two_who_read_two_orders(self) -> None:
        both = (write(1, 0, 9), write(2, 0, 9))

        assert check(*both, read(1, 1, 2), read(2, 3, 4)) is True
        assert check(*both, read(1, 1, 2), read(2, 3, 4), read(1, 5, 6)) is False

    def test_an_answer_that_nobody_heard_may_come_true_late(self) -> None:
        assert check(write(1, 0, None), read(None, 1, 2), read(1, 3, 4)) is True

    def test_an_answer_that_nobody_heard_may_never_come_true(self) -> None:
        assert check(write(1, 0, None), read(None, 1, 2)) is True

    def test_nothing_happens_before_it_was_asked(self) -> None:
        assert check(read(1, 0, 1), write(1, 2, None)) is False

    def test_nothing_happens_twice(self) -> None:
        assert check(write(1, 0, None), write(2, 1, 2), read(1, 3, 4), write(3, 5, 6), read(1, 7, 8)) is False

    def test_what_cannot_be_explained_is_told(self) -> None:
        verdict = linearizability.check(
            (None,), histories.register_step, [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)]
        )

        assert verdict.stuck == read(1, 4, 5)
        assert verdict.state == (2,)
        assert verdict.explained == (write(1, 0, 1), write(2, 2, 3))

    def test_a_search_that_takes_too_long_decides_nothing(self) -> None:
        many = [write(number, 0, 100) for number in range(12)]

        verdict = linearizability.check((None,), histories.register_step, [*many, read(99, 101, 102)], visited_max=100)

        assert verdict.linearizable is None

    @pytest.mark.parametrize("seed", range(10))
    def test_it_agrees_with_a_search_through_all_orders(self, seed: int) -> None:
        chosen = random.Random(seed)

        for _ in range(60):
            history = list(_random_history(chosen))
            assert check(*history) is _by_trying_all(history), history


def _random_history(chosen: random.Random) -> Iterator[Operation]:
    for _ in range(chosen.randint(1, 6)):
        invoked = chosen.uniform(0, 10)
        returned = None if chosen.random() < 0.2 else invoked + chosen.uniform(0.1, 5)
        kind = chosen.choice(("read", "write", "cas"))
        value = chosen.randint(0, 2)
        if kind == "cas":
            yield Operation((kind, (value, chosen.randint(0, 2)), chosen.random() < 0.6), invoked, returned)
        elif kind == "write" or returned is not None:
            yield Operation(
                (kind, value if kind == "write" else chosen.choice((None, 0, 1, 2)), True), invoked, returned
            )


def _by_trying_all(history: list[Operation]) -> bool:
    answered = [each for each in history if each.returned is not None]
    unheard = [each for each in history if each.returned is None]
    return any(
        _explains(order)
        for count in range(len(unheard) + 1)
        for some in itertools.combinations(unheard, count)
        for order in itertools.permutations([*answered, *some])
    )


def _explains(order: tuple[Operation, ...]) -> bool:
    for earlier, later in itertools.combinations(order, 2):
        if later.returned is not None and later.returned < earlier.invoked:
            return False
    state = (None,)
    for each in order:
        state = histories.register_step(state, each.what)
        if state is None:
            return False
    return True


class TestHistories:
    def test_a_register_whose_write_timed_out_and_came_true(self) -> None:
        log = [
            JEPSEN(0, "invoke", "write", "3"),
            JEPSEN(0, "info", "write", ":timed-out"),
            JEPSEN(1, "invoke", "read", "nil"),
            JEPSEN(1, "ok", "read", "nil"),
            JEPSEN(2, "invoke", "cas", "[3 4]"),
            JEPSEN(2, "ok", "cas", "[3 4]"),
        ]

        assert check(*histories.register(log)) is True
        assert check(*histories.register([*log[2:]])) is False

    def test_a_failed_compare_and_set_says_what_is_not(self) -> None:
        log = [JEPSEN(0, "invoke", "cas", "[3 4]"), JEPSEN(0, "fail", "cas", "[3 4]")]
        written = [JEPSEN(1, "invoke", "write", "3"), JEPSEN(1, "ok", "write", "3")]

        assert check(*histories.register(log)) is True
        assert check(*histories.register([*written, *log])) is False

    def test_a_read_that_failed_says_nothing(self) -> None:
        assert histories.register([JEPSEN(0, "invoke", "read", "nil"), JEPSEN(0, "fail", "read", ":timed-out")]) == []

    def test_a_folder_with_verdicts(self, tmp_path: Path) -> None:
        def told(process: int, event: str, kind: str, key: str, value: str) -> str:
            return f'{{:process {process}, :type :{event}, :f :{kind}, :key "{key}", :value {value}}}'

        append = [told(0, event, "append", "a", '"x"') for event in ("invoke", "ok")]
        other = [told(1, "invoke", "get", "b", "nil"), told(1, "ok", "get", "b", '""')]
        good = [told(1, "invoke", "get", "a", "nil"), told(1, "ok", "get", "a", '"x"')]
        bad = [told(1, "invoke", "get", "a", "nil"), told(1, "ok", "get", "a", '""')]
        (tmp_path / "good.txt").write_text("\n".join([*append, *other, *good]))
        (tmp_path / "bad.txt").write_text("\n".join([*append, *other, *bad]))
        (tmp_path / "verdicts.csv").write_text("file,linearizable\ngood.txt,true\nbad.txt,false\n")

        assert histories.differing(tmp_path) == (2, [])

    def test_a_verdict_that_differs_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "one.log").write_text("")
        (tmp_path / "verdicts.csv").write_text("file,linearizable\none.log,false\n")

        assert histories.differing(tmp_path) == (1, ["one.log"])
