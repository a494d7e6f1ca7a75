"""CPU time of processes, from /proc: user and system time, of the process and all its living children."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Watch:
    """Which processes a target is made of, by name.

    PostgreSQL is one of them, and shared: of its children, those that serve a database of `foreign` are another
    target's and left out; what serves no database (checkpointer, WAL writer, I/O workers) counts for everybody.
    """

    pids: Mapping[str, int]
    foreign: frozenset[str] = field(default_factory=frozenset)

    def to_json(self) -> dict[str, object]:
        return {"pids": dict(self.pids), "foreign": sorted(self.foreign)}

    @classmethod
    def from_json(cls, told: Mapping[str, object]) -> "Watch":
        return cls(dict(told["pids"]), frozenset(told["foreign"]))  # type: ignore[call-overload]

    def snapshot(self) -> dict[str, dict[int, float]]:
        """Seconds of CPU that each process has used so far, by target's name and pid. A dead target is an error."""
        taken = {}
        for name, pid in self.pids.items():
            used = {each: seconds for each in _family(pid, self.foreign) if (seconds := _used(each)) is not None}
            if pid not in used:
                message = f"{name} (process {pid}) is gone"
                raise ProcessLookupError(message)
            taken[name] = used
        return taken


def spent(before: Mapping[str, Mapping[int, float]], after: Mapping[str, Mapping[int, float]]) -> dict[str, float]:
    """Seconds of CPU between two snapshots, by name. A child that came in between counts from its beginning."""
    return {
        name: sum(seconds - before[name].get(pid, 0.0) for pid, seconds in used.items()) for name, used in after.items()
    }


def machine_s() -> float:
    """Seconds of CPU that everything on this machine has used so far."""
    # proc_stat(5): user, nice, system, idle, iowait, irq, softirq, and what is no use of ours.
    user, nice, system, _idle, _wait, hard, soft = map(int, _read("/proc/stat").split()[1:8])
    return (user + nice + system + hard + soft) / TICKS_PER_S


def _family(pid: int, foreign: frozenset[str]) -> Iterator[int]:
    yield pid
    for task in _read(f"/proc/{pid}/task/{pid}/children").split():
        child = int(task)
        if foreign.isdisjoint(_read(f"/proc/{child}/cmdline").replace("\0", " ").split()):
            yield from _family(child, foreign)


def _used(pid: int) -> float | None:
    # proc_pid_stat(5): after the name in brackets, utime is field 14 and stime 15 of the whole.
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S if fields else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
