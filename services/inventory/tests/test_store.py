"""What the store's rows and locks promise to the rules above them."""

from collections.abc import Awaitable
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm.exc import StaleDataError
from uuid_utils.compat import uuid7

from chassis.db import Database
from chassis.testing import Databases, Serve, Tenant
from services.inventory import store
from services.inventory.__main__ import build
from services.inventory.models import NEVER, Balance, Base, Batch, Item
from services.inventory.settings import InventorySettings


async def _stocked(serve: Serve, tenant: Tenant) -> tuple[Database, UUID]:
    """A database, and an item in it with a batch of five."""
    database = (await serve("inventory", build, settings=InventorySettings)).service.database
    item_id, site_id = uuid7(), uuid7()
    async with database.transaction(tenant.user()) as session:
        named = {"sku": "X", "name": "X", "category": "", "supplier": "", "unit": 1}
        session.add(Item(tenant_id=tenant.id, id=item_id, low_stock_threshold=0, version=1, **named))
        await session.flush()
        balances = await store.lock_balances(session, tenant=tenant.id, site_id=site_id, item_ids=[item_id])
        balances[item_id].on_hand = 5
        await session.flush()
        lot = {"lot": "L", "quantity": 5, "on_hand": 5, "reserved": 0, "status": 1}
        moments = {"expires_at": NEVER, "received_at": NEVER}
        session.add(Batch(tenant_id=tenant.id, id=uuid7(), item_id=item_id, site_id=site_id, **lot, **moments))
    return database, item_id


async def _take_one(
    database: Database, tenant: Tenant, query: Any, *, meanwhile: Awaitable[None] | None = None
) -> None:
    """Take one of five without the lock, as nobody should."""
    async with database.transaction(tenant.user()) as session:
        row = await session.scalar(query)
        if meanwhile is not None:
            await meanwhile
        row.on_hand -= 1


class TestStock:
    @pytest.mark.parametrize("table", [Balance, Batch])
    async def test_is_not_written_over_what_was_not_read(self, serve: Serve, tenant: Tenant, table: Any) -> None:
        database, item_id = await _stocked(serve, tenant)
        query = sa.select(table).where(table.item_id == item_id)
        first = _take_one(database, tenant, query)

        with pytest.raises(StaleDataError):
            await _take_one(database, tenant, query, meanwhile=first)

        async with database.transaction(tenant.user()) as session:
            assert await session.scalar(sa.select(table.on_hand).where(table.item_id == item_id)) == 4


class TestTables:
    async def test_show_nothing_of_another_tenant(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        await _stocked(serve, tenant)
        connection = await asyncpg.connect(await databases.url("inventory"))
        tables = [table.name for table in Base.metadata.sorted_tables]
        await connection.execute("SELECT set_config('app.tenant_id', $1, false)", str(uuid7()))

        seen = [await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables]

        await connection.close()
        assert (len(tables) >= 7, sum(seen)) == (True, 0)

    async def test_hold_their_owner_to_it_too(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        await _stocked(serve, tenant)
        connection = await asyncpg.connect(databases.admin("inventory"))
        tables = [table.name for table in Base.metadata.sorted_tables]
        query = "SELECT count(*) FROM pg_class WHERE relname = ANY($1) AND relrowsecurity AND relforcerowsecurity"

        forced = await connection.fetchval(query, tables)

        await connection.close()
        assert forced == len(tables)
