"""The parts as they are put together."""

from typing import Any

from pydantic import SecretStr
from switchyard.orders.v1 import orders_pb2, orders_pb2_grpc

from chassis.testing import Serve, Tenant
from services.orders.__main__ import build
from services.orders.settings import OrdersSettings


class TestBuild:
    async def test_places_an_order(self, serve: Serve, tenant: Tenant, inventory: tuple[Any, str]) -> None:
        told = {"settings": OrdersSettings, "orders_master_key": SecretStr("a master key for tests")}
        running = await serve("orders", build, addresses={"inventory": inventory[1]}, **told)
        channel: Any = running.channel(tenant.user())
        site = str(tenant.id)
        lines = [orders_pb2.OrderLine(menu_item_id=site, quantity=1)]

        order = await orders_pb2_grpc.OrdersServiceStub(channel).PlaceOrder(
            orders_pb2.PlaceOrderRequest(site_id=site, lines=lines)
        )

        assert order.status == orders_pb2.ORDER_STATUS_QUEUED
