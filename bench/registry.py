"""The registry: how soon a death is known, whether an end is known before it, what ten thousand instances cost.

Two registry processes over three NATS servers, and real processes that register there: `bench/fleet`.
"""

import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from bench import report
from bench.fleet import ends, load
from bench.fleet.masses import FOLLOWERS, MEASURED_S, PROCESSES, Masses
from bench.fleet.world import NODES, REGISTRIES, WATCHERS, World

KILLS, SILENCES, STOPS, REPLACED = 102, 30, 30, 24
SIZES = (1000, 10_000)
# What is asked for: a killed process is known to the watchers within this.
KNOWN_MAX_S = 3.0
_STEP_MS, _BAR = 50, 60

_METHOD = """
`python -m bench registry`: {registries} registry processes, PostgreSQL and {nodes} NATS servers, all with fsync at
every write (`sync_interval: always`), on the one machine named above, which also bears all that is measured with.
Whoever registers does so by `chassis.registration`. The instances that die are processes of `tenants`, a whole service
each; twelve live at a time, and one is ended at a random moment. {watchers} watchers follow each registry process; what
counts is what each of them was told on its stream, by the monotonic clock that all processes of a machine share, from
just before the signal was sent. Passes are signed by a stand-in for `auth`. All of it took {lasted_s:.0f} s.

- **kill -9**: from the signal to `critical` or `gone`, for each watcher.
- **silent**: SIGSTOP. The process's sockets stay open, nothing is refused and nothing answered, as when a host loses
  its network. **back**: from SIGCONT to `passing`.
- **told to end**: SIGTERM to `draining` or `gone`. Meanwhile a client that knows no other instance and tries nothing
  again begins a call to the process every {call_ms:.0f} ms, or, for one process of two, only a connection, for which no
  process stays that has nothing to do; the margin is from the moment when the last watcher was told to the beginning of
  the first call, or connection, that was refused.
- **replaced**: of {instances} instances, the oldest is replaced by a new one, again and again; every other one is first
  drained by its operator, the rest are only told to end. Half of the calls read, half change a row and may not be sent
  twice unless they never left.
- **the crowd**: {processes} processes hold its instances, each with an `Attend` stream and heartbeats of its own, on as
  many connections as the table says, and an address of its own in 127.0.0.0/8, where it is probed. CPU is of
  {measured_s:.0f} s in which nothing happens but heartbeats and probes, as a share of one core, from `/proc`. A change
  is an instance drained by its operator: from asking for it until the RPC was answered, the first and the last watcher
  was told; the watchers are one Python process, whose own work on so many messages is in it.
- **cut off**: the half of all instances stopped by SIGSTOP at once; the other half, their watchers and the list of
  instances are looked at for 25 s, then the half goes on. **killed**: the same half killed at once; those of it that
  were drained are not counted.
"""


async def run(say: Callable[[str], None]) -> dict[str, Any]:
    """Everything, one after the other. Raises `WrongAnswer` or `TimeoutError`."""
    result: dict[str, Any] = {"machine": report.machine()}
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="switchyard-registry-")))
        world = await World.start(stack, folder)
        say(f"{REGISTRIES} registry processes, {NODES} NATS servers")
        result["killed"] = await ends.in_lanes(world, KILLS, ends.killed)
        say(f"kill -9: {_spread(_flat(result['killed']))}")
        result["silenced"] = await ends.in_lanes(world, SILENCES, ends.silenced)
        say(f"silent: {_spread(_flat(each['told'] for each in result['silenced']))}")
        result["stopped"] = await ends.in_lanes(world, STOPS, ends.stopped)
        say(f"told to end: margins {_spread([each['margin'] for each in result['stopped']])}")
        result["replaced"] = await load.drained_and_replaced(world, REPLACED)
        say(f"replaced: {result['replaced']}")
        result["masses"] = []
        for size in SIZES:
            try:
                result["masses"].append(await Masses(world, size, say).run())
            except TimeoutError:
                result["missing"] = f"With {size:,} instances the run was not completed on this machine."
                break
    return {**result, "lasted_s": time.monotonic() - began}


def show(result: dict[str, Any]) -> None:
    """Print it."""
    Console(width=max(Console().width, 120)).print(Markdown(document(result)))


def document(result: dict[str, Any]) -> str:
    """The chapter of `bench/RESULTS.md`."""
    killed = _flat(result["killed"])
    machine = result["machine"]
    parts = [
        "## The registry",
        f"{machine['cores']} cores ({machine['cpu']}), {machine['system']}, Python {machine['python']}",
        "### How soon an end is known",
        report.markdown(("", "times", "told", "p50", "p99", "longest"), _ends(result)),
        _verdicts(result),
        f"From kill -9 to each watcher, a line {_STEP_MS} ms:",
        f"```\n{_histogram(killed)}\n```",
        "### Replaced under constant load",
        _replaced(result["replaced"]),
        "### A crowd",
        report.markdown(("", *(f"{each['count']:,} instances" for each in result["masses"])), _crowd(result["masses"])),
        *([result["missing"]] if "missing" in result else []),
        "### Half of all at once",
        report.markdown(("", *(f"{each['count']:,} instances" for each in result["masses"])), _half(result["masses"])),
        "### How",
        _method(result),
    ]
    return "\n\n".join(parts)


def _ends(result: dict[str, Any]) -> list[list[str]]:
    rows = {
        "kill -9": result["killed"],
        "silent": [each["told"] for each in result["silenced"]],
        "silent, and back": [each["back"] for each in result["silenced"]],
        "told to end": [each["told"] for each in result["stopped"]],
    }
    return [[name, str(len(found)), str(len(_flat(found))), *_cut(_flat(found))] for name, found in rows.items()]


def _verdicts(result: dict[str, Any]) -> str:
    known = _quantile(_flat(result["killed"]), 0.99)
    met = "met" if known <= KNOWN_MAX_S else "missed"
    lines = [f"- Killed: 99 of 100 are known within {_time(known)}; the aim is {KNOWN_MAX_S:.0f} s ({met})."]
    for title, busy in (("called all the time", True), ("only connected to", False)):
        margins = [each["margin"] for each in result["stopped"] if each["busy"] is busy]
        least, half = _time(min(margins)), _time(_quantile(margins, 0.5))
        lines.append(
            f"- Told to end, {title} ({len(margins)} times): the last watcher was told at least {least} (p50 {half}) "
            "before the first call was refused."
        )
    return "\n".join(lines)


def _replaced(found: dict[str, Any]) -> str:
    rows = [
        [each["name"], f"{each['calls']:,}", str(sum(each["errors"].values()))]
        + [f"{each[name]:.1f}" for name in ("p50_ms", "p99_ms", "max_ms")]
        for each in found["loads"]
    ]
    table = report.markdown(("calls by", "calls", "errors", "p50 ms", "p99 ms", "longest ms"), rows)
    lines = [f"{error}: {times}" for each in found["loads"] for error, times in each["errors"].items()]
    told = (
        f"{found['replaced']} instances were replaced in {found['lasted_s']:.0f} s, at {load.RATE} calls a second each."
    )
    return "\n\n".join([told, table, *lines])


def _crowd(masses: list[dict[str, Any]]) -> list[list[str]]:
    def row(name: str, value: Callable[[dict[str, Any]], str]) -> list[str]:
        return [name, *map(value, masses)]

    rows = [
        row("connections", lambda each: f"{each['connections']:,}"),
        row("registered a second", lambda each: f"{each['registered']['per_s']:,.0f}"),
        row(
            "CPU of one registration, all processes",
            lambda each: f"{sum(each['registered']['cpu_ms'].values()):.1f} ms",
        ),
        row("changes of state meanwhile", lambda each: str(each["at_rest"]["changes"])),
    ]
    for name, title in (
        ("registry", "each registry process"),
        ("nats", "each NATS server"),
        ("postgres", "PostgreSQL"),
    ):
        rows.append(
            row(f"CPU of {title}, of a core", lambda each, name=name: _of(each["at_rest"]["cpu_percent"], name, "%"))
        )
        if name != "postgres":
            rows.append(
                row(f"memory of {title}", lambda each, name=name: _of(each["at_rest"]["memory_mb"], name, " MB"))
            )
    for number in FOLLOWERS:
        for moment, title in (("answered", "answered"), ("first", "first told"), ("last", "all told")):
            rows.append(
                row(f"{number} watchers: {title}", lambda each, n=number, m=moment: f"{each['fan_out'][n][m]:.0f} ms")
            )
        rows.append(
            row(
                f"{number} watchers: all told, longest",
                lambda each, n=number: f"{each['fan_out'][n]['longest']:.0f} ms",
            )
        )
    return rows


def _of(figures: dict[str, float], prefix: str, unit: str) -> str:
    return ", ".join(f"{figure:.0f}{unit}" for name, figure in figures.items() if name.startswith(prefix))


def _half(masses: list[dict[str, Any]]) -> list[list[str]]:
    def row(name: str, value: Callable[[dict[str, Any]], object]) -> list[str]:
        return [name, *(str(value(each)) for each in masses)]

    return [
        row("cut off, and marked `preserved`", lambda each: f"{each['cut']['cut']:,} of {each['cut']['stopped']:,}"),
        row("thrown out", lambda each: each["cut"]["lost"]),
        row("other differences of the lists before and after", lambda each: each["cut"]["differences"] or "none"),
        row("changes of state that watchers were told", lambda each: each["cut"]["changes_told"] or "none"),
        row("`preserving` said after", lambda each: _moments(each["cut"]["said_s"])),
        row("back, and nothing preserved after", lambda each: _time(each["cut"]["healed_s"])),
        row("killed", lambda each: f"{each['killed']['killed']:,}"),
        row("half of these known after", lambda each: _time(each["killed"]["p50_s"])),
        row("all known after", lambda each: _time(each["killed"]["last_s"])),
    ]


def _moments(told: list[float | None]) -> str:
    return ", ".join("never" if each is None else _time(each) for each in told)


def _method(result: dict[str, Any]) -> str:
    return _METHOD.strip().format(
        registries=REGISTRIES,
        nodes=NODES,
        watchers=WATCHERS,
        lasted_s=result["lasted_s"],
        call_ms=ends.CALL_EVERY_S * 1e3,
        instances=load.INSTANCES,
        processes=PROCESSES,
        measured_s=MEASURED_S,
    )


def _histogram(seconds: list[float]) -> str:
    step_s = _STEP_MS / 1e3
    counts = [0] * (int(max(seconds) / step_s) + 1)
    for each in seconds:
        counts[int(each / step_s)] += 1
    lines = []
    for number, count in enumerate(counts):
        bar = "#" * -(-count * _BAR // max(counts))
        lines.append(f"{number * _STEP_MS:5} ms {count:5} {bar}".rstrip())
    return "\n".join(lines)


def _flat(found: Iterable[list[float]]) -> list[float]:
    return [each for told in found for each in told]


def _cut(seconds: list[float]) -> list[str]:
    return [_time(_quantile(seconds, 0.5)), _time(_quantile(seconds, 0.99)), _time(max(seconds))]


def _spread(seconds: list[float]) -> str:
    return f"least {_time(min(seconds))}, " + ", ".join(_cut(seconds))


def _quantile(seconds: list[float], share: float) -> float:
    return sorted(seconds)[min(int(len(seconds) * share), len(seconds) - 1)]


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if abs(seconds) >= 1 else f"{seconds * 1e3:.0f} ms"
