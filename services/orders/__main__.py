"""Run orders: `python -m services.orders`."""

from typing import Any

from switchyard.inventory.v1 import reservations_pb2_grpc

from chassis.service import Service
from chassis.settings import ServiceSettings
from services.orders.rpc.counter import Counter
from services.orders.rpc.orders import OrdersRpc
from services.orders.saga import Sagas

# How often due sagas are looked for: what a crash has left waits for its claim to end and then this long.
RESUME_EVERY_S = 0.5


def build(service: Service) -> None:
    """Put the parts together."""
    channel: Any = service.channel("inventory")
    sagas = Sagas(service.database, reservations_pb2_grpc.ReservationsServiceStub(channel))
    counter = Counter(service.database, sagas)
    service.serve(OrdersRpc(service.database, counter, service.pager()))
    service.every(RESUME_EVERY_S, sagas.resume)


if __name__ == "__main__":
    Service("orders", ServiceSettings.load()).run(build)
