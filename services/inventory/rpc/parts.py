"""What the edges of inventory are made of, put together."""

from collections.abc import Iterator

from chassis.encryption import Vault
from chassis.rpc.server import Servicer
from chassis.service import Service
from services.inventory.rpc.imports import ImportsRpc
from services.inventory.rpc.inventory import InventoryRpc
from services.inventory.rpc.menu import MenuRpc
from services.inventory.rpc.reservations import ReservationsRpc
from services.inventory.rpc.restock import RestockRpc
from services.inventory.rpc.stock import StockRpc
from services.inventory.rpc.webhooks import WebhooksRpc
from services.inventory.settings import InventorySettings


def servicers(service: Service, settings: InventorySettings, vault: Vault) -> Iterator[Servicer]:
    """One for each contract."""
    database, pager, sites = service.database, service.pager(), service.sites()
    yield InventoryRpc(database, pager, sites)
    yield MenuRpc(database, pager, sites)
    yield ReservationsRpc(settings.reservation_life_s)
    yield RestockRpc(sites, pager)
    yield StockRpc(sites, pager)
    yield ImportsRpc(pager)
    yield WebhooksRpc(database, pager, sites, vault)
