"""The edge of inventory: one method an RPC, in the contract's order."""

from uuid import UUID

from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import inventory_pb2 as pb

from chassis import audit, call, errors
from chassis.db import Database, Query
from chassis.paging import Page, Pager
from chassis.rpc import server
from services.inventory import inventory, ledger, menu, messages, reservations, store
from services.inventory.models import Batch, Item, MenuItem, Movement

_ITEM_COLUMNS = {"id": Item.id, "sku": Item.sku, "name": Item.name, "created_at": Item.created_at}
_BATCH_COLUMNS = {"id": Batch.id, "expires_at": Batch.expires_at, "received_at": Batch.received_at}
_MENU_COLUMNS = {"id": MenuItem.id, "name": MenuItem.name, "created_at": MenuItem.created_at}
_MOVEMENT_COLUMNS = {"id": Movement.id, "recorded_at": Movement.recorded_at}
# Statements that are kept, one for each shape of a list; clients send few shapes.
_STATEMENTS_MAX = 256


class InventoryRpc:
    """Serves the contract. `reservation_life_s`: after so many seconds a promise lapses by itself."""

    service = pb.DESCRIPTOR.services_by_name["InventoryService"]

    def __init__(self, database: Database, pager: Pager, reservation_life_s: float) -> None:
        self._database = database
        self._pager = pager
        self._reservation_life_s = reservation_life_s
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
    async def VerifyLedger(self, request: pb.VerifyLedgerRequest, session: AsyncSession) -> pb.LedgerVerification:
        return await ledger.verify(session, request.item_id)

    @server.transactional
    async def ListMenuItems(self, request: pb.ListMenuItemsRequest, session: AsyncSession) -> pb.ListMenuItemsResponse:
        page = self._pager.page(request, _MENU_COLUMNS, default="name")
        kept, cursor = page.cut((await session.scalars(page.apply(store.menu(request.category)))).all())
        return pb.ListMenuItemsResponse(menu_items=[messages.menu_item(row) for row in kept], next_cursor=cursor)

    @server.transactional
    async def CreateMenuItem(self, request: pb.CreateMenuItemRequest, session: AsyncSession) -> pb.MenuItem:
        return messages.menu_item(await menu.create(session, request.menu_item))

    @server.transactional
    async def GetMenuItem(self, request: pb.GetMenuItemRequest, session: AsyncSession) -> pb.MenuItem:
        return messages.menu_item(await menu.get(session, request.id))

    @server.transactional
    async def UpdateMenuItem(self, request: pb.UpdateMenuItemRequest, session: AsyncSession) -> pb.MenuItem:
        changed = await menu.change(session, request.id, request.menu_item, request.update_mask.paths)
        return messages.menu_item(changed)

    @server.transactional
    async def DeleteMenuItem(self, request: pb.DeleteMenuItemRequest, session: AsyncSession) -> Empty:
        await menu.remove(session, request.id)
        return Empty()

    @server.transactional
    async def ListProducts(self, request: pb.ListProductsRequest, session: AsyncSession) -> pb.ListProductsResponse:
        inventory.check_site(request.catalog_id)
        page = self._pager.page(request, _MENU_COLUMNS, default="name")
        kept, cursor = page.cut((await session.scalars(page.apply(store.menu()))).all())
        products = await menu.products(session, request.catalog_id, kept)
        return pb.ListProductsResponse(products=products, next_cursor=cursor)

    @server.transactional
    async def Reserve(self, request: pb.ReserveRequest, session: AsyncSession) -> pb.Reservation:
        audit.about(session, f"orders/{request.order_id}")
        row, picks = await reservations.reserve(session, request, life_s=self._reservation_life_s)
        return messages.reservation(row, picks)

    @server.transactional
    async def PostReservation(self, request: pb.PostReservationRequest, session: AsyncSession) -> pb.Reservation:
        return messages.reservation(*await reservations.post(session, request.order_id))

    @server.transactional
    async def ReleaseReservation(self, request: pb.ReleaseReservationRequest, session: AsyncSession) -> pb.Reservation:
        return messages.reservation(*await reservations.release(session, request.order_id))

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
