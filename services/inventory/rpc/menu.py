"""The menu and the catalog, as the contract orders them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import menu_pb2 as pb

from chassis import call, clock, errors
from chassis.db import Database, Query
from chassis.paging import Page, Pager
from chassis.rpc import server
from chassis.sites import Sites
from services.inventory import inventory, menu, menu_messages, menu_sites, menu_store
from services.inventory.menu_models import MenuItem, MenuItemSite

_ORDERED = {"id": MenuItem.id, "name": MenuItem.name, "position": MenuItem.position}
_MENU_COLUMNS = {**_ORDERED, "created_at": MenuItem.created_at}
_SITE_COLUMNS = {"id": MenuItemSite.site_id}
_IN_ORDER = "position,name"
# Statements that are kept, one for each shape of a list; clients send few shapes.
_STATEMENTS_MAX = 256


class MenuRpc:
    """Serves `switchyard.inventory.v1.MenuService`."""

    service = pb.DESCRIPTOR.services_by_name["MenuService"]

    def __init__(self, database: Database, pager: Pager, sites: Sites) -> None:
        self._database = database
        self._pager = pager
        self._sites = sites
        self._lists: dict[object, Query] = {}

    async def _everywhere(self, _request: object) -> list[UUID]:
        return [site.id for site in await self._sites.all()]

    async def _site(self, request: pb.GetMenuItemSiteRequest | pb.PutMenuItemSiteRequest) -> UUID:
        return (await self._sites.get(request.site_id)).id

    @server.transactional
    async def ListMenuItems(self, request: pb.ListMenuItemsRequest, session: AsyncSession) -> pb.ListMenuItemsResponse:
        page = self._pager.page(request, _MENU_COLUMNS, default=_IN_ORDER)
        rows = await session.scalars(page.apply(menu_store.menu(request.category, request.q)))
        kept, cursor = page.cut(rows.all())
        return pb.ListMenuItemsResponse(menu_items=[menu_messages.menu_item(row) for row in kept], next_cursor=cursor)

    @server.transactional
    @server.prepared(_everywhere)
    async def CreateMenuItem(
        self, request: pb.CreateMenuItemRequest, session: AsyncSession, sites: Sequence[UUID]
    ) -> pb.MenuItem:
        return menu_messages.menu_item(await menu.create(session, request.menu_item, sites))

    @server.transactional
    async def GetMenuItem(self, request: pb.GetMenuItemRequest, session: AsyncSession) -> pb.MenuItem:
        return menu_messages.menu_item(await menu.get(session, request.id))

    @server.transactional
    @server.prepared(_everywhere)
    async def UpdateMenuItem(
        self, request: pb.UpdateMenuItemRequest, session: AsyncSession, sites: Sequence[UUID]
    ) -> pb.MenuItem:
        changed = await menu.change(session, request.id, request.menu_item, request.update_mask.paths, sites)
        return menu_messages.menu_item(changed)

    @server.transactional
    @server.prepared(_everywhere)
    async def DeleteMenuItem(
        self, request: pb.DeleteMenuItemRequest, session: AsyncSession, sites: Sequence[UUID]
    ) -> Empty:
        await menu.remove(session, request.id, sites)
        return Empty()

    @server.transactional
    async def ListMenuItemSites(
        self, request: pb.ListMenuItemSitesRequest, session: AsyncSession
    ) -> pb.ListMenuItemSitesResponse:
        sold = await menu.get(session, request.menu_item_id)
        page = self._pager.page(request, _SITE_COLUMNS, default="id")
        select = menu_store.sites(sold.id, call.current().principal.sites)
        kept, cursor = page.cut((await session.execute(page.apply(select))).all())
        sites = [menu_messages.site(sold.price_currency, row[1], out_of_stock=row.out_of_stock) for row in kept]
        return pb.ListMenuItemSitesResponse(sites=sites, next_cursor=cursor)

    @server.transactional
    @server.prepared(_site)
    async def GetMenuItemSite(
        self, request: pb.GetMenuItemSiteRequest, session: AsyncSession, site_id: UUID
    ) -> pb.MenuItemSite:
        sold, row, is_out = await menu_sites.get(session, request.menu_item_id, site_id)
        return menu_messages.site(sold.price_currency, row, out_of_stock=is_out)

    @server.transactional
    @server.prepared(_site)
    async def PutMenuItemSite(
        self, request: pb.PutMenuItemSiteRequest, session: AsyncSession, site_id: UUID
    ) -> pb.MenuItemSite:
        sold, row, is_out = await menu_sites.put(session, request.menu_item_id, site_id, request.site)
        return menu_messages.site(sold.price_currency, row, out_of_stock=is_out)

    async def ListProducts(self, request: pb.ListProductsRequest) -> pb.ListProductsResponse:
        inventory.check_site(request.catalog_id)
        page = self._pager.page(request, _ORDERED, default=_IN_ORDER)
        filters = {name: getattr(request, name) for name in menu_store.PRODUCT_FILTERS if _given(request, name)}
        query = self._list_query(page, tuple(filters))
        rows = await self._read(query, request.catalog_id, **filters, **page.parameters)
        kept, cursor = page.cut(rows)
        products = await self._products(request.catalog_id, kept)
        return pb.ListProductsResponse(products=products, next_cursor=cursor)

    async def GetProduct(self, request: pb.GetProductRequest) -> pb.Product:
        inventory.check_site(request.catalog_id)
        rows = await self._read(menu_store.PRODUCT, request.catalog_id, row=UUID(request.id))
        if not rows:
            raise errors.NotFound
        return (await self._products(request.catalog_id, rows))[0]

    async def _products(self, catalog_id: str, rows: Sequence[Any]) -> list[pb.Product]:
        """Records as products; how much there is of all that they are made of is read at once."""
        offers = [menu_messages.Offer(row) for row in rows]
        items = {item for offer in offers for item in offer.items()}
        stock = await self._read(menu_store.SELLABLE, catalog_id, items=list(items)) if items else ()
        sellable = {str(row["item_id"]): row["quantity"] for row in stock}
        return [menu_messages.product(offer, sellable) for offer in offers]

    async def _read(self, query: Query, catalog_id: str, **more: object) -> Sequence[Any]:
        tenant = call.current().principal.tenant
        return await self._database.read(query, tenant, at_site=UUID(catalog_id), now=clock.now(), **more)

    def _list_query(self, page: Page, filters: tuple[str, ...]) -> Query:
        shape = (page.shape, filters)
        found = self._lists.get(shape)
        if found is None:
            if len(self._lists) >= _STATEMENTS_MAX:
                self._lists.clear()
            found = self._lists[shape] = Query(page.hot(menu_store.products(filters)))
        return found


def _given(request: pb.ListProductsRequest, name: str) -> bool:
    return request.HasField("available") if name == menu_store.AVAILABLE else bool(getattr(request, name))
