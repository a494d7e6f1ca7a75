"""What has run out: a thing on the menu is off at a site while the stock there does not allow one piece.

What was last announced is kept. Whoever announces something else holds the balances of all that the thing is made of,
so that between looking and announcing nothing moves; and whoever moves stock afterwards finds what was announced.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import events_pb2

from chassis import audit, clock, events
from services.inventory import menu_store
from services.inventory.menu_models import MenuItem


async def announce(session: AsyncSession, rows: Sequence[MenuItem], sites: Iterable[UUID]) -> None:
    """Say of things on the menu where they have run out or come back, once for each crossing."""
    parts = {UUID(part["item_id"]) for row in rows for part in row.recipe}
    # In the order in which transfers lock them.
    for site_id in sorted(sites):
        await menu_store.keep_balances(session, site_id, parts)
        turned = await menu_store.turned(session, site_id, [row.id for row in rows], at=clock.now())
        for row in turned:
            await _announce(session, rows[0].tenant_id, row.id, site_id, is_out=row.is_out)


async def announce_by_id(session: AsyncSession, site_id: UUID, ids: Iterable[UUID]) -> None:
    """As `announce`, at one site."""
    rows = await menu_store.menu_by_id(session, ids)
    if rows:
        await announce(session, list(rows.values()), [site_id])


async def _announce(session: AsyncSession, tenant: UUID, menu_item_id: UUID, site_id: UUID, *, is_out: bool) -> None:
    first = await menu_store.announce(
        session, tenant=tenant, menu_item_id=menu_item_id, site_id=site_id, sold_out=is_out, at=clock.now()
    )
    if not first:
        return
    audit.about(session, f"menu_items/{menu_item_id}")
    event = events_pb2.MenuItemSoldOut(
        menu_item_id=str(menu_item_id), site_id=str(site_id), sold_out=is_out, reason="stock"
    )
    audience = [f"site:{site_id}", f"kiosk:{site_id}"]
    events.publish(session, event, subject=f"menu_items/{menu_item_id}", audience=audience)
