"""What must be true of a recorded run, whatever was done to it. Times are seconds of one monotonic clock.

A client knows for certain that it holds a lease from the answer that granted it until its life has passed since the
client *asked* for the last thing that succeeded, the grant or a renewal; what a server counts can only be more.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from bench import linearizability
from bench.linearizability import Operation, Step

OK, REFUSED, LOST, UNKNOWN = "ok", "refused", "lost", "unknown"
# Reasons of losses; a lease that was given back is not lost.
LOSSES = frozenset({"EXPIRED", "BROKEN"})
# A wish whose caller has given up may still be on its way for the longest pause or cut, stand in line for as long as it
# said, and be granted for the life of a lease.
LINGERS_S = 20.0


@dataclass(frozen=True)
class Rules:
    """How a lock is used: by one, or by as many as there are permits; also by those who share it, if any."""

    permits: int = 1
    shared: bool = False


@dataclass(frozen=True)
class Call:
    """What a client did. `tries` more than one: earlier ones had no answer, and any of them may have been the one."""

    client: str
    kind: str
    lock: str
    invoked: float
    returned: float | None
    outcome: str
    token: int = 0
    ttl_s: float = 0.0
    shared: bool = False
    tries: int = 1
    # Of a write under a lease: which, and whether the lease was over by then for all that its client could know.
    number: int = 0
    late: bool = False
    # The code of a refusal, the reason of a loss that was pushed, the comment of a break.
    said: str = ""
    # When it was told that it stands in line; when a caller who has no answer had given up.
    waiting: float | None = None
    gave_up: float = math.inf


@dataclass(frozen=True)
class Row:
    """A write that the database let through, in the order of the commits."""

    lock: str
    token: int
    number: int


@dataclass(frozen=True)
class Loss:
    """The loss of a lease as the world was told of it; `comment` is that of the break."""

    lock: str
    token: int
    reason: str
    comment: str = ""


@dataclass(frozen=True)
class Hold:
    """When a client could be certain of a lease."""

    call: Call
    until: float


def violations(
    rules: Mapping[str, Rules], calls: Sequence[Call], rows: Sequence[Row], losses: Sequence[Loss] = ()
) -> list[str]:
    """In words; none is good."""
    found = []
    told = with_breaks(calls, losses)
    for lock, rule in rules.items():
        of_lock = [each for each in told if each.lock == lock]
        found += _not_linearizable(lock, rule, of_lock)
        found += _held_together(lock, rule, of_lock)
        found += _tokens_back(lock, of_lock)
        found += _writes_back(lock, of_lock, [each for each in rows if each.lock == lock])
    return found


def with_breaks(calls: Sequence[Call], losses: Sequence[Loss]) -> list[Call]:
    """The calls, those that have broken a lock once for each lease that it has ended."""
    ended: dict[str, list[int]] = defaultdict(list)
    for loss in losses:
        ended[loss.comment].append(loss.token)
    broken = [
        replace(each, token=token) for each in calls if each.kind == "break" for token in ended.get(each.said, ())
    ]
    return [*(each for each in calls if each.kind != "break"), *broken]


# Each lock is a register of those who hold it.

# What is done to a lease that its client has: `again` acquires it once more, and `leave` gives that back.
KEPT = frozenset({"renew", "again", "leave", "release"})
State = tuple[int, frozenset[tuple[int, bool]]]
FREE: State = (0, frozenset())


def step(rule: Rules) -> Step:
    """The lock as a model: the last token, and who holds it."""

    def after(state: State, what: tuple[str, int, bool]) -> Hashable | None:
        last, held = state
        kind, token, shared = what
        if kind == "acquire":
            return (token, held | {(token, shared)}) if token > last and _joins(rule, held, shared=shared) else None
        if kind == "refused":
            return None if _joins(rule, held, shared=shared) else state
        left = frozenset(each for each in held if each[0] != token)
        if kind in {"gone", "expire"}:
            return (last, left)
        if kind == "lost":
            return state if left == held else None
        if left == held:
            return None
        return (last, left) if kind == "release" else state

    return after


def _joins(rule: Rules, held: frozenset[tuple[int, bool]], *, shared: bool) -> bool:
    return not held or (all(each for _, each in held) if shared else len(held) < rule.permits)


def operations(calls: Sequence[Call]) -> list[Operation]:
    """The history of one lock, with the ends of leases that nobody gave back: from when they may have come, for ever.

    What nobody was told was granted may also have ended at once, and needs no explanation.
    """
    found = [Operation((kind, each.token, each.shared), each.invoked, end) for each, kind, end in _told(calls)]
    released = {each.token for each in calls if each.kind == "release" and each.outcome == OK}
    return found + [
        Operation(("expire", hold.call.token, hold.call.shared), hold.until, None)
        for hold in holds(calls, until_released=False)
        if hold.call.token not in released
    ]


def _told(calls: Sequence[Call]) -> Iterator[tuple[Call, str, float | None]]:
    refused = _surely_refused(calls)
    for each in calls:
        if each.kind == "acquire" and (each.outcome == OK or each in refused):
            yield each, "acquire" if each.outcome == OK else "refused", each.returned
        elif each.kind == "break":
            yield each, "gone", each.returned
        elif each.kind in KEPT and each.outcome == OK:
            yield each, each.kind, each.returned
        elif each.kind in {*KEPT, "told"} and each.outcome == LOST:
            # Lost to an earlier try of its own, perhaps, that had no answer.
            yield each, "gone" if each.kind == "release" and each.tries > 1 else "lost", each.returned
        elif each.kind == "release":
            yield each, "release", None


def _surely_refused(calls: Sequence[Call]) -> set[Call]:
    """Those who were refused while nobody else was asking: who waits in line is refused for, and is not recorded."""
    asking = [each for each in calls if each.kind == "acquire"]
    return {
        each
        for each in asking
        if each.outcome == REFUSED and not any(_meet(each, other) for other in asking if other is not each)
    }


def refusals(calls: Iterable[Call]) -> int:
    """How many refusals can be judged."""
    by_lock = defaultdict(list)
    for each in calls:
        by_lock[each.lock].append(each)
    return sum(len(_surely_refused(of_lock)) for of_lock in by_lock.values())


def _meet(one: Call, other: Call) -> bool:
    until = other.gave_up + LINGERS_S if other.returned is None else other.returned
    return other.invoked < (one.returned or 0) and one.invoked < until


def _not_linearizable(lock: str, rule: Rules, calls: Sequence[Call]) -> list[str]:
    verdict = linearizability.check(FREE, step(rule), operations(calls))
    if verdict.linearizable:
        return []
    told = "; ".join(map(_words, verdict.explained))
    problem = "is not linearizable" if verdict.linearizable is False else "was too hard to judge"
    stuck = _words(verdict.stuck) if verdict.stuck else ""
    return [f"{lock} {problem}: after [{told}] the state is {verdict.state}, which does not explain {stuck}"]


def _words(operation: Operation) -> str:
    kind, token, _ = operation.what
    end = f"{operation.returned:.3f}" if operation.returned is not None else "?"
    return f"{kind} {token} {operation.invoked:.3f}-{end}"


# Never two.


def holds(calls: Iterable[Call], *, until_released: bool = True) -> list[Hold]:
    """When clients could be certain of their leases; to the end of their lives, or until they began to release them."""
    granted: dict[int, Call] = {}
    until: dict[int, float] = {}
    released: dict[int, float] = {}
    for each in calls:
        if each.kind == "acquire" and each.outcome == OK:
            granted[each.token] = each
        if each.kind in {"acquire", "renew", "again"} and each.outcome == OK:
            until[each.token] = max(until.get(each.token, 0.0), each.invoked + each.ttl_s)
        elif each.kind in {"release", "break"}:
            released[each.token] = min(released.get(each.token, math.inf), each.invoked)
    ends = {token: min(end, released.get(token, end)) for token, end in until.items()} if until_released else until
    return [Hold(call, ends[token]) for token, call in granted.items()]


def _held_together(lock: str, rule: Rules, calls: Sequence[Call]) -> list[str]:
    certain = sorted(
        (each for each in holds(calls) if each.until > (each.call.returned or 0)), key=lambda each: each.call.returned
    )
    found, holding = [], []
    for each in certain:
        holding = [other for other in holding if other.until > (each.call.returned or 0)]
        held = frozenset((other.call.token, other.call.shared) for other in holding)
        if not _joins(rule, held, shared=each.call.shared):
            others = ", ".join(f"{other.call.client} (token {other.call.token})" for other in holding)
            found.append(
                f"{lock} was held by {each.call.client} (token {each.call.token}) from {each.call.returned:.3f} "
                f"to {each.until:.3f}, and by {others}"
            )
        holding.append(each)
    return found


def most_together(calls: Sequence[Call]) -> int:
    """How many held one lock at once, at most, by what they could be certain of."""
    events = []
    for each in holds(calls):
        if each.until > (each.call.returned or 0):
            events += [(each.call.returned, 1), (each.until, -1)]
    most = now = 0
    for _, change in sorted(events):
        now += change
        most = max(most, now)
    return most


# Tokens only grow.


def _tokens_back(lock: str, calls: Sequence[Call]) -> list[str]:
    grants = [each for each in calls if each.kind == "acquire" and each.outcome == OK]
    counted = Counter(each.token for each in grants)
    found = [f"{lock}: token {token} was granted {times} times" for token, times in counted.items() if times > 1]
    # What was answered before a moment, and what was asked for after it.
    answered = sorted(grants, key=lambda each: each.returned or 0)
    highest: Call | None = None
    position = 0
    for each in sorted(grants, key=lambda each: each.invoked):
        while position < len(answered) and (answered[position].returned or 0) < each.invoked:
            if highest is None or answered[position].token > highest.token:
                highest = answered[position]
            position += 1
        if highest is not None and each.token <= highest.token:
            found.append(f"{lock}: token {each.token} was granted after {highest.token}")
    return found


# The database let nothing through that came too late.


def _writes_back(lock: str, calls: Sequence[Call], rows: Sequence[Row]) -> list[str]:
    found = [
        f"{lock}: write {after.number} under token {after.token} went through after one under token {before.token}"
        for before, after in pairwise(rows)
        if after.token < before.token
    ]
    written = {(each.token, each.number) for each in rows}
    acknowledged = [each for each in calls if each.kind == "write" and each.outcome == OK]
    found += [
        f"{lock}: {each.client}'s write under token {each.token} was acknowledged and is not there"
        for each in acknowledged
        if (each.token, each.number) not in written
    ]
    return found


# Who is dead is replaced.


@dataclass(frozen=True)
class Replaced:
    """A holder that was killed, and how long after that somebody else was told that they hold the lock."""

    lock: str
    token: int
    after_s: float | None


def replaced(rules: Mapping[str, Rules], calls: Sequence[Call], crowd: str, killed_at: float) -> list[Replaced]:
    """Of each lock for one that a process of clients held when it was killed; None: by nobody.

    Left out where nobody asked for the lock while the dead one's lease could live.
    """
    found = []
    for lock, rule in rules.items():
        asked = [each for each in calls if each.lock == lock and each.kind == "acquire"]
        grants = sorted((each for each in asked if each.outcome == OK), key=lambda each: each.token)
        before = [each for each in grants if (each.returned or 0) < killed_at]
        if rule != Rules() or not before or not before[-1].client.startswith(f"{crowd}."):
            continue
        last = before[-1]
        if any(each.kind == "release" and each.token == last.token for each in calls):
            continue
        ends = killed_at + last.ttl_s
        later = next((each for each in grants if each.token > last.token), None)
        if later is None or later.invoked <= ends or _refused_between(asked, ends + 1, later.invoked):
            found.append(Replaced(lock, last.token, later and (later.returned or 0) - killed_at))
    return found


def _refused_between(asked: Sequence[Call], begin: float, end: float) -> bool:
    return any(each.outcome == REFUSED and begin < each.invoked < end for each in asked)
