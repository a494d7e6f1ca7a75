"""Wiring: where the parts of locks meet."""

from functools import partial

from chassis.service import Service
from chassis.settings import ServiceSettings
from services.locks import work
from services.locks.hosts import Hosts
from services.locks.keeper import Keeper
from services.locks.line import Line
from services.locks.rpc import LocksRpc


def build(service: Service) -> None:
    """Put the parts together."""
    bucket = service.bucket("locks")
    hosts = Hosts()
    keeper = Keeper(bucket, hosts)
    line = Line(keeper, hosts.me)
    service.serve(LocksRpc(service.database, keeper, line, service.pager(), me=hosts.me))
    service.background(keeper.run())
    service.background(work.live(service.nats, hosts))
    service.every(work.CLEAR_UP_EVERY_S, partial(work.clear_up, keeper, line, hosts.me))
    service.background(work.expire(keeper))
    service.background(work.end_circles(keeper, line, hosts.me))
    service.background(work.tell(service.database, keeper))
    service.needs(keeper.ready)


if __name__ == "__main__":
    Service("locks", ServiceSettings.load()).run(build)
