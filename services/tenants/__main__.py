"""Wiring: where the parts of tenants meet."""

from chassis.service import Service
from chassis.settings import ServiceSettings
from services.tenants.rpc.settings import SettingsRpc
from services.tenants.rpc.sites import SitesRpc
from services.tenants.rpc.tenants import TenantsRpc


def build(service: Service) -> None:
    """Put the parts together."""
    database, pager = service.database, service.pager()
    service.serve(TenantsRpc(database, pager))
    service.serve(SitesRpc(database, pager))
    service.serve(SettingsRpc(database, pager))


if __name__ == "__main__":
    Service("tenants", ServiceSettings.load()).run(build)
