"""The figures as a table, as JSON, and as the chapters of `bench/RESULTS.md`."""

import json
import os
import platform
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).with_name("RESULTS.md")
# Each is measured by itself, so that it can be renewed by itself; those of the imports and of the kills of one process
# are written down by hand.
CHAPTERS = ("peers", "identity", "orders", "locks", "registry", "imports", "chaos", "saga", "locks_chaos")
WORKLOADS = {"get": "GET one item", "page": "GET a page of 25", "order": "POST an order"}
# CPU microseconds over all processes, and how many times under the monolith.
AIMS_US = {"get": 900, "page": 1600}
AIM_RATIO = 2.5
OURS, MONOLITH = "switchyard", "monolith"
# What other work may take of the machine before the figures say so.
FOREIGN_MAX = 0.05
# Shares below this are summed up as "others" in the document.
SHOWN_US = 5.0

_HEADINGS = ("", "target", "requests/s", "p50 ms", "p99 ms", "p50 ms alone", "p99 ms alone", "CPU µs")
_METHOD = """
Written by `make bench`, which measures all targets in one run on one machine: {rounds} rounds, in each of which every
target has its turn at every workload ({seconds:g} s after a warm-up, 16 connections; then one connection alone for the
latency "alone"). Figures are medians over the rounds. Every answer is checked: its status and the bytes of its
data against an answer that was compared field by field with what was entered; after orders, the stock that they hold
is counted. The load generator is a process of its own and its CPU is not counted.

**CPU µs** is user and system time of every process involved, PostgreSQL's included, for each request. It includes what
the processes do anyway (Switchyard's {idle_ms:.0f} ms a second when nobody asks anything), and for orders what happens
behind the answer: events, the audit trail.

- **switchyard**: as `switchyard up` starts it, each service a process; pass, permissions, limits, row-level security,
  metrics, tracing at 1 %. An order is a saga over two services; its events are relayed, its audit events stored.
- **monolith**: one FastAPI process by the usual means (`bench/monolith`): SQLAlchemy's ORM on asyncpg, pydantic, an
  RS256 token verified in each request, row-level security, a GCRA limit in Valkey by redis-py. An order is one
  transaction with stock, outbox and audit rows. It is spared what would make it dearer: no tracing (OpenTelemetry's
  FastAPI instrumentation is not among our dependencies), no metrics, and nobody reads its outbox.
- **envoy**: Envoy's gRPC-JSON transcoder (one worker thread) in front of the same inventory process. It does no
  exchange of credentials (the load generator sends a ready pass), no limits and no envelope.

All share one PostgreSQL (fsync on) and one Valkey. The ratios to the monolith are medians of each round's own: noise of
the machine meets both alike, so they say more than the µs do.
"""


def summarise(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians over the rounds, by workload and target."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["workload"], row["target"]].append(row)
    return [
        {
            "workload": workload,
            "target": target,
            **{name: median(row[name] for row in group) for name in ("per_s", "p50_ms", "p99_ms")},
            **{name: median(row[name] for row in group) for name in ("alone_p50_ms", "alone_p99_ms")},
            "cpu_us": {name: median(row["cpu_us"][name] for row in group) for name in group[0]["cpu_us"]},
            "total_us": median(sum(row["cpu_us"].values()) for row in group),
        }
        for (workload, target), group in groups.items()
    ]


def ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How many times ours the monolith's CPU is, by workload: the median of the rounds, whose noise both share."""
    totals = {(row["workload"], row["target"], row["round"]): sum(row["cpu_us"].values()) for row in rows}
    found: dict[str, list[float]] = defaultdict(list)
    for (workload, target, number), total in totals.items():
        if target == MONOLITH:
            found[workload].append(total / totals[workload, OURS, number])
    return {workload: median(each) for workload, each in found.items()}


def machine() -> dict[str, Any]:
    """What it ran on."""
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def write(result: dict[str, Any], folder: Path) -> None:
    """Write the JSON and the document."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latest.json").write_text(json.dumps(result, indent=1) + "\n")
    renew("peers", document(result))


def renew(name: str, text: str) -> None:
    """Write a chapter anew, and `bench/RESULTS.md` with it."""
    RESULTS.with_name(f"{name}.md").write_text(text.strip() + "\n")
    files = [RESULTS.with_name(f"{each}.md") for each in CHAPTERS]
    RESULTS.write_text("\n".join(file.read_text() for file in files if file.exists()))


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(*_HEADINGS)
    for row in _cells(result):
        table.add_row(*row)
    shares = Table("", "target", "CPU µs by process")
    for row in _shares(result):
        shares.add_row(*row)
    console = Console()
    console.print(table, shares, *_verdicts(result), sep="\n")


def document(result: dict[str, Any]) -> str:
    """The first chapter, from the JSON."""
    told = result["machine"]
    facts = f"{told['cores']} cores ({told['cpu']}), {told['system']}, Python {told['python']}"
    parts = [
        "# Measured side by side",
        facts,
        markdown(_HEADINGS, _cells(result)),
        "\n".join(f"- {verdict}" for verdict in _verdicts(result)),
        "## Where the CPU goes",
        markdown(("", "target", "CPU µs by process"), _shares(result)),
        "## How",
        _METHOD.strip().format(rounds=result["rounds"], seconds=result["seconds"], idle_ms=result["idle_ms_per_s"]),
    ]
    return "\n\n".join(parts)


def _cells(result: dict[str, Any]) -> list[list[str]]:
    return [
        [
            WORKLOADS[row["workload"]],
            row["target"],
            f"{row['per_s']:,.0f}",
            *(f"{row[name]:.1f}" for name in ("p50_ms", "p99_ms", "alone_p50_ms", "alone_p99_ms")),
            f"{row['total_us']:,.0f}",
        ]
        for row in result["medians"]
    ]


def _shares(result: dict[str, Any]) -> list[list[str]]:
    rows = []
    for row in result["medians"]:
        shares = sorted(row["cpu_us"].items(), key=lambda share: -share[1])
        shown = [f"{name} {used:,.0f}" for name, used in shares if used >= SHOWN_US]
        rest = sum(used for _, used in shares if used < SHOWN_US)
        rows.append([WORKLOADS[row["workload"]], row["target"], ", ".join([*shown, f"others {rest:,.0f}"])])
    return rows


def _verdicts(result: dict[str, Any]) -> list[str]:
    totals = {(row["workload"], row["target"]): row["total_us"] for row in result["medians"]}
    lines = []
    for workload, ratio in result["ratios"].items():
        ours = totals[workload, OURS]
        line = f"{WORKLOADS[workload]}: {ours:,.0f} µs of CPU, the monolith {ratio:.2f} times that"
        if aim := AIMS_US.get(workload):
            line += (
                f"; aims: at most {aim:,} µs ({_met(ours <= aim)}), at least {AIM_RATIO} ({_met(ratio >= AIM_RATIO)})"
            )
        lines.append(line)
    if result["foreign_share"] > FOREIGN_MAX:
        lines.append(f"Other work took {result['foreign_share']:.0%} of the machine meanwhile: the µs are too high")
    return lines


def _met(reached: bool) -> str:  # noqa: FBT001 - a word for it
    return "met" if reached else "missed"


def markdown(headings: tuple[str, ...], rows: list[list[str]]) -> str:
    """A table."""
    lines = [f"| {' | '.join(headings)} |", "|" + "---|" * len(headings)]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)
