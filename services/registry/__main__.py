"""Wiring: where the parts of registry meet."""

from chassis.service import Service
from chassis.settings import ServiceSettings
from services.registry import work
from services.registry.roster import Roster
from services.registry.rpc import RegistryRpc


def build(service: Service) -> None:
    """Put the parts together."""
    roster = Roster()
    service.serve(RegistryRpc(service.database, roster, service.pager()))
    service.background(work.observe(service.database, roster))


if __name__ == "__main__":
    Service("registry", ServiceSettings.load()).run(build)
