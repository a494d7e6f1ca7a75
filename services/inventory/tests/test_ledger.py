"""The ledger, attacked by many clients at once and by hands that should not reach it."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from switchyard.inventory.v1 import inventory_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.testing import Databases, Running, Serve, Tenant
from services.inventory.__main__ import build
from services.inventory.settings import InventorySettings
from services.inventory.tests.support import Stub

RECEIVE, DEDUCT, ADJUST = pb.MOVEMENT_TYPE_RECEIVE, pb.MOVEMENT_TYPE_DEDUCT, pb.MOVEMENT_TYPE_ADJUST
WASTE = pb.MOVEMENT_TYPE_WASTE


@dataclass(frozen=True)
class Store:
    """One item at one site."""

    running: Running
    tenant: Tenant
    databases: Databases
    stub: Any
    item_id: str
    site_id: str

    @classmethod
    async def open(cls, serve: Serve, tenant: Tenant, databases: Databases, **item: Any) -> "Store":
        running = await serve("inventory", build, settings=InventorySettings)
        stub = Stub(running.channel(tenant.user()))
        told: dict[str, Any] = {"sku": "X", "name": "X", "unit": pb.UNIT_EACH, **item}
        created = await stub.CreateItem(pb.CreateItemRequest(item=pb.Item(**told)))
        return cls(running, tenant, databases, stub, created.id, str(uuid7()))

    async def move(self, kind: Any, quantity: int, **more: Any) -> pb.Movement:
        told = pb.Movement(type=kind, quantity=quantity, site_id=self.site_id, **more)
        request = pb.CreateMovementRequest(item_id=self.item_id, movement=told)
        moved: pb.Movement = await self.stub.CreateMovement(request)
        return moved

    async def lot(self, name: str, quantity: int, *, days: int) -> pb.Batch:
        told = pb.Batch(site_id=self.site_id, lot=name, quantity=quantity)
        told.expires_at.FromDatetime(clock.now() + timedelta(days=days))
        batch: pb.Batch = await self.stub.CreateBatch(pb.CreateBatchRequest(item_id=self.item_id, batch=told))
        return batch

    async def lots(self) -> list[tuple[str, int]]:
        listed = await self.stub.ListBatches(pb.ListBatchesRequest(item_id=self.item_id))
        return [(batch.lot, batch.on_hand) for batch in listed.batches]

    async def verified(self) -> pb.LedgerVerification:
        told: pb.LedgerVerification = await self.stub.VerifyLedger(pb.VerifyLedgerRequest(item_id=self.item_id))
        return told

    async def change(self, **fields: Any) -> pb.Item:
        request = pb.UpdateItemRequest(id=self.item_id, item=pb.Item(**fields))
        request.update_mask.paths.extend(fields)
        changed: pb.Item = await self.stub.UpdateItem(request)
        return changed

    async def tamper(self, sql: str, *arguments: object) -> list[Any]:
        """What a superuser does."""
        connection = await asyncpg.connect(self.databases.admin("inventory"))
        try:
            found: list[Any] = await connection.fetch(sql, *arguments)
            return found
        finally:
            await connection.close()

    async def events(self) -> list[str]:
        """The names of the tenant's events, in order."""
        sql = "SELECT subject FROM outbox WHERE tenant_id = $1 AND subject LIKE 'evt.%' ORDER BY seq"
        return [row["subject"].rsplit(".", 1)[1] for row in await self.tamper(sql, self.tenant.id)]


async def _all(*attempts: Any) -> list[Any]:
    return list(await asyncio.gather(*attempts, return_exceptions=True))


class TestRecord:
    async def test_forty_take_what_is_enough_for_nine(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        store = await Store.open(serve, tenant, databases)
        await store.lot("A", 5, days=2)
        await store.move(RECEIVE, 4)

        answers = await _all(*(store.move(DEDUCT, 1) for _ in range(40)))

        assert sum(isinstance(answer, pb.Movement) for answer in answers) == 9
        assert {answer.code for answer in answers if isinstance(answer, errors.Error)} == {"INSUFFICIENT_STOCK"}
        verified = await store.verified()
        assert (verified.consistent, verified.ledger_quantity) == (True, 0)

    async def test_the_first_to_come_in_at_once_share_a_lot(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        store = await Store.open(serve, tenant, databases)

        await asyncio.gather(*(store.move(RECEIVE, 1) for _ in range(20)))

        assert await store.lots() == [("-", 20)]

    async def test_one_that_takes_several_lots_is_answered_whole(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        store = await Store.open(serve, tenant, databases)
        await store.lot("A", 5, days=2)
        await store.lot("B", 5, days=3)

        moved = await store.move(DEDUCT, 7)

        assert (moved.quantity, moved.balance_after, moved.HasField("batch_id")) == (7, 3, False)
        assert await store.lots() == [("A", 0), ("B", 3)]

    async def test_the_lot_that_is_named_is_taken(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        store = await Store.open(serve, tenant, databases)
        await store.lot("A", 5, days=2)
        later = await store.lot("B", 5, days=3)

        await store.move(DEDUCT, 2, batch_id=later.id)

        assert await store.lots() == [("A", 5), ("B", 3)]

    @pytest.mark.parametrize(("kind", "quantity"), [(WASTE, 3), (ADJUST, -3)])
    async def test_what_has_expired_is_thrown_away_first_and_counted(
        self, serve: Serve, tenant: Tenant, databases: Databases, kind: Any, quantity: int
    ) -> None:
        store = await Store.open(serve, tenant, databases)
        await store.lot("A", 2, days=2)
        await store.lot("B", 5, days=9)

        with clock.shifted(timedelta(days=3)):
            await store.move(kind, quantity)

        assert await store.lots() == [("A", 0), ("B", 4)]

    async def test_what_has_expired_is_not_deducted(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        store = await Store.open(serve, tenant, databases)
        await store.lot("A", 2, days=2)

        with clock.shifted(timedelta(days=3)), pytest.raises(errors.Conflict) as refused:
            await store.move(DEDUCT, 1)

        assert refused.value.fields == {"X": ["1 wanted, 0 available"]}

    async def test_a_lot_counts_what_came_in(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        store = await Store.open(serve, tenant, databases)
        lot = await store.lot("A", 5, days=2)
        await store.move(RECEIVE, 2, batch_id=lot.id)
        await store.move(DEDUCT, 4)

        await store.move(RECEIVE, 3)

        listed = await store.stub.ListBatches(pb.ListBatchesRequest(item_id=store.item_id))
        assert [(batch.lot, batch.quantity, batch.on_hand) for batch in listed.batches] == [("A", 7, 3), ("-", 3, 3)]

    async def test_quantities_are_as_large_as_the_contract_says(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        store = await Store.open(serve, tenant, databases, low_stock_threshold=10**12)
        await store.lot("A", 10**12, days=2)

        moved = await store.move(DEDUCT, 5 * 10**9)

        assert moved.balance_after == 995 * 10**9
        assert (await store.verified()).consistent

    async def test_nobody_dates_the_undated_lot(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        store = await Store.open(serve, tenant, databases)

        with pytest.raises(errors.Invalid) as refused:
            await store.lot("-", 4, days=1)

        assert list(refused.value.fields) == ["batch.lot"]

    async def test_what_is_promised_does_not_go(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        store = await Store.open(serve, tenant, databases)
        await store.move(RECEIVE, 5)
        await store.tamper("UPDATE balances SET reserved = 3 WHERE tenant_id = $1", tenant.id)
        await store.tamper("UPDATE batches SET reserved = 3 WHERE tenant_id = $1", tenant.id)

        with pytest.raises(errors.Conflict):
            await store.move(ADJUST, -3)

    async def test_a_sent_again_movement_is_one(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        store = await Store.open(serve, tenant, databases)
        channel: Any = store.running.channel(tenant.user(), switchyard_idempotency_key="delivery-1")
        keyed = Stub(channel)
        told = pb.Movement(type=RECEIVE, quantity=4, site_id=store.site_id)
        request = pb.CreateMovementRequest(item_id=store.item_id, movement=told)
        first = await keyed.CreateMovement(request)

        second = await keyed.CreateMovement(request)

        assert second == first
        assert await store.lots() == [("-", 4)]

    async def test_nothing_comes_in_for_an_item_that_is_retired_meanwhile(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        store = await Store.open(serve, tenant, databases)
        retire = store.stub.DeleteItem(pb.DeleteItemRequest(id=store.item_id))

        answers = await _all(
            *(store.move(RECEIVE, 1) for _ in range(5)), retire, *(store.move(RECEIVE, 1) for _ in "ab")
        )

        received = sum(isinstance(answer, pb.Movement) for answer in answers)
        is_retired = not isinstance(answers[5], errors.Error)
        assert received == 0 if is_retired else received == 7


class TestLedger:
    @pytest.mark.parametrize("attack", ["UPDATE movements SET quantity = 9", "DELETE FROM movements"])
    async def test_is_never_rewritten(self, serve: Serve, tenant: Tenant, databases: Databases, attack: str) -> None:
        store = await Store.open(serve, tenant, databases)
        await store.move(RECEIVE, 4)
        connection = await asyncpg.connect(await databases.url("inventory"))

        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(attack)

        await connection.close()

    @pytest.mark.parametrize("table", ["balances", "batches"])
    @pytest.mark.parametrize("attack", ["on_hand = -1", "reserved = on_hand + 1", "reserved = -1"])
    async def test_the_database_refuses_what_cannot_be(
        self, serve: Serve, tenant: Tenant, databases: Databases, table: str, attack: str
    ) -> None:
        store = await Store.open(serve, tenant, databases)
        await store.move(RECEIVE, 4)

        with pytest.raises(asyncpg.CheckViolationError):
            await store.tamper(f"UPDATE {table} SET {attack} WHERE tenant_id = $1", tenant.id)

    async def test_a_balance_that_was_tampered_with_is_found(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        store = await Store.open(serve, tenant, databases)
        await store.move(RECEIVE, 4)
        await store.tamper("UPDATE balances SET on_hand = 5 WHERE tenant_id = $1", tenant.id)

        verified = await store.verified()

        assert (verified.consistent, verified.ledger_quantity, verified.balance_quantity) == (False, 4, 5)

    @pytest.mark.parametrize(
        "attack",
        [
            "UPDATE batches SET on_hand = on_hand + CASE lot WHEN 'A' THEN 1 ELSE -1 END WHERE tenant_id = $1",
            "UPDATE batches SET reserved = 1 WHERE lot = 'A' AND tenant_id = $1",
            "UPDATE balances SET reserved = 1 WHERE tenant_id = $1",
            "UPDATE movements SET quantity = 6 WHERE tenant_id = $1 AND quantity = 4",
            "DELETE FROM movements WHERE tenant_id = $1 AND quantity = 4",
            "UPDATE movements SET site_id = $1 WHERE tenant_id = $1",
        ],
    )
    async def test_whatever_was_tampered_with_is_found(
        self, serve: Serve, tenant: Tenant, databases: Databases, attack: str
    ) -> None:
        store = await Store.open(serve, tenant, databases)
        await store.lot("A", 4, days=2)
        await store.lot("B", 5, days=3)
        assert (await store.verified()).consistent

        await store.tamper(attack, tenant.id)

        assert not (await store.verified()).consistent

    async def test_is_verified_at_the_callers_sites(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        store = await Store.open(serve, tenant, databases)
        await store.move(RECEIVE, 4)
        elsewhere: Any = store.running.channel(tenant.user(sites=[str(uuid7())]))
        limited = Stub(elsewhere)

        verified = await limited.VerifyLedger(pb.VerifyLedgerRequest(item_id=store.item_id))

        assert (verified.consistent, verified.ledger_quantity, verified.movements) == (True, 0, 0)


class TestEvents:
    async def test_low_stock_is_told_once_until_it_has_recovered(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        store = await Store.open(serve, tenant, databases, low_stock_threshold=5)
        await store.move(RECEIVE, 9)

        for kind, quantity in ((DEDUCT, 5), (DEDUCT, 1), (RECEIVE, 6), (DEDUCT, 6)):
            await store.move(kind, quantity)

        assert [name for name in await store.events() if name == "LowStock"] == ["LowStock"] * 2

    async def test_a_lower_threshold_ends_the_alert(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        store = await Store.open(serve, tenant, databases, low_stock_threshold=10)
        await store.move(RECEIVE, 20)
        await store.move(DEDUCT, 12)
        await store.change(low_stock_threshold=5)

        await store.move(DEDUCT, 4)

        assert (await store.events()).count("LowStock") == 2

    async def test_the_last_one_gone_is_told(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        store = await Store.open(serve, tenant, databases)
        await store.move(RECEIVE, 2)

        await store.move(DEDUCT, 2)

        assert await store.events() == ["ItemCreated", "StockMoved", "StockMoved", "StockDepleted"]

    async def test_a_change_that_changes_nothing_is_not_told(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        store = await Store.open(serve, tenant, databases, supplier="Acme")

        same = await store.change(supplier="Acme")

        assert same.version == 1
        assert await store.events() == ["ItemCreated"]


class TestListItems:
    async def test_every_filter_at_once_goes_on_over_pages(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        store = await Store.open(serve, tenant, databases, category="c", supplier="s", low_stock_threshold=1)
        wanted: dict[str, Any] = {
            "category": "c",
            "supplier": "s",
            "q": "x",
            "low_stock": True,
            "order_by": "name,-sku",
        }
        for sku in ("X1", "X2"):
            told = pb.Item(sku=sku, name="X", unit=pb.UNIT_EACH, category="c", supplier="s", low_stock_threshold=1)
            await store.stub.CreateItem(pb.CreateItemRequest(item=told))
        first = await store.stub.ListItems(pb.ListItemsRequest(page_size=2, **wanted))

        second = await store.stub.ListItems(pb.ListItemsRequest(page_size=2, cursor=first.next_cursor, **wanted))

        assert [item.sku for item in (*first.items, *second.items)] == ["X2", "X1", "X"]

    async def test_what_is_looked_for_is_text(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        store = await Store.open(serve, tenant, databases)

        found = await store.stub.ListItems(pb.ListItemsRequest(q="%"))

        assert not found.items
