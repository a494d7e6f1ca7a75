"""`switchyard import retail`: the UCI "Online Retail" file becomes items and orders of the past.

It works through the gateway's API, as a manager of the site: of the suite that runs here, or of any other when
SWITCHYARD_URL and SWITCHYARD_TOKEN name it. It may be killed at any moment and run again.
"""

import asyncio
import csv
import hashlib
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import httpx
import typer

from cli import doctor, retail_file
from cli.api import Api, ApiError
from cli.retail_file import Bad, Line, NotRetail
from cli.retail_sending import Batch, Refused, Sender, State, Totals, order
from cli.run_dir import RunDir

TIMEOUT_S = 60.0
IN_FLIGHT = 4

app = typer.Typer(help="Bring in what another system has.", no_args_is_help=True)


@dataclass(frozen=True)
class Suite:
    """Where to, and as whom."""

    url: str
    tenant_id: str
    login: Callable[[], Awaitable[str]]


@dataclass
class Outcome:
    """What became of a file."""

    totals: Totals
    sent: Totals
    bad: Counter[str]
    lines: int
    orders: int
    items: int
    seconds: float

    @property
    def agrees(self) -> bool:
        """What the API has answered is what was sent, and every line of the file is one or the other."""
        return self.totals == self.sent and self.totals.rows + self.bad.total() == self.lines


@app.callback()
def _group() -> None:
    """Keep `retail` a command of its own, though it is the only one."""


@app.command()
def retail(
    file: Annotated[Path, typer.Argument(help="The file, as CSV or compressed with gzip.", exists=True)],
    *,
    site: Annotated[str, typer.Option(help="The site that the orders were placed at: its id, or its name here.")],
    tenant: Annotated[str, typer.Option(help="Its tenant's id; unless given, that of the site here.")] = "",
    report: Annotated[Path | None, typer.Option(help="Where to write why lines were left out.")] = None,
    state: Annotated[Path | None, typer.Option(help="Where to note how far it is.")] = None,
    in_flight: Annotated[int, typer.Option(min=1, max=32, help="Calls at once.")] = IN_FLIGHT,
) -> None:
    """Import the UCI "Online Retail" file: invoices as orders of the past, what they name as items."""
    run_dir = RunDir.from_environment()
    try:
        suite, site_id = _suite(run_dir, site, tenant)
        name = f"retail-{_digest(file)[:12]}"
        kept = state or run_dir.path / "imports" / f"{name}.jsonl"
        written = report or run_dir.path / "imports" / f"{name}-report.csv"
        about = {"file": _digest(file), "url": suite.url, "tenant": suite.tenant_id, "site": str(site_id)}
        with closing(State(kept, about)) as known:
            outcome = asyncio.run(run(file, suite, site_id, known, written, in_flight=in_flight))
    except (Refused, NotRetail, ApiError, OSError, ValueError, httpx.HTTPError) as error:
        sys.stderr.write(f"switchyard import retail: {error}\n")
        raise typer.Exit(1) from None
    _show(outcome, written)
    raise typer.Exit(0 if outcome.agrees else 1)


async def run(file: Path, suite: Suite, site_id: UUID, state: State, report: Path, *, in_flight: int) -> Outcome:
    """Import a file. Raises `Refused`, `NotRetail`, and what a network or a disk may raise."""
    began = time.monotonic()
    found = retail_file.survey(file)
    limits = httpx.Limits(max_connections=in_flight)
    async with httpx.AsyncClient(base_url=suite.url, timeout=TIMEOUT_S, limits=limits) as client:
        sender = Sender(client, suite.login, suite.tenant_id)
        await sender.import_items(found.names)
        outcome = await _orders(file, found, sender, site_id, state, report, in_flight=in_flight)
    outcome.seconds = time.monotonic() - began
    return outcome


async def _orders(
    file: Path, found: retail_file.Survey, sender: Sender, site_id: UUID, state: State, report: Path, *, in_flight: int
) -> Outcome:
    sent, bad, orders = Totals(), list[Bad](), 0
    async with _calling(Batches(sender, site_id, state, in_flight)) as batches:
        for invoice, lines, wrong in retail_file.invoices(file, found):
            bad += wrong
            if lines:
                orders += 1
                sent.count(lines)
                if invoice not in state.finished:
                    await batches.add(invoice, order(invoice, lines, site_id))
    for lines in _refused(file, found, state):
        orders -= 1
        sent.count(lines, sign=-1)
        code = f"refused_{state.refused[lines[0].invoice]}"
        bad += [Bad(line.number, line.invoice, line.stock_code, code) for line in lines]
    _write_report(report, bad)
    reasons = Counter(each.reason for each in bad)
    return Outcome(state.totals, sent, reasons, found.lines, orders, len(found.names), 0.0)


class Batches:
    """Orders go out as soon as a call is full, as many calls at once as may be."""

    def __init__(self, sender: Sender, site_id: UUID, state: State, in_flight: int) -> None:
        self._sender = sender
        self._site_id = site_id
        self._state = state
        self._free = asyncio.Semaphore(in_flight)
        self._batch = Batch()
        self.calls = asyncio.TaskGroup()

    async def add(self, invoice: str, body: bytes) -> None:
        """One more order."""
        if not self._batch.takes(body):
            await self.flush()
        self._batch.add(invoice, body)

    async def flush(self) -> None:
        """Send what there is, once a call is free."""
        if self._batch.bodies:
            full, self._batch = self._batch, Batch()
            await self._free.acquire()
            self.calls.create_task(self._send(full))

    async def _send(self, full: Batch) -> None:
        try:
            await self._sender.import_orders(full, self._site_id, self._state)
        finally:
            self._free.release()


@asynccontextmanager
async def _calling(batches: Batches) -> AsyncIterator[Batches]:
    """Send to the end, or until a call has failed; that failure is raised, and not a group of it."""
    try:
        async with batches.calls:
            yield batches
            await batches.flush()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


def _refused(file: Path, found: retail_file.Survey, state: State) -> Iterator[list[Line]]:
    """The sales of the invoices that the API has not taken; there should be none."""
    if state.refused:
        for invoice, lines, _ in retail_file.invoices(file, found):
            if invoice in state.refused and lines:
                yield lines


def _write_report(path: Path, bad: Iterable[Bad]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["line", "invoice", "stock_code", "reason"])
        writer.writerows(sorted(bad))


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _suite(run_dir: RunDir, site: str, tenant: str) -> tuple[Suite, UUID]:
    """The suite that the environment names, or the one that runs here. Raises ValueError when there is none."""
    url, token = os.environ.get("SWITCHYARD_URL"), os.environ.get("SWITCHYARD_TOKEN")
    if url and token:
        return Suite(url, tenant, _given(token)), UUID(site)
    demo = run_dir.demo()
    if not demo or not doctor.is_running(run_dir):
        message = "nothing runs here that is ready; start it with `switchyard up`, or name another suite by "
        message += "SWITCHYARD_URL and SWITCHYARD_TOKEN"
        raise ValueError(message)
    found = next((one for one in demo["sites"] if site in {one["id"], one["name"]}), None)
    if found is None and not tenant:
        names = ", ".join(one["name"] for one in demo["sites"])
        message = f"there is no site {site} among {names}; name its tenant, too"
        raise ValueError(message)
    tenant_id = found["tenant_id"] if found else tenant
    manager = next(one for one in demo["users"] if (one["tenant_id"], one["role"]) == (tenant_id, "manager"))
    return Suite(demo["url"], tenant_id, _signing_in(demo["url"], manager)), UUID(found["id"] if found else site)


def _given(token: str) -> Callable[[], Awaitable[str]]:
    async def login() -> str:
        return token

    return login


def _signing_in(url: str, user: dict[str, Any]) -> Callable[[], Awaitable[str]]:
    async def login() -> str:
        return (await asyncio.to_thread(Api(url).login, user["email"], user["password"])).token

    return login


def _show(outcome: Outcome, report: Path) -> None:
    totals, seconds = outcome.totals, outcome.seconds
    told = [
        f"{outcome.lines} lines in {seconds:.1f} s: {outcome.lines / seconds:.0f} rows per second",
        f"{totals.rows} rows accepted: {totals.quantity} pieces, {totals.pence} pence",
        f"{outcome.orders} orders, {outcome.items} items",
        f"{outcome.bad.total()} rows left out, see {report}",
        *(f"  {count:>8} {reason}" for reason, count in outcome.bad.most_common()),
    ]
    if not outcome.agrees:
        sent = outcome.sent
        told.append(f"this is not what was sent: {sent.rows} rows, {sent.quantity} pieces, {sent.pence} pence")
    sys.stdout.write("\n".join(told) + "\n")
