"""What orders is made of, put together."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from chassis.encryption import Vault
from chassis.rpc.server import Servicer
from chassis.service import Service
from services.orders.events import HANDLERS
from services.orders.pos_addresses import Guard
from services.orders.post import Post
from services.orders.rpc.bulk import BulkRpc
from services.orders.rpc.bulk_placing import BulkPlacing
from services.orders.rpc.counter import Counter
from services.orders.rpc.group_keeping import GroupKeeping
from services.orders.rpc.groups import GroupsRpc
from services.orders.rpc.imports import OrderImportsRpc
from services.orders.rpc.lines import LinesRpc
from services.orders.rpc.orders import OrdersRpc
from services.orders.rpc.pos import PosRpc
from services.orders.rpc.sync import SyncRpc
from services.orders.saga import Sagas
from services.orders.settings import OrdersSettings

# How often due sagas are looked for: what a crash has left waits for its claim to end and then this long.
RESUME_EVERY_S = 0.5
# A bulk order that was accepted waits this long at most for its first order to be placed.
PLACE_EVERY_S = 0.5
# A group order is locked this long after its deadline at most; nobody joins meanwhile.
FOLLOW_EVERY_S = 1.0


@dataclass(frozen=True)
class Parts:
    """The parts that several edges share."""

    service: Service
    settings: OrdersSettings
    vault: Vault
    sagas: Sagas
    counter: Counter

    def serve(self) -> None:
        """Serve every contract, and start what is done again and again."""
        for servicer in self._servicers():
            self.service.serve(servicer)
        for interval_s, work in self._timers():
            self.service.every(interval_s, work)
        self.service.handle(HANDLERS)
        self.service.background(Post(self.service.database, self.vault, Guard.of(self.settings)).run())

    def _servicers(self) -> Iterator[Servicer]:
        database, pager, sites = self.service.database, self.service.pager(), self.service.sites()
        yield OrdersRpc(database, self.counter, pager)
        yield LinesRpc(self.counter)
        yield OrderImportsRpc(sites)
        yield BulkRpc(sites, pager)
        yield GroupsRpc(database, self._keeping, sites, pager)
        yield SyncRpc(database, self.counter, deadline_s=self.settings.deadline_s)
        yield PosRpc(self.vault, Guard.of(self.settings), sites)

    def _timers(self) -> Iterator[tuple[float, Callable[[], Awaitable[None]]]]:
        yield RESUME_EVERY_S, self.sagas.resume
        yield PLACE_EVERY_S, BulkPlacing(self.service.database, self.counter).resume
        yield FOLLOW_EVERY_S, self._keeping.resume

    @property
    def _keeping(self) -> GroupKeeping:
        return GroupKeeping(self.service.database, self.counter, self.sagas)
