"""Wiring: where the parts of inventory meet."""

from chassis.service import Service
from services.inventory import intake, work
from services.inventory.rpc import parts
from services.inventory.settings import InventorySettings

# How often lapsed reservations are looked for, in seconds.
EXPIRE_EVERY_S = 5.0


def build(service: Service) -> None:
    """Put the parts together."""
    settings = service.settings
    assert isinstance(settings, InventorySettings)
    for servicer in parts.servicers(service, settings):
        service.serve(servicer)
    service.every(EXPIRE_EVERY_S, lambda: work.expire(service.database))
    menu = intake.Intake(service.database)
    service.every(intake.EXPIRED_EVERY_S, menu.expire)
    service.background(menu.run(service.nats))


if __name__ == "__main__":
    Service("inventory", InventorySettings.load()).run(build)
