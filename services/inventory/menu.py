"""What is sold, and what a kiosk sees of it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import events_pb2, menu_pb2
from uuid_utils.compat import uuid7

from chassis import call, clock, errors, events
from services.inventory import menu_store, store
from services.inventory.menu_models import MenuItem


async def create(session: AsyncSession, told: menu_pb2.MenuItem) -> MenuItem:
    """Put something on the menu. Raises `AlreadyExists` when the name is taken, `Invalid` for an unknown item."""
    row = MenuItem(
        tenant_id=call.current().principal.tenant,
        id=uuid7(),
        name=told.name,
        category=told.category,
        price_amount=told.price.amount,
        price_currency=told.price.currency,
        recipe=await _recipe(session, told.recipe),
        sold_out=told.sold_out,
        version=1,
    )
    session.add(row)
    await session.flush()
    return row


async def get(session: AsyncSession, menu_item_id: str, *, lock: bool = False) -> MenuItem:
    """One thing that is sold. Raises `NotFound`."""
    row = await menu_store.menu_item(session, menu_item_id, lock=lock)
    if row is None:
        raise errors.NotFound
    return row


async def change(session: AsyncSession, menu_item_id: str, told: menu_pb2.MenuItem, paths: Sequence[str]) -> MenuItem:
    """Change the named fields. Raises `NotFound`, `StaleVersion`, `AlreadyExists`, `Invalid`."""
    row = await get(session, menu_item_id, lock=True)
    call.current().require_version(row.version)
    was_sold_out = row.sold_out
    for name in paths:
        await _set(session, row, told, name)
    if session.is_modified(row):
        row.version += 1
        await session.flush()
    if row.sold_out != was_sold_out:
        event = events_pb2.MenuItemSoldOut(menu_item_id=str(row.id), sold_out=row.sold_out)
        events.publish(session, event, subject=f"menu_items/{row.id}", audience=["tenant"])
    return row


async def remove(session: AsyncSession, menu_item_id: str) -> None:
    """Take it off the menu for good."""
    row = await get(session, menu_item_id, lock=True)
    call.current().require_version(row.version)
    row.deleted_at = clock.now()
    row.version += 1


async def products(session: AsyncSession, site_id: str, rows: Sequence[MenuItem]) -> list[menu_pb2.Product]:
    """Things on the menu as a kiosk of a site sees them."""
    parts = {UUID(part["item_id"]) for row in rows for part in row.recipe}
    available = await store.sellable_at(session, UUID(site_id), parts, at=clock.now())
    return [_product(row, available) for row in rows]


def _product(row: MenuItem, available: dict[UUID, int]) -> menu_pb2.Product:
    pieces = [available.get(UUID(part["item_id"]), 0) // part["quantity"] for part in row.recipe]
    product = menu_pb2.Product(id=str(row.id), name=row.name, category=row.category)
    product.price.amount, product.price.currency = row.price_amount, row.price_currency
    product.available = not row.sold_out and all(pieces)
    if pieces:
        product.available_quantity = min(pieces)
    return product


async def _set(session: AsyncSession, row: MenuItem, told: menu_pb2.MenuItem, path: str) -> None:
    if path == "recipe":
        row.recipe = await _recipe(session, told.recipe)
    elif path.partition(".")[0] == "price":
        if path in {"price", "price.amount"}:
            row.price_amount = told.price.amount
        if path in {"price", "price.currency"}:
            row.price_currency = told.price.currency
    else:
        setattr(row, path, getattr(told, path))


async def _recipe(session: AsyncSession, lines: Sequence[menu_pb2.RecipeLine]) -> list[dict[str, Any]]:
    known = await store.keep_items(session, [UUID(line.item_id) for line in lines])
    unknown = {
        f"menu_item.recipe.{place}.item_id": ["is not an item"]
        for place, line in enumerate(lines)
        if UUID(line.item_id) not in known
    }
    if unknown:
        raise errors.Invalid(fields=unknown)
    return [{"item_id": line.item_id.lower(), "quantity": line.quantity} for line in lines]
