"""Wiring: where the parts of tenants meet."""

from chassis.service import Service
from chassis.settings import ServiceSettings
from services.tenants.rpc.settings import SettingsRpc
from services.tenants.rpc.sites import SitesRpc
from services.tenants.rpc.tenants import TenantsRpc


def build(service: Service) -> None:
    """Put the parts together."""
    pager = service.pager()
    service.serve(TenantsRpc(pager))
    service.serve(SitesRpc(service.database, pager))
    service.serve(SettingsRpc(pager))


if __name__ == "__main__":
    Service("tenants", ServiceSettings.load()).run(build)
