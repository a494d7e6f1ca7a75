"""The queries of webhooks."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from services.inventory.models import Item
from services.inventory.webhook_models import WebhookDelivery, WebhookEndpoint, WebhookMark

_deliveries: Any = WebhookDelivery.__table__
_marks: Any = WebhookMark.__table__
# Whoever comes second waits for the first to commit, and then does nothing.
_BEGIN = postgresql.insert(_deliveries).on_conflict_do_nothing().returning(_deliveries.c.id)
_MARK = postgresql.insert(_marks)
_MARK_IF_NEWER = _MARK.on_conflict_do_update(
    index_elements=["tenant_id", "item_id", "site_id"],
    set_={"occurred_at": _MARK.excluded.occurred_at, "event_id": _MARK.excluded.event_id},
    # Of two counts of one moment the same one stands in whatever order they come.
    where=sa.tuple_(_marks.c.occurred_at, _marks.c.event_id)
    < sa.tuple_(_MARK.excluded.occurred_at, _MARK.excluded.event_id),
).returning(_marks.c.item_id)


def endpoints(sites: Iterable[str]) -> "sa.Select[Any]":
    """The endpoints of some sites, or of all."""
    columns: Any = WebhookEndpoint, WebhookEndpoint.provider.label("id"), WebhookEndpoint.site_id.label("site_id")
    return _at(sa.select(*columns), WebhookEndpoint.site_id, sites)


async def endpoint(
    session: AsyncSession, site_id: UUID, provider: str, *, lock: bool = False
) -> WebhookEndpoint | None:
    """One endpoint."""
    same = WebhookEndpoint.site_id == site_id, WebhookEndpoint.provider == provider
    select = sa.select(WebhookEndpoint).where(*same)
    found: WebhookEndpoint | None = await session.scalar(select.with_for_update() if lock else select)
    return found


def deliveries(sites: Iterable[str], *, provider: str, status: str) -> "sa.Select[Any]":
    """What came in at some sites, or at all; of one provider or with one outcome, where they are given."""
    select = _at(sa.select(WebhookDelivery), WebhookDelivery.site_id, sites)
    if provider:
        select = select.where(WebhookDelivery.provider == provider)
    return select.where(WebhookDelivery.status == status) if status else select


async def begin(session: AsyncSession, row: dict[str, Any]) -> bool:
    """Note that a webhook has come; whether it is the first time."""
    return await session.scalar(_BEGIN, row) is not None


async def end(session: AsyncSession, delivery_id: UUID, **values: Any) -> None:
    """Note what has become of it."""
    await session.execute(sa.update(_deliveries).where(_deliveries.c.id == delivery_id).values(**values))


async def delivery(session: AsyncSession, site_id: UUID, provider: str, event_id: str) -> WebhookDelivery:
    """What became of an event that has come before."""
    same = (
        WebhookDelivery.site_id == site_id,
        WebhookDelivery.provider == provider,
        WebhookDelivery.event_id == event_id,
    )
    return (await session.scalars(sa.select(WebhookDelivery).where(*same))).one()


async def mark(
    session: AsyncSession, *, tenant: UUID, item_id: UUID, site_id: UUID, occurred_at: datetime, event_id: str
) -> bool:
    """Note a count as the newest of an item at a site, unless a newer one has been applied; whether it is."""
    row = {"tenant_id": tenant, "item_id": item_id, "site_id": site_id}
    found = await session.scalar(_MARK_IF_NEWER, {**row, "occurred_at": occurred_at, "event_id": event_id})
    return found is not None


async def items_by_sku(session: AsyncSession, skus: Collection[str]) -> dict[str, Item]:
    """Items that are not retired, by their SKUs in lower case."""
    wanted = {sku.lower() for sku in skus}
    select = sa.select(Item).where(sa.func.lower(Item.sku).in_(wanted), Item.deleted_at.is_(None))
    rows: Sequence[Item] = (await session.scalars(select)).all()
    return {row.sku.lower(): row for row in rows}


def _at(select: "sa.Select[Any]", column: Any, sites: Iterable[str]) -> "sa.Select[Any]":
    wanted = [UUID(site) for site in sites]
    return select.where(column.in_(wanted)) if wanted else select
