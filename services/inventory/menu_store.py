"""The queries of the menu."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import inventory_pb2 as pb

from chassis.db import Query
from services.inventory.menu_models import MenuItem, MenuItemSite, MenuItemStock
from services.inventory.models import Balance, Batch

_id = sa.bindparam("row", type_=sa.Uuid)
_ids = sa.bindparam("rows", type_=sa.Uuid, expanding=True)
_site = sa.bindparam("at_site", type_=sa.Uuid)
_now = sa.bindparam("now", type_=sa.DateTime(timezone=True))
_one: Any = sa.literal_column("1")
_MENU = sa.select(MenuItem).where(MenuItem.deleted_at.is_(None))
_MENU_BY_ID = _MENU.where(MenuItem.id.in_(_ids))
_AT_SITE = sa.and_(
    MenuItemSite.tenant_id == MenuItem.tenant_id,
    MenuItemSite.menu_item_id == MenuItem.id,
    MenuItemSite.site_id == _site,
)
_OFFERED = (
    sa.select(MenuItem, MenuItemSite)
    .outerjoin(MenuItemSite, _AT_SITE)
    .where(MenuItem.deleted_at.is_(None), MenuItem.id.in_(_ids))
)
# What may be promised before it is there sets no limit.
_waits: Any = sa.table(
    "items", sa.column("tenant_id", sa.Uuid), sa.column("id", sa.Uuid), sa.column("allow_backorder", sa.Boolean)
)
UNLIMITED = 2**53 - 1
# What of an item at the site may be promised.
_SELLABLE = (
    sa.select(sa.cast(sa.func.coalesce(sa.func.sum(Batch.on_hand - Batch.reserved), 0), sa.BigInteger))
    .where(
        Batch.tenant_id == MenuItem.tenant_id,
        Batch.site_id == _site,
        Batch.status == pb.BATCH_STATUS_AVAILABLE,
        Batch.expires_at > _now,
    )
    .correlate(MenuItem)
)


def _parts(recipe: Any, name: str) -> Any:
    """The lines of a recipe as rows."""
    columns = sa.column("item_id", sa.Uuid), sa.column("quantity", sa.BigInteger)
    made = sa.func.jsonb_to_recordset(recipe).table_valued(*columns, name=name)
    return made.render_derived(name=name, with_types=True)


_part = _parts(MenuItem.recipe, "part")
_of_part = _SELLABLE.where(Batch.item_id == _part.c.item_id).correlate(MenuItem, _part).scalar_subquery()
# How many pieces the stock of the site allows; null for what is made of nothing that is stocked.
_PIECES = (
    sa.select(sa.func.min(_of_part // _part.c.quantity).label("pieces"))
    .select_from(
        sa.join(_part, _waits, sa.and_(_waits.c.tenant_id == MenuItem.tenant_id, _waits.c.id == _part.c.item_id))
    )
    .where(sa.not_(_waits.c.allow_backorder))
    .lateral("stock")
)
_IS_ON = sa.not_(MenuItem.sold_out | sa.func.coalesce(MenuItemSite.sold_out, sa.false()))
# What a site sells, with what a kiosk wants to know of it; how much there is of what it is made of is read beside it.
_PRODUCTS: Any = (
    sa.select(
        MenuItem.id,
        MenuItem.name,
        MenuItem.category,
        MenuItem.description,
        MenuItem.image_url,
        MenuItem.position,
        sa.func.coalesce(MenuItemSite.price_amount, MenuItem.price_amount).label("price_amount"),
        MenuItem.price_currency,
        MenuItem.tags,
        MenuItem.allergens,
        MenuItem.recipe,
        MenuItem.modifier_groups,
        _IS_ON.label("is_on"),
    )
    .select_from(sa.outerjoin(MenuItem, MenuItemSite, _AT_SITE))
    .where(MenuItem.deleted_at.is_(None), sa.func.coalesce(MenuItemSite.available, sa.true()))
)
PRODUCT = Query(_PRODUCTS.where(MenuItem.id == _id).limit(_one))
AVAILABLE = "available"
_PRODUCT_FILTERS = {
    "category": MenuItem.category == sa.bindparam("category", type_=sa.Text),
    # What is looked for is text, not a pattern.
    "q": sa.func.strpos(sa.func.lower(MenuItem.name), sa.func.lower(sa.bindparam("q", type_=sa.Text))) > 0,
    AVAILABLE: sa.bindparam(AVAILABLE, type_=sa.Boolean) == sa.and_(_IS_ON, sa.func.coalesce(_PIECES.c.pieces, 1) > 0),
}
PRODUCT_FILTERS = tuple(_PRODUCT_FILTERS)
_of_item = (
    sa.select(sa.cast(sa.func.coalesce(sa.func.sum(Batch.on_hand - Batch.reserved), 0), sa.BigInteger))
    .where(
        Batch.tenant_id == _waits.c.tenant_id,
        Batch.item_id == _waits.c.id,
        Batch.site_id == _site,
        Batch.status == pb.BATCH_STATUS_AVAILABLE,
        Batch.expires_at > _now,
    )
    .correlate(_waits)
    .scalar_subquery()
)
_SELLABLE_ITEMS: Any = (
    sa.select(
        _waits.c.id.label("item_id"),
        sa.case((_waits.c.allow_backorder, sa.literal_column(str(UNLIMITED))), else_=_of_item).label("quantity"),
    )
    .where(_waits.c.id == sa.func.any(sa.bindparam("items", type_=ARRAY(sa.Uuid))))
    .limit(sa.literal_column("100000"))
)
SELLABLE = Query(_SELLABLE_ITEMS)
_used = _parts(MenuItem.recipe, "used")
_ANNOUNCED = sa.and_(
    MenuItemStock.tenant_id == MenuItem.tenant_id,
    MenuItemStock.menu_item_id == MenuItem.id,
    MenuItemStock.site_id == _site,
)
_IS_OUT = sa.func.coalesce(_PIECES.c.pieces, 1) < 1
# What is on the menu and whose stock at a site is not as was last announced.
_TURNED: Any = (
    sa.select(MenuItem.id, _IS_OUT.label("is_out"))
    .select_from(sa.outerjoin(MenuItem, MenuItemStock, _ANNOUNCED).join(_PIECES, sa.true()))
    .where(
        MenuItem.deleted_at.is_(None),
        sa.func.coalesce(MenuItemStock.sold_out, sa.false()) != _IS_OUT,
    )
)
_MADE_OF = (
    sa.select(_one)
    .select_from(_used)
    .where(_used.c.item_id == sa.func.any(sa.bindparam("items", type_=ARRAY(sa.Uuid))))
    .correlate(MenuItem)
)
TURNED_BY_ITEMS = Query(_TURNED.where(sa.exists(_MADE_OF)).limit(sa.literal_column("10000")))
_TURNED_BY_ID = _TURNED.where(MenuItem.id.in_(_ids)).order_by(MenuItem.id)
_stock: Any = MenuItemStock.__table__
_ANNOUNCE = postgresql.insert(_stock)
# Of several that announce the same, one does.
_ANNOUNCE_ONCE = _ANNOUNCE.on_conflict_do_update(
    index_elements=["tenant_id", "menu_item_id", "site_id"],
    set_={"sold_out": _ANNOUNCE.excluded.sold_out, "changed_at": _ANNOUNCE.excluded.changed_at},
    where=_stock.c.sold_out != _ANNOUNCE.excluded.sold_out,
).returning(_stock.c.menu_item_id)
_KEEP_BALANCES = (
    sa.select(Balance.item_id)
    .where(Balance.site_id == _site, Balance.item_id.in_(_ids))
    .order_by(Balance.item_id)
    .with_for_update(read=True)
)


async def is_on_a_menu(session: AsyncSession, item_id: UUID) -> bool:
    """Whether something that is sold is made of it, or something that may be chosen with it."""
    part = [{"item_id": str(item_id)}]
    used = MenuItem.recipe.contains(part) | MenuItem.modifier_groups.contains([{"options": [{"recipe": part}]}])
    return bool(await session.scalar(sa.select(sa.exists().where(used, MenuItem.deleted_at.is_(None)))))


def menu(category: str = "", q: str = "") -> "sa.Select[Any]":
    """What is on the menu."""
    found = _MENU.where(MenuItem.category == category) if category else _MENU
    return found.where(sa.func.strpos(sa.func.lower(MenuItem.name), q.lower()) > 0) if q else found


def products(filters: Iterable[str]) -> "sa.Select[Any]":
    """What a site sells, narrowed by some of `PRODUCT_FILTERS`. Stock is counted only where it narrows the list."""
    wanted = set(filters)
    select = _PRODUCTS.join(_PIECES, sa.true()) if AVAILABLE in wanted else _PRODUCTS
    found: sa.Select[Any] = select.where(*(_PRODUCT_FILTERS[name] for name in PRODUCT_FILTERS if name in wanted))
    return found


async def menu_item(session: AsyncSession, menu_item_id: str, *, lock: bool = False) -> MenuItem | None:
    """One thing that is sold."""
    select = menu().where(MenuItem.id == UUID(menu_item_id))
    found: MenuItem | None = await session.scalar(select.with_for_update() if lock else select)
    return found


async def menu_by_id(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, MenuItem]:
    """Things that are sold, by their ids."""
    return {row.id: row for row in await session.scalars(_MENU_BY_ID, {"rows": list(set(ids))})}


async def offered(
    session: AsyncSession, site_id: UUID, ids: Iterable[UUID]
) -> dict[UUID, tuple[MenuItem, MenuItemSite | None]]:
    """Things on the menu, and how a site sells them, by their ids."""
    rows = await session.execute(_OFFERED, {"at_site": site_id, "rows": list(set(ids))})
    return {row[0].id: (row[0], row[1]) for row in rows}


def sites(menu_item_id: UUID, among: Iterable[str]) -> "sa.Select[Any]":
    """How sites sell a thing on the menu, and whether its stock has been announced as gone; `among`: only those."""
    stock = sa.and_(
        MenuItemStock.tenant_id == MenuItemSite.tenant_id,
        MenuItemStock.menu_item_id == MenuItemSite.menu_item_id,
        MenuItemStock.site_id == MenuItemSite.site_id,
    )
    out = sa.func.coalesce(MenuItemStock.sold_out, sa.false()).label("out_of_stock")
    select: Any = sa.select(MenuItemSite.site_id.label("id"), MenuItemSite, out).outerjoin(MenuItemStock, stock)
    select = select.where(MenuItemSite.menu_item_id == menu_item_id)
    wanted = [UUID(site) for site in among]
    found: sa.Select[Any] = select.where(MenuItemSite.site_id.in_(wanted)) if wanted else select
    return found


async def site(session: AsyncSession, menu_item_id: UUID, site_id: UUID) -> MenuItemSite | None:
    """How a site sells a thing on the menu."""
    select = sa.select(MenuItemSite).where(MenuItemSite.menu_item_id == menu_item_id, MenuItemSite.site_id == site_id)
    found: MenuItemSite | None = await session.scalar(select)
    return found


async def out_of_stock(session: AsyncSession, menu_item_id: UUID, site_id: UUID) -> bool:
    """Whether it was announced that the stock allows no piece."""
    select = sa.select(MenuItemStock.sold_out).where(
        MenuItemStock.menu_item_id == menu_item_id, MenuItemStock.site_id == site_id
    )
    return bool(await session.scalar(select))


async def keep_balances(session: AsyncSession, site_id: UUID, item_ids: Iterable[UUID]) -> None:
    """Let nobody change the stock of items at a site until the transaction ends."""
    await session.execute(_KEEP_BALANCES, {"at_site": site_id, "rows": sorted(set(item_ids))})


async def turned(session: AsyncSession, site_id: UUID, ids: Iterable[UUID], *, at: datetime) -> "Sequence[sa.Row[Any]]":
    """Which of some things on the menu have run out at a site or come back, since it was last announced."""
    return (await session.execute(_TURNED_BY_ID, {"at_site": site_id, "rows": list(ids), "now": at})).all()


async def announce(
    session: AsyncSession, *, tenant: UUID, menu_item_id: UUID, site_id: UUID, sold_out: bool, at: datetime
) -> bool:
    """Note that something has run out at a site, or come back; whether nobody else has."""
    row = {"tenant_id": tenant, "menu_item_id": menu_item_id, "site_id": site_id}
    return bool(await session.scalar(_ANNOUNCE_ONCE, {**row, "sold_out": sold_out, "changed_at": at}))
