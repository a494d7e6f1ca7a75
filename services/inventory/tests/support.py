"""What the tests of inventory share."""

from typing import Any

from switchyard.inventory.v1 import (
    imports_pb2_grpc,
    inventory_pb2_grpc,
    menu_pb2_grpc,
    reservations_pb2_grpc,
    restock_pb2_grpc,
    stock_pb2_grpc,
    webhooks_pb2_grpc,
)


class Stub:
    """The methods of all of inventory's gRPC services, as one."""

    def __init__(self, channel: Any) -> None:
        self._stubs = (
            inventory_pb2_grpc.InventoryServiceStub(channel),
            menu_pb2_grpc.MenuServiceStub(channel),
            reservations_pb2_grpc.ReservationsServiceStub(channel),
            restock_pb2_grpc.RestockServiceStub(channel),
            stock_pb2_grpc.StockServiceStub(channel),
            imports_pb2_grpc.ImportsServiceStub(channel),
            webhooks_pb2_grpc.WebhooksServiceStub(channel),
        )

    def __getattr__(self, method: str) -> Any:
        return next(getattr(stub, method) for stub in self._stubs if hasattr(stub, method))
