"""A shop that the tests of promised stock attack."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import asyncpg
from switchyard.inventory.v1 import inventory_pb2 as pb
from switchyard.inventory.v1 import menu_pb2 as menu
from switchyard.inventory.v1 import reservations_pb2 as held
from uuid_utils.compat import uuid7

from chassis import clock
from chassis.testing import Databases, Running, Serve, Tenant
from services.inventory.__main__ import build
from services.inventory.settings import InventorySettings
from services.inventory.tests.support import Stub

# What the stock of a tenant must be at every moment, each as a question for what is not so.
_WRONG = {
    "a batch is not the sum of its movements": """
        SELECT b.id FROM batches b WHERE b.tenant_id = $1 AND b.on_hand <> (
            SELECT coalesce(sum(m.quantity), 0) FROM movements m WHERE m.tenant_id = $1 AND m.batch_id = b.id)""",
    "a balance is not the sum of its batches": """
        SELECT l.item_id FROM balances l WHERE l.tenant_id = $1 AND (l.on_hand, l.reserved - l.backordered) <> (
            SELECT coalesce(sum(b.on_hand), 0), coalesce(sum(b.reserved), 0) FROM batches b
            WHERE b.tenant_id = $1 AND b.item_id = l.item_id AND b.site_id = l.site_id)""",
    "a batch holds something else than was picked of it": """
        SELECT b.id FROM batches b WHERE b.tenant_id = $1 AND b.reserved <> (
            SELECT coalesce(sum(p.quantity), 0) FROM reservation_picks p
            JOIN reservation_lines l USING (tenant_id, order_id, line_id)
            WHERE p.tenant_id = $1 AND p.batch_id = b.id AND l.state = 1)""",
    "something else is waited for than was picked without a batch": """
        SELECT s.item_id FROM balances s WHERE s.tenant_id = $1 AND s.backordered <> (
            SELECT coalesce(sum(p.quantity), 0) FROM reservation_picks p
            JOIN reservation_lines l USING (tenant_id, order_id, line_id)
            JOIN reservations r USING (tenant_id, order_id)
            WHERE p.tenant_id = $1 AND p.item_id = s.item_id AND r.site_id = s.site_id AND p.batch_id IS NULL
            AND l.state = 1)""",
    "something is held without a reservation that goes on": """
        SELECT l.line_id FROM reservation_lines l JOIN reservations r USING (tenant_id, order_id)
        WHERE l.tenant_id = $1 AND l.state = 1 AND r.state NOT IN (1, 2)""",
    "a line sold something else than was picked for it": """
        SELECT l.line_id FROM reservation_lines l WHERE l.tenant_id = $1 AND (
            SELECT coalesce(sum(p.quantity), 0) FROM reservation_picks p
            WHERE (p.tenant_id, p.order_id, p.line_id) = (l.tenant_id, l.order_id, l.line_id) AND l.state = 3
        ) <> (
            SELECT coalesce(-sum(m.quantity), 0) FROM movements m
            WHERE (m.tenant_id, m.order_id, m.line_id) = (l.tenant_id, l.order_id, l.line_id))""",
    "an item has something else on hand than it may": """
        SELECT l.item_id FROM balances l
        WHERE l.tenant_id = $1 AND (l.on_hand < 0 OR l.reserved < 0 OR l.reserved > l.on_hand AND NOT l.allow_backorder)
        """,
}


@dataclass(frozen=True)
class Shop:
    """A thing on the menu, made of one item; served by one process, or by several over one database."""

    processes: Sequence[Running]
    tenant: Tenant
    staff: Any
    # Orders, at the first process.
    orders: Any
    site_id: str
    item_id: str
    menu_item_id: str

    @classmethod
    async def open(
        cls, serve: Serve, tenant: Tenant, *lots: tuple[int, int], processes: int = 1, **told: object
    ) -> "Shop":
        """A shop with lots of (quantity, days until expiry or 0); `told` are settings."""
        running = [await serve("inventory", build, settings=InventorySettings, **told) for _ in range(processes)]
        staff = Stub(running[0].channel(tenant.user()))
        orders = Stub(running[0].channel(tenant.service("orders")))
        shop = cls(running, tenant, staff, orders, str(uuid7()), "", "")
        item_id, menu_item_id = await shop.sell("X", *lots)
        return replace(shop, item_id=item_id, menu_item_id=menu_item_id)

    async def sell(self, name: str, *lots: tuple[int, int]) -> tuple[str, str]:
        """One more item with lots, and a thing on the menu that is made of one of it."""
        told = pb.Item(sku=name, name=name, unit=pb.UNIT_EACH)
        item = await self.staff.CreateItem(pb.CreateItemRequest(item=told))
        for number, (quantity, days) in enumerate(lots):
            await self.receive(quantity, lot=f"L{number}", days=days, item_id=item.id)
        sold = menu.MenuItem(name=name, recipe=[menu.RecipeLine(item_id=item.id, quantity=1)])
        sold.price.amount, sold.price.currency = 250, "USD"
        return item.id, (await self.staff.CreateMenuItem(menu.CreateMenuItemRequest(menu_item=sold))).id

    async def receive(self, quantity: int, *, lot: str, days: int = 0, item_id: str = "") -> None:
        """One more lot."""
        batch = pb.Batch(site_id=self.site_id, lot=lot, quantity=quantity)
        if days:
            batch.expires_at.FromDatetime(clock.now() + timedelta(days=days))
        await self.staff.CreateBatch(pb.CreateBatchRequest(item_id=item_id or self.item_id, batch=batch))

    @property
    def running(self) -> Running:
        """The first process."""
        return self.processes[0]

    def client(self, number: int) -> Any:
        """One more connection of orders: the processes in turn."""
        running = self.processes[number % len(self.processes)]
        return Stub(running.channel(self.tenant.service("orders")))

    def wish(self, quantity: int = 1, order_id: str | None = None, *, of: Sequence[str] = ()) -> held.ReserveRequest:
        """An order: a line for each thing on the menu in `of`."""
        lines = [
            held.ReserveLine(line_id=str(uuid7()), menu_item_id=sold, quantity=quantity)
            for sold in of or [self.menu_item_id]
        ]
        return held.ReserveRequest(order_id=order_id or str(uuid7()), site_id=self.site_id, lines=lines)

    async def stock(self, item_id: str = "") -> tuple[int, int]:
        """On hand and reserved; the ledger verifies."""
        asked = item_id or self.item_id
        item = await self.staff.GetItem(pb.GetItemRequest(id=asked))
        assert (await self.staff.VerifyLedger(pb.VerifyLedgerRequest(item_id=asked))).consistent
        return item.on_hand, item.reserved


async def balanced(databases: Databases, tenant: Tenant) -> None:
    """Fail unless the stock of a tenant is in order."""
    for complaint, query in _WRONG.items():
        assert not await admin(databases, query, tenant.id), complaint


async def admin(databases: Databases, sql: str, *told: object) -> list[asyncpg.Record]:
    """A statement of a superuser."""
    connection = await asyncpg.connect(databases.admin("inventory"))
    try:
        rows: list[asyncpg.Record] = await connection.fetch(sql, *told)
        return rows
    finally:
        await connection.close()


async def allow_backorder(databases: Databases, item_id: str, *, allow: bool = True) -> None:
    """Let an item be promised before it is there, or no longer."""
    await admin(databases, "UPDATE items SET allow_backorder = $2 WHERE id = $1::text::uuid", item_id, allow)


async def recall(shop: Shop, lot: str) -> None:
    """Take a lot off sale."""
    batches = (await shop.staff.ListBatches(pb.ListBatchesRequest(item_id=shop.item_id))).batches
    (batch,) = (batch for batch in batches if batch.lot == lot)
    told = pb.UpdateBatchRequest(id=batch.id, batch=pb.Batch(status=pb.BATCH_STATUS_RECALLED, reason="glass in it"))
    told.update_mask.paths.extend(["status", "reason"])
    await shop.staff.UpdateBatch(told)


async def at_once(calls: Iterable[Awaitable[Any]]) -> list[Any]:
    """The answers of calls that are made at the same time, failures among them."""
    return await asyncio.gather(*calls, return_exceptions=True)


def post(order_id: str, *line_ids: str) -> held.PostReservationRequest:
    """Post an order, or some lines of it."""
    return held.PostReservationRequest(order_id=order_id, line_ids=line_ids)


def release(order_id: str, *line_ids: str) -> held.ReleaseReservationRequest:
    """Release an order, or some lines of it."""
    return held.ReleaseReservationRequest(order_id=order_id, line_ids=line_ids)
