"""`make chaos suite=locks`: seeded runs, each recorded and judged; and some without a promise, which must fail."""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.load import WrongAnswer
from bench.locks_chaos import figures, process, world
from bench.locks_chaos.run import Run, one
from bench.locks_chaos.world import Databases

SEEDS = tuple(range(1, 21))
# Without a promise a run may still be lucky; so many may be.
LUCKY_MAX = 3

document = figures.document


async def run(say: Callable[[str], None], seeds: Sequence[int] = ()) -> dict[str, Any]:
    """All runs, or those of some seeds and no mutations. Raises `WrongAnswer` or `bench.suite.SuiteError`."""
    with tempfile.TemporaryDirectory(prefix="switchyard-chaos-") as folder:
        async with world.databases(Path(folder) / "servers") as databases:
            began = time.monotonic()
            runs = [await one(Path(folder), databases, seed, "", say) for seed in seeds or SEEDS]
            if wrong := [each for each in runs if each.violations]:
                raise WrongAnswer("\n".join(f"seed {each.seed}: {line}" for each in wrong for line in each.violations))
            mutations = (
                [] if seeds else [await _mutated(Path(folder), databases, which, say) for which in process.MUTATIONS]
            )
            return {"runs": runs, "mutations": mutations, "lasted_s": time.monotonic() - began}


async def _mutated(folder: Path, databases: Databases, without: str, say: Callable[[str], None]) -> Run:
    for seed in SEEDS[:LUCKY_MAX]:
        outcome = await one(folder, databases, seed, without, say)
        if outcome.violations:
            return outcome
    raise WrongAnswer(f"{without} nothing was found wrong: the suite shows nothing")


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(*figures.HEADINGS)
    for row in figures.cells(result["runs"]):
        table.add_row(*row)
    Console(width=max(Console().width, 120)).print(table)
    print(figures.method(result))
