"""Wiring: where the parts of locks meet."""

from chassis.service import Service
from chassis.settings import ServiceSettings
from services.locks.rpc import LocksRpc


def build(service: Service) -> None:
    """Put the parts together."""
    service.serve(LocksRpc(service.database, service.pager()))


if __name__ == "__main__":
    Service("locks", ServiceSettings.load()).run(build)
