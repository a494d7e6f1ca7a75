"""What else must be true of a recorded run: who was refused had to be, who stood first got it first, and every loss was
told once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from bench.locks_chaos.judge import LOSSES, LOST, OK, Call, Loss, Rules


def violations(
    rules: Mapping[str, Rules], calls: Sequence[Call], losses: Sequence[Loss], calm_at: float | None
) -> list[str]:
    """In words; none is good. `calm_at`: since then nothing is done to the servers."""
    return [*_refused(calls), *_overtaken(rules, calls, calm_at), *_told_wrongly(calls, losses)]


# Refusals.


def _refused(calls: Sequence[Call]) -> list[str]:
    """A wish under an id of its own may be answered `LEASE_LOST` only when a lease of that id can have been lost."""
    broken = {each.lock for each in calls if each.kind == "break"}
    found = []
    for each in calls:
        if each.kind != "acquire" or each.outcome != LOST:
            continue
        lasted_s = (each.returned or 0) - each.invoked
        if each.said == "DEADLOCK":
            good = _in_circle(each, calls)
        else:
            good = each.said == "LEASE_LOST" and (lasted_s >= each.ttl_s or each.lock in broken)
        if not good:
            found.append(f"{each.lock}: {each.client} was refused with {each.said} after {lasted_s:.3f} s")
    return found


def _in_circle(refused: Call, calls: Sequence[Call]) -> bool:
    """Whether its client can have held what another was asking for meanwhile."""
    given_back = {
        (each.lock, each.token): each.returned or refused.invoked
        for each in calls
        if each.kind == "release" and each.outcome == OK
    }
    held = {
        each.lock
        for each in calls
        if each.kind == "acquire"
        and each.client == refused.client
        and each.outcome == OK
        and each.invoked < (refused.returned or 0)
        and given_back.get((each.lock, each.token), refused.invoked) >= refused.invoked
    }
    return any(
        each.kind == "acquire"
        and each.lock in held - {refused.lock}
        and each.client != refused.client
        and each.invoked < (refused.returned or 0)
        and (each.returned is None or each.returned > refused.invoked)
        for each in calls
    )


# First come, first served.


def in_line(rules: Mapping[str, Rules], calls: Sequence[Call], calm_at: float | None) -> list[Call]:
    """Those who were told that they stand in line, and got what they waited for, when nothing was in the way of it.

    Else a place may be lost: with a process that is dead, or seems to be.
    """
    return [
        each
        for each in calls
        if calm_at is not None
        and each.outcome == OK
        and each.tries == 1
        and rules[each.lock] == Rules()
        and each.waiting is not None
        and each.waiting > calm_at
    ]


def _overtaken(rules: Mapping[str, Rules], calls: Sequence[Call], calm_at: float | None) -> list[str]:
    return [
        f"{first.lock}: {other.client} asked at {other.invoked:.3f} and got token {other.token}, before "
        f"{first.client}, who stood in line at {first.waiting:.3f} and got {first.token}"
        for first in in_line(rules, calls, calm_at)
        for other in calls
        if other.kind == "acquire"
        and other.outcome == OK
        and other.lock == first.lock
        and first.waiting is not None
        and first.waiting < other.invoked
        and other.token < first.token
    ]


# Losses are told, and told once.


def untold(calls: Sequence[Call], losses: Sequence[Loss]) -> set[tuple[str, int]]:
    """The leases (lock and token) that were lost without any doubt, and of which the world was not told."""
    kept = {(each.lock, each.token) for each in calls if each.kind == "release"}
    held = {(each.lock, each.token) for each in calls if each.kind == "acquire" and each.outcome == OK}
    pushed = {(each.lock, each.token) for each in calls if each.kind == "told" and each.said in LOSSES}
    return ((held - kept) | pushed) - {(loss.lock, loss.token) for loss in losses}


def _told_wrongly(calls: Sequence[Call], losses: Sequence[Loss]) -> list[str]:
    counted = Counter((loss.lock, loss.token) for loss in losses)
    released = {(each.lock, each.token) for each in calls if each.kind == "release" and each.outcome == OK}
    reasons = {(loss.lock, loss.token): loss.reason for loss in losses}
    return [
        *(f"{lock}: nobody was told that token {token} was lost" for lock, token in sorted(untold(calls, losses))),
        *(f"{lock}: token {token} was lost {times} times" for (lock, token), times in counted.items() if times > 1),
        *(f"{lock}: token {token} was released, and then lost" for lock, token in counted if (lock, token) in released),
        *(
            f"{each.lock}: the holder of token {each.token} was told {each.said}, the world {reason}"
            for each in calls
            if each.kind == "told"
            and each.said in LOSSES
            and (reason := reasons.get((each.lock, each.token), each.said)) != each.said
        ),
    ]
