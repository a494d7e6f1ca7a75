"""Items, batches and movements, as the contract orders them."""

from uuid import UUID

from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import inventory_pb2 as pb

from chassis import call, errors
from chassis.db import Database, Query
from chassis.paging import Page, Pager
from chassis.rpc import server
from services.inventory import inventory, ledger, messages, store
from services.inventory.models import Batch, Item, Movement

_ITEM_COLUMNS = {"id": Item.id, "sku": Item.sku, "name": Item.name, "created_at": Item.created_at}
_BATCH_COLUMNS = {"id": Batch.id, "expires_at": Batch.expires_at, "received_at": Batch.received_at}
_MOVEMENT_COLUMNS = {"id": Movement.id, "recorded_at": Movement.recorded_at}
# Statements that are kept, one for each shape of a list; clients send few shapes.
_STATEMENTS_MAX = 256


class InventoryRpc:
    """Serves `switchyard.inventory.v1.InventoryService`."""

    service = pb.DESCRIPTOR.services_by_name["InventoryService"]

    def __init__(self, database: Database, pager: Pager) -> None:
        self._database = database
        self._pager = pager
        self._lists: dict[object, Query] = {}

    async def ListItems(self, request: pb.ListItemsRequest) -> pb.ListItemsResponse:
        page = self._pager.page(request, _ITEM_COLUMNS, default="-created_at")
        filters = {name: getattr(request, name) for name in store.ITEM_FILTERS if _given(request, name)}
        query = self._list_query(page, tuple(filters))
        rows = await self._database.read(query, _tenant(), **filters, **page.parameters, **_where())
        kept, cursor = page.cut(rows)
        return pb.ListItemsResponse(items=[messages.item(row) for row in kept], next_cursor=cursor)

    @server.transactional
    async def CreateItem(self, request: pb.CreateItemRequest, session: AsyncSession) -> pb.Item:
        return messages.new_item(await inventory.create(session, request.item))

    async def GetItem(self, request: pb.GetItemRequest) -> pb.Item:
        rows = await self._database.read(store.ITEM, _tenant(), id=UUID(request.id), **_where())
        if not rows:
            raise errors.NotFound
        return messages.item(rows[0])

    @server.transactional
    async def UpdateItem(self, request: pb.UpdateItemRequest, session: AsyncSession) -> pb.Item:
        await inventory.change(session, request.id, request.item, request.update_mask.paths)
        return messages.item(await store.item_with_stock(session, UUID(request.id), _own_sites()))

    @server.transactional
    async def DeleteItem(self, request: pb.DeleteItemRequest, session: AsyncSession) -> Empty:
        await inventory.retire(session, request.id)
        return Empty()

    @server.transactional
    async def ListBatches(self, request: pb.ListBatchesRequest, session: AsyncSession) -> pb.ListBatchesResponse:
        await inventory.get(session, request.item_id)
        page = self._pager.page(request, _BATCH_COLUMNS, default="expires_at,received_at")
        rows = await session.scalars(page.apply(store.batches(request.item_id, _sites(request))))
        kept, cursor = page.cut(rows.all())
        return pb.ListBatchesResponse(batches=[messages.batch(row) for row in kept], next_cursor=cursor)

    @server.transactional
    async def CreateBatch(self, request: pb.CreateBatchRequest, session: AsyncSession) -> pb.Batch:
        return messages.batch(await ledger.receive_batch(session, request.item_id, request.batch))

    @server.transactional
    async def SearchBatches(self, request: pb.SearchBatchesRequest, session: AsyncSession) -> pb.ListBatchesResponse:
        raise errors.Unavailable

    @server.transactional
    async def GetBatch(self, request: pb.GetBatchRequest, session: AsyncSession) -> pb.Batch:
        raise errors.Unavailable

    @server.transactional
    async def UpdateBatch(self, request: pb.UpdateBatchRequest, session: AsyncSession) -> pb.Batch:
        raise errors.Unavailable

    @server.transactional
    async def ListMovements(self, request: pb.ListMovementsRequest, session: AsyncSession) -> pb.ListMovementsResponse:
        await inventory.get(session, request.item_id)
        page = self._pager.page(request, _MOVEMENT_COLUMNS, default="-recorded_at")
        rows = await session.scalars(page.apply(store.movements(request.item_id, _sites(request))))
        kept, cursor = page.cut(rows.all())
        return pb.ListMovementsResponse(movements=[messages.movement(row) for row in kept], next_cursor=cursor)

    @server.transactional
    async def CreateMovement(self, request: pb.CreateMovementRequest, session: AsyncSession) -> pb.Movement:
        return messages.recorded(await ledger.record(session, request.item_id, request.movement))

    @server.transactional
    async def SearchMovements(
        self, request: pb.SearchMovementsRequest, session: AsyncSession
    ) -> pb.ListMovementsResponse:
        raise errors.Unavailable

    @server.transactional
    async def GetMovement(self, request: pb.GetMovementRequest, session: AsyncSession) -> pb.Movement:
        raise errors.Unavailable

    @server.transactional
    async def ReverseMovement(self, request: pb.ReverseMovementRequest, session: AsyncSession) -> pb.Movement:
        raise errors.Unavailable

    @server.transactional
    async def VerifyLedger(self, request: pb.VerifyLedgerRequest, session: AsyncSession) -> pb.LedgerVerification:
        return await ledger.verify(session, request.item_id)

    def _list_query(self, page: Page, filters: tuple[str, ...]) -> Query:
        shape = (page.shape, filters)
        found = self._lists.get(shape)
        if found is None:
            if len(self._lists) >= _STATEMENTS_MAX:
                self._lists.clear()
            select = store.ITEMS.where(*(store.ITEM_FILTERS[name] for name in filters))
            found = self._lists[shape] = Query(page.hot(select))
        return found


def _given(request: pb.ListItemsRequest, name: str) -> bool:
    return request.HasField("low_stock") if name == "low_stock" else bool(getattr(request, name))


def _tenant() -> UUID:
    return call.current().principal.tenant


def _where() -> dict[str, object]:
    sites = _own_sites()
    return {"everywhere": not sites, "sites": sites}


def _own_sites() -> list[UUID]:
    """The sites that the caller is limited to; none: not limited."""
    return [UUID(site) for site in call.current().principal.sites]


def _sites(request: pb.ListBatchesRequest | pb.ListMovementsRequest) -> list[str]:
    """The sites a list is about: the one asked for, or those of the caller; none: all."""
    if request.HasField("site_id"):
        inventory.check_site(request.site_id)
        return [request.site_id]
    return sorted(call.current().principal.sites)
