"""What the database itself refuses."""

from typing import Any

import asyncpg
import pytest
from switchyard.orders.v1 import orders_pb2


class TestConstraints:
    @pytest.mark.parametrize(
        ("change", "constraint"),
        [
            ("status = 'completed'", "orders_completed_is_posted"),
            ("status = 'cancelled', posted = true", "orders_cancelled_is_not_posted"),
            ("number = NULL", "orders_accepted"),
            ("rejection = 'X'", "orders_rejected_is_cancelled"),
        ],
    )
    async def test_a_state_that_cannot_be(self, shop: Any, change: str, constraint: str) -> None:
        order = await shop.place()

        with pytest.raises(asyncpg.CheckViolationError) as violated:
            await shop.rows(f"UPDATE orders SET {change}, version = version + 1 WHERE id = $1", order.id)

        assert violated.value.constraint_name == constraint

    async def test_a_number_is_given_once(self, shop: Any) -> None:
        order = await shop.place()
        draft = "INSERT INTO orders SELECT (jsonb_populate_record(o, $2::jsonb)).* FROM orders o WHERE id = $1"

        with pytest.raises(asyncpg.UniqueViolationError) as violated:
            await shop.rows(draft, order.id, f'{{"id": "{shop.site}"}}')

        assert violated.value.constraint_name == "orders_number"

    @pytest.mark.parametrize("change", ["status = 'queued', version = 9", "version = 1", "number = 7, version = 9"])
    async def test_what_has_ended_stays(self, shop: Any, change: str) -> None:
        order = await shop.place()
        await shop.patch(order.id, status=orders_pb2.ORDER_STATUS_CANCELLED)

        with pytest.raises(asyncpg.CheckViolationError):
            await shop.rows(f"UPDATE orders SET {change} WHERE id = $1", order.id)

    @pytest.mark.parametrize("change", ["status = 'pending'", "status = 'preparing'"])
    async def test_no_line_goes_back(self, shop: Any, change: str) -> None:
        order = await shop.place()
        await shop.patch(order.id, shop.manager, status=orders_pb2.ORDER_STATUS_READY)

        with pytest.raises(asyncpg.CheckViolationError):
            await shop.rows(f"UPDATE lines SET {change} WHERE order_id = $1", order.id)

    async def test_no_voided_line_comes_back(self, shop: Any) -> None:
        order = await shop.place()
        await shop.patch(order.id, status=orders_pb2.ORDER_STATUS_CANCELLED)

        with pytest.raises(asyncpg.CheckViolationError):
            await shop.rows("UPDATE lines SET status = 'served' WHERE order_id = $1", order.id)

    async def test_what_is_made_anew_costs_nothing(self, shop: Any) -> None:
        order = await shop.place()

        with pytest.raises(asyncpg.CheckViolationError) as violated:
            await shop.rows("UPDATE lines SET remake_of = id WHERE order_id = $1", order.id)

        assert violated.value.constraint_name == "lines_remade_for_nothing"

    async def test_the_timeline_is_append_only(self, shop: Any) -> None:
        connection = await asyncpg.connect(await shop.databases.url("orders"))

        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM order_events")

        await connection.close()

    async def test_without_a_tenant_nothing_is_seen_but_what_is_due(self, shop: Any) -> None:
        await shop.place()
        connection = await asyncpg.connect(await shop.databases.url("orders"))

        seen = [await connection.fetchval(f"SELECT count(*) FROM {table}") for table in ("orders", "lines", "sagas")]

        await connection.close()
        assert seen == [0, 0, 0]
