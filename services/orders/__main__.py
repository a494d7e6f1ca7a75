"""Run orders: `python -m services.orders`."""

from typing import Any

from switchyard.inventory.v1 import reservations_pb2_grpc

from chassis import resealing
from chassis.service import Service
from services.orders.models import Base
from services.orders.paying import Desk
from services.orders.paying_scripted import Scripted
from services.orders.rpc.counter import Counter
from services.orders.rpc.parts import Parts
from services.orders.saga import Sagas
from services.orders.settings import OrdersSettings


def build(service: Service) -> None:
    """Put the parts together."""
    settings = service.settings
    assert isinstance(settings, OrdersSettings)
    master, previous = settings.orders_master_key, settings.orders_master_key_previous
    vault = resealing.vault(service, Base, master=master, previous=previous)
    channel: Any = service.channel("inventory")
    desk = Desk(*([Scripted(service.database)] if settings.test_payments else []), vault=vault)
    sagas = Sagas(service.database, reservations_pb2_grpc.ReservationsServiceStub(channel), desk)
    Parts(service, settings, vault, sagas, Counter(service.database, sagas, service.sites())).serve()


if __name__ == "__main__":
    Service("orders", OrdersSettings.load()).run(build)
