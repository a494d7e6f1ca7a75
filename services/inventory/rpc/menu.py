"""The menu and the catalog, as the contract orders them."""

from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import menu_pb2 as pb

from chassis import errors
from chassis.paging import Pager
from chassis.rpc import server
from services.inventory import inventory, menu, menu_messages, menu_store
from services.inventory.menu_models import MenuItem

_MENU_COLUMNS = {"id": MenuItem.id, "name": MenuItem.name, "created_at": MenuItem.created_at}


class MenuRpc:
    """Serves `switchyard.inventory.v1.MenuService`."""

    service = pb.DESCRIPTOR.services_by_name["MenuService"]

    def __init__(self, pager: Pager) -> None:
        self._pager = pager

    @server.transactional
    async def ListMenuItems(self, request: pb.ListMenuItemsRequest, session: AsyncSession) -> pb.ListMenuItemsResponse:
        page = self._pager.page(request, _MENU_COLUMNS, default="name")
        kept, cursor = page.cut((await session.scalars(page.apply(menu_store.menu(request.category)))).all())
        return pb.ListMenuItemsResponse(menu_items=[menu_messages.menu_item(row) for row in kept], next_cursor=cursor)

    @server.transactional
    async def CreateMenuItem(self, request: pb.CreateMenuItemRequest, session: AsyncSession) -> pb.MenuItem:
        return menu_messages.menu_item(await menu.create(session, request.menu_item))

    @server.transactional
    async def GetMenuItem(self, request: pb.GetMenuItemRequest, session: AsyncSession) -> pb.MenuItem:
        return menu_messages.menu_item(await menu.get(session, request.id))

    @server.transactional
    async def UpdateMenuItem(self, request: pb.UpdateMenuItemRequest, session: AsyncSession) -> pb.MenuItem:
        changed = await menu.change(session, request.id, request.menu_item, request.update_mask.paths)
        return menu_messages.menu_item(changed)

    @server.transactional
    async def DeleteMenuItem(self, request: pb.DeleteMenuItemRequest, session: AsyncSession) -> Empty:
        await menu.remove(session, request.id)
        return Empty()

    @server.transactional
    async def ListProducts(self, request: pb.ListProductsRequest, session: AsyncSession) -> pb.ListProductsResponse:
        inventory.check_site(request.catalog_id)
        page = self._pager.page(request, _MENU_COLUMNS, default="name")
        kept, cursor = page.cut((await session.scalars(page.apply(menu_store.menu()))).all())
        products = await menu.products(session, request.catalog_id, kept)
        return pb.ListProductsResponse(products=products, next_cursor=cursor)

    @server.transactional
    async def ListMenuItemSites(
        self, request: pb.ListMenuItemSitesRequest, session: AsyncSession
    ) -> pb.ListMenuItemSitesResponse:
        raise errors.NotFound

    @server.transactional
    async def GetMenuItemSite(self, request: pb.GetMenuItemSiteRequest, session: AsyncSession) -> pb.MenuItemSite:
        raise errors.NotFound

    @server.transactional
    async def PutMenuItemSite(self, request: pb.PutMenuItemSiteRequest, session: AsyncSession) -> pb.MenuItemSite:
        raise errors.NotFound

    async def GetProduct(self, request: pb.GetProductRequest) -> pb.Product:
        raise errors.NotFound
