"""Wiring: where the parts of tenants meet."""

from chassis.service import Service
from chassis.settings import ServiceSettings
from services.tenants.rpc import TenantsRpc


def build(service: Service) -> None:
    """Put the parts together."""
    service.serve(TenantsRpc(service.pager()))


if __name__ == "__main__":
    Service("tenants", ServiceSettings.load()).run(build)
