"""A shop with bulk and group orders, and people who have no account."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from switchyard.orders.v1 import bulk_pb2, bulk_pb2_grpc, groups_pb2, groups_pb2_grpc, orders_pb2
from uuid_utils.compat import uuid7

from chassis import clock
from chassis.identity import Principal
from chassis.service import Service
from chassis.testing import Databases, Serve, Tenant
from services.orders.rpc.bulk import BulkRpc
from services.orders.rpc.bulk_placing import BulkPlacing
from services.orders.rpc.counter import Counter
from services.orders.rpc.group_keeping import GroupKeeping
from services.orders.rpc.groups import GroupsRpc
from services.orders.saga import Sagas
from services.orders.tests import conftest

STAFF = conftest.STAFF
MANAGER = conftest.MANAGER | {"orders.bulk"}
HOUR = timedelta(hours=1)


@dataclass
class Crowd:
    """A shop, what its timers do when they are asked to, and its callers."""

    shop: Any
    keeping: GroupKeeping
    placing: BulkPlacing
    manager: Principal = field(init=False)

    def __post_init__(self) -> None:
        self.manager = self.shop.tenant.user(permissions=MANAGER, roles=("manager",))
        self.host = self.shop.tenant.user(permissions={"orders.create", "orders.read"}, roles=("barista",))

    # Group orders.

    def groups(self, principal: Principal | None = None) -> Any:
        return groups_pb2_grpc.GroupOrdersServiceStub(self.shop.running.channel(principal or self.host))

    @property
    def nobody(self) -> Any:
        return groups_pb2_grpc.GroupOrdersServiceStub(self.shop.running.channel(None))

    def invitation(self, **more: Any) -> groups_pb2.CreateGroupOrderRequest:
        fields = {"site_id": self.shop.site, "name": "Friday coffee", "host_name": "Ada", **more}
        request = groups_pb2.CreateGroupOrderRequest(**fields)
        if "deadline" not in more:
            request.deadline.FromDatetime(clock.now() + HOUR)
        return request

    async def open(self, principal: Principal | None = None, **more: Any) -> groups_pb2.GroupOrder:
        created: groups_pb2.GroupOrder = await self.groups(principal).CreateGroupOrder(self.invitation(**more))
        return created

    async def join(self, group: groups_pb2.GroupOrder, name: str = "Grace", **more: Any) -> groups_pb2.Participation:
        fields = {"id": group.id, "code": group.code, "name": name, "lines": [self.line()], **more}
        joined: groups_pb2.Participation = await self.nobody.JoinGroupOrder(groups_pb2.JoinGroupOrderRequest(**fields))
        return joined

    def line(self, **more: Any) -> orders_pb2.OrderLine:
        return orders_pb2.OrderLine(**{"menu_item_id": self.shop.menu_item, "quantity": 1, **more})

    async def get(self, group_id: str) -> groups_pb2.GroupOrder:
        found: groups_pb2.GroupOrder = await self.groups().GetGroupOrder(groups_pb2.GetGroupOrderRequest(id=group_id))
        return found

    async def submit(self, group_id: str, principal: Principal | None = None, **asked: Any) -> groups_pb2.GroupOrder:
        request = groups_pb2.SubmitGroupOrderRequest(id=group_id, **asked)
        submitted: groups_pb2.GroupOrder = await self.groups(principal).SubmitGroupOrder(request)
        return submitted

    async def lock(self, group_id: str, principal: Principal | None = None) -> groups_pb2.GroupOrder:
        request = groups_pb2.LockGroupOrderRequest(id=group_id)
        locked: groups_pb2.GroupOrder = await self.groups(principal).LockGroupOrder(request)
        return locked

    async def make_late(self, group: groups_pb2.GroupOrder) -> None:
        """Let a group order's deadline have passed."""
        sql = "UPDATE group_orders SET deadline = now() - interval '1 minute', due_at = now() - interval '1 minute', "
        await self.shop.rows(f"{sql} version = version + 1 WHERE id = $1", UUID(group.id))

    # Bulk orders.

    def bulks(self, principal: Principal | None = None) -> Any:
        return bulk_pb2_grpc.BulkOrdersServiceStub(self.shop.running.channel(principal or self.manager))

    def wishes(self, count: int, **more: Any) -> bulk_pb2.CreateBulkOrderRequest:
        orders = [bulk_pb2.BulkEntry(customer_name=f"Guest {each}", lines=[self.line()]) for each in range(count)]
        fields = {"site_id": self.shop.site, "name": "Conference", "orders": orders, **more}
        return bulk_pb2.CreateBulkOrderRequest(**fields)

    async def create(self, count: int, **more: Any) -> bulk_pb2.BulkOrder:
        created: bulk_pb2.BulkOrder = await self.bulks().CreateBulkOrder(self.wishes(count, **more))
        return created

    async def progress(self, bulk_id: str) -> bulk_pb2.BulkOrderProgress:
        request = bulk_pb2.GetBulkOrderProgressRequest(id=bulk_id)
        found: bulk_pb2.BulkOrderProgress = await self.bulks().GetBulkOrderProgress(request)
        return found

    async def cancel(self, bulk_id: str) -> bulk_pb2.BulkOrder:
        request = bulk_pb2.CancelBulkOrderRequest(id=bulk_id)
        cancelled: bulk_pb2.BulkOrder = await self.bulks().CancelBulkOrder(request)
        return cancelled

    async def later(self, work: Any, after: timedelta = timedelta(minutes=5)) -> None:
        """What a timer does when every claim has ended."""
        with clock.shifted(after):
            await work()

    # What was left behind.

    async def orders_of(self, column: str, of: str) -> list[Any]:
        sql = f"SELECT * FROM orders WHERE tenant_id = $1 AND {column} = $2 ORDER BY placed_at"
        found: list[Any] = await self.shop.rows(sql, self.shop.tenant.id, UUID(of))
        return found

    async def told(self, subject: str) -> Sequence[tuple[str, str]]:
        """Name and audience of the events of something, in order."""
        sql = (
            "SELECT subject, audience FROM outbox WHERE tenant_id = $1 AND envelope LIKE $2 AND subject LIKE 'evt.%' "
            "ORDER BY seq"
        )
        rows = await self.shop.rows(sql, self.shop.tenant.id, f'%"subject":"{subject}"%')
        return [(row["subject"].rsplit(".", 1)[1], row["audience"]) for row in rows]

    async def trail(self, about: str) -> list[str]:
        """What the trail is told of something, in order."""
        sql = "SELECT envelope FROM outbox WHERE subject LIKE 'aud.%' AND envelope LIKE $1 ORDER BY seq"
        return [row["envelope"] for row in await self.shop.rows(sql, f"%{about}%")]


async def gather_crowd(serve: Serve, databases: Databases, tenant: Tenant, inventory: tuple[Any, str]) -> Crowd:
    """A shop whose timers only work when they are asked to."""
    parts: dict[str, Any] = {}

    def more(service: Service, counter: Counter, sagas: Sagas) -> None:
        parts["keeping"] = GroupKeeping(service.database, counter, sagas)
        parts["placing"] = BulkPlacing(service.database, counter)
        service.serve(BulkRpc(service.sites(), service.pager()))
        service.serve(GroupsRpc(service.database, parts["keeping"], service.sites(), service.pager()))

    shop = await conftest.open_shop(serve, databases, tenant, inventory, more)
    # What earlier tests have left half done is not this one's business.
    await shop.rows("UPDATE bulk_orders SET due_at = 'infinity'")
    await shop.rows("UPDATE group_orders SET due_at = 'infinity', version = version + 1 WHERE status <> 'closed'")
    return Crowd(shop, **parts)


def some_id() -> str:
    return str(uuid7())
