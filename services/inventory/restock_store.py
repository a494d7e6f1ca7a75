"""The queries of restocking."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import inventory_pb2 as pb

from services.inventory.models import Batch, Item, Movement
from services.inventory.restock_models import RestockLine, RestockPlan, RestockReceipt

# The supplier has been asked, and not all has come.
UNDER_WAY = ("ordered", "partially_received")
SUGGESTIONS_MAX = 500
# What a site uses: what a person corrects, counts or moves elsewhere is no use.
_USES = (pb.MOVEMENT_TYPE_SALE, pb.MOVEMENT_TYPE_DEDUCT, pb.MOVEMENT_TYPE_WASTE)

_plans: Any = RestockPlan.__table__
_lines: Any = RestockLine.__table__
_receipts: Any = RestockReceipt.__table__
_LOCK = sa.select(RestockPlan).where(RestockPlan.id == sa.bindparam("of_plan")).with_for_update()
# Said by the database in one statement: of a line no more comes in than was ordered, whoever else receives.
_RECEIVE = (
    sa.update(_lines)
    .where(
        _lines.c.plan_id == sa.bindparam("of_plan"),
        _lines.c.item_id == sa.bindparam("of_item"),
        _lines.c.received + sa.bindparam("more", type_=sa.BigInteger) <= _lines.c.quantity,
    )
    .values(received=_lines.c.received + sa.bindparam("more", type_=sa.BigInteger))
    .returning(_lines.c.received)
)


def plans(*, sites: Iterable[UUID], site_id: UUID | None, state: str, supplier: str) -> "sa.Select[Any]":
    """Plans, of some sites (none: of all), narrowed by what is given."""
    conditions: list[tuple[bool, Any]] = [
        (bool(sites), RestockPlan.site_id.in_(list(sites))),
        (site_id is not None, RestockPlan.site_id == site_id),
        (bool(state), RestockPlan.state == state),
        (bool(supplier), RestockPlan.supplier == supplier),
    ]
    return sa.select(RestockPlan).where(*(condition for applies, condition in conditions if applies))


async def plan(session: AsyncSession, plan_id: UUID, *, lock: bool = False) -> RestockPlan | None:
    """One plan; locked: nobody else changes it, or receives it, meanwhile."""
    if lock:
        found: RestockPlan | None = await session.scalar(_LOCK, {"of_plan": plan_id})
        return found
    return await session.scalar(sa.select(RestockPlan).where(RestockPlan.id == plan_id))


async def lines(session: AsyncSession, plan_ids: Iterable[UUID]) -> dict[UUID, list[RestockLine]]:
    """The lines of plans, in their order, as they are now."""
    wanted = list(plan_ids)
    select = (
        sa.select(RestockLine)
        .where(RestockLine.plan_id.in_(wanted))
        .order_by(RestockLine.plan_id, RestockLine.position)
        .execution_options(populate_existing=True)
    )
    found: dict[UUID, list[RestockLine]] = {plan_id: [] for plan_id in wanted}
    for row in await session.scalars(select):
        found[row.plan_id].append(row)
    return found


async def drop_lines(session: AsyncSession, plan_id: UUID) -> None:
    """Remove the lines of a draft that gets others."""
    await session.execute(sa.delete(RestockLine).where(RestockLine.plan_id == plan_id))


async def receive(session: AsyncSession, plan_id: UUID, item_id: UUID, quantity: int) -> bool:
    """Count what came of a line; false when it is more than was ordered, or the item is not in the plan."""
    asked = {"of_plan": plan_id, "of_item": item_id, "more": quantity}
    return (await session.execute(_RECEIVE, asked)).scalar_one_or_none() is not None


async def keep_receipt(session: AsyncSession, receipt: dict[str, object]) -> bool:
    """Note a receipt; false when there is one with this id."""
    statement = postgresql.insert(_receipts).values(**receipt).on_conflict_do_nothing().returning(_receipts.c.id)
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def receipt(session: AsyncSession, receipt_id: UUID) -> RestockReceipt | None:
    """One receipt."""
    return await session.scalar(sa.select(RestockReceipt).where(RestockReceipt.id == receipt_id))


def incoming(item_id: Any, site_id: Any = None) -> Any:
    """What is ordered of an item and has not come, as a column of a select that has `item_id` (and `site_id`).

    Without a site, over all of them.
    """
    select = (
        sa.select(sa.cast(sa.func.coalesce(sa.func.sum(RestockLine.quantity - RestockLine.received), 0), sa.BigInteger))
        .join(
            RestockPlan, sa.and_(RestockPlan.tenant_id == RestockLine.tenant_id, RestockPlan.id == RestockLine.plan_id)
        )
        .where(RestockLine.item_id == item_id, RestockPlan.state.in_(UNDER_WAY))
    )
    if site_id is not None:
        select = select.where(RestockPlan.site_id == site_id)
    return select.scalar_subquery()


@dataclass(frozen=True)
class Asked:
    """What suggestions are asked for."""

    site_id: UUID
    at: datetime
    since: datetime
    use_days: int
    horizon_days: int
    lead_days: int
    supplier: str


async def suggestions(session: AsyncSession, asked: Asked) -> Sequence[Any]:
    """The items that a site should buy, the most urgent first, with the figures that say so."""
    used, there, levels = _used(asked), _there(asked), _levels(asked)
    coming = incoming(Item.id, asked.site_id)
    low = sa.func.coalesce(levels.c.min, Item.low_stock_threshold)
    lead = sa.func.coalesce(levels.c.lead_days, asked.lead_days)
    figures = (
        sa.select(
            *(Item.id, Item.sku, Item.name, Item.supplier),
            sa.func.coalesce(used.c.quantity, 0).label("used"),
            sa.func.coalesce(there.c.quantity, 0).label("available"),
            coming.label("incoming"),
            low.label("min"),
            sa.func.coalesce(levels.c.max, 0).label("max"),
            lead.label("lead_days"),
        )
        .outerjoin(used, used.c.item_id == Item.id)
        .outerjoin(there, there.c.item_id == Item.id)
        .outerjoin(levels, levels.c.item_id == Item.id)
        .where(Item.deleted_at.is_(None), *([Item.supplier == asked.supplier] if asked.supplier else []))
        .subquery()
    )
    position = (figures.c.available + figures.c.incoming).label("position")
    days = asked.horizon_days + figures.c.lead_days
    needed = sa.func.greatest(figures.c.min, sa.func.ceil(figures.c.used * days / sa.literal(float(asked.use_days))))
    select = (
        sa.select(
            *figures.c, sa.cast(sa.func.greatest(figures.c.max, needed) - position, sa.BigInteger).label("quantity")
        )
        .where(position < needed)
        .order_by(sa.cast(position, sa.Float) / sa.func.nullif(figures.c.used, 0), figures.c.sku)
        .limit(SUGGESTIONS_MAX)
    )
    return (await session.execute(select)).all()


def _used(asked: Asked) -> "sa.Subquery":
    quantity = sa.cast(-sa.func.sum(Movement.quantity), sa.BigInteger)
    return (
        sa.select(Movement.item_id, quantity.label("quantity"))
        .where(
            Movement.site_id == asked.site_id,
            Movement.recorded_at >= asked.since,
            Movement.recorded_at < asked.at,
            Movement.type.in_(_USES),
        )
        .group_by(Movement.item_id)
        .subquery("used")
    )


def _there(asked: Asked) -> "sa.Subquery":
    """What may be sold and is not promised."""
    quantity = sa.cast(sa.func.sum(Batch.on_hand - Batch.reserved), sa.BigInteger)
    return (
        sa.select(Batch.item_id, quantity.label("quantity"))
        .where(
            Batch.site_id == asked.site_id,
            Batch.status == pb.BATCH_STATUS_AVAILABLE,
            Batch.expires_at > asked.at,
            Batch.on_hand > 0,
        )
        .group_by(Batch.item_id)
        .subquery("there")
    )


def _levels(asked: Asked) -> "sa.Subquery":
    """Minimum, maximum and lead time of each item's newest plan at the site."""
    return (
        sa.select(RestockLine.item_id, RestockLine.min, RestockLine.max, RestockPlan.lead_days)
        .ext(postgresql.distinct_on(RestockLine.item_id))
        .join(
            RestockPlan, sa.and_(RestockPlan.tenant_id == RestockLine.tenant_id, RestockPlan.id == RestockLine.plan_id)
        )
        .where(RestockPlan.site_id == asked.site_id, RestockPlan.state != "cancelled")
        .order_by(RestockLine.item_id, RestockPlan.created_at.desc(), RestockPlan.id.desc())
        .subquery("levels")
    )
