"""Is a recorded history linearizable? The search of Wing and Gong with Lowe's memory, after porcupine.

Each operation of a history was asked for at one moment and answered at a later one, and must be explained by one moment
in between at which all of it happened (M. Herlihy, J. Wing, "Linearizability", 1990): `check` looks for an order of
those moments that a sequential model allows. It goes through the history and lets the first operation happen that may;
where an answer comes whose operation has not happened yet, it takes the last one back (J. Wing, C. Gong, "Testing and
verifying concurrent objects", 1993). What has happened and the state that it led to are remembered, and never gone into
twice (G. Lowe, "Testing for linearizability", 2016; A. Athalye's porcupine, whose doubly linked list this is).

An operation whose answer nobody heard has no end: it may have happened at any moment since, or never.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# Pairs of what has happened and its state, before the search gives up: about a gigabyte.
VISITED_MAX = 3_000_000

# The state after an operation, or None where the model does not allow it.
Step = Callable[[Any, Any], Hashable | None]


@dataclass(frozen=True, slots=True)
class Operation:
    """What was asked and answered (`what`, which the model understands), and when, on one clock."""

    what: Any
    invoked: float
    # None: nobody knows whether, or when, it happened.
    returned: float | None


@dataclass(frozen=True)
class Verdict:
    """`linearizable` None: the search was given up. `stuck`: of the longest explanation found, the last operations,
    the state after them, and the operation whose answer could not be explained any more.
    """

    linearizable: bool | None
    explained: tuple[Operation, ...] = ()
    state: Hashable = None
    stuck: Operation | None = None


def check(initial: Hashable, step: Step, operations: Iterable[Operation], *, visited_max: int = VISITED_MAX) -> Verdict:
    """The verdict on a history of one object."""
    return _Search(initial, step, sorted(operations, key=lambda each: each.invoked)).run(visited_max)


class _Search:
    """The events of a history as a linked list, from which the operations that have happened are lifted.

    The call of operation i is node 2 i + 1, its return 2 i + 2; node 0 is the head, and also the end.
    """

    def __init__(self, initial: Hashable, step: Step, operations: Sequence[Operation]) -> None:
        self._state = initial
        self._step = step
        self._operations = operations
        nodes = self._in_order()
        self._next = [0] * (2 * len(operations) + 1)
        self._last = [0] * (2 * len(operations) + 1)
        for before, after in zip([0, *nodes], [*nodes, 0], strict=True):
            self._next[before], self._last[after] = after, before
        self._unanswered = sum(each.returned is not None for each in operations)
        self._happened: list[tuple[int, Hashable]] = []
        self._longest: tuple[int, tuple[int, ...], Hashable, int] = (-1, (), initial, 0)

    def _in_order(self) -> list[int]:
        events = []
        for number, each in enumerate(self._operations):
            events.append((each.invoked, 0, 2 * number + 1))
            if each.returned is not None:
                # At one and the same moment calls come first: then the two were concurrent.
                events.append((each.returned, 1, 2 * number + 2))
        return [node for *_, node in sorted(events)]

    def run(self, visited_max: int) -> Verdict:
        mask, seen = 0, set()
        node = self._next[0]
        while self._unanswered:
            if node % 2:
                number = node // 2
                after = self._after(number)
                found = (mask | 1 << number, after)
                if after is not None and found not in seen:
                    seen.add(found)
                    mask = found[0]
                    self._happen(number, after)
                    node = self._next[0]
                else:
                    node = self._next[node]
            else:
                self._note(node // 2 - 1)
                if not self._happened:
                    return self._verdict(linearizable=False)
                if len(seen) > visited_max:
                    return self._verdict(linearizable=None)
                number = self._take_back()
                mask &= ~(1 << number)
                node = self._next[2 * number + 1]
        return Verdict(linearizable=True)

    def _after(self, number: int) -> Hashable | None:
        operation = self._operations[number]
        after = self._step(self._state, operation.what)
        # One that nobody waits for and that changes nothing need not have happened.
        return None if operation.returned is None and after == self._state else after

    def _happen(self, number: int, after: Hashable) -> None:
        self._happened.append((number, self._state))
        self._state = after
        self._lift(2 * number + 1)
        if self._operations[number].returned is not None:
            self._lift(2 * number + 2)
            self._unanswered -= 1

    def _take_back(self) -> int:
        number, self._state = self._happened.pop()
        if self._operations[number].returned is not None:
            self._put_back(2 * number + 2)
            self._unanswered += 1
        self._put_back(2 * number + 1)
        return number

    def _lift(self, node: int) -> None:
        self._next[self._last[node]] = self._next[node]
        self._last[self._next[node]] = self._last[node]

    def _put_back(self, node: int) -> None:
        self._next[self._last[node]] = node
        self._last[self._next[node]] = node

    def _note(self, stuck: int) -> None:
        if len(self._happened) > self._longest[0]:
            told = tuple(number for number, _ in self._happened[-8:])
            self._longest = (len(self._happened), told, self._state, stuck)

    def _verdict(self, *, linearizable: bool | None) -> Verdict:
        _, told, state, stuck = self._longest
        return Verdict(linearizable, tuple(self._operations[each] for each in told), state, self._operations[stuck])
