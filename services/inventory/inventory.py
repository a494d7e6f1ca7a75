"""The heart of inventory: items, and what may be done with them."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import events_pb2
from switchyard.inventory.v1 import inventory_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import call, clock, db, errors, events
from services.inventory import menu_store, messages, store
from services.inventory.models import Item


async def create(session: AsyncSession, told: pb.Item) -> Item:
    """Create an item. Raises `AlreadyExists` when the SKU is taken."""
    row = Item(
        tenant_id=call.current().principal.tenant,
        id=uuid7(),
        sku=told.sku,
        name=told.name,
        category=told.category,
        supplier=told.supplier,
        unit=told.unit,
        low_stock_threshold=told.low_stock_threshold,
        allow_backorder=told.allow_backorder,
        display_unit_name=told.display_unit.name,
        display_unit_factor=told.display_unit.factor,
        version=1,
    )
    session.add(row)
    await session.flush()
    event = events_pb2.ItemCreated(item=messages.new_item(row))
    events.publish(session, event, subject=f"items/{row.id}", audience=["tenant"])
    return row


async def change(session: AsyncSession, item_id: str, told: pb.Item, paths: Sequence[str]) -> None:
    """Change an item's named fields.

    Raises `NotFound`, `StaleVersion`, `AlreadyExists`, `Conflict` (`BACKORDERS_WAITING`).
    """
    row = await get(session, item_id, lock=True)
    call.current().require_version(row.version)
    for name in {path.split(".", 1)[0] for path in paths}:
        if name == "display_unit":
            row.display_unit_name, row.display_unit_factor = told.display_unit.name, told.display_unit.factor
        else:
            setattr(row, name, getattr(told, name))
    if session.is_modified(row):
        if "low_stock_threshold" in paths:
            await store.end_alerts(session, row.id, threshold=row.low_stock_threshold)
        row.version += 1
        await _write(session)
        event = events_pb2.ItemUpdated(item=messages.new_item(row))
        events.publish(session, event, subject=f"items/{row.id}", audience=["tenant"])


async def _write(session: AsyncSession) -> None:
    try:
        await session.flush()
    except DBAPIError as failure:
        if db.violated(failure) == "balances_backordered":
            message = "orders wait for more of the item than is there"
            raise errors.Conflict(message, code="BACKORDERS_WAITING") from failure
        raise


async def retire(session: AsyncSession, item_id: str) -> None:
    """Retire an item. Raises `NotFound`, `StaleVersion`, `Conflict` (`ITEM_IN_USE`) while there is stock of it."""
    row = await get(session, item_id, lock=True)
    call.current().require_version(row.version)
    if await store.has_stock(session, row.id) or await menu_store.is_on_a_menu(session, row.id):
        message = "there is still stock of the item, or something on the menu is made of it"
        raise errors.Conflict(message, code="ITEM_IN_USE")
    row.deleted_at = clock.now()
    row.version += 1


async def get(session: AsyncSession, item_id: str, *, lock: bool = False, keep: bool = False) -> Item:
    """One item. Raises `NotFound`."""
    row = await store.item(session, item_id, lock=lock, keep=keep)
    if row is None:
        raise errors.NotFound
    return row


def check_site(site_id: str) -> None:
    """Raise `NotFound` for a site that the caller may not see."""
    if not call.current().principal.may_see_site(UUID(site_id)):
        raise errors.NotFound
