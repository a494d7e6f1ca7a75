"""What is sold."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import events_pb2, menu_pb2
from uuid_utils.compat import uuid7

from chassis import call, clock, errors, events
from services.inventory import menu_stock, menu_store, modifiers, store
from services.inventory.menu_models import MenuItem

_LISTS = ("tags", "allergens")


async def create(session: AsyncSession, told: menu_pb2.MenuItem, sites: Iterable[UUID]) -> MenuItem:
    """Put something on the menu. Raises `AlreadyExists` when the name is taken, `Invalid` for an unknown item.

    `sites` are all of the tenant's: what is news everywhere is told to each of them.
    """
    row = MenuItem(
        tenant_id=call.current().principal.tenant,
        id=uuid7(),
        name=told.name,
        category=told.category,
        description=told.description,
        image_url=told.image_url,
        position=told.position,
        price_amount=told.price.amount,
        price_currency=told.price.currency,
        recipe=await _recipe(session, told.recipe),
        modifier_groups=await _modifiers(session, told.modifier_groups, (), told.price.currency),
        tags=list(told.tags),
        allergens=list(told.allergens),
        sold_out=told.sold_out,
        version=1,
    )
    session.add(row)
    await session.flush()
    event = events_pb2.MenuItemCreated(menu_item_id=str(row.id), name=row.name, version=row.version)
    tell(session, row.id, event, everywhere(sites))
    await menu_stock.announce(session, [row], sites)
    return row


async def get(session: AsyncSession, menu_item_id: str, *, lock: bool = False) -> MenuItem:
    """One thing that is sold. Raises `NotFound`."""
    row = await menu_store.menu_item(session, menu_item_id, lock=lock)
    if row is None:
        raise errors.NotFound
    return row


async def change(
    session: AsyncSession,
    menu_item_id: str,
    told: menu_pb2.MenuItem,
    paths: Sequence[str],
    sites: Iterable[UUID],
) -> MenuItem:
    """Change the named fields. Raises `NotFound`, `StaleVersion`, `AlreadyExists`, `Invalid`."""
    row = await get(session, menu_item_id, lock=True)
    call.current().require_version(row.version)
    was_sold_out = row.sold_out
    # The price first: the currency of modifiers is the price's.
    for name in sorted(paths, key=lambda path: path.partition(".")[0] != "price"):
        await _set(session, row, told, name)
    if not session.is_modified(row):
        return row
    row.version += 1
    await session.flush()
    audience = everywhere(sites)
    event = events_pb2.MenuItemUpdated(menu_item_id=str(row.id), name=row.name, version=row.version)
    tell(session, row.id, event, audience)
    if row.sold_out != was_sold_out:
        off = events_pb2.MenuItemSoldOut(menu_item_id=str(row.id), sold_out=row.sold_out, reason="manual")
        tell(session, row.id, off, audience)
    if "recipe" in paths:
        await menu_stock.announce(session, [row], sites)
    return row


async def remove(session: AsyncSession, menu_item_id: str, sites: Iterable[UUID]) -> None:
    """Take it off the menu for good."""
    row = await get(session, menu_item_id, lock=True)
    call.current().require_version(row.version)
    row.deleted_at = clock.now()
    row.version += 1
    tell(session, row.id, events_pb2.MenuItemDeleted(menu_item_id=str(row.id)), everywhere(sites))


def everywhere(sites: Iterable[UUID]) -> list[str]:
    """The channels of what concerns the whole tenant: people, and each site with its kiosks."""
    return ["tenant", *(channel for site in sites for channel in at(site))]


def at(site_id: UUID) -> list[str]:
    """The channels of what concerns a site and its kiosks."""
    return [f"site:{site_id}", f"kiosk:{site_id}"]


def tell(session: AsyncSession, menu_item_id: UUID, event: Any, audience: Sequence[str]) -> None:
    """Publish an event about something on the menu."""
    events.publish(session, event, subject=f"menu_items/{menu_item_id}", audience=audience)


async def _set(session: AsyncSession, row: MenuItem, told: menu_pb2.MenuItem, path: str) -> None:
    if path == "recipe":
        row.recipe = await _recipe(session, told.recipe)
    elif path == "modifier_groups":
        row.modifier_groups = await _modifiers(session, told.modifier_groups, row.modifier_groups, row.price_currency)
    elif path.partition(".")[0] == "price":
        if path in {"price", "price.amount"}:
            row.price_amount = told.price.amount
        if path in {"price", "price.currency"}:
            row.price_currency = told.price.currency
    else:
        setattr(row, path, list(getattr(told, path)) if path in _LISTS else getattr(told, path))


async def _recipe(session: AsyncSession, lines: Sequence[menu_pb2.RecipeLine]) -> list[dict[str, Any]]:
    known = await store.keep_items(session, [UUID(line.item_id) for line in lines])
    seen: set[UUID] = set()
    wrong = {}
    for place, line in enumerate(lines):
        item_id = UUID(line.item_id)
        if item_id not in known or item_id in seen:
            why = "is named twice" if item_id in seen else "is not an item"
            wrong[f"menu_item.recipe.{place}.item_id"] = [why]
        seen.add(item_id)
    if wrong:
        raise errors.Invalid(fields=wrong)
    return [{"item_id": line.item_id.lower(), "quantity": line.quantity} for line in lines]


async def _modifiers(
    session: AsyncSession,
    told: Sequence[menu_pb2.ModifierGroup],
    before: Sequence[modifiers.Group],
    currency: str,
) -> list[modifiers.Group]:
    groups, wrong = modifiers.read(told, before, currency)
    known = await store.keep_items(session, map(UUID, modifiers.items(groups))) if told else set()
    for place, group in enumerate(groups):
        for number, option in enumerate(group["options"]):
            for line, part in enumerate(option["recipe"]):
                if UUID(part["item_id"]) not in known:
                    path = f"menu_item.modifier_groups.{place}.options.{number}.recipe.{line}.item_id"
                    wrong[path] = ["is not an item"]
    if wrong:
        raise errors.Invalid(fields=wrong)
    return groups
