"""What came of the runs, as a table and as the chapter of `bench/RESULTS.md`."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from bench import report
from bench.locks_chaos.faults import NODES, PROCESSES, TTL_S
from bench.locks_chaos.run import REPLACED_S, Run
from bench.locks_chaos.world import CLIENTS, CROWDS, LOCKS

HEADINGS = (
    "seed",
    "faults",
    "calls",
    "unanswered",
    "grants",
    "writes",
    "late writes",
    "refused",
    "dead replaced after, s",
)
# Of the histogram of how long a dead holder's lock stood idle, in seconds.
EDGES_S = (2.0, 2.5, 3.0, 3.1, 3.2, 3.3, 3.4, 3.5)
EXCERPT_CHARS = 400

_METHOD = """
`make chaos suite=locks` (some of them again: `seeds=3,7`). Each run: {nodes} NATS servers (R3, `sync_interval:
always`), {processes} processes of `locks`, {clients} clients in {crowds} processes on {locks} locks (one counted, one
shared, one that clients break now and then), leases of {ttl_s} s. One client of each process uses `chassis.locks`: it
holds a stream, is told of losses, renews, and takes two locks one within the other, in any order; the others make each
call themselves, some as an owner who acquires a lease again and gives it back once. Between clients and `locks`,
`locks` and NATS, and each two NATS servers stand links that can be cut: what is under way is stalled and comes late,
or connections are reset. The seed alone says what is done when: {faults}. Paused is SIGSTOP for longer than a lease;
clocks of `locks` step by up to an hour (those of NATS and PostgreSQL do not). Whom it meets is told by the part they
play. Then all is mended, the clocks step by a minute, a holder is paused for longer than its lease, and holders are
killed.

Clients note what they ask and are answered on one monotonic clock. Judged is, lock by lock: that the history is
linearizable, where a lease that was not surely given back ends at any moment after its last successful grant or
renewal was asked for, plus its life, and no earlier; that no two held an exclusive lock by what they themselves could
be certain of, nor more than two the counted one (of which {together} runs saw two at once); that tokens grow in the
order of time; that the writes which PostgreSQL let through (`chassis.fencing`) stand in the order of tokens; that all
clients come to their end when the faults are over. And: that a lease which was not given back is told of as lost once,
and none that was; that a holder who is told of it is told the same; that nobody is refused for any other reason than
that others have the lock, wait for it, may still do so after an answer that never came, or are in a circle
({refusals:,} refusals were not covered by anybody else's wish, so that a lease had to explain them); that with nothing
done to the servers nobody who asked later got a lock before one who had been told of a place in line ({in_line:,} such
places). In the runs above: {grants:,} grants and {writes:,} writes, {again:,} leases acquired again, {breaks:,}
breaks, {losses:,} losses told, {pushed:,} of them pushed to their holders, {deadlocks:,} circles broken; nothing of
this broken.

**Two owners** who waited for each other by two processes of `locks`, once in each run when all was mended: the younger
was refused after a median of {circle_s:.2f} s and at most {circle_most_s:.2f} s.

**Late writes** are those that a client began when its lease was over for all that it could know, most of them after a
pause between the look at the clock and the write. {late_fenced_off} of {late} were refused by the database; before the
others nobody newer had written. Of the {fenced_off} refused in all, the rest had lost leases that were broken.

**A holder killed** while nothing else was wrong was replaced, in {count} cases, after a median of {median_s:.2f} s
and at most {most_s:.2f} s from the kill (bound: {bound_s:g} s, the lease's life and one second): {histogram}.

The checker (`bench/linearizability.py`) agrees on all 108 histories with known verdicts of porcupine's tests (102 of
Jepsen's etcd register, 6 of a key-value store; `python -m bench.histories FOLDER`), and with a search through all
orders on short ones (`bench/tests`).

What is taken out is found out:

{mutations}
"""


def cells(runs: Sequence[Run]) -> list[list[str]]:
    rows = []
    for run in runs:
        figures = run.figures
        names = ("calls", "unknown", "grants", "writes", "late", "fenced_off")
        told = [str(run.seed), str(run.faults.total()), *(f"{figures[name]:,}" for name in names)]
        rows.append([*told, ", ".join(f"{each.after_s:.1f}" for each in run.replaced if each.after_s is not None)])
    return rows


def method(result: dict[str, Any]) -> str:
    runs: list[Run] = result["runs"]
    kinds: Counter[str] = sum((run.faults for run in runs), Counter())
    totals: Counter[str] = sum((Counter(run.figures) for run in runs), Counter())
    after = sorted(each.after_s for run in runs for each in run.replaced if each.after_s is not None)
    circles = [run.circle_s for run in runs if run.circle_s is not None]
    return _METHOD.strip().format(
        circle_s=median(circles),
        circle_most_s=max(circles),
        nodes=NODES,
        processes=PROCESSES,
        clients=CROWDS * CLIENTS,
        crowds=CROWDS,
        locks=len(LOCKS),
        ttl_s=TTL_S,
        faults=", ".join(f"{kind} ({times})" for kind, times in sorted(kinds.items())),
        together=sum(run.together > 1 for run in runs),
        **totals,
        count=len(after),
        median_s=median(after),
        most_s=after[-1],
        bound_s=REPLACED_S,
        histogram=_histogram(after),
        mutations="\n".join(f"- **{run.without}**, seed {run.seed}: {_found(run)}" for run in result["mutations"]),
    )


def _histogram(values: Sequence[float]) -> str:
    bounds = [0.0, *EDGES_S, REPLACED_S]
    counted = [(low, high, sum(low < each <= high for each in values)) for low, high in pairwise(bounds)]
    return ", ".join(f"{low:.1f}-{high:.1f} s: {count}" for low, high, count in counted if count)


def _found(run: Run) -> str:
    # The shortest says it most plainly.
    return f"violations found: {len(run.violations)}, such as: {min(run.violations, key=len)[:EXCERPT_CHARS]}"


def document(result: dict[str, Any]) -> str:
    parts = ["## Locks under kills, pauses, cuts and clock steps", report.markdown(HEADINGS, cells(result["runs"]))]
    return "\n\n".join([*parts, method(result)])
