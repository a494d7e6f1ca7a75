"""`make chaos suite=locks`: seeded runs, each recorded and judged; and some without a promise, which must fail."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.load import WrongAnswer
from bench.locks_chaos import figures, process, world
from bench.locks_chaos.run import HISTORIES, Run, one

SEEDS = tuple(range(1, 21))
# Runs at a time: most of one is waiting.
AT_ONCE = 3
# Without a promise a run may still be lucky; so many may be.
LUCKY_MAX = 3

document = figures.document


async def run(say: Callable[[str], None], seeds: Sequence[int] = ()) -> dict[str, Any]:
    """All runs, or those of some seeds and no mutations. Raises `WrongAnswer`."""
    with tempfile.TemporaryDirectory(prefix="switchyard-chaos-") as folder:
        async with world.databases(Path(folder) / "servers") as databases:
            slots = asyncio.Semaphore(AT_ONCE)

            async def begin(seed: int, without: str) -> Run:
                async with slots:
                    return await one(Path(folder), databases, seed, without, say)

            runs = await asyncio.gather(*(begin(seed, "") for seed in seeds or SEEDS))
            if wrong := [each for each in runs if each.violations]:
                told = [f"seed {each.seed}: {line}" for each in wrong for line in each.violations]
                raise WrongAnswer("\n".join([*told, f"their histories are in {HISTORIES}"]))
            without = () if seeds else process.MUTATIONS
            return {"runs": runs, "mutations": await asyncio.gather(*(_mutated(begin, each) for each in without))}


async def _mutated(begin: Callable[[int, str], Awaitable[Run]], without: str) -> Run:
    for seed in SEEDS[:LUCKY_MAX]:
        outcome = await begin(seed, without)
        if outcome.violations:
            return outcome
    raise WrongAnswer(f"{without} nothing was found wrong: the suite shows nothing")


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(*figures.HEADINGS)
    for row in figures.cells(result["runs"]):
        table.add_row(*row)
    Console(width=max(Console().width, 120)).print(table)
    if result["mutations"]:
        print(figures.method(result))
