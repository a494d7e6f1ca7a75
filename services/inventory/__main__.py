"""Wiring: where the parts of inventory meet."""

from chassis.service import Service
from services.inventory import work
from services.inventory.rpc.inventory import InventoryRpc
from services.inventory.rpc.menu import MenuRpc
from services.inventory.rpc.reservations import ReservationsRpc
from services.inventory.rpc.restock import RestockRpc
from services.inventory.settings import InventorySettings

# How often lapsed reservations are looked for, in seconds.
EXPIRE_EVERY_S = 5.0


def build(service: Service) -> None:
    """Put the parts together."""
    settings = service.settings
    assert isinstance(settings, InventorySettings)
    pager, sites = service.pager(), service.sites()
    service.serve(InventoryRpc(service.database, pager))
    service.serve(MenuRpc(service.database, pager, sites))
    service.serve(ReservationsRpc(settings.reservation_life_s))
    service.serve(RestockRpc(sites, pager))
    service.every(EXPIRE_EVERY_S, lambda: work.expire(service.database))


if __name__ == "__main__":
    Service("inventory", InventorySettings.load()).run(build)
