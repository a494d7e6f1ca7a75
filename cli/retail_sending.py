"""Sending what a file says through the gateway: several calls at once, each again until it is answered.

Orders have ids that follow from their invoices, so that nothing comes in twice however often it is sent. What the API
has answered is noted in a state file, a line a call: a command that was killed and is run again sends only the rest.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import httpx
import orjson

from cli.retail_file import Line

CURRENCY = "GBP"
# What the API takes in one call, and what the gateway takes in one body (less a margin for what is around the orders).
ORDERS_MAX, BODY_LEN_MAX = 500, (1 << 20) - 4096
TRIES_MAX = 12
PAUSE_MAX_S = 10.0
JOB_POLL_S = 0.2
_AGAIN = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
        HTTPStatus.CONFLICT,
    }
)


class Refused(Exception):
    """The API does not take what it is sent."""


@dataclass
class Totals:
    """Lines, pieces and money."""

    rows: int = 0
    quantity: int = 0
    pence: int = 0

    def add(self, rows: int, quantity: int, pence: int) -> None:
        """Count some more."""
        self.rows += rows
        self.quantity += quantity
        self.pence += pence

    def count(self, lines: Iterable[Line], *, sign: int = 1) -> None:
        """Count some lines, or take them back."""
        for line in lines:
            self.add(sign, sign * line.quantity, sign * line.quantity * line.pence)


class State:
    """What the API has answered so far: totals, and which invoices need not be sent again."""

    def __init__(self, path: Path, about: dict[str, str]) -> None:
        """Take up what is there about the same file, tenant and site; begin anew with anything else."""
        self.totals = Totals()
        self.finished: set[str] = set()
        self.refused: dict[str, str] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        known = [entry for line in _lines(path) if (entry := _read(line)) is not None]
        resumes = bool(known) and known[0] == about
        for entry in known[1:] if resumes else ():
            self._count(entry)
        # A line that a kill has cut off is no entry; the next one begins on a line of its own.
        self._file = path.open("a" if resumes else "w", encoding="utf-8")
        self._write("" if resumes else json.dumps(about))

    def note(self, invoices: list[str], totals: Totals, refused: dict[str, str]) -> None:
        """Keep what a call was answered."""
        entry = {"invoices": invoices, "refused": refused, **vars(totals)}
        self._count(entry)
        self._write(json.dumps(entry))

    def close(self) -> None:
        """No more is noted."""
        self._file.close()

    def _count(self, entry: dict[str, Any]) -> None:
        self.finished.update(entry["invoices"])
        self.refused.update(entry["refused"])
        self.totals.add(entry["rows"], entry["quantity"], entry["pence"])

    def _write(self, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _read(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


@dataclass
class Batch:
    """Orders that go in one call, each already as JSON."""

    invoices: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    length: int = 0

    def takes(self, body: bytes) -> bool:
        """Whether one more fits."""
        return len(self.bodies) < ORDERS_MAX and self.length + len(body) < BODY_LEN_MAX

    def add(self, invoice: str, body: bytes) -> None:
        """Put one more in."""
        self.invoices.append(invoice)
        self.bodies.append(body)
        self.length += len(body) + 1


def order(invoice: str, lines: list[Line], site_id: UUID) -> bytes:
    """An invoice as an order of the past. Its time is that of its first line."""
    first = min(lines, key=lambda line: line.sold_at)
    return orjson.dumps(
        {
            "id": str(uuid5(site_id, f"retail/{invoice}")),
            "status": "completed",
            "placed_at": first.sold_at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "currency": CURRENCY,
            "customer_id": next((line.customer_id for line in lines if line.customer_id), ""),
            "notes": f"invoice {invoice}, {first.country}",
            "lines": [
                {"name": line.name, "quantity": line.quantity, "unit_amount": line.pence, "notes": line.stock_code}
                for line in lines
            ],
        }
    )


class Sender:
    """Calls the gateway. `login` answers an access token; it is asked again when the one it gave has expired."""

    def __init__(self, client: httpx.AsyncClient, login: Callable[[], Awaitable[str]], tenant_id: str) -> None:
        self._client = client
        self._login = login
        self._headers = {"Content-Type": "application/json", "X-Tenant-ID": tenant_id}

    async def call(self, method: str, path: str, body: bytes | None = None) -> Any:
        """The `data` of the answer. Raises `Refused`."""
        answer: httpx.Response | None = None
        for tried in range(TRIES_MAX):
            try:
                answer = await self._client.request(method, path, content=body, headers=await self._signed())
            except httpx.TransportError:
                await asyncio.sleep(min(0.2 * 2**tried, PAUSE_MAX_S))
                continue
            if answer.is_success:
                return orjson.loads(answer.content)["data"]
            if answer.status_code == HTTPStatus.UNAUTHORIZED:
                self._headers.pop("Authorization")
            elif answer.status_code not in _AGAIN:
                break
            else:
                await asyncio.sleep(min(float(answer.headers.get("Retry-After", "1")), PAUSE_MAX_S))
        told = "no answer" if answer is None else f"{answer.status_code} {answer.text[:500]}"
        message = f"{method} {path}: {told}"
        raise Refused(message)

    async def import_items(self, names: dict[str, str]) -> dict[str, Any]:
        """Have the things made or renamed, by a job of the API's; what it says of it in the end."""
        chunks = _chunks(names)
        told = {"name": "retail", "csv": chunks[0], "chunks": len(chunks)}
        job = await self.call("POST", "/api/v1/inventory/items/import", orjson.dumps(told))
        path = f"/api/v1/inventory/imports/{job['id']}"
        for number, chunk in enumerate(chunks[1:], 2):
            await self.call("PUT", f"{path}/chunks/{number}", orjson.dumps({"csv": chunk}))
        while job["state"] not in {"succeeded", "failed"}:
            await asyncio.sleep(JOB_POLL_S)
            job = await self.call("GET", path)
        if job["state"] == "failed" or job["rejected"]:
            report = await self.call("GET", f"{path}/errors")
            message = f"not every item was taken: {job['failure']} {report}"
            raise Refused(message)
        return dict(job)

    async def import_orders(self, batch: Batch, site_id: UUID, state: State) -> None:
        """Bring in a batch, and note how it was answered."""
        body = b'{"site_id":"%s","orders":[%s]}' % (str(site_id).encode(), b",".join(batch.bodies))
        answer = await self.call("POST", "/api/v1/orders/import", body)
        totals, refused = Totals(), {}
        for invoice, result in zip(batch.invoices, answer["results"], strict=True):
            if result["outcome"] == "rejected":
                refused[invoice] = result["code"].lower()
            else:
                totals.add(result["lines"], result["quantity"], result["total"]["amount"])
        state.note(batch.invoices, totals, refused)

    async def _signed(self) -> dict[str, str]:
        if "Authorization" not in self._headers:
            self._headers["Authorization"] = f"Bearer {await self._login()}"
        return self._headers


def _chunks(names: dict[str, str]) -> list[str]:
    """A CSV file of items, cut at whole lines into parts that the gateway takes."""
    chunks, lines, length = [], ["sku,name,unit"], 0
    for code, name in names.items():
        quoted = name.replace('"', '""')
        line = f'{code},"{quoted}",each'
        # In a body a character takes up to six bytes.
        if length + 6 * len(line) > BODY_LEN_MAX:
            chunks.append("\n".join(lines) + "\n")
            lines, length = [], 0
        lines.append(line)
        length += 6 * len(line)
    return [*chunks, "\n".join(lines) + "\n"]
