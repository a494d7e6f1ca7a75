"""Run orders: `python -m services.orders`."""

from typing import Any

from switchyard.inventory.v1 import reservations_pb2_grpc

from chassis.service import Service
from chassis.settings import ServiceSettings
from services.orders.rpc.counter import Counter
from services.orders.rpc.parts import Parts
from services.orders.saga import Sagas


def build(service: Service) -> None:
    """Put the parts together."""
    channel: Any = service.channel("inventory")
    sagas = Sagas(service.database, reservations_pb2_grpc.ReservationsServiceStub(channel))
    Parts(service, sagas, Counter(service.database, sagas)).serve()


if __name__ == "__main__":
    Service("orders", ServiceSettings.load()).run(build)
