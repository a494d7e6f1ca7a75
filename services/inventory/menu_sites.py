"""How sites sell what is on the menu."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import events_pb2, menu_pb2

from chassis import audit, call, errors
from services.inventory import menu, menu_store
from services.inventory.menu_models import MenuItem, MenuItemSite


async def get(session: AsyncSession, menu_item_id: str, site_id: UUID) -> tuple[MenuItem, MenuItemSite, bool]:
    """How a site sells something, as the menu says unless told otherwise; and whether it is out of stock there.

    Raises `NotFound`.
    """
    sold = await menu.get(session, menu_item_id)
    row = await menu_store.site(session, sold.id, site_id) or _as_the_menu_says(sold, site_id)
    return sold, row, await menu_store.out_of_stock(session, sold.id, site_id)


async def put(
    session: AsyncSession, menu_item_id: str, site_id: UUID, told: menu_pb2.MenuItemSite
) -> tuple[MenuItem, MenuItemSite, bool]:
    """Say how a site sells something. Raises `NotFound`, `StaleVersion`, `Invalid` for another currency."""
    sold = await menu.get(session, menu_item_id, lock=True)
    row = await menu_store.site(session, sold.id, site_id) or _as_the_menu_says(sold, site_id)
    call.current().require_version(row.version)
    if told.HasField("price") and told.price.currency != sold.price_currency:
        raise errors.Invalid(fields={"site.price.currency": [f"must be {sold.price_currency}, as the menu item's"]})
    before = (row.available, row.price_amount), row.sold_out
    row.available = told.available if told.HasField("available") else True
    row.price_amount = told.price.amount if told.HasField("price") else None
    row.sold_out = told.sold_out
    after = (row.available, row.price_amount), row.sold_out
    if after != before:
        row.version += 1
        session.add(row)
        await session.flush()
        _tell(session, row, other=after[0] != before[0], switched=after[1] != before[1])
    audit.about(session, f"menu_item_sites/{sold.id}/{site_id}")
    return sold, row, await menu_store.out_of_stock(session, sold.id, site_id)


def _tell(session: AsyncSession, row: MenuItemSite, *, other: bool, switched: bool) -> None:
    menu_item_id, site_id, audience = str(row.menu_item_id), str(row.site_id), menu.at(row.site_id)
    if other:
        told = events_pb2.MenuItemSiteUpdated(
            menu_item_id=menu_item_id, site_id=site_id, available=row.available, version=row.version
        )
        menu.tell(session, row.menu_item_id, told, audience)
    if switched:
        off = events_pb2.MenuItemSoldOut(
            menu_item_id=menu_item_id, site_id=site_id, sold_out=row.sold_out, reason="manual"
        )
        menu.tell(session, row.menu_item_id, off, audience)


def _as_the_menu_says(sold: MenuItem, site_id: UUID) -> MenuItemSite:
    return MenuItemSite(
        tenant_id=sold.tenant_id,
        menu_item_id=sold.id,
        site_id=site_id,
        available=True,
        sold_out=False,
        price_amount=None,
        version=0,
    )
