"""An item at two sites with stations, and what is done to it."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from switchyard.inventory.v1 import inventory_pb2 as pb
from switchyard.inventory.v1 import menu_pb2 as menu
from switchyard.inventory.v1 import reservations_pb2 as held
from switchyard.inventory.v1 import stock_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.testing import Running, Serve, Tenant
from services.inventory.__main__ import build
from services.inventory.settings import InventorySettings
from services.inventory.tests.support import Stub

QUARANTINED = pb.BATCH_STATUS_QUARANTINED


@dataclass(frozen=True)
class Place:
    """One item at two sites, the first of which has two stations and the second one."""

    running: Running
    tenant: Tenant
    stub: Any
    item_id: str
    site: str
    other: str
    bar: str
    back: str
    far: str

    @classmethod
    async def open(cls, serve: Serve, tenant: Tenant, **item: Any) -> "Place":
        running = await serve("inventory", build, settings=InventorySettings)
        site, other, bar, back, far = (str(uuid7()) for _ in range(5))
        known: Any = running.service
        known.every_site.stations.update({site: [bar, back], other: [far]})
        stub = Stub(running.channel(tenant.user()))
        told: dict[str, Any] = {"sku": "MILK", "name": "Milk", "unit": pb.UNIT_ML, **item}
        created = await stub.CreateItem(pb.CreateItemRequest(item=pb.Item(**told)))
        return cls(running, tenant, stub, created.id, site, other, bar, back, far)

    async def move(self, kind: Any, quantity: int, **more: Any) -> pb.Movement:
        told = pb.Movement(type=kind, quantity=quantity, **{"site_id": self.site, **more})
        moved: pb.Movement = await self.stub.CreateMovement(
            pb.CreateMovementRequest(item_id=self.item_id, movement=told)
        )
        return moved

    async def lot(self, name: str, quantity: int, *, days: int = 0, **more: Any) -> pb.Batch:
        told = pb.Batch(site_id=self.site, lot=name, quantity=quantity, **more)
        if days:
            told.expires_at.FromDatetime(clock.now() + timedelta(days=days))
        batch: pb.Batch = await self.stub.CreateBatch(pb.CreateBatchRequest(item_id=self.item_id, batch=told))
        return batch

    async def hold(self, batch: pb.Batch, status: Any = QUARANTINED, reason: str = "smells") -> pb.Batch:
        request = pb.UpdateBatchRequest(id=batch.id, batch=pb.Batch(status=status, reason=reason))
        request.update_mask.paths.extend(["status", "reason"])
        changed: pb.Batch = await self.stub.UpdateBatch(request)
        return changed

    async def reverse(self, movement: pb.Movement) -> pb.Movement:
        undone: pb.Movement = await self.stub.ReverseMovement(pb.ReverseMovementRequest(id=movement.id, reason="oops"))
        return undone

    async def count(self, station: str, quantity: int, believed: int | None = None) -> stock_pb2.StationStock:
        line = stock_pb2.StationCount(item_id=self.item_id, quantity=quantity, change_from_quantity=believed)
        request = stock_pb2.SetStationStockRequest(station_id=station, items=[line])
        counted: stock_pb2.StationStock = await self.stub.SetStationStock(request)
        return counted

    async def at(self, station: str) -> int:
        told = await self.stub.GetStationStock(stock_pb2.GetStationStockRequest(station_id=station))
        return sum(item.on_hand for item in told.items)

    async def deplete(self, station: str, quantity: int, **more: Any) -> stock_pb2.Depletion:
        used = [stock_pb2.DepletedItem(item_id=self.item_id, quantity=quantity)]
        told: dict[str, Any] = {"id": str(uuid7()), "station_id": station, "items": used, **more}
        done: stock_pb2.Depletion = await self.stub.Deplete(stock_pb2.DepleteRequest(**told))
        return done

    async def item(self) -> pb.Item:
        read: pb.Item = await self.stub.GetItem(pb.GetItemRequest(id=self.item_id))
        return read

    async def verified(self) -> pb.LedgerVerification:
        told: pb.LedgerVerification = await self.stub.VerifyLedger(pb.VerifyLedgerRequest(item_id=self.item_id))
        return told

    async def events(self) -> list[str]:
        """The names of the tenant's events, in order."""
        return [subject.rsplit(".", 1)[1] for subject, _ in await self._sent() if subject.startswith("evt.")]

    async def trail(self) -> list[dict[str, Any]]:
        """What the trail is told of the tenant, in order."""
        return [orjson.loads(body) for subject, body in await self._sent() if subject.startswith("aud.")]

    async def _sent(self) -> list[tuple[str, str]]:
        sql = "SELECT subject, envelope FROM outbox WHERE tenant_id = $1 ORDER BY seq"
        connection = await self.running.service.database.connect()
        await connection.execute("SELECT set_config('app.tenant_id', $1, false)", str(self.tenant.id))
        rows = await connection.fetch(sql, self.tenant.id)
        await connection.close()
        return [(row["subject"], row["envelope"]) for row in rows]

    async def order(self) -> tuple[Any, held.ReserveRequest]:
        """The service that reserves, and a request for one of the item."""
        sold = menu.MenuItem(name="Glass", recipe=[menu.RecipeLine(item_id=self.item_id, quantity=1)])
        sold.price.amount, sold.price.currency = 1, "USD"
        made = await self.stub.CreateMenuItem(menu.CreateMenuItemRequest(menu_item=sold))
        line = held.ReserveLine(line_id=str(uuid7()), menu_item_id=made.id, quantity=1)
        wish = held.ReserveRequest(order_id=str(uuid7()), site_id=self.site, lines=[line])
        return Stub(self.running.channel(self.tenant.service("orders"))), wish


async def everyone(*attempts: Any) -> list[Any]:
    """What becomes of attempts that are made at once."""
    return list(await asyncio.gather(*attempts, return_exceptions=True))


def codes(answers: list[Any]) -> set[str]:
    """The codes of those that were refused."""
    return {answer.code for answer in answers if isinstance(answer, errors.Error)}
