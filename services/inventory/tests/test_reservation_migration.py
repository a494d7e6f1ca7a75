"""What was held before reservations had lines of their own is held afterwards, and can be posted and given back."""

import asyncio

import asyncpg
from alembic import command
from uuid_utils.compat import uuid7

from chassis import migrate
from chassis.testing import PASSWORD, Databases

DATABASE = "switchyard_inventory_before"
_BEFORE = """
INSERT INTO items (tenant_id, id, sku, name, category, supplier, unit, low_stock_threshold, version, created_at,
    updated_at) VALUES ($1, $2, 'X', 'X', '', '', 1, 0, 1, now(), now());
INSERT INTO balances (tenant_id, item_id, site_id, on_hand, reserved, is_low) VALUES ($1, $2, $3, 9, 3, false);
INSERT INTO batches (tenant_id, id, item_id, site_id, lot, quantity, on_hand, reserved, status, expires_at, received_at)
    VALUES ($1, $4, $2, $3, 'L', 9, 9, 3, 1, 'infinity', now());
INSERT INTO reservations (tenant_id, order_id, site_id, state, lines, expires_at) VALUES ($1, $5, $3, 1, $8, now());
INSERT INTO reservations (tenant_id, order_id, site_id, state, lines, expires_at) VALUES ($1, $6, $3, 4, '[]', now());
INSERT INTO reservation_picks (tenant_id, order_id, batch_id, item_id, quantity, reason)
    VALUES ($1, $5, $4, $2, 3, 'first_in')
"""
_LINES = """
[{"line_id": "%s", "menu_item_id": "%s", "name": "Flat white", "quantity": 2, "amount": 420, "currency": "USD"},
 {"line_id": "%s", "menu_item_id": "%s", "name": "Bagel", "quantity": 1, "amount": 300, "currency": "USD"}]
"""


async def test_what_is_held_moves_to_lines(databases: Databases) -> None:
    await migrate.provision(databases.admin_url, "inventory", PASSWORD, database_name=DATABASE)
    to = migrate.configuration(databases.admin_url, "inventory", database_name=DATABASE)
    await asyncio.to_thread(command.upgrade, to, "inventory_0002")
    tenant, item, site, batch, order, closed, first, second = (uuid7() for _ in range(8))
    connection = await asyncpg.connect(migrate.url_of(databases.admin_url, DATABASE))
    told = [tenant, item, site, batch, order, closed, first, _LINES % (first, item, second, item)]
    for statement in _BEFORE.split(";"):
        used = [number for number in range(1, 9) if f"${number}" in statement]
        for place, number in enumerate(used, 1):
            statement = statement.replace(f"${number}", f"${place}")  # noqa: PLW2901 - the same statement, renumbered
        await connection.execute(statement, *(told[number - 1] for number in used))

    await asyncio.to_thread(command.upgrade, to, "inventory_0004")

    lines = await connection.fetch("SELECT line_id, state, name, quantity FROM reservation_lines ORDER BY place")
    picks = await connection.fetch("SELECT order_id, line_id, batch_id, quantity FROM reservation_picks")
    await connection.close()
    assert [tuple(row) for row in lines] == [(first, 1, "Flat white", 2), (second, 1, "Bagel", 1)]
    assert [tuple(row) for row in picks] == [(order, first, batch, 3)]
