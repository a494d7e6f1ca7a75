"""Items, batches and movements, as the contract orders them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import inventory_pb2 as pb

from chassis import call, clock, errors
from chassis.db import Database, Query
from chassis.paging import Page, Pager
from chassis.rpc import server
from chassis.sites import Site, Sites
from services.inventory import (
    inventory,
    item_store,
    ledger,
    ledger_store,
    lots,
    messages,
    movements,
    reversals,
)
from services.inventory.models import Batch, Item, Movement

_ITEM_COLUMNS = {"id": Item.id, "sku": Item.sku, "name": Item.name, "created_at": Item.created_at}
_BATCH_COLUMNS = {"id": Batch.id, "expires_at": Batch.expires_at, "received_at": Batch.received_at}
_MOVEMENT_COLUMNS = {"id": Movement.id, "recorded_at": Movement.recorded_at}
_FIRST_EXPIRY, _NEWEST = "expires_at,received_at", "-recorded_at"
# Statements that are kept, one for each shape of a list; clients send few shapes.
_STATEMENTS_MAX = 256


class InventoryRpc:
    """Serves `switchyard.inventory.v1.InventoryService`."""

    service = pb.DESCRIPTOR.services_by_name["InventoryService"]

    def __init__(self, database: Database, pager: Pager, sites: Sites) -> None:
        self._database = database
        self._pager = pager
        self._sites = sites
        self._lists: dict[object, Query] = {}

    async def ListItems(self, request: pb.ListItemsRequest) -> pb.ListItemsResponse:
        page = self._pager.page(request, _ITEM_COLUMNS, default="-created_at")
        filters = {name: getattr(request, name) for name in item_store.ITEM_FILTERS if _given(request, name)}
        if request.HasField("expiring_within"):
            filters["expiring_within"] = _until(request)
        query = self._list_query(page, tuple(filters))
        rows = await self._database.read(query, _tenant(), **filters, **page.parameters, **_where())
        kept, cursor = page.cut(rows)
        return pb.ListItemsResponse(items=[messages.item(row) for row in kept], next_cursor=cursor)

    @server.transactional
    async def CreateItem(self, request: pb.CreateItemRequest, session: AsyncSession) -> pb.Item:
        return messages.new_item(await inventory.create(session, request.item))

    async def GetItem(self, request: pb.GetItemRequest) -> pb.Item:
        rows = await self._database.read(item_store.ITEM, _tenant(), id=UUID(request.id), **_where())
        if not rows:
            raise errors.NotFound
        return messages.item(rows[0])

    @server.transactional
    async def UpdateItem(self, request: pb.UpdateItemRequest, session: AsyncSession) -> pb.Item:
        await inventory.change(session, request.id, request.item, request.update_mask.paths)
        return messages.item(await item_store.item(session, UUID(request.id), _where()))

    @server.transactional
    async def DeleteItem(self, request: pb.DeleteItemRequest, session: AsyncSession) -> Empty:
        await inventory.retire(session, request.id)
        return Empty()

    @server.transactional
    async def ListBatches(self, request: pb.ListBatchesRequest, session: AsyncSession) -> pb.ListBatchesResponse:
        await inventory.get(session, request.item_id)
        page = self._pager.page(request, _BATCH_COLUMNS, default=_FIRST_EXPIRY)
        select = ledger_store.batches(_sites(request), item_id=UUID(request.item_id))
        return _batches(page, (await session.scalars(page.apply(select))).all())

    async def _site_of_batch(self, request: pb.CreateBatchRequest) -> Site:
        return await self._sites.get(request.batch.site_id)

    @server.prepared(_site_of_batch)
    @server.transactional
    async def CreateBatch(self, request: pb.CreateBatchRequest, session: AsyncSession, _site: Site) -> pb.Batch:
        return await _written(session, await lots.receive(session, request.item_id, request.batch))

    @server.transactional
    async def SearchBatches(self, request: pb.SearchBatchesRequest, session: AsyncSession) -> pb.ListBatchesResponse:
        page = self._pager.page(request, _BATCH_COLUMNS, default=_FIRST_EXPIRY)
        by = {"status": request.status, "expires_until": _until(request), "filled": not request.empty}
        select = ledger_store.batches(_sites(request), item_id=_uuid(request, "item_id"), **by)
        return _batches(page, (await session.scalars(page.apply(select))).all())

    @server.transactional
    async def GetBatch(self, request: pb.GetBatchRequest, session: AsyncSession) -> pb.Batch:
        return messages.batch(await lots.get(session, request.id))

    @server.transactional
    async def UpdateBatch(self, request: pb.UpdateBatchRequest, session: AsyncSession) -> pb.Batch:
        row = await lots.change(session, request.id, request.batch, request.update_mask.paths)
        return await _written(session, row)

    @server.transactional
    async def ListMovements(self, request: pb.ListMovementsRequest, session: AsyncSession) -> pb.ListMovementsResponse:
        await inventory.get(session, request.item_id)
        page = self._pager.page(request, _MOVEMENT_COLUMNS, default=_NEWEST)
        select = ledger_store.movements(_sites(request), item_id=UUID(request.item_id))
        return _movements(page, (await session.execute(page.apply(select))).all())

    async def _sites_of_movement(self, request: pb.CreateMovementRequest) -> None:
        told = request.movement
        sites = [await self._sites.get(told.site_id)]
        sites += [await self._sites.get(told.to_site_id)] if told.HasField("to_site_id") else []
        for station_id, site in ((told.station_id, sites[0]), (told.to_station_id, sites[-1])):
            if station_id and UUID(station_id) not in site.stations:
                raise errors.NotFound

    @server.prepared(_sites_of_movement)
    @server.transactional
    async def CreateMovement(
        self, request: pb.CreateMovementRequest, session: AsyncSession, _checked: None
    ) -> pb.Movement:
        balance, rows = await movements.record(session, request.item_id, request.movement)
        return messages.recorded(rows) if rows else messages.agreed(request.movement, balance)

    @server.transactional
    async def SearchMovements(
        self, request: pb.SearchMovementsRequest, session: AsyncSession
    ) -> pb.ListMovementsResponse:
        page = self._pager.page(request, _MOVEMENT_COLUMNS, default=_NEWEST)
        by = {name: _uuid(request, name) for name in ("item_id", "station_id", "batch_id", "order_id")}
        times = {name: _time(request, name) for name in ("date_from", "date_to")}
        select = ledger_store.movements(_sites(request), type=request.type, **by, **times)
        return _movements(page, (await session.execute(page.apply(select))).all())

    @server.transactional
    async def GetMovement(self, request: pb.GetMovementRequest, session: AsyncSession) -> pb.Movement:
        row = await ledger_store.movement(session, UUID(request.id))
        if row is None or not call.current().principal.may_see_site(row.Movement.site_id):
            raise errors.NotFound
        return messages.movement(row.Movement, is_reversed=row.reversed)

    @server.transactional
    async def ReverseMovement(self, request: pb.ReverseMovementRequest, session: AsyncSession) -> pb.Movement:
        return messages.recorded(await reversals.reverse(session, request.id, request.reason))

    @server.transactional
    async def VerifyLedger(self, request: pb.VerifyLedgerRequest, session: AsyncSession) -> pb.LedgerVerification:
        return await ledger.verify(session, request.item_id)

    def _list_query(self, page: Page, filters: tuple[str, ...]) -> Query:
        shape = (page.shape, filters)
        found = self._lists.get(shape)
        if found is None:
            if len(self._lists) >= _STATEMENTS_MAX:
                self._lists.clear()
            select = item_store.ITEMS.where(*(item_store.ITEM_FILTERS[name] for name in filters))
            found = self._lists[shape] = Query(page.hot(select))
        return found


def _given(request: pb.ListItemsRequest, name: str) -> bool:
    return request.HasField(name) if name in {"low_stock", "expiring_within"} else bool(getattr(request, name))


def _tenant() -> UUID:
    return call.current().principal.tenant


def _where() -> dict[str, object]:
    sites = [UUID(site) for site in call.current().principal.sites]
    return {"everywhere": not sites, "sites": sites, "now": clock.now()}


def _sites(request: Any) -> list[str]:
    """The sites a list is about: the one asked for, or those of the caller; none: all."""
    if request.HasField("site_id"):
        inventory.check_site(request.site_id)
        return [request.site_id]
    return sorted(call.current().principal.sites)


def _uuid(request: Any, name: str) -> UUID | None:
    return UUID(getattr(request, name)) if request.HasField(name) else None


def _time(request: Any, name: str) -> datetime | None:
    return getattr(request, name).ToDatetime(UTC) if request.HasField(name) else None


def _until(request: Any) -> datetime | None:
    """When the days are over within which something expires."""
    return clock.now() + timedelta(days=request.expiring_within) if request.HasField("expiring_within") else None


def _batches(page: Page, rows: Sequence[Batch]) -> pb.ListBatchesResponse:
    kept, cursor = page.cut(rows)
    return pb.ListBatchesResponse(batches=[messages.batch(row) for row in kept], next_cursor=cursor)


def _movements(page: Page, rows: Sequence[Any]) -> pb.ListMovementsResponse:
    undone = {row.Movement.id: row.reversed for row in rows}
    kept, cursor = page.cut([row.Movement for row in rows])
    told = [messages.movement(row, is_reversed=undone[row.id]) for row in kept]
    return pb.ListMovementsResponse(movements=told, next_cursor=cursor)


async def _written(session: AsyncSession, row: Batch) -> pb.Batch:
    """A batch with the version that it has been written under."""
    await session.flush()
    return messages.batch(row)
