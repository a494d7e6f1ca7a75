"""A kiosk was offline for a day: its log is replayed twice, shuffled, and the process is killed in the middle."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from uuid_utils.compat import uuid7

from tests.e2e.conftest import Stocked, System, eventually, stock

ORDERS, CANCELLED = 350, 150
STOCK = 100_000
PATIENCE_S = 120.0
MORNING = datetime.now(UTC) - timedelta(hours=9)


class Log:
    """What the kiosk has noted."""

    def __init__(self, sold: Stocked) -> None:
        self.operations: list[dict[str, Any]] = []
        self.placed: list[str] = []
        for number in range(ORDERS):
            order = sold.order()
            self.placed.append(order["id"])
            self._note("place_order", order)
            if number < CANCELLED:
                self._note("cancel_order", {"order_id": order["id"], "reason": "Changed their mind"})

    def _note(self, kind: str, body: dict[str, Any]) -> None:
        sequence = len(self.operations) + 1
        at = (MORNING + timedelta(seconds=sequence)).isoformat()
        told = {"operation_id": str(uuid7()), "sequence": sequence, "occurred_at": at, "type": kind, "body": body}
        self.operations.append(told)

    def shuffled(self) -> list[dict[str, Any]]:
        return random.sample(self.operations, len(self.operations))

    async def decided(self, system: System) -> int:
        """How many of the operations are done."""
        ids = [UUID(operation["operation_id"]) for operation in self.operations]
        async with system.database("orders") as database:
            sql = "SELECT count(*) FROM sync_operations WHERE operation_id = ANY($1)"
            return int(await database.fetchval(sql, ids))


async def sync(kiosk: httpx.AsyncClient, log: Log) -> Counter[str] | None:
    """Send the whole log, shuffled; what came of it, or nothing when the suite was not there."""
    try:
        answer = await kiosk.post("/api/v1/sync/operations", json={"operations": log.shuffled()}, timeout=30)
    except httpx.TransportError:
        await asyncio.sleep(0.2)
        return None
    if answer.status_code in {503, 504}:
        await asyncio.sleep(0.2)
        return None
    assert answer.status_code == 200, answer.text
    return Counter(result["outcome"] for result in answer.json()["data"]["results"])


async def sync_all(kiosk: httpx.AsyncClient, log: Log) -> Counter[str]:
    """Send it until nothing is deferred any more."""
    async with asyncio.timeout(PATIENCE_S):
        while (told := await sync(kiosk, log)) is None or told["deferred"]:
            continue
    return told


async def killed(system: System, log: Log, *, after: int) -> None:
    """Kill the process once so many operations are done."""
    await eventually(lambda: _at_least(system, log, after), PATIENCE_S)
    pid = system.kill("orders")
    await eventually(lambda: _replaced(system, pid), PATIENCE_S)


async def _at_least(system: System, log: Log, count: int) -> bool:
    return await log.decided(system) >= count


async def _replaced(system: System, pid: int) -> bool:
    return system.pid("orders") not in {0, pid}


class TestOfflineKiosk:
    async def test_five_hundred_operations_are_applied_once_each(
        self, system: System, manager: httpx.AsyncClient
    ) -> None:
        sold = await stock(manager, system.demo["catalog_tokens"][0]["site_id"], STOCK)
        log = Log(sold)

        async with system.kiosk() as kiosk:
            for after in (60, 250):
                killing = asyncio.create_task(killed(system, log, after=after))
                while not killing.done():
                    await sync(kiosk, log)
                await killing
            first = await sync_all(kiosk, log)
            second = await sync_all(kiosk, log)

        assert first.keys() <= {"applied", "duplicate"}
        assert second == {"duplicate": ORDERS + CANCELLED}
        await self._assert_once_each(system, manager, sold, log)

    async def _assert_once_each(self, system: System, manager: httpx.AsyncClient, sold: Stocked, log: Log) -> None:
        ids = [UUID(order_id) for order_id in log.placed]

        async def settled() -> bool:
            async with system.database("orders") as database:
                sql = "SELECT count(*) FROM sagas WHERE order_id = ANY($1) AND state = 'settled'"
                return int(await database.fetchval(sql, ids)) == ORDERS

        await eventually(settled, PATIENCE_S)
        async with system.database("orders") as database:
            orders = await database.fetch("SELECT status, day, number FROM orders WHERE id = ANY($1)", ids)
            told = await database.fetch("SELECT type FROM order_events WHERE order_id = ANY($1)", ids)
        assert Counter(row["status"] for row in orders) == {"queued": ORDERS - CANCELLED, "cancelled": CANCELLED}
        numbers = [(row["day"], row["number"]) for row in orders if row["number"] is not None]
        assert len(set(numbers)) == len(numbers)
        types = Counter(row["type"] for row in told)
        assert (types["placed"], types["cancelled"]) == (ORDERS, CANCELLED)
        item = (await manager.get(f"/api/v1/inventory/items/{sold.item_id}")).json()["data"]
        assert (item["on_hand"], item["reserved"]) == (STOCK, ORDERS - CANCELLED)
