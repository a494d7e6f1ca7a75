"""Wiring: where the parts of inventory meet."""

from chassis import resealing
from chassis.service import Service
from services.inventory import intake, work
from services.inventory.models import Base
from services.inventory.rpc import importing, parts
from services.inventory.settings import InventorySettings

# How often lapsed reservations are looked for, in seconds.
EXPIRE_EVERY_S = 5.0
# How often batches are looked for that expire soon or have.
WARN_EVERY_S = 15.0


def build(service: Service) -> None:
    """Put the parts together."""
    settings = service.settings
    assert isinstance(settings, InventorySettings)
    master, previous = settings.inventory_master_key, settings.inventory_master_key_previous
    vault = resealing.vault(service, Base, master=master, previous=previous)
    for servicer in parts.servicers(service, settings, vault):
        service.serve(servicer)
    service.every(EXPIRE_EVERY_S, lambda: work.expire(service.database))
    service.every(WARN_EVERY_S, lambda: work.warn(service.database))
    service.every(importing.EVERY_S, importing.Importing(service.database).work)
    service.background(intake.Intake(service.database).run(service.nats))


if __name__ == "__main__":
    Service("inventory", InventorySettings.load()).run(build)
