"""Wiring: where the parts of registry meet."""

from chassis.service import Service
from chassis.settings import ServiceSettings
from services.registry import intake, keeper, work
from services.registry.keeper import Keeper
from services.registry.peers import Peers
from services.registry.probing import Prober
from services.registry.roster import Roster
from services.registry.rpc import RegistryRpc

FORGET_EVERY_S = 60.0


def build(service: Service, name: str = keeper.BUCKET) -> None:
    """Put the parts together; `name` is the bucket's."""
    bucket = service.bucket(name, history=keeper.HISTORY)
    roster, processes = Roster(), Peers()
    keeping = Keeper(bucket, roster)
    working = work.Work(service.nats, roster, keeping, processes, bucket, Prober().probe)
    service.serve(RegistryRpc(service.database, roster, keeping, working, processes, service.pager()))
    service.needs(keeping.ready)
    service.background(keeping.run())
    service.background(working.tell())
    service.background(working.look_after())
    service.every(FORGET_EVERY_S, working.forget)
    service.background(intake.consume(service.nats, service.database, bucket, keeping.begun()))
    work.measure(roster)


if __name__ == "__main__":
    Service("registry", ServiceSettings.load()).run(build)
